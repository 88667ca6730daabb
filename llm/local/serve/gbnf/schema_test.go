package gbnf_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"agentd/llm/local/serve/gbnf"
)

func TestFromSchema(t *testing.T) {
	tests := []struct {
		name, schema string
		good, bad    []string
	}{
		{
			"required members keep the schema's order",
			`{"type":"object","properties":{"b":{"type":"string"},"a":{"type":"integer"}},"required":["a","b"]}`,
			[]string{`{"b":"x","a":1}`, `{"b": "", "a": -12}`, "{\n  \"b\": \"x\",\n  \"a\": 0\n}"},
			[]string{`{"a":1,"b":"x"}`, `{"b":"x"}`, `{"b":"x","a":1,"c":2}`, `{"b":"x","a":01}`, `{"b":"x","a":1`, `{"b":"x" "a":1}`},
		},
		{
			"optional members may be missing anywhere",
			`{"type":"object","properties":{"a":{"type":"boolean"},"b":{"type":"null"},"c":{"type":"number"},"d":{"type":"string"}},"required":["c"]}`,
			[]string{`{"c":1.5}`, `{"a":true,"c":-1e5}`, `{"b":null,"c":0,"d":"x"}`, `{"a":false,"b":null,"c":3,"d":""}`},
			[]string{`{}`, `{"a":true}`, `{"c":1,"b":null}`, `{"a":true,"c":1,}`, `{,"c":1}`, `{"c":.5}`},
		},
		{
			"all optional",
			`{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}}}`,
			[]string{`{}`, `{"a":1}`, `{"b":1}`, `{"a":1, "b":2}`},
			[]string{`{"b":1,"a":2}`, `{"a":1,}`},
		},
		{
			"free object",
			`{"type":"object"}`,
			[]string{`{}`, `{"x":[1,{"y":null},"z\n"],"é":"\u00e9"}`},
			[]string{`[]`, `{"x"}`, `{x:1}`, "{\"x\":\"a\nb\"}"},
		},
		{
			"more members of one type",
			`{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"],"additionalProperties":{"type":"boolean"}}`,
			[]string{`{"a":1}`, `{"a":1,"x":true,"y":false}`},
			[]string{`{"x":true}`, `{"a":1,"x":2}`},
		},
		{
			"map",
			`{"type":"object","additionalProperties":{"type":"string"}}`,
			[]string{`{}`, `{"k":"v","l":"w"}`},
			[]string{`{"k":1}`},
		},
		{
			"array with bounds",
			`{"type":"array","minItems":1,"maxItems":3,"items":{"type":"integer"}}`,
			[]string{`[1]`, `[1,2]`, "[\n  1,\n  2,\n  3\n]"},
			[]string{`[]`, `[1,2,3,4]`, `["a"]`, `[1,]`},
		},
		{
			"array without bounds",
			`{"items":{"type":"array","maxItems":0}}`,
			[]string{`[]`, `[[],[]]`},
			[]string{`[[1]]`},
		},
		{
			"string with bounds",
			`{"type":"string","minLength":2,"maxLength":4}`,
			[]string{`"ab"`, `"éééé"`, `"a\n\u0041\""`},
			[]string{`"a"`, `"abcde"`, `""`},
		},
		{
			"enum and const",
			`{"type":"object","properties":{"e":{"enum":["a\"b","c",3,null,true]},"k":{"const":"v"}},"required":["e","k"]}`,
			[]string{`{"e":"a\"b","k":"v"}`, `{"e":3,"k":"v"}`, `{"e":null,"k":"v"}`},
			[]string{`{"e":"d","k":"v"}`, `{"e":"c","k":"w"}`},
		},
		{
			"union",
			`{"anyOf":[{"type":"string"},{"type":["integer","null"]}]}`,
			[]string{`"x"`, `4`, `null`},
			[]string{`true`, `[]`},
		},
		{
			"nullable", `{"type":"string","nullable":true}`, []string{`"x"`, `null`}, []string{`1`},
		},
		{
			"recursion",
			`{"$ref":"#/$defs/tree","$defs":{"tree":{"type":"object","properties":{"v":{"type":"integer"},"kids":{"type":"array","items":{"$ref":"#/$defs/tree"}}},"required":["v"]}}}`,
			[]string{`{"v":1}`, `{"v":1,"kids":[{"v":2,"kids":[]},{"v":3}]}`},
			[]string{`{"kids":[]}`, `{"v":1,"kids":[1]}`},
		},
		{
			"pointer escapes",
			`{"properties":{"x":{"$ref":"#/definitions/a~1b"}},"definitions":{"a/b":{"type":"integer"}}}`,
			[]string{`{"x":1}`}, []string{`{"x":"1"}`},
		},
		{"anything", `true`, []string{`1`, `{"a":[]}`}, []string{``, `{`}},
		{"says nothing", `{"description":"free"}`, []string{`"x"`}, []string{`x`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text, err := gbnf.FromSchema([]byte(tt.schema))
			if err != nil {
				t.Fatal(err)
			}
			g, err := parseGrammar(text)
			if err != nil {
				t.Fatalf("grammar: %v\n%s", err, text)
			}
			for _, v := range tt.good {
				if !json.Valid([]byte(v)) {
					t.Fatalf("the test's %s isn't JSON", v)
				}
				if !g.matches(v) {
					t.Errorf("refuses %s\n%s", v, text)
				}
			}
			for _, v := range tt.bad {
				if g.matches(v) {
					t.Errorf("admits %s\n%s", v, text)
				}
			}
		})
	}
}

