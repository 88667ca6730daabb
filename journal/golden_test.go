package journal_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"agentd/journal"
)

// goldenFile holds records as they were once written, one a line. Lines are added and never changed: each is somebody's
// journal.
const goldenFile = "testdata/events.jsonl"

var update = flag.Bool("update", false, "add a line to the golden file for every kind of event that it does not hold with all fields")

// golden reads the golden file.
func golden(t testing.TB) []journal.Record {
	t.Helper()
	f, err := os.Open(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []journal.Record
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r journal.Record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%s: line %d: %v", goldenFile, len(out)+1, err)
		}
		out = append(out, r)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// kinds returns the values of all constants of type Kind in event.go, so that no list can forget one.
func kinds(t *testing.T) []journal.Kind {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []journal.Kind
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); ok && typ.Name == "Kind" {
			for _, v := range spec.Values {
				s, err := strconv.Unquote(v.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, journal.Kind(s))
			}
		}
		return true
	})
	if len(out) < 20 {
		t.Fatalf("found %d kinds in event.go", len(out))
	}
	return out
}

// TestGolden proves that every event ever written can be read, with nothing lost.
func TestGolden(t *testing.T) {
	for i, r := range golden(t) {
		e, err := r.Decode()
		if err != nil {
			t.Errorf("line %d: %v", i+1, err)
			continue
		}
		if e.Kind() != r.Kind {
			t.Errorf("line %d: a %s decodes as a %s", i+1, r.Kind, e.Kind())
		}
		again, err := journal.Encode(e)
		if err != nil {
			t.Errorf("line %d: %v", i+1, err)
			continue
		}
		if lost := missing("", generic(t, r.Data), generic(t, again.Data)); lost != "" {
			t.Errorf("line %d (%s, version %d): %s is lost or changed: fields are never renamed, removed or reused", i+1, r.Kind, r.V, lost)
		}
	}
}

// TestGoldenIsComplete fails for a new kind, or a new field of one, that the golden file does not hold yet.
func TestGoldenIsComplete(t *testing.T) {
	have := make(map[journal.Kind]map[string]bool)
	for _, r := range golden(t) {
		if have[r.Kind] == nil {
			have[r.Kind] = make(map[string]bool)
		}
		paths("", generic(t, r.Data), have[r.Kind])
	}
	for i, kind := range kinds(t) {
		e, err := journal.Record{Kind: kind, V: 1, Data: []byte("{}")}.Decode()
		if err != nil {
			t.Errorf("Decode does not know a kind: %v", err)
			continue
		}
		full := reflect.New(reflect.TypeOf(e)).Elem()
		populate(full, "x")
		r, err := journal.Encode(full.Interface().(journal.Event))
		if err != nil {
			t.Fatal(err)
		}
		want := make(map[string]bool)
		paths("", generic(t, r.Data), want)
		var absent []string
		for p := range want {
			if !have[kind][p] {
				absent = append(absent, p)
			}
		}
		if have[kind] != nil && len(absent) == 0 {
			continue
		}
		if *update {
			r.Run, r.Seq, r.Time = "golden", journal.Seq(i+1), time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
			addGolden(t, r)
			continue
		}
		t.Errorf("%s holds no %s with the fields %q: run go test ./journal -run Golden -update", goldenFile, kind, absent)
	}
}

func addGolden(t *testing.T, r journal.Record) {
	t.Helper()
	line, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(goldenFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "%s\n", line); err != nil {
		t.Fatal(err)
	}
}

// populate sets every field to something that is not its zero value.
func populate(v reflect.Value, name string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(name)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Float64:
		v.SetFloat(0.5)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		populate(v.Elem(), name)
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			v.SetBytes([]byte(`{"a":1}`))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		populate(v.Index(0), name)
	case reflect.Map:
		key, val := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		populate(key, name)
		populate(val, name)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, val)
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				populate(v.Field(i), strings.ToLower(f.Name))
			}
		}
	default:
		panic(fmt.Sprintf("populate %s: events have no fields of the kind %s yet", name, v.Kind()))
	}
}

// generic decodes JSON with numbers kept as written.
func generic(t *testing.T, data []byte) any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// paths collects the paths of all values in v.
func paths(at string, v any, into map[string]bool) {
	into[at] = true
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			paths(at+"."+k, e, into)
		}
	case []any:
		for _, e := range v {
			paths(at+"[]", e, into)
		}
	}
}

// missing returns the path of the first value in want that got does not hold, "" if it holds all.
func missing(at string, want, got any) string {
	switch want := want.(type) {
	case map[string]any:
		have, ok := got.(map[string]any)
		if !ok {
			return at
		}
		for k, e := range want {
			if m := missing(at+"."+k, e, have[k]); m != "" {
				return m
			}
		}
	case []any:
		have, ok := got.([]any)
		if !ok || len(have) != len(want) {
			return at + "[]"
		}
		for i, e := range want {
			if m := missing(at+"[]", e, have[i]); m != "" {
				return m
			}
		}
	default:
		if want != got {
			return at
		}
	}
	return ""
}

// FuzzDecode reads records of any content: what can be read is written back the same, and folds without a panic.
func FuzzDecode(f *testing.F) {
	for _, r := range golden(f) {
		f.Add(string(r.Kind), r.V, []byte(r.Data))
	}
	f.Add("", 0, []byte(nil))
	f.Add("noted", 2, []byte(`{}`))
	f.Fuzz(func(t *testing.T, kind string, v int, data []byte) {
		e, err := journal.Record{Run: "r", Seq: 1, Kind: journal.Kind(kind), V: v, Data: data}.Decode()
		if err != nil {
			return
		}
		r, err := journal.Encode(e)
		if err != nil {
			return // e.g. arguments of a tool that are no JSON any more
		}
		again, err := r.Decode()
		if err != nil {
			t.Fatalf("%s is written as %s, which can't be read: %v", data, r.Data, err)
		}
		// Empty and absent lists are the same: compare what is written.
		r2, err := journal.Encode(again)
		if err != nil || !bytes.Equal(r.Data, r2.Data) {
			t.Fatalf("%s is written as %s and then as %s, %v", data, r.Data, r2.Data, err)
		}
		var s journal.State
		for range 2 {
			s.Push(e, time.Unix(1, 0))
		}
		s.Summary()
	})
}
