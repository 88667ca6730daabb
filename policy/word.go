package policy

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// field is one word as a command gets it.
type field struct {
	s       string
	expands bool // a part of it is known only at run time
	glob    bool // it has unquoted pattern signs, so that it may stand for other words
}

// unsure reports whether a field may turn out to be anything: an option as well as a name.
func (f field) unsure() bool {
	return f.glob || f.expands && (f.s == "" || strings.IndexByte("$`<>", f.s[0]) >= 0)
}

// source returns a node's text.
func (r *reader) source(n syntax.Node) string {
	from, to := n.Pos().Offset(), n.End().Offset()
	if from > to || to > uint(len(r.src)) {
		return ""
	}
	return r.src[from:to]
}

// expands reports whether a word's value is known only at run time.
func (r *reader) expands(w *syntax.Word) bool { return r.join(w).expands }

// fields adds what a command gets of a word: braces are expanded, and an unquoted $IFS separates, as it does by default.
func (r *reader) fields(into []field, w *syntax.Word) []field {
	if l := w.Lit(); l != "" && !strings.ContainsAny(l, `\*?[~{`) {
		return append(into, field{s: l}) // most words
	}
	written := r.source(w)
	if !syntax.SplitBraces(w) {
		return append(into, r.split(w)...)
	}
	var out []field
	for one, err := range expand.BracesSeq(nil, w) {
		if err != nil || len(out) >= maxWords {
			return append(into, field{s: written, expands: true, glob: true})
		}
		out = append(out, r.split(one)...)
	}
	return append(into, out...)
}

func (r *reader) split(w *syntax.Word) []field {
	var out []field
	b := builder{r: r}
	for _, p := range w.Parts {
		if pe, ok := p.(*syntax.ParamExp); ok && pe.Param != nil && pe.Param.Value == "IFS" && !pe.Length {
			if b.some {
				out = append(out, b.field)
			}
			b = builder{r: r}
			b.expands = true // it need not have its default value
			continue
		}
		b.part(p)
	}
	if b.some {
		out = append(out, b.field)
	}
	return out
}

// join is a word as one field.
func (r *reader) join(w *syntax.Word) field {
	b := builder{r: r}
	for _, p := range w.Parts {
		b.part(p)
	}
	return b.field
}

// document is the text of a here-document or here-string.
func (r *reader) document(w *syntax.Word) (s string, expands bool) {
	f := r.join(w)
	return f.s, f.expands
}

// builder puts a field together.
type builder struct {
	field
	r    *reader
	some bool // it is a field, though perhaps an empty one
}

func (b *builder) part(p syntax.WordPart) {
	b.some = true
	switch p := p.(type) {
	case *syntax.Lit:
		b.literal(p.Value)
	case *syntax.SglQuoted:
		if p.Dollar {
			b.s += ansi(p.Value)
		} else {
			b.s += p.Value
		}
	case *syntax.DblQuoted:
		for _, q := range p.Parts {
			if l, ok := q.(*syntax.Lit); ok {
				b.s += unescape(l.Value, "\\\"$`")
			} else {
				b.part(q)
			}
		}
	default:
		b.s += b.r.source(p)
		b.expands = true
	}
}

// literal adds unquoted text.
func (b *builder) literal(s string) {
	if !strings.ContainsAny(s, `\*?[~`) {
		b.s += s
		return
	}
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i++; i < len(s) && s[i] != '\n' {
				b.s += s[i : i+1]
			}
			continue
		case '*', '?', '[':
			b.glob = true
		}
		b.s += s[i : i+1]
	}
	if strings.HasPrefix(s, "~") && len(b.s) == len(s) && s != "~" && !strings.HasPrefix(s, "~/") {
		b.expands = true // ~name, ~+, ~-
	}
}

// unescape takes the backslash from in front of the given signs and joins continued lines.
func unescape(s, signs string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			if s[i+1] == '\n' {
				i++
				continue
			}
			if strings.IndexByte(signs, s[i+1]) >= 0 {
				i++
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// ansi decodes what stands between $' and '.
func ansi(s string) string {
	const plain = "a\ab\be\x1bE\x1bf\fn\nr\rt\tv\v\\\\''\"\"??"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		digits := func(base, most int) (int64, bool) {
			j := i
			for j < len(s) && j-i < most && strings.IndexByte("0123456789abcdefABCDEF"[:base+base/16*6], s[j]) >= 0 {
				j++
			}
			n, err := strconv.ParseInt(s[i:j], base, 64)
			if err == nil {
				i = j - 1
			}
			return n, err == nil
		}
		switch c := s[i]; c {
		case '0', '1', '2', '3', '4', '5', '6', '7':
			n, _ := digits(8, 3)
			b.WriteByte(byte(n))
		case 'x', 'u', 'U':
			i++
			n, ok := digits(16, map[byte]int{'x': 2, 'u': 4, 'U': 8}[c])
			switch {
			case !ok:
				i--
				b.WriteString(`\` + string(c))
			case c == 'x':
				b.WriteByte(byte(n))
			case n <= utf8.MaxRune:
				b.WriteRune(rune(n))
			default:
				b.WriteRune(utf8.RuneError)
			}
		case 'c':
			if i++; i < len(s) {
				b.WriteByte(s[i] & 0x1f)
			}
		default:
			if at := strings.IndexByte(plain, c); at >= 0 && at%2 == 0 {
				b.WriteByte(plain[at+1])
			} else {
				b.WriteString(`\` + string(c))
			}
		}
	}
	out, _, _ := strings.Cut(b.String(), "\x00") // bash ends the text there
	return out
}
