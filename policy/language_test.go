package policy_test

import (
	"encoding/json"
	"strings"
	"testing"

	"agentd/policy"
)

func testLanguage(t testing.TB) *policy.Language {
	t.Helper()
	l, err := policy.NewLanguage(policy.Names{
		Probes: []policy.Probe{
			{Name: "tests", Tests: true},
			{Name: "data", JSON: true, Schema: json.RawMessage(`{"type":"object","required":["total","rows"],"properties":{"total":{"type":"integer"},"note":{"type":"string"},"rows":{"type":"array","items":{"type":"object","required":["name"],"properties":{"name":{"type":"string"}}}}}}`)},
			{Name: "loose", JSON: true},
			{Name: "table", Table: true},
			{Name: "log", Pattern: true},
			{Name: "page", HTTP: true},
		},
		Params: []policy.Param{{Name: "most", Type: "int"}, {Name: "share", Type: "float"}, {Name: "dry", Type: "bool"}, {Name: "name", Type: "string"}},
		Tasks: []policy.Task{
			{ID: "inventory", Out: json.RawMessage(`{"type":"array","items":{"type":"object","properties":{"dir":{"type":"string"},"n":{"type":"integer"}}}}`)},
			{ID: "loose-one", Out: json.RawMessage(`{"type":"array"}`)},
			{ID: "free", Out: json.RawMessage(`{"type":"array"}`)},
		},
		Scope: policy.Scope{Write: []string{"src/**", "*.md"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func testFacts() policy.Facts {
	return policy.Facts{
		Results: map[string]policy.ProbeResult{
			"tests": {Passed: 12, Read: true},
			"data":  {Read: true, JSON: json.RawMessage(`{"total": 3, "rows": [{"name": "a"}, {"name": "b"}]}`)},
			"loose": {Read: true, JSON: json.RawMessage(`{"a": {"b": [1, 2.5]}, "s": "x", "t": true}`)},
			"table": {Read: true, Rows: 4, Columns: []string{"name", "price"}},
			"log":   {Read: true, Count: 2, Text: "17", Value: 17},
			"page":  {Status: 200, Output: "fine"},
		},
		Base:   map[string]policy.ProbeResult{"tests": {Passed: 10, Read: true}, "data": {}},
		Diff:   &policy.Diff{Files: []string{"src/a.go", "x.md"}, Created: []string{"x.md"}, Lines: 7},
		Params: map[string]string{"most": "60", "share": "0.5", "dry": "true", "name": "x"},
		Tasks:  map[string]json.RawMessage{"inventory": json.RawMessage(`[{"dir":"a","n":1,"extra":true},{"dir":"b"}]`), "free": json.RawMessage(`[1,{"x":[2]}]`)},
	}
}

func TestRequire(t *testing.T) {
	l := testLanguage(t)
	for _, tc := range []struct {
		src  string
		want bool
		err  string
	}{
		{"tests.passed >= base.tests.passed", true, ""},
		{"let b = base; tests.passed > b.tests.passed + 5", false, ""},
		{"tests.ok || base.data.value.total == 3", false, `probe "data" gave nothing that its parser can read before the run`},
		{"tests.ok || base.table.ok", false, `probe "table" was not measured before the run`},
		{"data.value.total == 3 && len(data.value.rows) == 2 && all(data.value.rows, .name != '')", true, ""},
		{`numberAt(data.json, "total") == 3 && hasAt(data.json, "note") == false`, true, ""},
		{`numberAt(loose.json, "a.b.1") == 2.5 && textAt(loose.json, "s") == "x" && boolAt(loose.json, "t") && sizeAt(loose.json, "a.b") == 2`, true, ""},
		{`numberAt(loose.json, "a.c") > 0`, false, `there is no number at "a.c"`},
		{`numberAt(loose.json, "s") > 0`, false, `there is no number at "s"`},
		{`table.rows == 4 && "price" in table.columns`, true, ""},
		{`log.count == 2 && log.value > 16 && log.text == "17"`, true, ""},
		{`page.status == 200 && page.output contains "fine"`, true, ""},
		{"all(diff.files, within(#, scope.write)) && len(diff.files) < params.most", true, ""},
		{"len(diff.created) == 1 && diff.lines / 2 > params.share && params.dry && params.name == 'x'", true, ""},
		{"tests.ok || cost < 1", false, "cost is not known here"},
	} {
		c, err := l.Require(tc.src)
		if err != nil {
			t.Errorf("%q: %v", tc.src, err)
			continue
		}
		got, err := c.Eval(testFacts())
		if got != tc.want || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%q: got %v, %v; want %v, %q", tc.src, got, err, tc.want, tc.err)
		}
	}
	for src, want := range map[string]string{
		"data.value.note == 'x'":       `unknown field "note"`,
		"data.value.totl == 3":         `did you mean "total"?`,
		"data.value.total == '3'":      "mismatched types",
		"loose.value == 1":             `unknown field "value"`,
		"page.stauts == 200":           `did you mean "status"?`,
		"params.mots > 1 && tests.ok":  `did you mean "most"?`,
		"params.most > 1":              "measures nothing",
		"within('a', 'b') && tests.ok": "",
	} {
		if _, err := l.Require(src); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", src, err, want)
		}
	}
	f := testFacts()
	f.Diff = nil
	c, err := l.Require("len(diff.files) < 3")
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := c.Eval(f); ok || err == nil {
		t.Errorf("an unknown diff gave %v, %v", ok, err)
	}
}

func TestStop(t *testing.T) {
	l := testLanguage(t)
	f := testFacts()
	f.Progress = &policy.Progress{Cost: 1.5, Tokens: 100, Steps: 9, Minutes: 3, Stall: policy.Stall{Steps: 8}, Plan: policy.PlanProgress{Tasks: 3, Failed: 2}}
	for src, want := range map[string]bool{
		"stall.steps >= 8":                           true,
		"cost > 2 || tokens > 1000 || minutes > 5.5": false,
		"plan.failed == 2 && steps == 9":             true,
		"tests.failed > base.tests.failed + 20":      false,
	} {
		c, err := l.Stop(src)
		if err != nil {
			t.Errorf("%q: %v", src, err)
			continue
		}
		if got, err := c.Eval(f); err != nil || got != want {
			t.Errorf("%q: got %v, %v", src, got, err)
		}
	}
}

func TestEach(t *testing.T) {
	l := testLanguage(t)
	for _, tc := range []struct{ src, want, err string }{
		{"tasks.inventory.out", `{"dir":"a","n":1} {"dir":"b","n":0}`, ""},
		{"filter(tasks.inventory.out, .n > 0)", `{"dir":"a","n":1}`, ""},
		{"map(tasks.inventory.out, .dir)", `"a" "b"`, ""},
		{"tasks.free.out", `1 {"x":[2]}`, ""},
		{"tasks.inventroy.out", "", `did you mean "inventory"?`},
		{"tasks.inventory.out[0].dir", "", "expected slice"},
	} {
		c, err := l.Each(tc.src)
		if err != nil {
			if tc.err == "" || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%q: %v", tc.src, err)
			}
			continue
		}
		items, err := c.Items(testFacts())
		if err != nil {
			t.Errorf("%q: %v", tc.src, err)
			continue
		}
		var got []string
		for _, i := range items {
			got = append(got, string(i))
		}
		if g := strings.Join(got, " "); g != tc.want {
			t.Errorf("%q: got %s, want %s", tc.src, g, tc.want)
		}
	}
}

func BenchmarkCondition(b *testing.B) {
	l := testLanguage(b)
	c, err := l.Require("tests.failed == 0 && tests.passed >= base.tests.passed && all(diff.files, within(#, scope.write))")
	if err != nil {
		b.Fatal(err)
	}
	f := testFacts()
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := c.Eval(f); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

func BenchmarkLanguage(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		l := testLanguage(b)
		if _, err := l.Require("tests.failed == 0 && tests.passed >= base.tests.passed"); err != nil {
			b.Fatal(err)
		}
	}
}
