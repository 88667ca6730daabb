package goals

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"agentd/policy"

	"github.com/goccy/go-yaml/ast"
)

// Bounds of what one file makes the decoder do.
const (
	maxFaults = 20 // faults of one file that are told at once
	maxDepth  = 40 // of a JSON value
)

// decoder turns YAML nodes into a goal and notes each fault with its place.
type decoder struct {
	name   string // of the file
	yaml   bool
	errs   []*Error
	places map[string]ast.Node // of what was read, by path
	files  map[ast.Node]string // the file of a place that is in an imported one
	bad    []string            // paths of what could not be read
}

func (d *decoder) failAt(line, col int, format string, args ...any) {
	d.failIn(d.name, line, col, format, args...)
}

func (d *decoder) failIn(file string, line, col int, format string, args ...any) {
	if len(d.errs) < maxFaults {
		d.errs = append(d.errs, &Error{File: file, Line: line, Col: col, Msg: fmt.Sprintf(format, args...)})
	}
}

func (d *decoder) fail(n ast.Node, format string, args ...any) {
	line, col := 0, 0
	if n != nil {
		if t := n.GetToken(); t != nil && t.Position != nil {
			line, col = t.Position.Line, t.Position.Column
		}
	}
	file := d.name
	if f, ok := d.files[n]; ok {
		file = f
	}
	d.failIn(file, line, col, format, args...)
}

// fault notes a fault of a goal at the place of what it is about, or of the nearest thing above.
func (d *decoder) fault(f fault) {
	for _, b := range d.bad {
		if strings.HasPrefix(f.path, b) || strings.HasPrefix(b, f.path) {
			return // that it could not be read has been told
		}
	}
	for path := f.path; ; {
		if n := d.places[path]; n != nil {
			d.failWithin(n, f.err)
			return
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			d.fail(nil, "%v", f.err)
			return
		}
		path = path[:i]
	}
}

// failWithin notes a fault within a scalar, at its own place where the fault has one in a text of one line.
func (d *decoder) failWithin(n ast.Node, err error) {
	e, ok := errors.AsType[*policy.Error](err)
	t := n.GetToken()
	if !ok || e.Line != 1 || t == nil || t.Position == nil {
		d.fail(n, "%v", err)
		return
	}
	col := t.Position.Column + e.Col - 1
	if o := strings.TrimSpace(t.Origin); strings.HasPrefix(o, "'") || strings.HasPrefix(o, `"`) {
		col++
	}
	file := d.name
	if f, ok := d.files[n]; ok {
		file = f
	}
	d.failIn(file, t.Position.Line, col, "%s", e.Msg)
}

