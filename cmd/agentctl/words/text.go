// Package words puts what runs do into harmless words: the lines, the terminal UI and the web pages of agentctl share it.
package words

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Everything that comes from a model, a tool, a file or another client passes Safe or SafeSGR before it is measured or
// drawn: no control character of it takes effect, and every terminal agrees about its width.

// maxLine bounds what is looked at of a text that is shown on one line.
const maxLine = 4 << 10

// Safe makes text harmless: of its control characters only newlines stay.
func Safe(s string) string { return sanitize(s, false) }

// SafeSGR is safe that lets colours through: plain SGR sequences, without concealment and blinking.
func SafeSGR(s string) string { return sanitize(s, true) }

// Line is text as one harmless line.
func Line(s string) string {
	if len(s) > maxLine {
		s = cutBytes(s, maxLine)
	}
	return strings.TrimSpace(strings.ReplaceAll(Safe(s), "\n", " "))
}

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
	if strings.IndexFunc(s, Strange) < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	col := 0
	for len(s) > 0 {
		if s[0] == 0x1b && sgr {
			if params, size := ParseSGR(s); size > 0 {
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
		case Strange(r):
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

// Strange reports characters that Safe does not let through.
func Strange(r rune) bool {
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

// ParseSGR reads an SGR sequence at the start of s: what of it may be drawn, and its length, 0 if there is none.
func ParseSGR(s string) (allowed string, size int) {
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

// Span writes a duration for people.
func Span(d time.Duration) string {
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
		return strings.TrimSuffix(fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60), "00s")
	case d < 48*time.Hour:
		return strings.TrimSuffix(fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60), "00m")
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}

// Age is a duration in one unit, for columns.
func Age(d time.Duration) string {
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

// Count writes a number for people: 950, 12.3k, 1M.
func Count(n int64) string {
	switch {
	case n < 1000:
		return strconv.FormatInt(n, 10)
	case n < 999_950:
		return strings.Replace(fmt.Sprintf("%.1fk", float64(n)/1e3), ".0k", "k", 1)
	}
	return strings.Replace(fmt.Sprintf("%.1fM", float64(n)/1e6), ".0M", "M", 1)
}

// Dollars writes money for people; small amounts keep their first two digits.
func Dollars(usd float64) string {
	if usd == 0 || usd >= 0.1 {
		return fmt.Sprintf("$%.2f", usd)
	}
	return fmt.Sprintf("$%.4f", usd)
}

// Plural writes a count of things.
func Plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Or is s, or other where s is empty.
func Or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// Bytes writes a size for people.
func Bytes(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	if n < 1<<30 {
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
}

// StripSGR takes colours out, so that words which are coloured in parts are found and copied as words.
func StripSGR(s string) string {
	if !strings.Contains(s, "\x1b[") {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		i := strings.IndexByte(s, 0x1b)
		if i < 0 {
			break
		}
		b.WriteString(s[:i])
		_, size := ParseSGR(s[i:])
		if size == 0 {
			b.WriteByte(s[i])
			size = 1
		}
		s = s[i+size:]
	}
	return b.String() + s
}
