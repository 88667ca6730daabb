package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"
)

// ProbeResult is what was measured of one probe.
type ProbeResult struct {
	Exit   int    // exit code of its command
	OK     bool   // it ended by itself with exit code 0
	Output string // what it printed, cut to a bound
	Status int    // of an answer over HTTP

	Read                    bool    // its parser could read the output; without it what follows is not known
	Value                   float64 // of a number
	Passed, Failed, Skipped int     // counts of a test report
	Rows                    int     // of a table, its header not counted
	Columns                 []string
	Count                   int             // matches of a pattern
	Text                    string          // the first match
	JSON                    json.RawMessage // of parse: json, already checked against its schema
}

// Diff is what changed in the workspace since the run began.
type Diff struct {
	Files   []string `expr:"files"` // all of the following, sorted
	Created []string `expr:"created"`
	Changed []string `expr:"changed"`
	Deleted []string `expr:"deleted"`
	Renamed []string `expr:"renamed"` // under their new names
	Added   int      `expr:"added"`   // lines of text files
	Removed int      `expr:"removed"`
	Lines   int      `expr:"lines"` // added and removed
}

// Progress is how far a run has come.
type Progress struct {
	Cost    float64 // US dollars
	Tokens  int
	Steps   int
	Minutes float64 // since it began
	Stall   Stall
	Plan    PlanProgress
}

// Stall is how long nothing has got better.
type Stall struct {
	Steps int `expr:"steps"` // steps since the last change of a file or of a measured result
}

// PlanProgress counts a plan's tasks.
type PlanProgress struct {
	Tasks    int `expr:"tasks"`
	Done     int `expr:"done"`
	Failed   int `expr:"failed"`
	Revision int `expr:"revision"`
}

// Scope is a goal's scope, for within.
type Scope struct {
	Read    []string `expr:"read"`
	Write   []string `expr:"write"`
	Protect []string `expr:"protect"`
}

// Facts are what conditions are evaluated over. What a condition reads and is not there is an error.
type Facts struct {
	Results  map[string]ProbeResult     // by probe
	Base     map[string]ProbeResult     // the same probes before the run
	Diff     *Diff                      // nil: not known
	Progress *Progress                  // nil: not known
	Params   map[string]string          // by name
	Tasks    map[string]json.RawMessage // results of a plan's tasks
}

// Condition is one compiled condition. It is safe for concurrent use.
type Condition struct {
	src   string
	prog  *vm.Program
	lang  *Language
	uses  []string // probes whose results are read
	base  []string // probes whose results before the run are read
	other map[string]bool
	tasks map[string]bool // whose results Each goes over
	need  map[string]bool // probes, and "base.PROBE", of which it reads what the parser gave
}

// condition compiles src over the language's names.
func (l *Language) condition(src string) (*Condition, error) {
	return l.compile(src, l.typ, expr.AsBool())
}

func (l *Language) compile(src string, env reflect.Type, as expr.Option) (*Condition, error) {
	names := append(exprFields(env), slices.Sorted(maps.Keys(conditionFuncs))...)
	prog, seen, err := compile(src, reflect.Zero(env).Interface(), as, names, l.types, slices.Collect(maps.Values(conditionFuncs))...)
	if err != nil {
		return nil, err
	}
	c := &Condition{src: src, prog: prog, lang: l, need: map[string]bool{}, other: map[string]bool{}}
	for _, p := range l.probes {
		if seen.idents[p.Name] {
			c.uses = append(c.uses, p.Name)
			c.need[p.Name] = seen.reads(p.Name, parsed)
		}
		if base := "base." + p.Name; seen.idents["base"] && (seen.fields["base"][p.Name] || seen.fields[""][p.Name]) {
			c.base = append(c.base, p.Name)
			c.need[base] = seen.reads(base, parsed)
		}
	}
	c.tasks = maps.Clone(seen.fields["tasks"])
	for name := range seen.idents {
		c.other[name] = !slices.Contains(c.uses, name)
	}
	return c, nil
}

// reads reports whether one of the fields is read of an owner, or of something that may be it.
func (s *scan) reads(owner string, fields []string) bool {
	for _, f := range fields {
		if s.fields[owner][f] || s.fields[""][f] {
			return true
		}
	}
	return false
}

// String returns the source.
func (c *Condition) String() string { return c.src }

// Uses returns the probes whose results the condition reads, in the order they were declared.
func (c *Condition) Uses() []string { return slices.Clone(c.uses) }

// Base returns the probes whose results before the run the condition reads.
func (c *Condition) Base() []string { return slices.Clone(c.base) }

// Reads reports whether the condition reads a name beside probes, such as diff, base or params.
func (c *Condition) Reads(name string) bool { return c.other[name] }

// OfTask reports whether an expression of Each reads the result of a plan's task.
func (c *Condition) OfTask(id string) bool { return c.tasks[id] }

