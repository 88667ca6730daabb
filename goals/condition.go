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

// checkCondition checks one condition of accept.require and returns the probes it uses. Beside what policy refuses, a condition must be able
// to hold and to fail: it is tried on the exit codes, numbers and counts that could tell. What depends on a probe's output can't be tried out and passes.
func checkCondition(cond string, probes []Probe) ([]string, error) {
	names := make([]string, len(probes))
	for i, p := range probes {
		names[i] = p.Name
	}
	c, err := policy.CompileRequire(cond, names)
	if err != nil {
		return nil, err
	}
	used := c.Uses()
	var can, fails bool
	var fault error
	whole := samples(candidates(used, probes, numbers(cond)), func(results map[string]policy.ProbeResult) bool {
		ok, err := c.Eval(results)
		if err != nil {
			fault = err
		}
		can, fails = can || ok, fails || !ok
		return !can || !fails
	})
	switch {
	case strings.Contains(cond, "output"):
	case !can && fault != nil:
		return used, fmt.Errorf("%w: give the probe a parser that does (%s)", fault, parserNames())
	case !whole:
	case !fails:
		return used, fmt.Errorf("%q can never fail, so it measures nothing", cond)
	case !can:
		return used, fmt.Errorf("%q can never hold: exit codes are 0 to 255, counts 0 or more", cond)
	}
	return used, nil
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
			r := policy.ProbeResult{Exit: exit, OK: exit == 0, HasValue: p.Parse.Number(), HasTests: p.Parse.Counts()}
			switch {
			case exit > 1 && (r.HasValue || r.HasTests):
			case r.HasValue:
				for _, v := range near {
					r.Value = float64(v)
					rs = append(rs, r)
					if r.Value += 0.5; p.Parse != ParseInt {
						rs = append(rs, r)
					}
				}
				continue
			case r.HasTests:
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
	const most = 4000
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

func parserNames() string {
	var names []string
	for _, p := range Parsers() {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}
