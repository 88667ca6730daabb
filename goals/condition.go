package goals

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"agentd/policy"
)

// checkCondition checks one condition of accept.require and returns the probes it uses. Beside what policy refuses, a condition must be able
// to hold and to fail: it is tried on the exit codes that could tell. What depends on a probe's output can't be tried out and passes.
func checkCondition(cond string, probes []Probe) ([]string, error) {
	if err := checkWords("condition", cond, maxLine); err != nil {
		return nil, err
	}
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
	samples(used, numbers(cond), func(exit map[string]int) bool {
		results := make(map[string]policy.ProbeResult, len(exit))
		for name, e := range exit {
			results[name] = policy.ProbeResult{Exit: e, OK: e == 0}
		}
		ok, err := c.Eval(results)
		switch {
		case err != nil:
			fault = err
			fails = true
		case ok:
			can = true
		default:
			fails = true
		}
		return !can || !fails
	})
	switch {
	case strings.Contains(cond, "output"):
	case !can && fault != nil:
		return used, fmt.Errorf("%w: this version knows exit, ok and output of a probe", fault)
	case !fails:
		return used, fmt.Errorf("%q can never fail, so it measures nothing", cond)
	case !can:
		return used, fmt.Errorf("%q can never hold: exit codes are 0 to 255", cond)
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

// samples calls f with combinations of the exit codes that can tell a condition's sides apart, a bounded number of them, until f returns false.
func samples(names []string, consts []int, f func(map[string]int) bool) {
	var vals []int
	for _, c := range append([]int{0, 1, 255}, consts...) {
		for _, v := range []int{c - 1, c, c + 1} {
			if v >= 0 && v <= 255 && !slices.Contains(vals, v) {
				vals = append(vals, v)
			}
		}
	}
	slices.Sort(vals)
	exit := map[string]int{}
	left := 5000
	var walk func(i int) bool
	walk = func(i int) bool {
		if i == len(names) {
			left--
			return f(exit) && left > 0
		}
		for _, v := range vals {
			exit[names[i]] = v
			if !walk(i + 1) {
				return false
			}
		}
		return true
	}
	walk(0)
}