func (d *decoder) err() error {
	slices.SortStableFunc(d.errs, func(a, b *Error) int {
		if a.File != b.File {
			return strings.Compare(a.File, b.File)
		}
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

func (d *decoder) failed() bool { return len(d.errs) > 0 }

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

// mapping reads the keys of s into the struct v.
func (d *decoder) mapping(s *spec, path string, n ast.Node, v reflect.Value) {
	seen := map[string]bool{}
	d.each(n, path, func(key string, at, val ast.Node) {
		k := s.find(key)
		if k == nil || k.yaml && !d.yaml {
			d.fail(at, "unknown key %q%s", join(path, key), didYouMean(key, s.known(d.yaml)))
			return
		}
		seen[key] = true
		p := join(path, key)
		d.places[p] = val
		d.value(k, p, val, k.field(v))
	})
	for _, k := range s.keys {
		if k.required && !seen[k.key] {
			d.fail(n, "%s is missing", join(path, k.key))
		}
	}
}

// value reads one value into v, and notes the path if it can't.
func (d *decoder) value(s *spec, path string, n ast.Node, v reflect.Value) {
	errs, bad := len(d.errs), len(d.bad)
	d.read(s, path, n, v)
	if len(d.errs) > errs && len(d.bad) == bad {
		d.bad = append(d.bad, path)
	}
}

func (d *decoder) read(s *spec, path string, n ast.Node, v reflect.Value) {
	switch {
	case s.is == "version":
		if text, _, _ := scalar(n); text != apiVersion {
			d.fail(n, "apiVersion %q is not known: this program reads %s", text, apiVersion)
		}
	case s.named:
		d.named(s, path, n, v)
	case s.item != nil:
		d.list(s, path, n, v)
	case s.keys != nil:
		d.mapping(s, path, n, v)
	case s.typ == jsonType:
		d.json(path, n, v)
	case s.typ == durationType:
		d.duration(s, path, n, v)
	default:
		d.scalar(s, path, n, v)
	}
}

// list reads a sequence.
func (d *decoder) list(s *spec, path string, n ast.Node, v reflect.Value) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fail(n, "%s must be a list, as in ['a', 'b']", path)
		return
	}
	if len(seq.Values) > maxList {
		d.fail(n, "%s has %d entries, more than %d", path, len(seq.Values), maxList)
		return
	}
	list := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
	for i, item := range seq.Values {
		p := fmt.Sprintf("%s[%d]", path, i)
		d.places[p] = item
		d.value(s.item, p, item, list.Index(i))
	}
	if len(seq.Values) > 0 {
		v.Set(list)
	}
}

// named reads a mapping whose keys are the names of its items.
func (d *decoder) named(s *spec, path string, n ast.Node, v reflect.Value) {
	d.each(n, path, func(key string, at, val ast.Node) {
		if v.Len() == maxList {
			d.fail(at, "%s has more than %d entries", path, maxList)
			return
		}
		item := reflect.New(v.Type().Elem()).Elem()
		item.FieldByName("Name").SetString(key)
		p := join(path, key)
		d.places[p] = at
		d.value(s.item, p, val, item)
		v.Set(reflect.Append(v, item)) // a faulty one too: conditions that use it are no further fault
	})
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

func (d *decoder) scalar(s *spec, path string, n ast.Node, v reflect.Value) {
	text, isText, ok := scalar(n)
	switch v.Kind() {
	case reflect.String:
		if !ok || !isText && s.is != "value" {
			d.fail(n, "%s must be text%s", path, map[bool]string{true: ": quote it", false: ""}[ok])
			return
		}
		v.SetString(tidy(text))
	case reflect.Bool:
		b, isBool := n.(*ast.BoolNode)
		if !isBool {
			d.fail(n, "%s must be true or false", path)
			return
		}
		v.SetBool(b.Value)
	case reflect.Pointer:
		into := reflect.New(v.Type().Elem())
		before := len(d.errs)
		d.number(s, path, n, into.Elem())
		if len(d.errs) == before {
			v.Set(into)
		}
	default:
		d.number(s, path, n, v)
	}
}

// number reads a number. A bound may be none, and is never 0; a limit may be a size.
func (d *decoder) number(s *spec, path string, n ast.Node, v reflect.Value) {
	text, _, ok := scalar(n)
	whole := v.Kind() == reflect.Int || v.Kind() == reflect.Int64
	example := map[bool]string{true: "120 or 800k", false: "3.50"}[whole]
	if s.is == "bound" {
		example += ", or none"
	}
	f, err := parseNumber(text, s.is == "bound")
	if s.is == "limit" && err != nil {
		f, err = parseSize(text)
	}
	switch {
	case !ok || err != nil:
		d.fail(n, "%s: give a number, such as %s: %v", path, example, errors.Join(err, map[bool]error{true: nil, false: errors.New("this is no number")}[ok || err != nil]))
		return
	case whole && f != math.Trunc(f):
		d.fail(n, "%s must be a whole number, such as %s", path, example)
		return
	case s.most > 0 && (f < 0 || f > s.most):
		d.fail(n, "%s: %s is not within 0 to %s", path, text, formatNumber(s.most))
		return
	}
	if whole {
		v.SetInt(int64(f))
	} else {
		v.SetFloat(f)
	}
}

// parseNumber reads a number, which may be written with k or M behind it; a bound is above 0, or none, which is -1.
func parseNumber(s string, bound bool) (float64, error) {
	if bound && s == "none" {
		return -1, nil
	}
	digits, scale := strings.ReplaceAll(s, "_", ""), 1.0
	switch {
	case strings.HasSuffix(s, "k"):
		digits, scale = digits[:len(digits)-1], 1e3
	case strings.HasSuffix(s, "M"):
		digits, scale = digits[:len(digits)-1], 1e6
	}
	f, err := strconv.ParseFloat(digits, 64)
	f *= scale
	switch {
	case err != nil || math.IsNaN(f) || strings.ContainsAny(digits, "xXpP"):
		return 0, fmt.Errorf("%q is no number", s)
	case math.Abs(f) > 1e12:
		return 0, errors.New("it is beyond 1000000000000")
	case bound && f <= 0:
		return 0, errors.New("it must be more than 0; write none for no bound")
	}
	return f, nil
}

// sizes are the units of sizes, the largest first.
var sizes = []struct {
	unit  string
	bytes float64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

func parseSize(s string) (float64, error) {
	for _, u := range sizes {
		if n, ok := strings.CutSuffix(s, u.unit); ok {
			f, err := strconv.ParseFloat(n, 64)
			if err != nil || f < 0 || f*u.bytes > 1e12 {
				break
			}
			return f * u.bytes, nil
		}
	}
	return 0, fmt.Errorf("%q is neither a number nor a size such as 64KiB", s)
}

// duration reads a duration such as 45m, or, where a bound may be lifted, none.
func (d *decoder) duration(s *spec, path string, n ast.Node, v reflect.Value) {
	text, _, ok := scalar(n)
	if s.is == "bound" && text == "none" {
		v.SetInt(-1)
		return
	}
	t, err := time.ParseDuration(text)
	if !ok || err != nil || t <= 0 || t > maxDuration {
		d.fail(n, "%s: %q must be a duration above 0, such as 90s, 45m or 2h", path, text)
		return
	}
	v.SetInt(int64(t))
}

// json reads any value as compact JSON, its keys in the order of the file.
func (d *decoder) json(path string, n ast.Node, v reflect.Value) {
	var b bytes.Buffer
	before := len(d.errs)
	d.encode(&b, path, n, 0)
	if len(d.errs) == before {
		v.SetBytes(b.Bytes())
	}
}

func (d *decoder) encode(b *bytes.Buffer, path string, n ast.Node, depth int) {
	if depth > maxDepth {
		d.fail(n, "%s is nested more than %d deep", path, maxDepth)
		return
	}
	switch n := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		b.WriteByte('{')
		first := true
		d.each(n, path, func(key string, _, val ast.Node) {
			if !first {
				b.WriteByte(',')
			}
			first = false
			quoteJSON(b, key)
			b.WriteByte(':')
			d.encode(b, join(path, key), val, depth+1)
		})
		b.WriteByte('}')
	case *ast.SequenceNode:
		b.WriteByte('[')
		for i, val := range n.Values {
			if i > 0 {
				b.WriteByte(',')
			}
			d.encode(b, fmt.Sprintf("%s[%d]", path, i), val, depth+1)
		}
		b.WriteByte(']')
	case *ast.NullNode:
		b.WriteString("null")
	case *ast.BoolNode:
		b.WriteString(strconv.FormatBool(n.Value))
	case *ast.IntegerNode, *ast.FloatNode:
		f, err := parseNumber(n.GetToken().Value, false)
		if err != nil {
			d.fail(n, "%s: %v", path, err)
		}
		b.WriteString(formatNumber(f))
	default:
		s, _, ok := scalar(n)
		if err := checkWords(path, s, MaxText); err != nil || !ok {
			d.fail(n, "%s: this can't be read as JSON: write plain text, numbers, lists and mappings", path)
		}
		quoteJSON(b, s)
	}
}

func quoteJSON(b *bytes.Buffer, s string) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // strings always encode
	}
	b.Truncate(b.Len() - 1) // the line end
}
