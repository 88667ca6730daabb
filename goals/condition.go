package goals

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var term = regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9_]*)\.exit\s*(==|!=|<=|>=|<|>)\s*(-?[0-9]{1,9})$`)

// checkCondition checks one condition of accept.require and returns the probes it uses.
func checkCondition(cond string, probes []Probe) ([]string, error) {
	if err := checkWords("condition", cond, maxLine); err != nil {
		return nil, err
	}
	names := make([]string, len(probes))
	for i, p := range probes {
		names[i] = p.Name
	}
	var used []string
	consts := []int{0}
	type leaf struct {
		name, op string
		n        int
	}
	var ors [][]leaf
	for _, alt := range strings.Split(cond, "||") {
		var ands []leaf
		for _, t := range strings.Split(alt, "&&") {
			m := term.FindStringSubmatch(strings.TrimSpace(t))
			if m == nil {
				return nil, fmt.Errorf("%q is not understood: write conditions such as 'tests.exit == 0', joined by && and ||", strings.TrimSpace(t))
			}
			if !slices.Contains(names, m[1]) {
				return nil, fmt.Errorf("%q names no probe%s", m[1], didYouMean(m[1], names))
			}
			n, err := strconv.Atoi(m[3])
			if err != nil {
				return nil, err
			}
			if !slices.Contains(used, m[1]) {
				used = append(used, m[1])
			}
			consts = append(consts, n)
			ands = append(ands, leaf{m[1], m[2], n})
		}
		ors = append(ors, ands)
	}
	holds := func(exit map[string]int) bool {
		return slices.ContainsFunc(ors, func(ands []leaf) bool {
			return !slices.ContainsFunc(ands, func(l leaf) bool { return !compare(exit[l.name], l.op, l.n) })
		})
	}
	var can, fails bool
	samples(used, consts, func(exit map[string]int) bool {
		if holds(exit) {
			can = true
		} else {
			fails = true
		}
		return !can || !fails
	})
	switch {
	case !fails:
		return used, fmt.Errorf("%q can never fail, so it measures nothing", cond)
	case !can:
		return used, fmt.Errorf("%q can never hold: exit codes are 0 to 255", cond)
	}
	return used, nil
}

func compare(a int, op string, b int) bool {
	switch op {
	case "==":
		return a == b
	case "!=":
		return a != b
	case "<":
		return a < b
	case "<=":
		return a <= b
	case ">":
		return a > b
	default:
		return a >= b
	}
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
	left := 20000
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
