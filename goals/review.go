package goals

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

// Requests are what the goal asks for that nothing gives by itself, one line each: hosts, secrets, MCP servers, rules that allow, unpriced models. A
// person grants them once, or a grants file does, unless the user's or the organisation's default covers them.
func (g Goal) Requests() []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, n := range g.Sandbox.Net {
		add("net %s", n)
	}
	for _, s := range g.Secrets {
		add("secret %s for %s", s.Name, strings.Join(s.Hosts, " "))
	}
	for _, s := range g.Tools.MCP {
		if s.URL != "" {
			add("mcp %s at %s", s.Name, s.URL)
			continue
		}
		add("mcp %s: %s", s.Name, strings.Join(append([]string{s.Cmd}, s.Args...), " "))
		for _, n := range s.Net {
			add("net %s for mcp %s", n, s.Name)
		}
	}
	for _, r := range g.Policy {
		if r.Do == "allow" {
			add("allow %s", r.When)
		}
	}
	if g.Budget.Unpriced == "allow" {
		add("unpriced models")
	}
	if g.Memory.Write == "auto" {
		add("memory auto")
	}
	return out
}

// Warnings are what is probably not meant, though it is valid.
func (g Goal) Warnings() []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if len(g.Require) == 0 {
		add("no accept.require: nothing measures the result, unless the planner proposes something that can fail")
	}
	for _, p := range g.Params {
		if !strings.Contains(g.Text+g.Description+g.Intent+g.Judge.Rubric, "params."+p.Name) && !g.mentions(p.Name) {
			add("the param %s is used nowhere", p.Name)
		}
	}
	for _, b := range []struct {
		key  string
		none bool
	}{{"usd", g.Budget.USD < 0}, {"tokens", g.Budget.Tokens < 0}, {"steps", g.Budget.Steps < 0}, {"wall", g.Budget.Wall < 0}} {
		if b.none {
			add("budget.%s: none leaves it without bound", b.key)
		}
	}
	for _, s := range g.Secrets {
		for _, h := range s.Hosts {
			if !g.reaches(h) {
				add("the secret %s is for %s, which sandbox.net does not open", s.Name, h)
			}
		}
	}
	return out
}

func (g Goal) mentions(param string) bool {
	for _, t := range g.Plan.Tasks {
		if strings.Contains(t.Do+t.Each, "params."+param) {
			return true
		}
	}
	for _, p := range g.Probes {
		if strings.Contains(p.Cmd+p.Start, EnvParam(param)) {
			return true
		}
	}
	for _, c := range append(append([]string{}, g.Require...), g.StopWhen...) {
		if strings.Contains(c, "params."+param) {
			return true
		}
	}
	return false
}

func (g Goal) reaches(host string) bool {
	for _, n := range g.Sandbox.Net {
		name, _, _ := strings.Cut(n, ":")
		suffix, wild := strings.CutPrefix(name, "*")
		if n == "public" || name == host || wild && strings.HasSuffix(host, suffix) {
			return true
		}
	}
	return false
}

// HasComments reports whether a goal file's YAML has comments, which Print can't keep. The first line of a *.goal.yaml that names its schema doesn't count.
func HasComments(name string, data []byte) bool {
	d := newDecoder(name)
	front, _, ok := d.split(data)
	if !ok {
		return false
	}
	for _, t := range lexer.Tokenize(front) {
		if t.Type == token.CommentType && !strings.HasPrefix(strings.TrimSpace(t.Value), "yaml-language-server:") {
			return true
		}
	}
	return false
}