// Eval reports whether the condition holds. A probe that was not measured, or whose output its parser could not read, a diff that is not known, and
// a fault such as a division by zero are errors: what can't be measured is not met.
func (c *Condition) Eval(f Facts) (bool, error) {
	env, err := c.fill(f)
	if err != nil {
		return false, fmt.Errorf("%s: %w", c.src, err)
	}
	ok, err := run(c.prog, env)
	if err != nil {
		return false, fmt.Errorf("%s: %w", c.src, err)
	}
	return ok, nil
}

// fill makes the environment of one evaluation.
func (c *Condition) fill(f Facts) (any, error) {
	l := c.lang
	v := reflect.New(l.typ).Elem()
	field := func(name string) reflect.Value { return v.FieldByName("F_" + name) }
	for i, p := range l.probes {
		if slices.Contains(c.uses, p.Name) {
			if err := c.probe(v.Field(i), p, f.Results, p.Name, ""); err != nil {
				return nil, err
			}
		}
		if slices.Contains(c.base, p.Name) {
			if err := c.probe(field("base").Field(i), p, f.Base, "base."+p.Name, " before the run"); err != nil {
				return nil, err
			}
		}
	}
	if c.other["diff"] {
		if f.Diff == nil {
			return nil, errors.New("it is not known what changed in the workspace")
		}
		field("diff").Set(reflect.ValueOf(*f.Diff))
	}
	if c.other["params"] {
		if err := fillParams(field("params"), l.params, f.Params); err != nil {
			return nil, err
		}
	}
	field("scope").Set(reflect.ValueOf(l.scope))
	for _, name := range []string{"cost", "tokens", "steps", "minutes", "stall", "plan"} {
		switch {
		case !c.other[name]:
		case f.Progress == nil:
			return nil, fmt.Errorf("%s is not known here", name)
		default:
			field(name).Set(reflect.ValueOf(*f.Progress).FieldByNameFunc(func(s string) bool { return strings.EqualFold(s, name) }))
		}
	}
	return v.Interface(), nil
}

// probe puts a probe's result into the environment.
func (c *Condition) probe(into reflect.Value, p Probe, results map[string]ProbeResult, key, when string) error {
	r, ok := results[p.Name]
	switch {
	case !ok:
		return fmt.Errorf("probe %q was not measured%s", p.Name, when)
	case c.need[key] && !r.Read:
		return fmt.Errorf("probe %q gave nothing that its parser can read%s", p.Name, when)
	}
	return p.fill(into, r)
}

func fillParams(v reflect.Value, params []Param, values map[string]string) error {
	for i, p := range params {
		s, given := values[p.Name]
		if !given {
			return fmt.Errorf("the param %q has no value", p.Name)
		}
		f := v.Field(i)
		switch f.Kind() {
		case reflect.String:
			f.SetString(s)
		case reflect.Bool:
			f.SetBool(s == "true")
		case reflect.Int:
			n, err := strconv.Atoi(s)
			if err != nil {
				return fmt.Errorf("the param %q: %w", p.Name, err)
			}
			f.SetInt(int64(n))
		default:
			n, err := strconv.ParseFloat(s, 64)
			if err != nil {
				return fmt.Errorf("the param %q: %w", p.Name, err)
			}
			f.SetFloat(n)
		}
	}
	return nil
}

// Each compiles the list that a plan's task goes over, such as tasks.inventory.out.
func (l *Language) Each(src string) (*Condition, error) {
	return l.compile(src, l.each, expr.AsKind(reflect.Slice))
}

// Items is the list that Each's expression gives, each item as JSON.
func (c *Condition) Items(f Facts) ([]json.RawMessage, error) {
	v := reflect.New(c.lang.each).Elem()
	if c.other["params"] {
		if err := fillParams(v.Field(1), c.lang.params, f.Params); err != nil {
			return nil, fmt.Errorf("%s: %w", c.src, err)
		}
	}
	for i, t := range c.lang.tasks {
		out, done := f.Tasks[t.ID]
		if !done {
			continue
		}
		if err := json.Unmarshal(out, v.Field(0).Field(i).Field(0).Addr().Interface()); err != nil {
			return nil, fmt.Errorf("%s: the result of task %q: %w", c.src, t.ID, err)
		}
	}
	got, err := evaluate(c.prog, v.Interface())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.src, err)
	}
	list := reflect.ValueOf(got)
	if list.Kind() != reflect.Slice {
		return nil, fmt.Errorf("%s: it gives no list", c.src)
	}
	items := make([]json.RawMessage, list.Len())
	for i := range items {
		if items[i], err = json.Marshal(list.Index(i).Interface()); err != nil {
			return nil, fmt.Errorf("%s: %w", c.src, err)
		}
	}
	return items, nil
}
