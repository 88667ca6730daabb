package goals_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"agentd/goals"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// every.goal.md uses every key of the format.
func everyKey(t testing.TB) goals.Goal {
	t.Helper()
	data, err := os.ReadFile("testdata/every.goal.md")
	if err != nil {
		t.Fatal(err)
	}
	g, err := goals.Parse("every.goal.md", data)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestPrintEveryKey(t *testing.T) {
	g := everyKey(t)
	printed := goals.Print(g)
	again, err := goals.Parse("every.goal.md", printed)
	if err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	if diff := cmp.Diff(g, again, cmpopts.IgnoreFields(goals.Goal{}, "Hash", "File")); diff != "" {
		t.Errorf("goal differs after printing (-want +got):\n%s\n%s", diff, printed)
	}
	if twice := goals.Print(again); string(twice) != string(printed) {
		t.Errorf("printed again it differs:\n%s", cmp.Diff(string(printed), string(twice)))
	}
}

func TestPrintYAML(t *testing.T) {
	g := everyKey(t)
	printed := goals.PrintYAML(g)
	again, err := goals.Parse("every.goal.yaml", printed)
	if err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	if diff := cmp.Diff(g, again, cmpopts.IgnoreFields(goals.Goal{}, "Hash", "File")); diff != "" {
		t.Errorf("goal differs after printing (-want +got):\n%s", diff)
	}
}

// A key that is read but not honoured is refused by its name.
func TestUnwired(t *testing.T) {
	g, err := everyKey(t).Fill(map[string]string{"module": "a"})
	if err != nil {
		t.Fatal(err)
	}
	err = g.Supported()
	for _, key := range g.Unwired() {
		if !strings.Contains(err.Error(), key) {
			t.Errorf("%s is not named in %v", key, err)
		}
	}
}

var update = flag.Bool("update", false, "write docs/goal-reference.md anew")

// The page of every key is made from the format, and so is not out of date.
func TestReference(t *testing.T) {
	const page = "../docs/goal-reference.md"
	if *update {
		if err := os.WriteFile(page, goals.Reference(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(goals.Reference()), string(got)); diff != "" {
		t.Errorf("%s is out of date: go test ./goals -run Reference -update\n%s", page, diff)
	}
}

// What Parse takes, the schema takes, and what the schema refuses, Parse refuses.
func TestJSONSchema(t *testing.T) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(goals.JSONSchema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(goals.SchemaFile, doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(goals.SchemaFile)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("testdata/every.goal.md")
	if err != nil {
		t.Fatal(err)
	}
	_, front, _ := strings.Cut(string(data), "---\n")
	front, _, _ = strings.Cut(front, "\n---\n")
	for _, tt := range []struct {
		name, front string
		ok          bool
	}{
		{"every key", front, true},
		{"unknown key", "buget: {usd: 1}", false},
		{"unknown word", "unattended: maybe", false},
		{"wrong type", "labels: a", false},
		{"missing", "policy: [{when: 'true'}]", false},
		{"no bound", "budget: {usd: none, wall: none, tokens: 800k}", true},
		{"zero", "budget: {usd: 0}", false},
		{"bad duration", "budget: {wall: 45}", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var v any
			if err := yaml.Unmarshal([]byte(tt.front), &v); err != nil {
				t.Fatal(err)
			}
			raw, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(doc); (err == nil) != tt.ok {
				t.Errorf("schema says %v", err)
			}
			if _, err := goals.Parse("every.goal.md", []byte("---\n"+tt.front+"\n---\n{{ params.notes }}")); !tt.ok && err == nil {
				t.Error("Parse takes it")
			}
		})
	}
}