func TestIntegerBounds(t *testing.T) {
	for _, b := range []struct{ low, high int }{
		{0, 0}, {0, 9}, {1, 3600}, {7, 7}, {-5, 5}, {-120, -3}, {95, 105}, {99, 1000}, {10, 19}, {123, 987}, {0, 1000}, {-1, 0},
	} {
		schema := fmt.Sprintf(`{"type":"integer","minimum":%d,"maximum":%d}`, b.low, b.high)
		text, err := gbnf.FromSchema([]byte(schema))
		if err != nil {
			t.Fatal(err)
		}
		g, err := parseGrammar(text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		for v := b.low - 130; v <= b.high+130; v++ {
			if got, want := g.matches(fmt.Sprint(v)), v >= b.low && v <= b.high; got != want {
				t.Errorf("%s: %d admitted is %v, want %v\n%s", schema, v, got, want, text)
			}
		}
	}
	for _, tt := range []struct {
		schema string
		good   []int
		bad    []int
	}{
		{`{"type":"integer","minimum":1}`, []int{1, 10, 999999}, []int{0, -1}},
		{`{"type":"integer","exclusiveMinimum":1,"exclusiveMaximum":4}`, []int{2, 3}, []int{1, 4}},
		{`{"type":"integer","maximum":0}`, []int{0, -1, -99999}, []int{1}},
	} {
		text, err := gbnf.FromSchema([]byte(tt.schema))
		if err != nil {
			t.Fatal(err)
		}
		g, err := parseGrammar(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range tt.good {
			if !g.matches(fmt.Sprint(v)) {
				t.Errorf("%s refuses %d", tt.schema, v)
			}
		}
		for _, v := range tt.bad {
			if g.matches(fmt.Sprint(v)) {
				t.Errorf("%s admits %d", tt.schema, v)
			}
		}
	}
}

func TestUnsupported(t *testing.T) {
	for _, tt := range []struct{ schema, path, keyword string }{
		{`{"type":"string","pattern":"a+"}`, "", "pattern"},
		{`{"type":"object","properties":{"x":{"type":"array","uniqueItems":true}}}`, "/properties/x", "uniqueItems"},
		{`{"not":{}}`, "", "not"},
		{`{"type":"object","patternProperties":{}}`, "", "patternProperties"},
		{`{"allOf":[{},{}]}`, "", "allOf"},
		{`{"type":"object","properties":{"n":{"type":"number","minimum":0}}}`, "/properties/n", "minimum"},
		{`{"items":[{}],"prefixItems":[]}`, "", "prefixItems"},
	} {
		_, err := gbnf.FromSchema([]byte(tt.schema))
		var u *gbnf.UnsupportedError
		if !errors.As(err, &u) || u.Path != tt.path || u.Keyword != tt.keyword {
			t.Errorf("%s: error is %v, want keyword %s at %q", tt.schema, err, tt.keyword, tt.path)
		}
	}
}

func TestBadSchema(t *testing.T) {
	deep := strings.Repeat(`{"items":`, 200) + `{}` + strings.Repeat(`}`, 200)
	for _, tt := range []struct{ schema, want string }{
		{`{`, "not valid JSON"},
		{`[]`, "want an object"},
		{`{"type":"strin"}`, `unknown type "strin"`},
		{`{"type":"object","properties":{"a":{}},"required":["b"]}`, `"b" isn't in properties`},
		{`{"$ref":"#/nowhere"}`, "isn't in the schema"},
		{`{"$ref":"https://example.org/x"}`, "only references into the same schema"},
		{`{"type":"array","minItems":3,"maxItems":1}`, "minItems is over maxItems"},
		{`{"type":"string","maxLength":-1}`, "want a count"},
		{`{"type":"integer","minimum":5,"maximum":4}`, "no integer"},
		{`{"enum":[]}`, "at least one"},
		{deep, "nested deeper"},
	} {
		_, err := gbnf.FromSchema([]byte(tt.schema))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60s: error is %v, want %q in it", tt.schema, err, tt.want)
		}
	}
}

func TestToolCalls(t *testing.T) {
	tools := []gbnf.Tool{
		{Name: "shell", Schema: []byte(`{"type":"object","properties":{"command":{"type":"string"}},"required":["command"]}`)},
		{Name: "odd", Schema: []byte(`{"type":"object","properties":{"x":{"type":"string","pattern":"a"}}}`)},
		{Name: "none"},
	}
	const open, end = "<tool_call>", "</tool_call>"
	call := func(s string) string { return open + "\n" + s + "\n" + end }
	good := []string{
		call(`{"name": "shell", "arguments": {"command": "ls"}}`),
		call(`{"name":"odd","arguments":{"anything":[1]}}`),
		call(`{"name": "none", "arguments": {}}`) + "\n" + call(`{"name": "shell", "arguments": {"command": ""}}`),
	}
	bad := []string{
		"",
		call(`{"name": "other", "arguments": {}}`),
		call(`{"name": "shell", "arguments": {}}`),
		call(`{"name": "none", "arguments": {}}`) + "x",
	}
	text, err := gbnf.ToolCalls(tools, open, end)
	if err != nil {
		t.Fatal(err)
	}
	g, err := parseGrammar(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, v := range good {
		if v = strings.TrimPrefix(v, open); !g.matches(v) {
			t.Errorf("refuses %q\n%s", v, text)
		}
	}
	for _, v := range bad {
		if v = strings.TrimPrefix(v, open); g.matches(v) {
			t.Errorf("admits %q", v)
		}
	}
}

// FuzzFromSchema holds that no input makes the writer panic or a grammar that can't be read.
func FuzzFromSchema(f *testing.F) {
	f.Add(`{"type":"object","properties":{"a":{"type":"integer","minimum":-3}},"required":["a"]}`)
	f.Add(`{"$ref":"#/$defs/x","$defs":{"x":{"anyOf":[{"type":"null"},{"$ref":"#/$defs/x"}]}}}`)
	f.Add(`{"enum":["\u0000\n\"",1e3,{"a":[]}]}`)
	f.Fuzz(func(t *testing.T, schema string) {
		text, err := gbnf.FromSchema([]byte(schema))
		if err != nil {
			return
		}
		if _, err := parseGrammar(text); err != nil {
			t.Fatalf("%s: %v\n%s", schema, err, text)
		}
	})
}
