package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/expr-lang/expr"
)

// Probe is what conditions can know of a probe: which of its results there are depends on what it measures.
type Probe struct {
	Name                                string
	Number, Tests, Table, Pattern, HTTP bool
	JSON                                bool
	Schema                              json.RawMessage // of JSON
}

// Param is a param of a goal: string, int, float or bool.
type Param struct{ Name, Type string }

// Task is a task of a plan's seed whose result others may go over.
type Task struct {
	ID  string
	Out json.RawMessage // JSON Schema of its result
}

// Names are what the conditions of one goal can name, beside what every goal has.
type Names struct {
	Probes []Probe
	Params []Param
	Tasks  []Task
	Scope  Scope
}

// Language compiles the conditions of one goal. It never changes and is safe for concurrent use.
type Language struct {
	probes []Probe
	params []Param
	tasks  []Task
	scope  Scope
	types  map[string][]string // the fields of each struct, by the type's name
	typ    reflect.Type        // of the environment of Require and Stop
	each   reflect.Type        // of the environment of Each
}

var probeName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)

// reserved are words of the expression language, which no probe can be named.
var reserved = []string{"and", "or", "not", "in", "let", "if", "else", "true", "false", "nil", "matches", "contains", "startsWith", "endsWith"}

// common are the names that every goal's conditions have, and the types of what they name.
var common = []reflect.StructField{
	namedField("diff", reflect.TypeFor[Diff]()),
	namedField("scope", reflect.TypeFor[Scope]()),
	namedField("cost", reflect.TypeFor[float64]()),
	namedField("tokens", reflect.TypeFor[int]()),
	namedField("steps", reflect.TypeFor[int]()),
	namedField("minutes", reflect.TypeFor[float64]()),
	namedField("stall", reflect.TypeFor[Stall]()),
	namedField("plan", reflect.TypeFor[PlanProgress]()),
}

// NewLanguage returns the language of a goal's conditions. A name that can't be used in one is an *Error.
func NewLanguage(n Names) (*Language, error) {
	l := &Language{probes: n.Probes, params: n.Params, tasks: n.Tasks, scope: n.Scope, types: map[string][]string{}}
	var probes []reflect.StructField
	for _, p := range n.Probes {
		if !probeName.MatchString(p.Name) || slices.Contains(reserved, p.Name) || slices.Contains(builtins, p.Name) || slices.Contains(commonNames(), p.Name) {
			return nil, &Error{Msg: fmt.Sprintf("%q can't name a probe: use letters, digits and _, and no word of the condition language", p.Name)}
		}
		t, err := p.typ()
		if err != nil {
			return nil, &Error{Msg: fmt.Sprintf("probe %q: %v", p.Name, err)}
		}
		probes = append(probes, namedField(p.Name, t))
	}
	var params []reflect.StructField
	for _, p := range n.Params {
		params = append(params, namedField(p.Name, p.typ()))
	}
	fields := append(slices.Clone(probes), namedField("base", reflect.StructOf(probes)), namedField("params", reflect.StructOf(params)))
	l.typ = reflect.StructOf(append(fields, common...))
	var outs []reflect.StructField
	for _, t := range n.Tasks {
		typ, err := typeOf(t.Out, true)
		if err != nil {
			return nil, &Error{Msg: fmt.Sprintf("task %q: out: %v", t.ID, err)}
		}
		outs = append(outs, namedField(t.ID, reflect.StructOf([]reflect.StructField{namedField("out", typ)})))
	}
	l.each = reflect.StructOf([]reflect.StructField{namedField("tasks", reflect.StructOf(outs)), namedField("params", reflect.StructOf(params))})
	l.collect(l.typ)
	l.collect(l.each)
	return l, nil
}

func commonNames() []string {
	names := []string{"base", "params", "tasks"}
	for _, f := range common {
		names = append(names, f.Tag.Get("expr"))
	}
	for name := range conditionFuncs {
		names = append(names, name)
	}
	return names
}

// namedField is a field of a struct that is made at run time.
func namedField(name string, t reflect.Type) reflect.StructField {
	goName := "F_" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '_'
	}, name)
	return reflect.StructField{Name: goName, Type: t, Tag: reflect.StructTag(fmt.Sprintf("expr:%q json:%q", name, name))}
}

// collect notes the fields of a type and of those in it, for hints.
func (l *Language) collect(t reflect.Type) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || l.types[t.String()] != nil {
		return
	}
	l.types[t.String()] = exprFields(t)
	for i := range t.NumField() {
		l.collect(t.Field(i).Type)
	}
}

