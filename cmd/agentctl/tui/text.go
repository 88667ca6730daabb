package tui

import (
	"strings"

	"github.com/charmbracelet/x/ansi"

	"agentd/cmd/agentctl/words"
)

// What is measured and drawn here is harmless: it has passed safe or safeSGR.

// width is the number of columns of harmless text, colours not counted.
func width(s string) int { return words.Width(s) }

// fit cuts or fills harmless text to exactly w columns.
func fit(s string, w int) string {
	if w <= 0 {
		return ""
	}
	n := width(s)
	if n > w {
		s = ansi.Truncate(s, w, "…")
		n = width(s)
	}
	if n < w {
		s += strings.Repeat(" ", w-n)
	}
	return s
}

// clip cuts harmless text to at most w columns.
func clip(s string, w int) string { return words.Clip(s, w) }

// sides puts two texts at the ends of a line of w columns; the left one gives way.
func sides(left, right string, w int) string {
	right = clip(right, w)
	return fit(fit(left, w-width(right)-1)+" "+right, w)
}

// wrap breaks harmless text into lines of at most w columns, at spaces where there are some. Every line holds its own
// colours: it can be drawn without those before it.
func wrap(s string, w int) []string {
	w = max(w, 1)
	var out []string
	style := ""
	for l := range strings.SplitSeq(strings.TrimRight(s, "\n"), "\n") {
		parts := []string{l}
		if width(l) > w {
			parts = strings.Split(ansi.Wrap(l, w, ""), "\n")
		}
		for _, p := range parts {
			if width(p) > w { // a cluster that fits no line of this width
				p = ansi.Truncate(p, w, "")
			}
			var end string
			begin := style
			style, end = after(style, p)
			out = append(out, begin+p+end)
		}
	}
	return out
}

// after is the style that holds at the end of text which begins with a style, and what ends it.
func after(style, s string) (next, end string) {
	i := strings.IndexByte(s, 0x1b)
	for i >= 0 {
		seq, size := parseSGR(s[i:])
		if size == 0 {
			size = 1
		}
		switch {
		case seq == "\x1b[0m":
			style = ""
		case strings.HasPrefix(seq, "\x1b[0;"):
			style = seq
		case len(style)+len(seq) > 200: // somebody plays: start over
			style = seq
		default:
			style += seq
		}
		s = s[i+size:]
		i = strings.IndexByte(s, 0x1b)
	}
	if style != "" {
		return style, "\x1b[0m"
	}
	return "", ""
}
