package goals

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"agentd/policy"
)

// Language is the language of the goal's conditions: accept.require, stop_when and each. Proposed probes, which a planner added, may be named too.
func (g Goal) Language(proposed ...Probe) (*policy.Language, error) {
	n := policy.Names{Scope: policy.Scope{Read: g.Readable, Write: g.Writable, Protect: g.Protect}}
	for _, p := range slices.Concat(g.Probes, proposed) {
		n.Probes = append(n.Probes, policy.Probe{
			Name: p.Name, Number: p.Parse.Number(), Tests: p.Parse.Counts(), Table: p.Parse == ParseCSV, Pattern: p.Parse == ParseRegexp,
			HTTP: p.HTTP.URL != "", JSON: p.Parse == ParseJSON, Schema: p.Schema,
		})
	}
	for _, p := range g.Params {
		n.Params = append(n.Params, policy.Param{Name: p.Name, Type: string(p.kind())})
	}
	for _, t := range g.Plan.Tasks {
		if t.Out != nil {
			n.Tasks = append(n.Tasks, policy.Task{ID: t.ID, Out: t.Out})
		}
	}
	return policy.NewLanguage(n)
}

// compiled are the conditions of the goal that compile: those of accept.require, then those of stop_when.
func (g Goal) compiled() []*policy.Condition {
	lang, err := g.Language()
	if err != nil {
		return nil
	}
	var out []*policy.Condition
	for _, src := range g.Require {
		if c, err := lang.Require(src); err == nil {
			out = append(out, c)
		}
	}
	for _, src := range g.StopWhen {
		if c, err := lang.Stop(src); err == nil {
			out = append(out, c)
		}
	}
	return out
}

// BaseProbes are the probes that must be measured before the run, as a condition compares with them.
func (g Goal) BaseProbes() []Probe {
	if !slices.ContainsFunc(slices.Concat(g.Require, g.StopWhen), func(c string) bool { return strings.Contains(c, "base") }) {
		return nil
	}
	var out []Probe
	conds := g.compiled()
	for _, p := range g.Probes {
		if slices.ContainsFunc(conds, func(c *policy.Condition) bool { return slices.Contains(c.Base(), p.Name) }) {
			out = append(out, p)
		}
	}
	return out
}

// Reads reports whether a condition of the goal reads a name beside probes, such as diff.
func (g Goal) Reads(name string) bool {
	return slices.ContainsFunc(g.compiled(), func(c *policy.Condition) bool { return c.Reads(name) })
}

// checkConditions compiles every condition of the goal.
func (g Goal) checkConditions(add func(fault)) {
	for i, r := range g.Policy {
		if err := policy.CheckRule(r.When); err != nil {
			add(fault{fmt.Sprintf("policy[%d].when", i), err})
		}
	}
	if len(g.Require)+len(g.StopWhen) == 0 && !slices.ContainsFunc(g.Plan.Tasks, func(t Task) bool { return t.Each != "" }) {
		g.checkUsed(nil, add)
		return
	}
	lang, err := g.Language()
	if err != nil {
		add(fault{"accept.probes", err})
		return
	}
	used := map[string]bool{}
	well := true
	for i, cond := range g.Require {
		uses, err := checkRequired(lang, cond, g.Probes)
		if err != nil {
			add(fault{fmt.Sprintf("accept.require[%d]", i), err})
			well = false
		}
		for _, n := range uses {
			used[n] = true
		}
	}
	for i, cond := range g.StopWhen {
		c, err := lang.Stop(cond)
		if err != nil {
			add(fault{fmt.Sprintf("stop_when[%d]", i), err})
			well = false
			continue
		}
		for _, n := range c.Uses() {
			used[n] = true
		}
	}
	for i, t := range g.Plan.Tasks {
		if err := checkEach(lang, t); err != nil {
			add(fault{fmt.Sprintf("plan.tasks[%d].each", i), err})
		}
	}
	if well {
		g.checkUsed(used, add)
	}
}

// checkUsed refuses a probe that no condition uses.
func (g Goal) checkUsed(used map[string]bool, add func(fault)) {
	for _, p := range g.Probes {
		if !used[p.Name] {
			add(fault{"accept.probes." + p.Name, fmt.Errorf("no condition uses the probe %q: add '%s.exit == 0' to accept.require, or remove it", p.Name, p.Name)})
		}
	}
}

func checkEach(lang *policy.Language, t Task) error {
	if t.Each == "" {
		return nil
	}
	c, err := lang.Each(t.Each)
	if err != nil {
		return err
	}
	named := false
	for _, n := range t.Needs {
		named = named || c.OfTask(n)
	}
	if !named {
		return fmt.Errorf("%q goes over nothing that a needed task gives: needs must name the task, and that task must have an out schema", t.Each)
	}
	return nil
}

