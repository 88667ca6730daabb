package goals

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// apiVersion is the version of the format that this program reads.
const apiVersion = "agentd/v1"

// goal reads the top level of a goal file.
func (d *decoder) goal(g *Goal, root ast.Node, isYAML bool) {
	fields := []field{
		{"apiVersion", d.version},
		{"name", d.checked("name", checkName, &g.Name)},
		{"description", d.text("description", maxLine, &g.Description)},
		{"intent", d.text("intent", maxLine, &g.Intent)},
		{"labels", d.list("labels", func(string) error { return nil }, &g.Labels)},
		{"scope", func(n ast.Node) {
			d.mapping(n, "scope", append(later("read", "write"), field{"protect", d.list("scope.protect", checkGlob, &g.Protect)})...)
		}},
		{"budget", func(n ast.Node) { d.budget(&g.Budget, n) }},
		{"accept", func(n ast.Node) { d.accept(g, n) }},
	}
	if isYAML {
		fields = append(fields, field{"body", d.text("body", MaxText, &g.Text)})
	}
	fields = append(fields, later("imports", "params", "models", "memory", "sandbox", "secrets", "tools", "policy", "unattended", "plan", "stop_when", "result", "triggers")...)
	d.mapping(root, "", fields...)
}

func (d *decoder) version(n ast.Node) {
	if s, _, _ := scalar(n); s != apiVersion {
		d.fail(n, "apiVersion %q is not known: this program reads %s", s, apiVersion)
	}
}

// checked reads text that must pass a check.
func (d *decoder) checked(path string, check func(string) error, into *string) func(ast.Node) {
	return func(n ast.Node) {
		before := len(d.errs)
		d.text(path, maxLine, into)(n)
		if len(d.errs) > before {
			return
		}
		if err := check(*into); err != nil {
			d.fail(n, "%v", err)
		}
	}
}

func (d *decoder) budget(b *Budget, n ast.Node) {
	steps := int64(b.Steps)
	d.mapping(n, "budget", append(later("per_task", "unpriced"),
		field{"usd", d.float("budget.usd", &b.USD)},
		field{"tokens", d.int("budget.tokens", &b.Tokens)},
		field{"steps", d.int("budget.steps", &steps)},
		field{"wall", d.duration("budget.wall", true, &b.Wall)})...)
	b.Steps = int(steps)
	if err := b.check(); err != nil {
		d.fail(n, "%v", err)
	}
}

func (d *decoder) accept(g *Goal, n ast.Node) {
	places := map[string]ast.Node{}
	var require ast.Node
	d.mapping(n, "accept", append(later("judge", "on_fail"),
		field{"probes", func(n ast.Node) {
			d.each(n, "accept.probes", func(key string, at, val ast.Node) {
				places[key] = at
				d.probe(g, key, at, val)
			})
		}},
		field{"require", func(n ast.Node) { require = n }})...)
	used := map[string]bool{}
	before := len(d.errs)
	if require != nil {
		d.list("accept.require", func(cond string) error {
			names, err := checkCondition(cond, g.Probes)
			for _, name := range names {
				used[name] = true
			}
			return err
		}, &g.Require)(require)
	}
	if len(d.errs) > before {
		return
	}
	for _, p := range g.Probes {
		if !used[p.Name] {
			d.fail(places[p.Name], "%v", unusedProbe(p.Name))
		}
	}
}

func (d *decoder) probe(g *Goal, name string, at, n ast.Node) {
	p := Probe{Name: name}
	before := len(d.errs)
	d.mapping(n, "accept.probes."+name, append(later("start", "http", "file", "schema", "optional"),
		field{"cmd", d.text("accept.probes."+name+".cmd", maxCmd, &p.Cmd)},
		field{"timeout", d.duration("accept.probes."+name+".timeout", false, &p.Timeout)},
		field{"parse", func(n ast.Node) { d.parser("accept.probes."+name+".parse", n, &p.Parse) }})...)
	if len(d.errs) == before {
		if err := checkProbe(p); err != nil {
			d.fail(at, "%v", err)
		}
	}
	g.Probes = append(g.Probes, p) // also a faulty one: conditions that use it are no further fault
}

// parser reads the name of a parser. The ones that need nothing but the exit code or the text need no name, but may have it.
func (d *decoder) parser(path string, n ast.Node, into *Parser) {
	s, _, _ := scalar(n)
	switch p := Parser(s); {
	case s == "exit" || s == "text":
	case slices.Contains(Parsers(), p):
		*into = p
	case slices.Contains([]string{"json", "csv", "regexp"}, s):
		d.fail(n, "%s: the parser %q is not supported yet: use one of exit, text, %s", path, s, parserNames())
	default:
		known := []string{"exit", "text"}
		for _, p := range Parsers() {
			known = append(known, string(p))
		}
		d.fail(n, "%s: unknown parser %q%s", path, s, didYouMean(s, known))
	}
}

// Print writes g as Markdown with front matter, in the format's order. Parse reads back the same goal, its file and hash apart.
func Print(g Goal) []byte {
	var b strings.Builder
	line := func(indent, key, val string) { fmt.Fprintf(&b, "%s%s: %s\n", indent, key, val) }
	str := func(indent, key, s string) {
		if s != "" {
			line(indent, key, quote(s))
		}
	}
	list := func(indent, key string, l []string) {
		if len(l) == 0 {
			return
		}
		fmt.Fprintf(&b, "%s%s:\n", indent, key)
		for _, s := range l {
			fmt.Fprintf(&b, "%s  - %s\n", indent, quote(s))
		}
	}
	b.WriteString("---\n")
	line("", "apiVersion", apiVersion)
	str("", "name", g.Name)
	str("", "description", g.Description)
	str("", "intent", g.Intent)
	list("", "labels", g.Labels)
	if len(g.Protect) > 0 {
		b.WriteString("scope:\n")
		list("  ", "protect", g.Protect)
	}
	if bud := g.Budget; bud != (Budget{}) {
		b.WriteString("budget:\n")
		printBound(&b, "usd", bud.USD)
		printBound(&b, "tokens", float64(bud.Tokens))
		printBound(&b, "steps", float64(bud.Steps))
		switch {
		case bud.Wall < 0:
			line("  ", "wall", "none")
		case bud.Wall > 0:
			line("  ", "wall", bud.Wall.String())
		}
	}
	if len(g.Probes)+len(g.Require) > 0 {
		b.WriteString("accept:\n")
		if len(g.Probes) > 0 {
			b.WriteString("  probes:\n")
		}
		for _, p := range g.Probes {
			fmt.Fprintf(&b, "    %s:\n", p.Name)
			line("      ", "cmd", quote(p.Cmd))
			if p.Timeout > 0 {
				line("      ", "timeout", p.Timeout.String())
			}
			str("      ", "parse", string(p.Parse))
		}
		list("  ", "require", g.Require)
	}
	b.WriteString("---\n")
	if g.Text != "" && g.Text != g.Description {
		b.WriteString("\n" + g.Text + "\n")
	}
	return []byte(b.String())
}

func printBound(b *strings.Builder, key string, v float64) {
	switch {
	case v < 0:
		fmt.Fprintf(b, "  %s: none\n", key)
	case v > 0:
		fmt.Fprintf(b, "  %s: %s\n", key, formatNumber(v))
	}
}
