package tui

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// Everything that comes from a model, a tool, a file or another client passes safe or safeSGR before it is measured or
// drawn: no control character of it takes effect, and every terminal agrees about its width.

// safe makes text harmless: of its control characters only newlines stay.
func safe(s string) string { return sanitize(s, false) }

// safeSGR is safe that lets colours through: plain SGR sequences, without concealment and blinking.
func safeSGR(s string) string { return sanitize(s, true) }

// line is text as one harmless line.
func line(s string) string {
	if len(s) > maxLine {
		s = cutBytes(s, maxLine)
	}
	return strings.TrimSpace(strings.ReplaceAll(safe(s), "\n", " "))
}

// maxLine bounds what is looked at of a text that is shown on one line.
const maxLine = 4 << 10

func cutBytes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func sanitize(s string, sgr bool) string {
	if strings.IndexFunc(s, strange) < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	col := 0
	for len(s) > 0 {
		if s[0] == 0x1b && sgr {
			if params, size := parseSGR(s); size > 0 {
				b.WriteString(params)
				s = s[size:]
				continue
			}
		}
		r, size := utf8.DecodeRuneInString(s)
		s = s[size:]
		switch {
		case r == '\n':
			b.WriteByte('\n')
			col = 0
			continue
		case r == '\r': // a progress bar's: neither hides nor moves anything here
			if !strings.HasPrefix(s, "\n") {
				b.WriteByte('\n')
				col = 0
			}
			continue
		case r == '\t':
			n := 4 - col%4
			b.WriteString("    "[:n])
			col += n
			continue
		case r == utf8.RuneError && size <= 1:
			b.WriteRune(utf8.RuneError)
		case r < 0x20:
			b.WriteRune(0x2400 + r) // its picture
		case r == 0x7f:
			b.WriteRune('␡')
		case flag(r): // half of a flag: of two columns or of one
			b.WriteRune('A' + r - 0x1f1e6)
		case joiner(r): // its neighbours stand alone: their widths add up on every terminal
			continue
		case strange(r):
			b.WriteRune(utf8.RuneError)
		default:
			b.WriteRune(r)
		}
		col++
	}
	return b.String()
}

// joiner reports characters that make one cluster of several: terminals do not agree about the width of such clusters.
func joiner(r rune) bool {
	return r == 0x200c || r == 0x200d || r >= 0xfe00 && r <= 0xfe0f || r >= 0x1f3fb && r <= 0x1f3ff || r == 0x20e3 || r >= 0xe0000 && r <= 0xe0fff
}

// flag reports a letter of which two make a flag.
func flag(r rune) bool { return r >= 0x1f1e6 && r <= 0x1f1ff }

func strange(r rune) bool {
	switch {
	case r == '\n':
		return false
	case r < 0x20, r >= 0x7f && r < 0xa0: // C0, DEL, C1
		return true
	case r == 0x061c, r == 0x200b, r == 0x200e, r == 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2060 && r <= 0x206f: // bidi and invisible
		return true
	case r == 0x2028, r == 0x2029, r == 0xfeff, r >= 0xfff9 && r <= 0xfffb, r == utf8.RuneError, r == 0xad:
		return true
	}
	return joiner(r) || flag(r)
}

// parseSGR reads an SGR sequence at the start of s: what of it may be drawn, and its length, 0 if there is none.
func parseSGR(s string) (allowed string, size int) {
	if len(s) < 3 || s[1] != '[' {
		return "", 0
	}
	end := 2
	for end < len(s) && end < 64 && (s[end] >= '0' && s[end] <= '9' || s[end] == ';' || s[end] == ':') {
		end++
	}
	if end >= len(s) || s[end] != 'm' {
		return "", 0
	}
	params := strings.Split(s[2:end], ";")
	keep := params[:0]
	for i := 0; i < len(params); i++ {
		p := params[i]
		head, _, _ := strings.Cut(p, ":")
		n, err := strconv.Atoi(head)
		switch {
		case p == "":
			keep = append(keep, "0")
		case err != nil:
		case n == 38 || n == 48 || n == 58: // a colour takes the parameters after it
			want := 0
			if !strings.Contains(p, ":") && i+1 < len(params) {
				want = map[string]int{"5": 2, "2": 4}[params[i+1]]
			}
			if want > 0 && i+want < len(params) {
				keep = append(keep, strings.Join(params[i:i+want+1], ";"))
				i += want
			}
		case n <= 4, n == 7, n == 9, n >= 21 && n <= 24, n == 27, n == 29, n >= 30 && n <= 49, n >= 90 && n <= 107:
			keep = append(keep, head)
		}
	}
	if len(keep) == 0 {
		return "", end + 1
	}
	return "\x1b[" + strings.Join(keep, ";") + "m", end + 1
}

// width is the number of columns of harmless text, colours not counted.
func width(s string) int {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 || s[i] == 0x1b {
			return ansi.StringWidth(s)
		}
	}
	return len(s)
}

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
func clip(s string, w int) string {
	if w <= 0 {
		return ""
	}
	if width(s) <= w {
		return s
	}
	return ansi.Truncate(s, w, "…")
}

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

// span writes a duration for people.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}

// age is a duration in one unit, for columns.
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}

// count writes a number for people: 950, 12.3k, 1M.
func count(n int64) string {
	switch {
	case n < 1000:
		return strconv.FormatInt(n, 10)
	case n < 999_950:
		return strings.Replace(fmt.Sprintf("%.1fk", float64(n)/1e3), ".0k", "k", 1)
	}
	return strings.Replace(fmt.Sprintf("%.1fM", float64(n)/1e6), ".0M", "M", 1)
}

// dollars writes money for people; small amounts keep their first two digits.
func dollars(usd float64) string {
	if usd == 0 || usd >= 0.1 {
		return fmt.Sprintf("$%.2f", usd)
	}
	return fmt.Sprintf("$%.4f", usd)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
