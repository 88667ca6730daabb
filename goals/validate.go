package goals

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Bounds of a goal's parts.
const (
	maxLine     = 1 << 10 // bytes of a name, description, intent or label
	maxList     = 100     // labels, globs, probes or conditions
	maxCmd      = 8 << 10
	maxSchema   = 16 << 10
	maxDuration = 30 * 24 * time.Hour
)

// Validate reports everything that keeps the goal from being used. The error wraps ErrInvalid.
func (g Goal) Validate() error {
	faults := g.faults(true)
	if len(faults) == 0 {
		return nil
	}
	errs := make([]error, len(faults))
	for i, f := range faults {
		errs[i] = f
	}
	return fmt.Errorf("%w: %w", ErrInvalid, errors.Join(errs...))
}

// faults are all that is wrong with the goal: first each value by itself and, if that is well and whole, what doesn't fit together.
func (g Goal) faults(whole bool) []fault {
	var fs []fault
	add := func(f fault) { fs = append(fs, f) }
	most := MaxText
	if g.Values != nil {
		most += len(g.Params) * MaxText // the files that were put into it
	}
	if strings.TrimSpace(g.Text) == "" {
		add(fault{"", errors.New("the goal is empty: say in plain words what is wanted")})
	} else if err := checkWords("the goal", g.Text, most); err != nil {
		add(fault{"", err})
	}
	g2 := g
	g2.Text = "" // checked
	walk(format(), reflect.ValueOf(g2), "", add)
	if g.Budget.USD > 1e6 || g.Budget.Steps > 1e6 {
		add(fault{"budget", fmt.Errorf("budget: more than 1000000 dollars or steps are no bound that a run may have")})
	}
	if len(fs) > 0 || !whole {
		return fs
	}
	g.checkProbes(add)
	g.checkParams(add)
	g.checkPlan(add)
	g.checkTools(add)
	g.checkTriggers(add)
	if len(fs) == 0 {
		g.checkConditions(add)
	}
	return fs
}

