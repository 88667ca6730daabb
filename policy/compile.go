package policy

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
)

// Bounds of one expression.
const (
	maxNodes = 500
	maxExpr  = 4 << 10
	maxLoops = 3 // of all, any, filter, … within one another
)

// builtins are all that an expression may call beside host, under and within. What is not here can loop, allocate, read the
// clock or look a field up by a name that the compiler can't check.
var builtins = []string{
	"all", "any", "none", "one", "count", "filter", "map", "len", "lower", "upper", "trim", "trimPrefix", "trimSuffix",
	"hasPrefix", "hasSuffix", "indexOf", "abs", "min", "max", "int", "float",
}

// Error is a fault of an expression or a rules file, with its place. Line and Col count from 1; 0 is unknown.
type Error struct {
	File      string
	Line, Col int
	Msg       string
}

// Error gives file:line:column: message.
func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File + ":")
	}
	if e.Line > 0 {
		fmt.Fprintf(&b, "%d:%d:", e.Line, e.Col)
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	return b.String() + e.Msg
}

// compile checks and compiles an expression over env; names are the identifiers that env has and types the fields of its structs, for hints.
func compile(src string, env any, as expr.Option, names []string, types map[string][]string, opts ...expr.Option) (*vm.Program, *scan, error) {
	switch {
	case strings.TrimSpace(src) == "":
		return nil, nil, &Error{Msg: "the condition is empty"}
	case len(src) > maxExpr:
		return nil, nil, &Error{Msg: fmt.Sprintf("the condition has %d bytes, more than %d", len(src), maxExpr)}
	}
	seen := &scan{src: src, idents: map[string]bool{}, fields: map[string]map[string]bool{}, names: map[string]bool{}, loops: map[*ast.PredicateNode]int{}}
	for _, n := range names {
		seen.names[n] = true
	}
	all := []expr.Option{expr.Env(env), as, expr.WarnOnAny(), expr.MaxNodes(maxNodes), expr.DisableAllBuiltins()}
	for _, b := range builtins {
		all = append(all, expr.EnableBuiltin(b))
	}
	all = append(all, expr.Patch(seen), expr.Patch(recheck{}), division)
	prog, err := expr.Compile(src, append(all, opts...)...)
	if err != nil {
		return nil, nil, explain(src, err, append(slices.Clone(names), builtins...), types, seen)
	}
	if seen.err != nil {
		return nil, nil, seen.err
	}
	return prog, seen, nil
}

// recheck makes the checker look at the arguments of calls again in its last pass. It trusts the type that a call got in an earlier pass, and drops
// the faults of earlier passes: a misspelt name in an argument would compile.
type recheck struct{}

// Reset and ShouldRepeat make it run last, once.
func (recheck) Reset() {}

// ShouldRepeat is false.
func (recheck) ShouldRepeat() bool { return false }

// Visit forgets the type of a call.
func (recheck) Visit(node *ast.Node) {
	if _, ok := (*node).(*ast.CallNode); ok {
		(*node).SetType(nil)
	}
}

var machines = sync.Pool{New: func() any { return new(vm.VM) }}

// run evaluates a compiled condition. A panic of the machine is an error.
func run(p *vm.Program, env any) (bool, error) {
	out, err := evaluate(p, env)
	if err != nil {
		return false, err
	}
	ok, is := out.(bool)
	if !is {
		return false, fmt.Errorf("the condition gave %T, not true or false", out)
	}
	return ok, nil
}

func evaluate(p *vm.Program, env any) (any, error) {
	m := machines.Get().(*vm.VM)
	out, err := m.Run(p, env)
	if err == nil {
		machines.Put(m) // one that failed may hold anything
	} else {
		var fe *file.Error
		if errors.As(err, &fe) {
			return nil, &Error{Line: fe.Line, Col: fe.Column + 1, Msg: fe.Message}
		}
		return nil, err
	}
	return out, nil
}

// division makes a division by zero an error: expr's own gives infinity, which is greater than any limit.
var division = expr.Function("_divide", func(p ...any) (any, error) {
	a, b := number(p[0]), number(p[1])
	if b == 0 || math.IsNaN(a) || math.IsNaN(b) {
		return nil, errors.New("division by zero")
	}
	return a / b, nil
}, new(func(float64, float64) float64), new(func(int, int) float64), new(func(float64, int) float64), new(func(int, float64) float64))

func number(v any) float64 {
	switch v := v.(type) {
	case int:
		return float64(v)
	case float64:
		return v
	}
	return math.NaN()
}

// scan walks an expression, notes what it uses and refuses what the compiler can't check.
type scan struct {
	src    string
	idents map[string]bool
	fields map[string]map[string]bool // identifier -> fields read of it; "" when the owner isn't an identifier
	names  map[string]bool            // the identifiers that the environment has
	loops  map[*ast.PredicateNode]int // how deep the loops are in each, itself included
	err    error
}

