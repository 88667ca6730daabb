package args_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentd/tools/args"
)

func TestDecode(t *testing.T) {
	for _, tc := range []struct {
		raw   string
		want  args.Code
		wrong string
	}{
		{`{"language":"go","source":"x"}`, args.Code{Language: "go", Source: "x"}, ""},
		{`{"language":"go","source":"x","timeout":"30","stdin":null}`, args.Code{Language: "go", Source: "x", Timeout: 30}, ""},
		{`{"language":"go","source":"","timeout":3e1}`, args.Code{Language: "go", Timeout: 30}, ""},
		{`{"language":"go","source":"x","timeout":""}`, args.Code{Language: "go", Source: "x"}, ""},
		{`"{\"language\":\"go\",\"source\":\"x\"}"`, args.Code{Language: "go", Source: "x"}, ""},
		{`{"language":"ruby","source":"x"}`, args.Code{}, `argument "language" must be a string, one of python, node, bash, go, not "ruby"`},
		{`{"language":"go"}`, args.Code{}, `argument "source" is missing: give a string`},
		{``, args.Code{}, `argument "language" is missing`},
		{`null`, args.Code{}, `argument "language" is missing`},
		{`{"language":"go","source":["x"]}`, args.Code{}, `argument "source" must be a string, not ["x"]`},
		{`{"language":"go","source":7}`, args.Code{}, `argument "source" must be a string, not 7`},
		{`{"language":"go","source":"x","timeout":1.5}`, args.Code{}, `argument "timeout" must be a whole number, not 1.5`},
		{`{"language":"go","source":"x","timeout":"soon"}`, args.Code{}, `must be a whole number, not "soon"`},
		{`{"language":"go","source":"x","timeout":1e99}`, args.Code{}, `must be a whole number`},
		{`{"language":"go","source_code":"x"}`, args.Code{}, `there is no argument "source_code": did you mean "source"?`},
		{`{"language":"go","source":"x","langage":"go"}`, args.Code{}, `there is no argument "langage"`},
		{`{"language":"go","source":"x","zzz":1}`, args.Code{}, `the arguments are language, source, stdin, timeout`},
		{`{"language":"go","language":"node","source":"x"}`, args.Code{}, `"language" is given twice`},
		{`{"language":"go","source":"x`, args.Code{}, "they break off after 28 bytes"},
		{`{"language":"go" "source":"x"}`, args.Code{}, "not valid JSON near byte"},
		{strings.Repeat("9", 5000), args.Code{}, "not valid JSON near byte"},
		{`[1]`, args.Code{}, "must be one JSON object"},
		{`"text"`, args.Code{}, "not valid JSON"},
		{`{"language":"go","source":"x"} {}`, args.Code{}, "something behind it"},
		{`{"language":"go","source":"` + strings.Repeat("x", args.MaxBytes) + `"}`, args.Code{}, "more than 4194304"},
	} {
		got, err := args.Decode[args.Code](json.RawMessage(tc.raw))
		if tc.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), tc.wrong) {
				t.Errorf("%.60s: got %v, want an error with %q", tc.raw, err, tc.wrong)
			}
		} else if err != nil || got != tc.want {
			t.Errorf("%.60s: got %+v, %v; want %+v", tc.raw, got, err, tc.want)
		}
	}
	got, err := args.Decode[args.EditFile](json.RawMessage(`{"path":"a","old":"b","new":"c","all":"true"}`))
	if want := (args.EditFile{Path: "a", Old: "b", New: "c", All: true}); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := args.Decode[args.EditFile](json.RawMessage(`{"path":"a","old":"b","new":"c","all":"yes"}`)); err == nil {
		t.Error("yes was taken for true")
	}
}

func TestSchema(t *testing.T) {
	got := string(args.Schema[args.Code]())
	want := `{"type":"object","properties":{"language":{"type":"string","enum":["python","node","bash","go"]},` +
		`"source":{"type":"string","description":"the whole program"},"stdin":{"type":"string"},"timeout":{"type":"integer"}},"required":["language","source"]}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := string(args.Schema[args.ListFiles]()); strings.Contains(got, "required") || !json.Valid([]byte(got)) {
		t.Errorf("got %s", got)
	}
}

// What was decoded and encoded again decodes to the same: a restarted run reads its journal so.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"path":"a","old":"b","new":"c","all":true}`, `{"path":1}`, `"{}"`, `{"path":"a","old":"b","new":"c","all":"false"}`, `{"a":{"b":[[[`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := args.Decode[args.EditFile](raw)
		if err != nil {
			if len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		canon, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		again, err := args.Decode[args.EditFile](canon)
		if err != nil || !cmp.Equal(a, again) {
			t.Errorf("%s became %+v, then %+v, %v", raw, a, again, err)
		}
	})
}