// checkRequired checks one condition of accept.require and returns the probes it uses. Beside what policy refuses, a condition must be able
// to hold and to fail: it is tried on the exit codes, numbers and counts that could tell. What depends on anything else that is measured can't be tried out and passes.
func checkRequired(lang *policy.Language, cond string, probes []Probe) ([]string, error) {
	c, err := lang.Require(cond)
	if err != nil {
		return nil, err
	}
	used := append(c.Uses(), c.Base()...)
	if !triable(c, cond, probes) {
		return used, nil
	}
	var can, fails bool
	whole := samples(candidates(c.Uses(), probes, numbers(cond)), func(results map[string]policy.ProbeResult) bool {
		ok, err := c.Eval(policy.Facts{Results: results})
		can, fails = can || ok, fails || !ok || err != nil
		return !can || !fails
	})
	switch {
	case !whole:
	case !fails:
		return used, fmt.Errorf("%q can never fail, so it measures nothing", cond)
	case !can:
		return used, fmt.Errorf("%q can never hold: exit codes are 0 to 255, counts 0 or more", cond)
	}
	return used, nil
}

// triable reports whether a condition depends on nothing but exit codes, numbers and counts.
func triable(c *policy.Condition, cond string, probes []Probe) bool {
	for _, name := range []string{"base", "diff", "params", "scope", "cost", "tokens", "steps", "minutes", "stall", "plan"} {
		if c.Reads(name) {
			return false
		}
	}
	for _, p := range probes {
		if slices.Contains(c.Uses(), p.Name) && (p.HTTP.URL != "" || p.Parse == ParseJSON || p.Parse == ParseCSV || p.Parse == ParseRegexp) {
			return false
		}
	}
	return !strings.Contains(cond, "output")
}

var digits = regexp.MustCompile(`[0-9]+`)

// numbers are the whole numbers of a condition.
func numbers(cond string) []int {
	var ns []int
	for _, d := range digits.FindAllString(cond, 20) {
		if n, err := strconv.Atoi(d); err == nil && n < 1000 && !slices.Contains(ns, n) {
			ns = append(ns, n)
		}
	}
	return ns
}

// candidates are, for each probe, the results that can tell a condition's sides apart.
func candidates(names []string, probes []Probe, consts []int) map[string][]policy.ProbeResult {
	var near []int
	for _, c := range append([]int{0, 1}, consts...) {
		for _, v := range []int{c - 1, c, c + 1} {
			if !slices.Contains(near, v) {
				near = append(near, v)
			}
		}
	}
	slices.Sort(near)
	all := map[string][]policy.ProbeResult{}
	for _, p := range probes {
		if !slices.Contains(names, p.Name) {
			continue
		}
		var rs []policy.ProbeResult
		for _, exit := range append(slices.Clone(near), 255) {
			if exit < 0 || exit > 255 {
				continue
			}
			r := policy.ProbeResult{Exit: exit, OK: exit == 0, Read: true}
			switch {
			case exit > 1 && (p.Parse.Number() || p.Parse.Counts()):
			case p.Parse.Number():
				for _, v := range near {
					r.Value = float64(v)
					rs = append(rs, r)
					if r.Value += 0.5; p.Parse != ParseInt {
						rs = append(rs, r)
					}
				}
				continue
			case p.Parse.Counts():
				for _, v := range near {
					if v >= 0 {
						passed, failed, both, skipped := r, r, r, r
						passed.Passed, failed.Failed, both.Passed, both.Failed, skipped.Skipped = v, v, v, v, v
						rs = append(rs, passed, failed, both, skipped)
					}
				}
				continue
			}
			rs = append(rs, r)
		}
		all[p.Name] = rs
	}
	return all
}

// samples calls f with combinations of candidates until it returns false. It reports whether all were tried, or f was satisfied.
func samples(all map[string][]policy.ProbeResult, f func(map[string]policy.ProbeResult) bool) bool {
	const most = 1000
	names := slices.Sorted(maps.Keys(all))
	total := 1
	for _, n := range names {
		if total *= len(all[n]); total > most {
			break
		}
	}
	pick := map[string]policy.ProbeResult{}
	if total > most { // the same picks every time, so that a file is not valid today and faulty tomorrow
		r := rand.New(rand.NewPCG(1, 1))
		for range most {
			for _, n := range names {
				pick[n] = all[n][r.IntN(len(all[n]))]
			}
			if !f(pick) {
				return true
			}
		}
		return false
	}
	for i := range total {
		for _, n := range names {
			pick[n] = all[n][i%len(all[n])]
			i /= len(all[n])
		}
		if !f(pick) {
			return true
		}
	}
	return true
}