// Visit looks at one node.
func (s *scan) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		if n.Value == "$env" {
			s.refuse(n, "$env can't be used: name the value itself")
		}
		s.idents[n.Value] = true
	case *ast.MemberNode:
		prop, ok := n.Property.(*ast.StringNode)
		if !ok {
			if _, ok := n.Property.(*ast.IntegerNode); !ok {
				s.refuse(n.Property, "an index must be a plain number or name")
			}
			return
		}
		owner := ""
		switch of := n.Node.(type) {
		case *ast.IdentifierNode:
			owner = of.Value
		case *ast.MemberNode: // base.tests.failed
			id, isName := of.Node.(*ast.IdentifierNode)
			if prop, ok := of.Property.(*ast.StringNode); ok && isName && s.names[id.Value] {
				owner = id.Value + "." + prop.Value
			}
		}
		if id, _, _ := strings.Cut(owner, "."); !s.names[id] {
			owner = "" // a variable, which may be anything
		}
		if s.fields[owner] == nil {
			s.fields[owner] = map[string]bool{}
		}
		s.fields[owner][prop.Value] = true
	case *ast.PredicateNode:
		inner := deepest{of: s.loops}
		ast.Walk(&n.Node, &inner)
		if s.loops[n] = inner.depth + 1; inner.depth >= maxLoops {
			s.refuse(n, fmt.Sprintf("more than %d loops (all, any, filter, …) within one another", maxLoops))
		}
	case *ast.BinaryNode:
		switch n.Operator {
		case "..":
			s.refuse(n, "a range can't be used: a condition loops only over what there is")
		case "/":
			ast.Patch(node, &ast.CallNode{Callee: &ast.IdentifierNode{Value: "_divide"}, Arguments: []ast.Node{n.Left, n.Right}})
		}
	}
}

// deepest finds how many loops lie within one another below a node.
type deepest struct {
	of    map[*ast.PredicateNode]int
	depth int
}

// Visit looks at one node.
func (d *deepest) Visit(node *ast.Node) {
	if p, ok := (*node).(*ast.PredicateNode); ok {
		d.depth = max(d.depth, d.of[p])
	}
}

func (s *scan) refuse(n ast.Node, msg string) {
	if s.err == nil {
		line, col := place(s.src, n.Location().From)
		s.err = &Error{Line: line, Col: col, Msg: msg}
	}
}

// place turns a rune offset into a line and a column, both from 1.
func place(src string, from int) (line, col int) {
	line, col = 1, 1
	for _, r := range src {
		if from--; from < 0 {
			break
		}
		if r == '\n' {
			line, col = line+1, 1
		} else {
			col++
		}
	}
	return line, col
}

var (
	unknownName  = regexp.MustCompile(`^unknown name (\S+)$`)
	unknownField = regexp.MustCompile(`^type (.+) has no (?:field|method) (\S+)$`)
)

// explain turns a compiler's error into ours, with the nearest known name.
func explain(src string, err error, names []string, types map[string][]string, seen *scan) error {
	if seen.err != nil {
		return seen.err
	}
	var fe *file.Error
	if !errors.As(err, &fe) {
		msg, _, _ := strings.Cut(err.Error(), "\n")
		return &Error{Line: 1, Col: 1, Msg: msg} // about the whole: "expected bool, but got int"
	}
	e := &Error{Line: fe.Line, Col: fe.Column + 1, Msg: fe.Message}
	if m := unknownName.FindStringSubmatch(fe.Message); m != nil {
		e.Msg = fmt.Sprintf("unknown name %q%s", m[1], nearest(m[1], names))
	} else if m := unknownField.FindStringSubmatch(fe.Message); m != nil {
		t := strings.TrimPrefix(m[1], "*")
		if fields, ok := types[t]; ok {
			e.Msg = fmt.Sprintf("unknown field %q%s", m[2], nearest(m[2], fields))
		} else {
			e.Msg = fmt.Sprintf("unknown field %q: this value has no fields", m[2])
		}
	} else if strings.Contains(fe.Message, "exceeds maximum allowed nodes") {
		e.Msg = fmt.Sprintf("the condition is too long: more than %d parts", maxNodes)
	}
	e.Msg, _, _ = strings.Cut(e.Msg, "\n")
	return e
}

// fieldsOf lists the fields of every struct that an expression can see, by the type's name.
var fieldsOf = func() map[string][]string {
	m := map[string][]string{}
	var add func(t reflect.Type)
	add = func(t reflect.Type) {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || m[t.String()] != nil {
			return
		}
		m[t.String()] = exprFields(t)
		for i := range t.NumField() {
			add(t.Field(i).Type)
		}
	}
	add(reflect.TypeFor[env]())
	return m
}()

func exprFields(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("expr"); tag != "" && tag != "-" {
			names = append(names, tag)
		}
	}
	return names
}

// nearest says which known name was probably meant, or lists a few.
func nearest(name string, known []string) string {
	best, at := "", len(name)/2+2
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < at {
			best, at = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf(": did you mean %q?", best)
	}
	list := slices.Clone(known)
	slices.Sort(list)
	if len(list) > 12 {
		list = append(list[:12], "…")
	}
	return ": known are " + strings.Join(list, ", ")
}

// distance is the number of edits between two short words.
func distance(a, b string) int {
	const most = 64
	a, b = a[:min(len(a), most)], b[:min(len(b), most)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost = min(diag, row[j], row[j+1]) + 1
			}
			diag, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
