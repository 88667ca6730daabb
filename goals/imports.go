package goals

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Bounds of what one goal imports.
const (
	maxImports     = 20
	maxImportDepth = 5
)

// Reader reads an imported file. name is slash-separated, as joined from the importing file's name and what it imports.
type Reader func(name string) ([]byte, error)

// ParseWith reads a goal file and what it imports, merged into one goal: lists are joined, and a value that two files give differently is an error. The name,
// description, intent and labels of an imported file are its own; its body follows the goal's.
func ParseWith(name string, data []byte, read Reader) (Goal, error) {
	d := newDecoder(name)
	g, ok := d.file(data)
	if ok && len(d.bad) == 0 && len(g.Imports) > 0 && read != nil {
		m := merger{into: d, read: read, files: map[string]bool{path.Clean(name): true}, sum: sha256.New()}
		m.sum.Write([]byte(g.Hash))
		m.imports(&g, g.Imports, name, path.Base(name), 1)
		g.Merged = slices.Sorted(maps.Keys(m.files))
		g.Hash = hex.EncodeToString(m.sum.Sum(nil))
		g.canonical()
	}
	return d.finish(g, ok, read != nil)
}

// merger merges what a goal imports into it.
type merger struct {
	into  *decoder
	read  Reader
	files map[string]bool
	sum   interface {
		Write([]byte) (int, error)
		Sum([]byte) []byte
	}
}

// imports merges what one file imports. local is from as the goal names it, so that its hash is the same wherever the repository lies.
func (m *merger) imports(g *Goal, names []string, from, local string, depth int) {
	for i, rel := range names {
		at := m.into.places[fmt.Sprintf("imports[%d]", i)]
		if depth > 1 {
			at = m.into.places["imports"]
		}
		name, localName := path.Join(path.Dir(from), rel), path.Join(path.Dir(local), rel)
		switch {
		case m.files[name]:
			continue // twice is once, and a circle ends here
		case depth > maxImportDepth || len(m.files) > maxImports:
			m.into.fail(at, "imports are nested more than %d deep, or more than %d", maxImportDepth, maxImports)
			return
		}
		m.files[name] = true
		data, err := m.read(name)
		if err != nil {
			m.into.fail(at, "import %s: %v", rel, err)
			continue
		}
		m.sum.Write([]byte(localName + "\x00" + hash(data)))
		d := newDecoder(name)
		other, ok := d.file(data)
		if ok {
			for _, f := range other.faults(false) {
				if f.path != "" { // it needs no text of its own
					d.fault(f)
				}
			}
		}
		if len(other.Triggers) > 0 {
			d.fail(d.places["triggers"], "a file that is imported can't have triggers: write them into the importing one")
		}
		if d.failed() {
			m.into.errs = append(m.into.errs, d.errs...)
			continue
		}
		moved := map[string]string{}
		m.merge(format(), reflect.ValueOf(g).Elem(), reflect.ValueOf(other), "", name, moved)
		m.adopt(d, moved)
		if other.Text != "" && other.Text != other.Description {
			g.Text = strings.TrimSpace(g.Text + "\n\n" + other.Text)
		}
		m.imports(g, other.Imports, name, localName, depth+1)
	}
}

// merge puts the values of v into those of into.
func (m *merger) merge(s *spec, into, v reflect.Value, p, file string, moved map[string]string) {
	for _, k := range s.keys {
		if k.merge == "no" || k.key == "apiVersion" || k.empty(v) {
			continue
		}
		m.value(k, k.field(into), k.field(v), join(p, k.key), file, moved)
	}
}

func (m *merger) value(s *spec, into, v reflect.Value, p, file string, moved map[string]string) {
	conflict := func(p string) {
		m.into.fail(m.into.places[p], "%s differs from that of %s, which is imported: give it in one of them", p, file)
	}
	switch {
	case s.item != nil && s.merge != "one":
		for i := range v.Len() {
			item := v.Index(i)
			at, twice := m.same(s, into, item)
			switch {
			case at >= 0 && !twice:
				conflict(join(p, item.FieldByName("Name").String()))
			case at < 0:
				moved[fmt.Sprintf("%s[%d]", p, i)] = fmt.Sprintf("%s[%d]", p, into.Len())
				into.Set(reflect.Append(into, item))
			}
		}
	case s.item == nil && s.keys != nil:
		m.merge(s, into, v, p, file, moved)
	case into.IsZero():
		into.Set(v)
	case !reflect.DeepEqual(into.Interface(), v.Interface()):
		conflict(p)
	}
}

// same finds an item in a list: by its name where it has one, else by all of it.
func (m *merger) same(s *spec, list, item reflect.Value) (at int, equal bool) {
	for i := range list.Len() {
		x := list.Index(i)
		equal := reflect.DeepEqual(x.Interface(), item.Interface())
		if equal || s.named && x.FieldByName("Name").String() == item.FieldByName("Name").String() {
			return i, equal
		}
	}
	return -1, false
}

// adopt takes over the places of an imported file, so that a fault of what it brought is told there.
func (m *merger) adopt(d *decoder, moved map[string]string) {
	for p, n := range d.places {
		to := p
		if end := strings.IndexByte(p, ']'); end > 0 {
			list, ok := moved[p[:end+1]]
			if !ok && !strings.Contains(p, ".probes.") {
				continue // it was there already, and is told where it first stands
			}
			to = list + p[end+1:]
		}
		if m.into.places[to] == nil {
			m.into.places[to] = n
			m.into.files[n] = d.name
		}
	}
}

// file reads one file. ok is false when nothing of it can be used.
func (d *decoder) file(data []byte) (g Goal, ok bool) {
	front, body, ok := d.split(data)
	if !ok {
		return Goal{}, false
	}
	if root := d.parse(front); root != nil {
		d.mapping(format(), "", root, reflect.ValueOf(&g).Elem())
	}
	if len(d.errs) >= maxFaults {
		return Goal{}, false
	}
	g.File, g.Hash = d.name, hash(data)
	if !d.yaml {
		g.Text = tidy(body)
	}
	if g.Name == "" {
		g.Name = nameOf(d.name)
	}
	if g.Text == "" {
		g.Text = g.Description
	}
	g.canonical()
	return g, true
}

// finish checks a goal as a whole; one whose imports were not read only value by value.
func (d *decoder) finish(g Goal, ok, imported bool) (Goal, error) {
	if ok {
		for _, f := range g.faults(len(d.bad) == 0 && (imported || len(g.Imports) == 0)) {
			d.fault(f)
		}
	}
	if d.failed() {
		return Goal{}, d.err()
	}
	return g, nil
}

func newDecoder(name string) *decoder {
	return &decoder{
		name: name, yaml: strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml"), places: map[string]ast.Node{}, files: map[ast.Node]string{},
	}
}
