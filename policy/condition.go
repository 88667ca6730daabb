package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr/vm"
)

// ProbeResult is what a condition of accept.require sees of one measured probe.
type ProbeResult struct {
	Exit   int    `expr:"exit"`   // exit code of its command
	OK     bool   `expr:"ok"`     // it ended by itself with exit code 0
	Output string `expr:"output"` // what it printed, cut to a bound

	Value   float64 `expr:"value"`  // the number that its parser read; only with HasValue
	Passed  int     `expr:"passed"` // counts of a test report; only with HasTests
	Failed  int     `expr:"failed"`
	Skipped int     `expr:"skipped"`

	HasValue bool `expr:"-"`
	HasTests bool `expr:"-"`
}

// Condition is one compiled condition over the results of probes. It is safe for concurrent use.
type Condition struct {
	src  string
	prog *vm.Program
	uses []string
	need map[string]need
}

// need is what a condition reads of one probe beside exit, ok and output.
type need struct{ value, tests bool }

var probeName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)

// reserved are words of the expression language, which no probe can be named.
var reserved = []string{"and", "or", "not", "in", "let", "if", "else", "true", "false", "nil", "matches", "contains", "startsWith", "endsWith"}

// CompileRequire compiles a condition such as `build.exit == 0 && tests.failed == 0`. An unknown probe or field, and a result
// other than true or false, is an *Error with its line and column in src.
func CompileRequire(src string, probes []string) (*Condition, error) {
	env := map[string]any{}
	for _, p := range probes {
		if !probeName.MatchString(p) || slices.Contains(reserved, p) || slices.Contains(builtins, p) {
			return nil, &Error{Msg: fmt.Sprintf("%q can't name a probe: use letters, digits and _, and no word of the condition language", p)}
		}
		env[p] = ProbeResult{}
	}
	prog, seen, err := compile(src, env, probes)
	if err != nil {
		return nil, err
	}
	c := &Condition{src: src, prog: prog, need: map[string]need{}}
	for _, p := range probes {
		if seen.idents[p] && !slices.Contains(c.uses, p) {
			c.uses = append(c.uses, p)
			c.need[p] = needOf(seen, p)
		}
	}
	if len(c.uses) == 0 {
		return nil, &Error{Line: 1, Col: 1, Msg: fmt.Sprintf("%q uses no probe, so it measures nothing", strings.TrimSpace(src))}
	}
	return c, nil
}

// needOf gathers the fields read of p, and those read of anything that isn't a plain name, which may be p.
func needOf(s *scan, p string) (n need) {
	for owner, fields := range s.fields {
		if owner != p && s.known(owner) {
			continue
		}
		n.value = n.value || fields["value"]
		n.tests = n.tests || fields["passed"] || fields["failed"] || fields["skipped"]
	}
	return n
}

// known reports whether an owner is surely some other probe.
func (s *scan) known(owner string) bool { return owner != "" && s.names[owner] }

// String returns the source.
func (c *Condition) String() string { return c.src }

// Uses returns the probes that the condition reads, in the order they were declared.
func (c *Condition) Uses() []string { return slices.Clone(c.uses) }

// Eval reports whether the condition holds. A probe that was not measured, a number or count that its parser did not give, and
// a fault such as a division by zero are errors: what can't be measured is not met.
func (c *Condition) Eval(results map[string]ProbeResult) (bool, error) {
	env := make(map[string]any, len(c.uses))
	for _, p := range c.uses {
		r, ok := results[p]
		n := c.need[p]
		switch {
		case !ok:
			return false, fmt.Errorf("%s: probe %q was not measured", c.src, p)
		case n.value && !r.HasValue:
			return false, fmt.Errorf("%s: probe %q gave no value", c.src, p)
		case n.tests && !r.HasTests:
			return false, fmt.Errorf("%s: probe %q gave no test counts", c.src, p)
		}
		env[p] = r
	}
	ok, err := run(c.prog, env)
	if err != nil {
		return false, fmt.Errorf("%s: %w", c.src, err)
	}
	return ok, nil
}
