package tui

import (
	"strings"

	"github.com/alecthomas/chroma/v2"
	"github.com/alecthomas/chroma/v2/lexers"
)

// maxHighlight bounds how much of a file's patch is coloured by its syntax.
const maxHighlight = 256 << 10

// patchLines draws a file's unified diff: what came and went by its sign, the code in the colours of its language.
func patchLines(path, patch string) []string {
	lines := strings.Split(strings.TrimRight(safe(patch), "\n"), "\n")
	out := make([]string, len(lines))
	var lexer chroma.Lexer
	if len(patch) <= maxHighlight {
		lexer = lexers.Match(path)
	}
	var code []int // lines of the hunk that are on one side
	side := byte('+')
	flush := func() {
		texts := make([]string, len(code))
		for i, n := range code {
			texts[i] = lines[n][1:]
		}
		for i, l := range syntax(lexer, texts) {
			switch n := code[i]; {
			case lines[n][0] == side && side == '-':
				out[n] = bad.paint("-") + l
			case lines[n][0] == '+':
				out[n] = good.paint("+") + l
			case side == '+':
				out[n] = " " + l
			}
		}
		code = code[:0]
	}
	body := false
	for pass := range 2 { // the new side with what did not change, then the old side
		side = "+-"[pass]
		body = false
		for n, l := range lines {
			switch {
			case strings.HasPrefix(l, "@@"):
				flush()
				body, out[n] = true, accent.paint(l)
			case !body || l == "" || l[0] == '\\':
				out[n] = faint.paint(l)
			case l[0] == ' ', l[0] == side:
				code = append(code, n)
			}
		}
		flush()
	}
	return out
}

// syntax colours lines of code; a lexer that is nil leaves them as they are.
func syntax(lexer chroma.Lexer, lines []string) []string {
	if lexer == nil || len(lines) == 0 {
		return lines
	}
	it, err := lexer.Tokenise(nil, strings.Join(lines, "\n")+"\n")
	if err != nil {
		return lines
	}
	out := make([]string, 0, len(lines)+1)
	var b strings.Builder
	for t := it(); t != chroma.EOF; t = it() {
		st := tokenStyle(t.Type)
		for i, part := range strings.Split(t.Value, "\n") {
			if i > 0 {
				out = append(out, b.String())
				b.Reset()
			}
			b.WriteString(st.paint(part))
		}
	}
	if b.Len() > 0 {
		out = append(out, b.String())
	}
	if len(out) < len(lines) { // a lexer that loses lines is not believed
		return lines
	}
	return out[:len(lines)]
}

// tokenStyle is the colour of a kind of token: of the terminal's own 16.
func tokenStyle(t chroma.TokenType) style {
	switch {
	case t.InCategory(chroma.Comment):
		return faint
	case t.InCategory(chroma.Keyword):
		return "35"
	case t.InSubCategory(chroma.LiteralString):
		return "33"
	case t.InSubCategory(chroma.LiteralNumber):
		return "36"
	case t == chroma.NameFunction, t == chroma.NameClass, t == chroma.NameTag, t == chroma.NameBuiltin, t == chroma.NameAttribute:
		return "34"
	}
	return plain
}
