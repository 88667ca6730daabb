package tui

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"

	"agentd/cmd/agentctl/words"
)

func TestSafe(t *testing.T) {
	for _, tt := range []struct{ name, in, want, colored string }{
		{"plain", "hello\nworld", "hello\nworld", "hello\nworld"},
		{"tab", "a\tb", "a   b", "a   b"},
		{"line ends", "a\r\nb\rc", "a\nb\nc", "a\nb\nc"},
		{"colour", "\x1b[31mred\x1b[0m", "␛[31mred␛[0m", "\x1b[31mred\x1b[0m"},
		{"reset without a number", "\x1b[mx", "␛[mx", "\x1b[0mx"},
		{"256 colours", "\x1b[1;38;5;200mx", "␛[1;38;5;200mx", "\x1b[1;38;5;200mx"},
		{"true colour", "\x1b[38;2;1;2;3;4mx", "␛[38;2;1;2;3;4mx", "\x1b[38;2;1;2;3;4mx"},
		{"hidden and blinking", "\x1b[8;5;31mx", "␛[8;5;31mx", "\x1b[31mx"},
		{"hidden alone", "\x1b[8mx", "␛[8mx", "x"},
		{"title", "\x1b]0;owned\x07x", "␛]0;owned␇x", "␛]0;owned␇x"},
		{"clipboard", "\x1b]52;c;AAAA\x1b\\", "␛]52;c;AAAA␛\\", "␛]52;c;AAAA␛\\"},
		{"link", "\x1b]8;;http://x\x1b\\y", "␛]8;;http://x␛\\y", "␛]8;;http://x␛\\y"},
		{"cursor", "\x1b[2J\x1b[Hx", "␛[2J␛[Hx", "␛[2J␛[Hx"},
		{"private SGR", "\x1b[>4;2mx", "␛[>4;2mx", "␛[>4;2mx"},
		{"C1", "\u009b2Jx\u009d0;t\u009c", "�2Jx�0;t�", "�2Jx�0;t�"},
		{"backspace", "a\bb\x7f", "a␈b␡", "a␈b␡"},
		{"bidi", "a\u202eb\u2066c\u200f", "a�b�c�", "a�b�c�"},
		{"invalid UTF-8", "a\xffb", "a�b", "a�b"},
		{"family", "👨‍👩‍👧❤️👍🏽", "👨👩👧❤👍", "👨👩👧❤👍"},
		{"flag", "🇩🇪🇫", "DEF", "DEF"},
		{"cut sequence", "x\x1b[3", "x␛[3", "x␛[3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := safe(tt.in); got != tt.want {
				t.Errorf("safe(%q) = %q, want %q", tt.in, got, tt.want)
			}
			if got := safeSGR(tt.in); got != tt.colored {
				t.Errorf("safeSGR(%q) = %q, want %q", tt.in, got, tt.colored)
			}
		})
	}
}

func TestWrap(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		w        int
		want     []string
	}{
		{"short", "a b", 10, []string{"a b"}},
		{"at spaces", "one two three", 8, []string{"one two", "three"}},
		{"a long word", "abcdefghij", 4, []string{"abcd", "efgh", "ij"}},
		{"wide", "日本語日本語", 5, []string{"日本", "語日", "本語"}},
		{"a colour over lines", "\x1b[31mone two\x1b[0m x", 5, []string{"\x1b[31mone\x1b[0m", "\x1b[31mtwo\x1b[0m x"}},
		{"a colour that nobody ends", "\x1b[32ma\nb", 4, []string{"\x1b[32ma\x1b[0m", "\x1b[32mb\x1b[0m"}},
		{"empty", "", 4, []string{""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := wrap(tt.in, tt.w)
			if strings.Join(got, "|") != strings.Join(tt.want, "|") {
				t.Errorf("wrap(%q, %d) = %q, want %q", tt.in, tt.w, got, tt.want)
			}
		})
	}
}

// FuzzSafe holds what every drawn text must: harmless, of the same width for all terminals, and in lines that fit.
func FuzzSafe(f *testing.F) {
	f.Add("\x1b[31mred\x1b[0m\x1b]0;t\x07 👨‍👩‍👧 日本語 \u202e\tשלום", 10)
	f.Add("\x1b[38;5;1;48;2;1;2;3m\x1b[", 1)
	f.Add("e\u0301\u200d\ufe0f🇩🇪🇩", 3)
	f.Fuzz(func(t *testing.T, s string, w int) {
		w = 2 + (w%100+100)%100
		for _, got := range []string{safe(s), safeSGR(s)} {
			if !utf8.ValidString(got) {
				t.Fatalf("%q is no UTF-8", got)
			}
			bare := stripSGR(got)
			if i := strings.IndexFunc(bare, func(r rune) bool { return r != '\n' && r != utf8.RuneError && words.Strange(r) }); i >= 0 {
				t.Fatalf("%q keeps a control character", bare)
			}
			for _, l := range wrap(got, w) {
				if n := ansi.StringWidth(l); n > w {
					t.Fatalf("%q is %d columns wide, at most %d fit", l, n, w)
				}
				if n := width(fit(l, w)); n != w {
					t.Fatalf("fit(%q, %d) has %d columns", l, w, n)
				}
			}
		}
	})
}

func TestFuzzy(t *testing.T) {
	for _, tt := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "anything", true},
		{"tests", "make the tests pass", true},
		{"tests make", "make the tests pass", true},
		{"upgr", "Upgrade", true},
		{"ugrd", "upgrade the dependencies", true},
		{"xyz", "upgrade", false},
		{"tests zzz", "make the tests pass", false},
		{"日本", "die 日本語 dokumente", true},
	} {
		if _, got := fuzzy(tt.pattern, tt.text); got != tt.want {
			t.Errorf("fuzzy(%q, %q) = %v, want %v", tt.pattern, tt.text, got, tt.want)
		}
	}
	whole, _ := fuzzy("test", "the test")
	parts, _ := fuzzy("test", "the best t")
	if whole <= parts {
		t.Errorf("a whole word counts %d, scattered letters %d", whole, parts)
	}
}