var probeName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]{0,39}$`)

// reserved are the names that conditions know already or will know.
var reserved = []string{
	"accepted", "boolAt", "glob", "hasAt", "minutes", "numberAt", "sizeAt", "textAt", "all", "and", "any", "args", "base", "cmds", "contains", "cost", "count", "diff", "effect", "egress", "else", "endsWith",
	"false", "filter", "if", "in", "keys", "len", "let", "lower", "map", "matches", "nil", "none", "not", "one", "or", "params", "plan", "scope",
	"stall", "startsWith", "steps", "sum", "tainted", "task", "tasks", "tokens", "tool", "trim", "true", "upper", "values", "within",
}

// checkProbe is the first thing that is wrong with a probe as a whole, and the key it is about.
func checkProbe(p Probe) (key string, err error) {
	what := 0
	for _, given := range []bool{p.Cmd != "", p.Path != "", p.HTTP.URL != ""} {
		if given {
			what++
		}
	}
	switch {
	case !probeName.MatchString(p.Name):
		return "", fmt.Errorf("probe name %q must be a letter followed by letters, digits and underscores, at most 40", p.Name)
	case slices.Contains(reserved, p.Name):
		return "", fmt.Errorf("probe name %q has a meaning in conditions: choose another", p.Name)
	case what == 0:
		return "", fmt.Errorf("accept.probes.%s.cmd is missing: give the command that measures it, or file, or http", p.Name)
	case what > 1:
		return "", fmt.Errorf("probe %q measures more than one thing: give one of cmd, file and http", p.Name)
	case p.Start != "" && p.HTTP.URL == "":
		return "start", errors.New("start runs a server for http: give http too")
	case p.HTTP.URL != "" && !loopback(p.HTTP.URL):
		return "http.url", errors.New("a probe asks in its own box, over plain http: write http://127.0.0.1:PORT/path")
	case p.HTTP.Body != "" && p.HTTP.Method == "" || p.HTTP.Type != "" && p.HTTP.Body == "":
		return "http", errors.New("body needs a method such as POST, and type a body")
	case p.Timeout < 0 || p.Timeout > 24*time.Hour || p.Timeout > 0 && p.Timeout < time.Second:
		return "timeout", fmt.Errorf("accept.probes.%s.timeout: %v must be between 1s and 24h", p.Name, p.Timeout)
	case p.Pattern != "" && p.Parse != ParseRegexp, p.Pattern == "" && p.Parse == ParseRegexp:
		return "parse", fmt.Errorf("parse: regexp and pattern belong together")
	case p.Schema != nil && p.Parse != ParseJSON:
		return "schema", errors.New("a schema needs parse: json")
	}
	return "", nil
}

// loopback reports whether a URL is one that a probe's box can ask.
func loopback(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
}

func (g Goal) checkProbes(add func(fault)) {
	seen := map[string]bool{}
	for _, p := range g.Probes {
		path := "accept.probes." + p.Name
		if key, err := checkProbe(p); err != nil {
			if key != "" {
				path += "." + key
			}
			add(fault{path, err})
		} else if seen[p.Name] {
			add(fault{path, fmt.Errorf("two probes are named %q", p.Name)})
		}
		seen[p.Name] = true
	}
}

func (g Goal) checkTools(add func(fault)) {
	seen := map[string]bool{}
	for i, s := range g.Tools.MCP {
		path := fmt.Sprintf("tools.mcp[%d]", i)
		switch {
		case (s.Cmd == "") == (s.URL == ""):
			add(fault{path, errors.New("an MCP server is a cmd or a url")})
		case s.URL != "" && (len(s.Args) > 0 || len(s.Net) > 0):
			add(fault{path, errors.New("args and net belong to a cmd")})
		case seen[s.Name]:
			add(fault{path, fmt.Errorf("two MCP servers are named %q", s.Name)})
		}
		seen[s.Name] = true
	}
	names := map[string]bool{}
	for i, s := range g.Secrets {
		path := fmt.Sprintf("secrets[%d]", i)
		switch {
		case len(s.Hosts) == 0:
			add(fault{path, errors.New("hosts is missing: a secret is sent to named hosts only")})
		case names[s.Name]:
			add(fault{path, fmt.Errorf("the secret %q is listed twice", s.Name)})
		case s.Field == "" && (s.As == "query"):
			add(fault{path, errors.New("as: query needs field, the name of the parameter")})
		}
		names[s.Name] = true
	}
}

func (g Goal) checkTriggers(add func(fault)) {
	for i, t := range g.Triggers {
		fail := func(format string, args ...any) {
			add(fault{fmt.Sprintf("triggers[%d]", i), fmt.Errorf(format, args...)})
		}
		what := 0
		for _, given := range []bool{t.Cron != "", len(t.Files) > 0, t.Webhook != ""} {
			if given {
				what++
			}
		}
		switch {
		case what != 1:
			fail("a trigger has exactly one of cron, files and webhook")
		case t.Cron == "" && (t.TZ != "" || t.Missed != ""):
			fail("tz and missed belong to cron")
		case len(t.Files) == 0 && t.Settle != 0:
			fail("settle belongs to files")
		case (t.Webhook == "") != (t.Secret == ""):
			fail("webhook and secret belong together: an unsigned request starts nothing")
		}
	}
}

func (g Goal) checkPlan(add func(fault)) {
	byID := map[string]int{}
	for i, t := range g.Plan.Tasks {
		if _, twice := byID[t.ID]; twice {
			add(fault{fmt.Sprintf("plan.tasks[%d].id", i), fmt.Errorf("two tasks have the id %q", t.ID)})
		}
		byID[t.ID] = i
	}
	if n := g.Plan.MaxTasks; n > 0 && len(g.Plan.Tasks) > n {
		add(fault{"plan.max_tasks", fmt.Errorf("the plan has %d tasks, more than its max_tasks %d", len(g.Plan.Tasks), n)})
	}
	ids := make([]string, 0, len(byID))
	for id := range byID {
		ids = append(ids, id)
	}
	for i, t := range g.Plan.Tasks {
		for j, n := range t.Needs {
			if _, ok := byID[n]; !ok {
				add(fault{fmt.Sprintf("plan.tasks[%d].needs[%d]", i, j), fmt.Errorf("unknown task %q%s", n, didYouMean(n, ids))})
			}
		}
		if t.Parallel > 0 && t.Each == "" {
			add(fault{fmt.Sprintf("plan.tasks[%d].parallel", i), errors.New("parallel belongs to each")})
		}
	}
	if cycle := findCycle(g.Plan.Tasks, byID); cycle != nil {
		add(fault{fmt.Sprintf("plan.tasks[%d].needs", byID[cycle[0]]), fmt.Errorf("tasks need each other in a circle: %s", strings.Join(cycle, " → "))})
	}
}

// findCycle returns a circle of needs, nil for none.
func findCycle(tasks []Task, byID map[string]int) []string {
	const open, done = 1, 2
	state := make([]int, len(tasks))
	var stack []string
	var visit func(i int) []string
	visit = func(i int) []string {
		state[i] = open
		stack = append(stack, tasks[i].ID)
		for _, n := range tasks[i].Needs {
			j, ok := byID[n]
			switch {
			case !ok || state[j] == done:
			case state[j] == open:
				from := slices.Index(stack, n)
				return append(slices.Clone(stack[from:]), n)
			default:
				if c := visit(j); c != nil {
					return c
				}
			}
		}
		state[i] = done
		stack = stack[:len(stack)-1]
		return nil
	}
	for i := range tasks {
		if state[i] == 0 {
			if c := visit(i); c != nil {
				return c
			}
		}
	}
	return nil
}

// canonical brings g into the one form that equal goals have.
func (g *Goal) canonical() {
	slices.SortFunc(g.Probes, func(a, b Probe) int { return cmp.Compare(a.Name, b.Name) })
	for i := range g.Probes {
		if p := &g.Probes[i].Parse; *p == parseExit || *p == parseText {
			*p = ""
		}
	}
}
