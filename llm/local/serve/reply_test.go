package serve

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestReply(t *testing.T) {
	tests := []struct {
		name   string
		stop   []string
		marker string
		bare   func(string) bool
		pieces []string
		shown  []string
		text   string
		done   bool
	}{
		{"plain", nil, "", nil, []string{"a", "b"}, []string{"a", "b"}, "ab", false},
		{"character in two tokens", nil, "", nil, []string{"x\xe3\x81", "\x82y"}, []string{"x", "あy"}, "xあy", false},
		{"emoji in four tokens", nil, "", nil, []string{"\xf0", "\x9f", "\x98", "\x80"}, []string{"😀"}, "😀", false},
		{"never finished character", nil, "", nil, []string{"a\xe3"}, []string{"a", "\uFFFD"}, "a\uFFFD", false},
		{"stray continuation", nil, "", nil, []string{"\x82a"}, []string{"\uFFFDa"}, "\uFFFDa", false},
		{"stop in one token", []string{"END"}, "", nil, []string{"abENDcd"}, []string{"ab"}, "ab", true},
		{"stop over tokens", []string{"END"}, "", nil, []string{"abE", "N", "Dx"}, []string{"ab"}, "ab", true},
		{"stop that doesn't come", []string{"END"}, "", nil, []string{"abE", "Nx"}, []string{"ab", "ENx"}, "abENx", false},
		{"stop at the end, unfinished", []string{"END"}, "", nil, []string{"abEN"}, []string{"ab", "EN"}, "abEN", false},
		{"the first of two stops", []string{"bc", "ab"}, "", nil, []string{"xabc"}, []string{"x"}, "x", true},
		{"marker hides the rest", nil, "<call>", nil, []string{"hi <ca", "ll>{", "}"}, []string{"hi ", ""}, "hi <call>{}", false},
		{"marker that doesn't come", nil, "<call>", nil, []string{"a<", "b"}, []string{"a", "<b"}, "a<b", false},
		{"bare call is hidden", nil, "<call>", func(s string) bool { return s == "{1}" }, []string{"{1", "}"}, nil, "{1}", false},
		{"JSON that is no call", nil, "<call>", func(string) bool { return false }, []string{"{1", "}"}, []string{"{1}"}, "{1}", false},
		{"text with a bare check", nil, "<call>", func(string) bool { return false }, []string{"no", " {"}, []string{"no", " {"}, "no {", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var shown []string
			r := &reply{stop: tt.stop, marker: tt.marker, bare: tt.bare, show: func(s string) error {
				shown = append(shown, s)
				return nil
			}}
			done := false
			for _, p := range tt.pieces {
				var err error
				if done, err = r.add(p); err != nil {
					t.Fatal(err)
				}
				if done {
					break
				}
			}
			if !done {
				if err := r.end(); err != nil {
					t.Fatal(err)
				}
			}
			want := slices.DeleteFunc(slices.Clone(tt.shown), func(s string) bool { return s == "" })
			if !slices.Equal(shown, want) || r.String() != tt.text || done != tt.done {
				t.Errorf("shown %q, text %q, done %v; want %q, %q, %v", shown, r.String(), done, want, tt.text, tt.done)
			}
		})
	}
}

func TestReplyStopsWhenNobodyReads(t *testing.T) {
	gone := errors.New("gone")
	r := &reply{show: func(string) error { return gone }}
	if _, err := r.add("x"); !errors.Is(err, gone) {
		t.Errorf("error is %v, want %v", err, gone)
	}
}

// FuzzReply holds that what is shown is the text, however it is cut into tokens.
func FuzzReply(f *testing.F) {
	f.Add("aあ😀b<callENDx", uint8(1), uint8(3))
	f.Add("\xff\xe3\x81", uint8(1), uint8(1))
	f.Fuzz(func(t *testing.T, text string, a, b uint8) {
		var shown strings.Builder
		r := &reply{stop: []string{"END", "aa"}, marker: "<call>", show: func(s string) error {
			shown.WriteString(s)
			return nil
		}}
		done := false
		for i, turn := 0, 0; i < len(text) && !done; turn++ {
			n := int(a%7) + 1
			if turn%2 == 1 {
				n = int(b%5) + 1
			}
			end := min(i+n, len(text))
			done, _ = r.add(text[i:end])
			i = end
		}
		if !done {
			if err := r.end(); err != nil {
				t.Fatal(err)
			}
		}
		want := r.String()
		if i := strings.Index(want, "<call>"); i >= 0 {
			want = want[:i]
		}
		got := shown.String()
		if strings.ToValidUTF8(text, "") == text && got != want {
			t.Errorf("shown %q, want %q of %q", got, want, text)
		}
		if strings.Contains(got, "<call>") || strings.ToValidUTF8(got, "") != got {
			t.Errorf("shown %q", got)
		}
	})
}
