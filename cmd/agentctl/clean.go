package main

import (
	"strings"
	"unicode/utf8"

	"agentd/cmd/agentctl/words"
)

// clean makes text of a model, a tool or a file safe for a terminal: control characters other than newline and tab, bidi
// controls and invalid UTF-8 are shown as what they are instead of taking effect.
func clean(s string) string {
	i := strings.IndexFunc(s, strange)
	if i < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 8)
	for i < len(s) {
		b.WriteString(s[:i])
		r, size := utf8.DecodeRuneInString(s[i:])
		s = s[i+size:]
		switch {
		case r == '\r' && strings.HasPrefix(s, "\n"): // a line end of other systems
		case r < 0x20:
			b.WriteRune(0x2400 + r) // its picture: ␛ for ESC
		case r == 0x7f:
			b.WriteRune('␡')
		default:
			b.WriteRune(utf8.RuneError)
		}
		if i = strings.IndexFunc(s, strange); i < 0 {
			break
		}
	}
	b.WriteString(s)
	return b.String()
}

func strange(r rune) bool {
	switch {
	case r == '\n' || r == '\t':
		return false
	case r < 0x20, r >= 0x7f && r < 0xa0: // C0, DEL, C1
		return true
	case r == 0x061c, r == 0x200e, r == 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069: // bidi controls
		return true
	case r == 0x2028, r == 0x2029, r == 0xfeff, r == utf8.RuneError: // line separators, byte order mark
		return true
	}
	return false
}

// line is the first line of s with something in it, clean and of at most n columns; what is left out is shown by "…".
func line(s string, n int) string {
	s = strings.TrimSpace(s)
	first, rest, _ := strings.Cut(s, "\n")
	first = strings.ReplaceAll(clean(strings.TrimRight(first, " \t\r")), "\t", " ")
	cut := strings.TrimSpace(rest) != ""
	if words.Width(first) > n {
		first, cut = strings.TrimRight(strings.TrimSuffix(words.Clip(first, n), "…"), " "), true
	}
	if cut {
		return first + "…"
	}
	return first
}
