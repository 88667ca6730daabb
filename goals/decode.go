package goals

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"agentd/policy"

	"github.com/goccy/go-yaml/ast"
)

// maxFaults bounds how many faults of one file are told at once.
const maxFaults = 20

// decoder turns YAML nodes into a goal and notes each fault with its place.
type decoder struct {
	file string
	errs []*Error
}

func (d *decoder) failAt(line, col int, format string, args ...any) {
	if len(d.errs) < maxFaults {
		d.errs = append(d.errs, &Error{File: d.file, Line: line, Col: col, Msg: fmt.Sprintf(format, args...)})
	}
}

func (d *decoder) fail(n ast.Node, format string, args ...any) {
	line, col := 0, 0
	if n != nil {
		if t := n.GetToken(); t != nil && t.Position != nil {
			line, col = t.Position.Line, t.Position.Column
		}
	}
	d.failAt(line, col, format, args...)
}

// failIn notes a fault within a scalar, at its own place where the fault has one in a text of one line.
func (d *decoder) failIn(n ast.Node, err error) {
	e, ok := errors.AsType[*policy.Error](err)
	t := n.GetToken()
	if !ok || e.Line != 1 || t == nil || t.Position == nil {
		d.fail(n, "%v", err)
		return
	}
	col := t.Position.Column + e.Col - 1
	if strings.HasPrefix(strings.TrimSpace(t.Origin), "'") || strings.HasPrefix(strings.TrimSpace(t.Origin), `"`) {
		col++
	}
	d.failAt(t.Position.Line, col, "%s", e.Msg)
}

func (d *decoder) err() error {
	slices.SortStableFunc(d.errs, func(a, b *Error) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Col - b.Col
	})
	errs := make([]error, len(d.errs))
	for i, e := range d.errs {
		errs[i] = e
	}
	return errors.Join(errs...)
}

// field is what a key of a mapping means. A nil read is a key of the format whose feature is not there yet.
type field struct {
	key  string
	read func(n ast.Node)
}

// later marks keys that the format has and this version can't honour.
func later(keys ...string) []field {
	fs := make([]field, len(keys))
	for i, k := range keys {
		fs[i].key = k
	}
	return fs
}

// each calls f for every entry of a mapping.
func (d *decoder) each(n ast.Node, path string, f func(key string, at, val ast.Node)) {
	var vals []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		vals = n.Values
	case *ast.MappingValueNode:
		vals = []*ast.MappingValueNode{n}
	default:
		d.fail(n, "%smust be a mapping of keys to values", prefix(path))
		return
	}
	seen := map[string]bool{}
	for _, v := range vals {
		key, ok := v.Key.(*ast.StringNode)
		switch {
		case !ok:
			d.fail(v.Key, "%skeys must be plain words", prefix(path))
		case seen[key.Value]:
			d.fail(key, "%q is given twice", join(path, key.Value))
		default:
			seen[key.Value] = true
			f(key.Value, key, v.Value)
		}
	}
}

// mapping reads a mapping whose keys are all known.
func (d *decoder) mapping(n ast.Node, path string, fields ...field) {
	d.each(n, path, func(key string, at, val ast.Node) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == key })
		if i < 0 {
			known := make([]string, len(fields))
			for j, f := range fields {
				known[j] = f.key
			}
			d.fail(at, "unknown key %q%s", join(path, key), didYouMean(key, known))
			return
		}
		if fields[i].read == nil {
			d.fail(at, "%q is not supported yet: this version would ignore it, so remove it", join(path, key))
			return
		}
		fields[i].read(val)
	})
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func prefix(path string) string {
	if path == "" {
		return "the file: "
	}
	return path + ": "
}

// scalar returns a scalar's text and whether it was written as text.
func scalar(n ast.Node) (s string, text, ok bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true, true
	case *ast.LiteralNode:
		return n.Value.Value, true, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, false, true
	}
	return "", false, false
}

// text reads text of one or more lines.
func (d *decoder) text(path string, limit int, into *string) func(ast.Node) {
	return func(n ast.Node) {
		s, text, ok := scalar(n)
		if !ok || !text {
			d.fail(n, "%s must be text%s", path, map[bool]string{true: ": quote it", false: ""}[ok])
			return
		}
		if err := checkWords(path, s, limit); err != nil {
			d.fail(n, "%v", err)
			return
		}
		*into = tidy(s)
	}
}

// list reads a sequence of texts, each checked.
func (d *decoder) list(path string, check func(string) error, into *[]string) func(ast.Node) {
	return func(n ast.Node) {
		seq, ok := n.(*ast.SequenceNode)
		if !ok {
			d.fail(n, "%s must be a list, as in ['a', 'b']", path)
			return
		}
		if len(seq.Values) > maxList {
			d.fail(n, "%s has %d entries, more than %d", path, len(seq.Values), maxList)
			return
		}
		for i, v := range seq.Values {
			var s string
			before := len(d.errs)
			d.text(fmt.Sprintf("%s[%d]", path, i), maxLine, &s)(v)
			if len(d.errs) > before {
				continue
			}
			if err := check(s); err != nil {
				d.failIn(v, err)
				continue
			}
			*into = append(*into, s)
		}
	}
}

// number reads a number, which may be written with k or M behind it, or none for no bound.
func number(s string) (float64, error) {
	if s == "none" {
		return -1, nil
	}
	scale := 1.0
	switch {
	case strings.HasSuffix(s, "k"):
		s, scale = s[:len(s)-1], 1e3
	case strings.HasSuffix(s, "M"):
		s, scale = s[:len(s)-1], 1e6
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no number", s)
	}
	if f *= scale; !(f > 0 && f <= 1e12) {
		return 0, errors.New("must be more than 0; write none for no bound")
	}
	return f, nil
}

func (d *decoder) float(path string, into *float64) func(ast.Node) {
	return func(n ast.Node) {
		s, _, ok := scalar(n)
		f, err := number(s)
		if !ok || err != nil {
			d.fail(n, "%s: give a number, such as 3.50, or none: %v", path, err)
			return
		}
		*into = f
	}
}

func (d *decoder) int(path string, into *int64) func(ast.Node) {
	return func(n ast.Node) {
		var f float64
		before := len(d.errs)
		d.float(path, &f)(n)
		if len(d.errs) == before {
			if f != float64(int64(f)) {
				d.fail(n, "%s must be a whole number, such as 120 or 800k", path)
			}
			*into = int64(f)
		}
	}
}

// duration reads a duration such as 45m, or, where a bound may be lifted, none.
func (d *decoder) duration(path string, none bool, into *time.Duration) func(ast.Node) {
	return func(n ast.Node) {
		s, _, ok := scalar(n)
		if none && s == "none" {
			*into = -1
			return
		}
		v, err := time.ParseDuration(s)
		if !ok || err != nil || v <= 0 || v > maxDuration {
			d.fail(n, "%s: %q must be a duration above 0, such as 90s, 45m or 2h", path, s)
			return
		}
		*into = v
	}
}
