package goals

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// spec is one key of the format, made of the tags of Goal and what it holds. From it files are read, checked and printed, and the JSON Schema and
// the reference are made: a key has one meaning everywhere.
//
// The tag goal is a key's name, or its path from the top of the file; behind a comma: required, named (a list that is written as a mapping by name),
// yaml (only in *.goal.yaml). is names a check (kinds.go), one the only
// values, most the largest number, merge how an import's value is taken.
type spec struct {
	key      string // "" for the items of a list
	doc      string
	is       string
	one      []string
	most     float64
	merge    string // of imports: no, one (not joined, though a list), or "" for joined
	required bool
	named    bool
	yaml     bool

	typ   reflect.Type
	index []int   // of the field in the nearest struct above; nil for a group of keys that has no struct
	keys  []*spec // of a mapping
	item  *spec   // of a list, or of a mapping by name
}

var (
	jsonType     = reflect.TypeFor[json.RawMessage]()
	durationType = reflect.TypeFor[time.Duration]()
)

// format is the whole format.
var format = sync.OnceValue(func() *spec {
	s := &spec{typ: reflect.TypeFor[Goal]()}
	s.keys = append([]*spec{{key: "apiVersion", is: "version", typ: reflect.TypeFor[string](), one: []string{apiVersion}, doc: "The version of the format."}}, keysOf(s.typ)...)
	return s
})

// keysOf are the keys that a struct's fields stand for.
func keysOf(t reflect.Type) []*spec {
	top := &spec{}
	for i := range t.NumField() {
		f := t.Field(i)
		tag, ok := f.Tag.Lookup("goal")
		if !ok {
			continue
		}
		opts := strings.Split(tag, ",")
		path := strings.Split(opts[0], ".")
		into := top
		for _, group := range path[:len(path)-1] {
			into = into.group(group)
		}
		s := &spec{key: path[len(path)-1], doc: f.Tag.Get("doc"), typ: f.Type, index: f.Index}
		s.required, s.named, s.yaml = slices.Contains(opts[1:], "required"), slices.Contains(opts[1:], "named"), slices.Contains(opts[1:], "yaml")
		s.fill(f.Tag)
		into.keys = append(into.keys, s)
	}
	return top.keys
}

// groups say what the keys hold that have no struct of their own.
var groups = map[string]string{
	"scope":  "Globs of the workspace's files, such as 'src/**/*.go'.",
	"accept": "How anyone can tell that it is done. The daemon measures it, not the agent.",
}

func (s *spec) group(key string) *spec {
	for _, k := range s.keys {
		if k.key == key {
			return k
		}
	}
	k := &spec{key: key, doc: groups[key]}
	s.keys = append(s.keys, k)
	return k
}

func (s *spec) fill(tag reflect.StructTag) {
	s.is, s.merge = tag.Get("is"), tag.Get("merge")
	if one := tag.Get("one"); one != "" {
		s.one = strings.Split(one, ",")
	}
	if most := tag.Get("most"); most != "" {
		var err error
		if s.most, err = strconv.ParseFloat(most, 64); err != nil {
			panic(fmt.Sprintf("goals: %s: %v", s.key, err)) // the tags are constants, and every test reads them
		}
	}
	switch t := s.typ; {
	case t == jsonType:
	case t.Kind() == reflect.Slice:
		s.item = &spec{typ: t.Elem(), is: s.is, one: s.one}
		if t.Elem().Kind() == reflect.Struct {
			s.item.keys = keysOf(t.Elem())
		}
		s.is, s.one = "", nil
	case t.Kind() == reflect.Struct:
		s.keys = keysOf(t)
	}
}

// known are the keys of a mapping; those of YAML files only where yaml.
func (s *spec) known(yaml bool) []string {
	var names []string
	for _, k := range s.keys {
		if yaml || !k.yaml {
			names = append(names, k.key)
		}
	}
	return names
}

// find returns the key of a mapping, nil for none.
func (s *spec) find(key string) *spec {
	for _, k := range s.keys {
		if k.key == key {
			return k
		}
	}
	return nil
}

// field returns where in a struct the key's value is.
func (s *spec) field(v reflect.Value) reflect.Value {
	if s.index == nil {
		return v // a group: its keys are fields of the same struct
	}
	return v.FieldByIndex(s.index)
}

// empty reports whether nothing is to be written for the key.
func (s *spec) empty(v reflect.Value) bool {
	if s.key == "apiVersion" {
		return false
	}
	if s.index != nil {
		f := s.field(v)
		return f.IsZero() || f.Kind() == reflect.Slice && f.Len() == 0
	}
	for _, k := range s.keys {
		if !k.empty(v) {
			return false
		}
	}
	return true
}

// apiVersion is the version of the format that this program reads.
const apiVersion = "agentd/v1"
