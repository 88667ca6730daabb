package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain", "a\tb\nc – ü 漢", "a\tb\nc – ü 漢"},
		{"escape sequence", "\x1b[31mred\x1b]0;title\x07", "␛[31mred␛]0;title␇"},
		{"C1", "a\u009b31m", "a\ufffd31m"},
		{"carriage return hides", "rm -rf /\rls", "rm -rf /␍ls"},
		{"line ends of other systems", "a\r\nb", "a\nb"},
		{"bidi", "a\u202egpj.exe\u2066", "a\ufffdgpj.exe\ufffd"},
		{"delete", "a\x7f", "a␡"},
		{"invalid UTF-8", "a\xff\x9bb", "a\ufffd\ufffdb"},
		{"line separator", "a\u2028b", "a\ufffdb"},
		{"empty", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := clean(tt.in); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLine(t *testing.T) {
	tests := []struct {
		in   string
		n    int
		want string
	}{
		{"one", 10, "one"},
		{"\n\n  one\ntwo", 10, "one…"},
		{"one\n\n", 10, "one"},
		{"abcdefghij", 10, "abcdefghij"},
		{"abcdefghijk", 10, "abcdefghi…"},
		{"äöüäöüäöüäö", 10, "äöüäöüäöü…"},
		{"a\tb", 10, "a b"},
		{"日本語のファイル", 10, "日本語の…"},
		{"日本語のファ", 12, "日本語のファ"},
		{"👨‍👩‍👧👨‍👩‍👧 ab", 6, "👨‍👩‍👧👨‍👩‍👧…"},
	}
	for _, tt := range tests {
		if got := line(tt.in, tt.n); got != tt.want {
			t.Errorf("line(%q, %d) = %q, want %q", tt.in, tt.n, got, tt.want)
		}
	}
}

// Whatever comes in, nothing goes out that a terminal acts on, and clean text stays as it is.
func FuzzClean(f *testing.F) {
	f.Add("a\x1b[2Jb\r\n\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s)
		if strings.ContainsFunc(strings.ReplaceAll(got, "\ufffd", ""), strange) || !utf8.ValidString(got) {
			t.Errorf("clean(%q) = %q", s, got)
		}
		if again := clean(got); again != got {
			t.Errorf("clean twice: %q, then %q", got, again)
		}
	})
}