// Require compiles a condition of accept.require, such as `build.exit == 0 && tests.failed == 0`: one over what is measured.
func (l *Language) Require(src string) (*Condition, error) {
	c, err := l.condition(src)
	if err != nil {
		return nil, err
	}
	if len(c.uses) == 0 && !c.other["diff"] {
		return nil, &Error{Line: 1, Col: 1, Msg: fmt.Sprintf("%q uses no probe and no diff, so it measures nothing", strings.TrimSpace(src))}
	}
	return c, nil
}

// Stop compiles a condition of stop_when, over what is measured and how far the run has come.
func (l *Language) Stop(src string) (*Condition, error) { return l.condition(src) }

// typ is the type of a probe's results.
func (p Probe) typ() (reflect.Type, error) {
	fs := []reflect.StructField{
		namedField("exit", reflect.TypeFor[int]()),
		namedField("ok", reflect.TypeFor[bool]()),
		namedField("output", reflect.TypeFor[string]()),
	}
	ints := func(names ...string) {
		for _, n := range names {
			fs = append(fs, namedField(n, reflect.TypeFor[int]()))
		}
	}
	if p.HTTP {
		ints("status")
	}
	if p.Number {
		fs = append(fs, namedField("value", reflect.TypeFor[float64]()))
	}
	if p.Tests {
		ints("passed", "failed", "skipped")
	}
	if p.Table {
		ints("rows")
		fs = append(fs, namedField("columns", reflect.TypeFor[[]string]()))
	}
	if p.Pattern {
		ints("count")
		fs = append(fs, namedField("value", reflect.TypeFor[float64]()), namedField("text", reflect.TypeFor[string]()))
	}
	if p.JSON {
		fs = append(fs, namedField("json", reflect.TypeFor[Value]()))
		if p.Schema != nil {
			t, err := typeOf(p.Schema, false)
			if err != nil {
				return nil, err
			}
			fs = append(fs, namedField("value", t))
		}
	}
	return reflect.StructOf(fs), nil
}

// parsed are the fields of a probe's result that only its parser gives.
var parsed = []string{"value", "passed", "failed", "skipped", "rows", "columns", "count", "text", "json"}

// fill puts a result into a value of p's type.
func (p Probe) fill(v reflect.Value, r ProbeResult) error {
	values := map[string]any{
		"exit": r.Exit, "ok": r.OK, "output": r.Output, "status": r.Status, "value": r.Value, "passed": r.Passed, "failed": r.Failed, "skipped": r.Skipped,
		"rows": r.Rows, "columns": r.Columns, "count": r.Count, "text": r.Text, "json": Value{r.JSON},
	}
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("expr")
		if name == "value" && p.JSON {
			if r.Read {
				if err := json.Unmarshal(r.JSON, v.Field(i).Addr().Interface()); err != nil {
					return fmt.Errorf("probe %q: %w", p.Name, err)
				}
			}
			continue
		}
		if x := reflect.ValueOf(values[name]); x.IsValid() && !(x.Kind() == reflect.Slice && x.IsNil()) {
			v.Field(i).Set(x)
		}
	}
	return nil
}

func (p Param) typ() reflect.Type {
	switch p.Type {
	case "int":
		return reflect.TypeFor[int]()
	case "float":
		return reflect.TypeFor[float64]()
	case "bool":
		return reflect.TypeFor[bool]()
	}
	return reflect.TypeFor[string]()
}

// conditionFuncs are the functions of conditions beside the builtins. A fault of their arguments is an error: what can't be known is not met.
var conditionFuncs = map[string]expr.Option{
	"within":   expr.Function("within", func(p ...any) (any, error) { return within(p[0].(string), p[1].([]string)) }, within),
	"glob":     expr.Function("glob", func(p ...any) (any, error) { return glob(p[0].(string), p[1].(string)) }, glob),
	"numberAt": expr.Function("numberAt", func(p ...any) (any, error) { return numberAt(p[0].(Value), p[1].(string)) }, numberAt),
	"textAt":   expr.Function("textAt", func(p ...any) (any, error) { return textAt(p[0].(Value), p[1].(string)) }, textAt),
	"boolAt":   expr.Function("boolAt", func(p ...any) (any, error) { return boolAt(p[0].(Value), p[1].(string)) }, boolAt),
	"sizeAt":   expr.Function("sizeAt", func(p ...any) (any, error) { return sizeAt(p[0].(Value), p[1].(string)) }, sizeAt),
	"hasAt":    expr.Function("hasAt", func(p ...any) (any, error) { return hasAt(p[0].(Value), p[1].(string)) }, hasAt),
}

