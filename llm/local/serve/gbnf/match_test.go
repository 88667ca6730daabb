package gbnf_test

import (
	"fmt"
	"strconv"
	"strings"
)

// grammar is a small recogniser of GBNF: enough to check what this package writes, without a model.
type grammar map[string]expr

// expr maps the positions where it may begin to those where it may end.
type expr func(g grammar, in string, at map[int]bool) map[int]bool

func (g grammar) matches(in string) bool {
	return g["root"](g, in, map[int]bool{0: true})[len(in)]
}

func parseGrammar(text string) (g grammar, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	g = grammar{}
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		name, body, ok := strings.Cut(line, " ::= ")
		if !ok {
			return nil, fmt.Errorf("line %q has no ::=", line)
		}
		p := &parser{s: body}
		g[name] = p.alternatives()
		if p.skip(); p.s != "" {
			return nil, fmt.Errorf("rule %s: %q is left", name, p.s)
		}
	}
	return g, nil
}

type parser struct{ s string }

func (p *parser) skip() { p.s = strings.TrimLeft(p.s, " ") }

func (p *parser) alternatives() expr {
	alts := []expr{p.sequence()}
	for p.skip(); strings.HasPrefix(p.s, "|"); p.skip() {
		p.s = p.s[1:]
		alts = append(alts, p.sequence())
	}
	return func(g grammar, in string, at map[int]bool) map[int]bool {
		out := map[int]bool{}
		for _, a := range alts {
			for i := range a(g, in, at) {
				out[i] = true
			}
		}
		return out
	}
}

func (p *parser) sequence() expr {
	var items []expr
	for p.skip(); p.s != "" && p.s[0] != '|' && p.s[0] != ')'; p.skip() {
		items = append(items, p.repeated(p.item()))
	}
	return func(g grammar, in string, at map[int]bool) map[int]bool {
		for _, e := range items {
			if len(at) == 0 {
				break
			}
			at = e(g, in, at)
		}
		return at
	}
}

func (p *parser) repeated(e expr) expr {
	low, high := 1, 1
	switch {
	case strings.HasPrefix(p.s, "?"):
		low, high, p.s = 0, 1, p.s[1:]
	case strings.HasPrefix(p.s, "*"):
		low, high, p.s = 0, 1<<20, p.s[1:]
	case strings.HasPrefix(p.s, "+"):
		low, high, p.s = 1, 1<<20, p.s[1:]
	case strings.HasPrefix(p.s, "{"):
		end := strings.IndexByte(p.s, '}')
		a, b, two := strings.Cut(p.s[1:end], ",")
		p.s = p.s[end+1:]
		low, _ = strconv.Atoi(a)
		high = low
		if two {
			high = 1 << 20
			if b != "" {
				high, _ = strconv.Atoi(b)
			}
		}
	default:
		return e
	}
	return func(g grammar, in string, at map[int]bool) map[int]bool {
		out := map[int]bool{}
		seen := map[int]bool{}
		for n := 0; len(at) > 0 && n <= high; n++ {
			if n >= low {
				for i := range at {
					out[i] = true
				}
			}
			if n >= low && covers(seen, at) {
				break
			}
			for i := range at {
				seen[i] = true
			}
			at = e(g, in, at)
		}
		return out
	}
}

func covers(seen, at map[int]bool) bool {
	for i := range at {
		if !seen[i] {
			return false
		}
	}
	return true
}

func (p *parser) item() expr {
	switch p.s[0] {
	case '"':
		lit := ""
		p.s = p.s[1:]
		for p.s[0] != '"' {
			lit += string(p.char())
		}
		p.s = p.s[1:]
		return func(_ grammar, in string, at map[int]bool) map[int]bool {
			out := map[int]bool{}
			for i := range at {
				if strings.HasPrefix(in[i:], lit) {
					out[i+len(lit)] = true
				}
			}
			return out
		}
	case '[':
		return p.class()
	case '(':
		p.s = p.s[1:]
		e := p.alternatives()
		if p.skip(); !strings.HasPrefix(p.s, ")") {
			panic("missing )")
		}
		p.s = p.s[1:]
		return e
	}
	end := strings.IndexFunc(p.s, func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-') })
	if end < 0 {
		end = len(p.s)
	}
	if end == 0 {
		panic("unexpected " + p.s)
	}
	name := p.s[:end]
	p.s = p.s[end:]
	return func(g grammar, in string, at map[int]bool) map[int]bool {
		if g[name] == nil {
			panic("no rule " + name)
		}
		return g[name](g, in, at)
	}
}

func (p *parser) class() expr {
	p.s = p.s[1:]
	negated := strings.HasPrefix(p.s, "^")
	p.s = strings.TrimPrefix(p.s, "^")
	var ranges [][2]rune
	for p.s[0] != ']' {
		lo := p.char()
		hi := lo
		if p.s[0] == '-' && p.s[1] != ']' {
			p.s = p.s[1:]
			hi = p.char()
		}
		ranges = append(ranges, [2]rune{lo, hi})
	}
	p.s = p.s[1:]
	return func(_ grammar, in string, at map[int]bool) map[int]bool {
		out := map[int]bool{}
		for i := range at {
			for j, r := range in[i:] {
				if j > 0 {
					break
				}
				hit := false
				for _, x := range ranges {
					hit = hit || r >= x[0] && r <= x[1]
				}
				if hit != negated {
					out[i+len(string(r))] = true
				}
			}
		}
		return out
	}
}

// char reads one character, escapes resolved.
func (p *parser) char() rune {
	r := []rune(p.s)
	if r[0] != '\\' {
		p.s = p.s[len(string(r[0])):]
		return r[0]
	}
	switch r[1] {
	case 'n', 'r', 't':
		p.s = p.s[2:]
		return map[rune]rune{'n': '\n', 'r': '\r', 't': '\t'}[r[1]]
	case 'x':
		v, err := strconv.ParseUint(p.s[2:4], 16, 8)
		if err != nil {
			panic(err)
		}
		p.s = p.s[4:]
		return rune(v)
	}
	p.s = p.s[1+len(string(r[1])):]
	return r[1]
}
