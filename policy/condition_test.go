package policy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"agentd/policy"
)

func TestCompileRequire(t *testing.T) {
	probes := []policy.Probe{{Name: "build"}, {Name: "tests", Tests: true}, {Name: "size", Number: true}}
	for _, tc := range []struct {
		src  string
		col  int
		want string // part of the error; "" when it compiles
	}{
		{"build.exit == 0", 0, ""},
		{"build.ok && tests.failed == 0 and tests.passed >= 3", 0, ""},
		{`build.output contains "done" || size.value / 2 < 3`, 0, ""},
		{"biuld.exit == 0", 1, `unknown name "biuld": did you mean "build"?`},
		{"build.exit == 0 && tests.exti == 0", 26, `unknown field "exti": did you mean "exit"?`},
		{"build.exit", 1, "bool"},
		{`build.exit == "0"`, 12, "mismatched types"},
		{"build.exit ==", 13, "unexpected token"},
		{"", 0, "empty"},
		{"1 == 1", 1, "uses no probe"},
		{`$env["build"].exit == 0`, 1, "$env"},
		{`build["ex" + "it"] == 0`, 12, "index"},
		{`now() > now() && build.ok`, 1, `unknown name "now"`},
		{`len(repeat("a", 10)) > build.exit`, 5, `unknown name "repeat"`},
		{`get(build, "exit") == 0`, 1, `unknown name "get"`},
		{strings.Repeat("build.ok && ", 300) + "build.ok", 0, "too long"},
		{strings.Repeat(" ", 5000) + "build.ok", 0, "more than 4096"},
		{"build.value == 0", 7, `unknown field "value"`},
		{"size.failed == 0", 6, `unknown field "failed"`},
		{"let t = tests; t.failde == 0", 18, `did you mean "failed"?`},
		{"base.tests.failde == 0", 12, `did you mean "failed"?`},
		{"all(diff.files, {within(#, scope.wirte)}) && build.ok", 34, `did you mean "write"?`},
		{"params.x == 1 && build.ok", 8, `unknown field "x"`},
	} {
		_, err := require(tc.src, probes)
		if tc.want == "" {
			if err != nil {
				t.Errorf("%q: %v", tc.src, err)
			}
			continue
		}
		var e *policy.Error
		if !errors.As(err, &e) || !strings.Contains(e.Msg, tc.want) {
			t.Errorf("%.60q: got %v, want an error with %q", tc.src, err, tc.want)
		} else if tc.col != 0 && (e.Line != 1 || e.Col != tc.col) {
			t.Errorf("%.60q: got place %d:%d, want 1:%d (%v)", tc.src, e.Line, e.Col, tc.col, e)
		}
	}
	if _, err := require("len.ok", []policy.Probe{{Name: "len"}}); err == nil {
		t.Error("a probe named len was accepted")
	}
}

func require(src string, probes []policy.Probe) (*policy.Condition, error) {
	l, err := policy.NewLanguage(policy.Names{Probes: probes})
	if err != nil {
		return nil, err
	}
	return l.Require(src)
}

func TestConditionEval(t *testing.T) {
	results := map[string]policy.ProbeResult{
		"build": {Exit: 0, OK: true, Output: "all done\n"},
		"tests": {Exit: 1, Passed: 4, Failed: 1, Read: true},
		"size":  {OK: true, Value: 7, Read: true},
		"idle":  {},
	}
	probes := []policy.Probe{
		{Name: "build"}, {Name: "tests", Tests: true}, {Name: "size", Number: true}, {Name: "idle", Number: true, Tests: true}, {Name: "gone"},
	}
	lang, err := policy.NewLanguage(policy.Names{Probes: probes})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		src  string
		want bool
		err  string
	}{
		{"build.exit == 0", true, ""},
		{"tests.exit == 0", false, ""},
		{"tests.failed <= 1 && tests.passed > 3", true, ""},
		{"size.value / 2 == 3.5", true, ""},
		{`build.output matches "^all"`, true, ""},
		{"1 / idle.exit > 1", false, "division by zero"},
		{"1 % idle.exit > 1", false, "divide by zero"},
		{"idle.value == 0", false, "gave nothing"},
		{"idle.failed == 0", false, "gave nothing"},
		{"let p = idle; p.value == 0", false, "gave nothing"},
		{"all([idle], .value == 0)", false, "gave nothing"},
		{"gone.exit == 0", false, "was not measured"},
		{"size.value > 1 && idle.exit == 0", true, ""},
	} {
		c, err := lang.Require(tc.src)
		if err != nil {
			t.Errorf("%q: %v", tc.src, err)
			continue
		}
		got, err := c.Eval(policy.Facts{Results: results})
		if got != tc.want || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%q: got %v, %v; want %v, %q", tc.src, got, err, tc.want, tc.err)
		}
	}
	c, err := lang.Require("tests.ok && build.ok && tests.exit == 0")
	if err != nil || !slices.Equal(c.Uses(), []string{"build", "tests"}) {
		t.Errorf("uses %v, %v", c.Uses(), err)
	}
}