// within reports whether a path matches one of the globs.
func within(path string, globs []string) (bool, error) {
	for _, g := range globs {
		ok, err := doublestar.Match(g, path)
		if err != nil {
			return false, fmt.Errorf("within: %q: %w", g, err)
		}
		if ok {
			return true, nil
		}
	}
	return false, nil
}

// Value is a JSON value of no known type.
type Value struct{ Raw json.RawMessage }

// MarshalJSON gives the value as it is.
func (v Value) MarshalJSON() ([]byte, error) { return v.Raw, nil }

// UnmarshalJSON keeps the value as it is.
func (v *Value) UnmarshalJSON(b []byte) error { v.Raw = slices.Clone(b); return nil }

// at is the value at a path such as total.items.0, with ok false where there is none.
func (v Value) at(path string) (x any, ok bool, err error) {
	if err := json.Unmarshal(v.Raw, &x); err != nil {
		return nil, false, fmt.Errorf("this is no JSON: %w", err)
	}
	if path == "" {
		return x, true, nil
	}
	for _, key := range strings.Split(path, ".") {
		switch y := x.(type) {
		case map[string]any:
			x, ok = y[key]
		case []any:
			i := -1
			if _, err := fmt.Sscan(key, &i); err != nil || i < 0 || i >= len(y) {
				return nil, false, nil
			}
			x, ok = y[i], true
		default:
			ok = false
		}
		if !ok {
			return nil, false, nil
		}
	}
	return x, true, nil
}

func valueAt[T any](v Value, path, what string) (T, error) {
	var zero T
	x, ok, err := v.at(path)
	if err != nil {
		return zero, err
	}
	t, is := x.(T)
	if !ok || !is {
		return zero, fmt.Errorf("there is no %s at %q", what, path)
	}
	return t, nil
}

func numberAt(v Value, path string) (float64, error) { return valueAt[float64](v, path, "number") }
func textAt(v Value, path string) (string, error)    { return valueAt[string](v, path, "text") }
func boolAt(v Value, path string) (bool, error)      { return valueAt[bool](v, path, "truth value") }

func hasAt(v Value, path string) (bool, error) {
	_, ok, err := v.at(path)
	return ok, err
}

func sizeAt(v Value, path string) (int, error) {
	x, ok, err := v.at(path)
	if err != nil {
		return 0, err
	}
	switch x := x.(type) {
	case []any:
		return len(x), nil
	case map[string]any:
		return len(x), nil
	}
	return 0, fmt.Errorf("there is no list and no mapping at %q (found: %v)", path, ok)
}

// typeOf is the Go type of what a JSON Schema describes, as conditions see it: of an object the properties, or only those that it requires and that are therefore surely
// there.
func typeOf(schema json.RawMessage, optional bool) (reflect.Type, error) {
	if schema == nil {
		return nil, errors.New("it has no schema")
	}
	var s struct {
		Type       any                        `json:"type"`
		Items      json.RawMessage            `json:"items"`
		Properties map[string]json.RawMessage `json:"properties"`
		Required   []string                   `json:"required"`
	}
	if err := json.Unmarshal(schema, &s); err != nil {
		return reflect.TypeFor[Value](), nil // true, or a form that says nothing of fields
	}
	switch s.Type {
	case "string":
		return reflect.TypeFor[string](), nil
	case "integer":
		return reflect.TypeFor[int](), nil
	case "number":
		return reflect.TypeFor[float64](), nil
	case "boolean":
		return reflect.TypeFor[bool](), nil
	case "array":
		if s.Items == nil {
			return reflect.TypeFor[[]Value](), nil
		}
		item, err := typeOf(s.Items, optional)
		if err != nil {
			return nil, err
		}
		return reflect.SliceOf(item), nil
	case "object":
		var names []string
		for name := range s.Properties {
			if probeName.MatchString(name) && (optional || slices.Contains(s.Required, name)) {
				names = append(names, name)
			}
		}
		if len(names) == 0 {
			return reflect.TypeFor[Value](), nil
		}
		slices.Sort(names)
		var fs []reflect.StructField
		for _, name := range names {
			t, err := typeOf(s.Properties[name], optional)
			if err != nil {
				return nil, err
			}
			fs = append(fs, namedField(name, t))
		}
		return reflect.StructOf(fs), nil
	}
	return reflect.TypeFor[Value](), nil
}
