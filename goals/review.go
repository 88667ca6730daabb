package goals

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

// Wish is one thing that a goal file asks for and that nothing gives by itself.
type Wish struct {
	Kind   string  // net, secret, mcp, allow, unpriced, memory or budget
	What   string  // of net a host with its port; of secret NAME@HOST; of mcp the server's name; of allow the condition; of budget the bound's key
	More   string  // of mcp how the server is started or reached
	Amount float64 // of budget; infinite where the goal wants no bound. wall is in seconds
}

// String is the request as a person reads it and a grant names it: two that differ in anything that matters have different ones.
func (r Wish) String() string {
	switch {
	case r.Kind == "budget" && math.IsInf(r.Amount, 1):
		return "budget " + r.What + " none"
	case r.Kind == "budget" && r.What == "wall":
		return "budget wall " + time.Duration(r.Amount*float64(time.Second)).String()
	case r.Kind == "budget":
		return "budget " + r.What + " " + strconv.FormatFloat(r.Amount, 'f', -1, 64)
	case r.More != "":
		return r.Kind + " " + r.What + ": " + r.More
	}
	return strings.TrimSpace(r.Kind + " " + r.What)
}

// WithPort is a host, as a goal file names it, with its port: 443 where it names none.
func WithPort(host string) string {
	switch {
	case host == "public":
		return host
	case strings.Count(host, ":") > 1 && !strings.Contains(host, "]"):
		return "[" + host + "]:443"
	case strings.Contains(host, ":") && !strings.HasSuffix(host, "]"):
		return host
	}
	return host + ":443"
}

// Requests are what the goal asks for that nothing gives by itself: hosts, secrets, MCP servers, rules that allow, unpriced models, memory without a
// review, bounds of its budget. A person grants what lies beyond the user's and the organisation's default.
func (g Goal) Requests() []Wish {
	var out []Wish
	add := func(r Wish) {
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	for _, n := range g.Sandbox.Net {
		add(Wish{Kind: "net", What: WithPort(n)})
	}
	for _, s := range g.Secrets {
		for _, h := range s.Hosts {
			how := s.As
			if s.Field != "" {
				how = strings.TrimSpace(how + " " + s.Field)
			}
			add(Wish{Kind: "secret", What: s.Name + "@" + h, More: how})
			if !g.reaches(h) {
				add(Wish{Kind: "net", What: WithPort(h)}) // a secret for a host opens that host
			}
		}
	}
	for _, s := range g.Tools.MCP {
		how := "at " + s.URL
		if s.URL == "" {
			how = fmt.Sprintf("%q", append([]string{s.Cmd}, s.Args...))
		}
		add(Wish{Kind: "mcp", What: s.Name, More: how})
		for _, n := range s.Net {
			add(Wish{Kind: "net", What: WithPort(n)})
		}
	}
	for _, r := range g.Policy {
		if r.Do == "allow" {
			add(Wish{Kind: "allow", What: r.When})
		}
	}
	if g.Budget.Unpriced == "allow" {
		add(Wish{Kind: "unpriced", What: "models"})
	}
	if g.Memory.Write == "auto" {
		add(Wish{Kind: "memory", What: "auto"})
	}
	for _, b := range []struct {
		key string
		n   float64
	}{{"usd", g.Budget.USD}, {"tokens", float64(g.Budget.Tokens)}, {"steps", float64(g.Budget.Steps)}, {"wall", g.Budget.Wall.Seconds()}} {
		switch {
		case b.n < 0:
			add(Wish{Kind: "budget", What: b.key, Amount: math.Inf(1)})
		case b.n > 0:
			add(Wish{Kind: "budget", What: b.key, Amount: b.n})
		}
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
