package langchain

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"agentd/llm"
)

// FuzzUnescapeHTML: the text stays the same, and so does everything that is not an escape of <, > or &.
func FuzzUnescapeHTML(f *testing.F) {
	for _, s := range []string{"", "<a>&", `\u003c`, `\\u003c`, "\\", "a\\\\<", "\u2028", "日本<"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := json.Marshal(s)
		if err != nil {
			t.Skip("no JSON string: ", err)
		}
		var want, got string
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(unescapeHTML(bytes.Clone(b)), &got); err != nil || got != want {
			t.Errorf("%q became %q, %v", want, got, err)
		}
		if out := unescapeHTML([]byte(s)); len(out) > len(s) { // not JSON: it only has to end
			t.Errorf("%q grew to %q", s, out)
		}
	})
}

// FuzzMembers: on valid objects the scanner finds what encoding/json finds; on anything else it only has to end.
func FuzzMembers(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1,"b":[{"c":"}"}],"d":"\\\"","e":null}`, ` { "a" : { } } `, `{"a"`, `{"a":}`, `[1,"]",[2]]`, `{"\"":1}`, `{,}`, `"`, `{"a":"\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := map[string]json.RawMessage{}
		err := members([]byte(s), func(k string, v []byte) bool { got[k] = bytes.TrimSpace(bytes.Clone(v)); return true })
		var want map[string]json.RawMessage
		if json.Unmarshal([]byte(s), &want) == nil && want != nil && !strings.Contains(s, `\`) && json.Valid([]byte(s)) && strings.ToValidUTF8(s, "") == s {
			if err != nil || len(got) != len(want) {
				t.Fatalf("members of %q: %v, %v; want %v", s, got, err, want)
			}
			for k := range want {
				if !bytes.Equal(got[k], want[k]) {
					t.Errorf("member %q of %q is %q, want %q", k, s, got[k], want[k])
				}
			}
		}
		var list []json.RawMessage
		n := 0
		err = elements([]byte(s), func([]byte) error { n++; return nil })
		if json.Unmarshal([]byte(s), &list) == nil && list != nil && (err != nil || n != len(list)) {
			t.Errorf("%d elements in %q, %v; want %d", n, s, err, len(list))
		}
	})
}

// FuzzFault: whatever a server says of an error, what is shown of it is short, on one line and without the key.
func FuzzFault(f *testing.F) {
	f.Add([]byte(`{"error":{"message":"m","type":"t","code":429}}`), 429, "7")
	f.Add([]byte(`[{"error":{"details":[{"retryDelay":"-1s"}]}}]`), 500, "-3")
	f.Add([]byte(`{"error":"x","detail":[1]}`), 0, "Wed, 21 Oct 2065 07:28:00 GMT")
	f.Add([]byte("<html>secret-key\x00"), 502, "NaN")
	f.Fuzz(func(t *testing.T, body []byte, status int, after string) {
		m := &model{cfg: Config{Key: "secret-key", BaseURL: "http://h/v1"}, name: "a/b"}
		ft := parseFault(body)
		ft.status = status
		e := m.errorOf(ft, http.Header{"Retry-After": {after}})
		if e.Kind == "" || e.Message == "" || strings.ContainsAny(e.Message, "\n\r\x00\x1b") || len([]rune(e.Message)) > maxMessage+1 || strings.Contains(e.Error(), "secret-key") {
			t.Errorf("%q became %+v", body, e)
		}
		if e.RetryAfter < 0 {
			t.Errorf("retry after %s", e.RetryAfter)
		}
	})
}

// FuzzStream: whatever comes over the wire, the call ends with one reply or one *llm.Error, and the reply's ids differ.
func FuzzStream(f *testing.F) {
	f.Add("data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"x\",\"arguments\":\"{}\"}},{\"id\":\"a\"}]},\"finish_reason\":\"stop\"}]}\n\n", false)
	f.Add("data: {\"choices\":[{\"delta\":{\"content\":\"<think>\"}}]}\n\ndata: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n", false)
	f.Add("event: x\ndata: {\"type\":\"content_block_start\",\"index\":-1,\"content_block\":{\"type\":\"tool_use\",\"input\":{\"a\":1}}}\n\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"x\"}}\n\ndata: {\"type\":\"message_stop\"}\n\n", true)
	f.Add("data: {\"type\":\"error\",\"error\":{}}\n\n", true)
	transport := &fixed{}
	f.Fuzz(func(t *testing.T, stream string, anthropic bool) {
		c := Config{Provider: "openai", Model: "m", BaseURL: "http://h/v1", HTTPClient: &http.Client{Transport: transport}, HeaderTimeout: time.Minute, IdleTimeout: time.Minute}
		if anthropic {
			c.Provider = "anthropic"
		}
		m, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		transport.body = stream
		replies, failures := 0, 0
		for d, err := range m.Stream(t.Context(), &llm.Request{Messages: []llm.Message{{Role: llm.User, Text: "x"}}}) {
			if err != nil {
				if e, ok := err.(*llm.Error); !ok || e.Kind == "" {
					t.Errorf("%q: error %T %v", stream, err, err)
				}
				failures++
				continue
			}
			if d.Kind == llm.DeltaDone {
				replies++
				ids := map[string]bool{}
				for _, call := range d.Reply.Calls {
					if call.ID == "" || ids[call.ID] || call.Args == "" {
						t.Errorf("%q: calls %+v", stream, d.Reply.Calls)
					}
					ids[call.ID] = true
				}
			}
		}
		if replies+failures != 1 {
			t.Errorf("%q: %d replies and %d failures", stream, replies, failures)
		}
	})
}

// fixed is a network on which every server says the same.
type fixed struct{ body string }

func (f *fixed) RoundTrip(*http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "text/event-stream")
	if _, err := io.WriteString(w, f.body); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

func TestStrictSchema(t *testing.T) {
	for schema, want := range map[string]bool{
		`{"type":"object","properties":{},"additionalProperties":false,"required":[]}`:                                                               true,
		`{"type":"object","properties":{"a":{"type":"array","items":{"type":"string"},"minItems":1}},"additionalProperties":false,"required":["a"]}`: true,
		`{"type":"object","properties":{"a":{"$ref":"#/$defs/x"}},"additionalProperties":false,"required":["a"],"$defs":{"x":{"type":"string"}}}`:    true,
		`{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false,"required":[]}`:                                          false,
		`{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}`:                                                                    false,
		`{"type":"object","properties":{"a":{"type":"string","maxLength":3}},"additionalProperties":false,"required":["a"]}`:                         false,
		`{"type":"object","properties":{"a":{"type":"array","items":{"type":"object"}}},"additionalProperties":false,"required":["a"]}`:              false,
		`{"type":"object","properties":{"a":{"anyOf":[{"type":"object","properties":{"b":{}}}]}},"additionalProperties":false,"required":["a"]}`:     false,
		`{"type":"object","properties":{},"additionalProperties":false,"required":[],"$defs":{"x":{"type":"object"}}}`:                               false,
		`{"type":"array","items":{"type":"string"}}`: false, `true`: false, `{`: false,
	} {
		if got := strictSchema(json.RawMessage(schema)); got != want {
			t.Errorf("strictSchema(%s) = %t", schema, got)
		}
	}
}

// TestCloneRequest holds that no field is forgotten: a new field of llm.Request must be copied and compared.
func TestCloneRequest(t *testing.T) {
	filled := func() *llm.Request {
		one, i := 1.0, 1
		return &llm.Request{
			Messages: []llm.Message{{Role: "r", Text: "t", Calls: []llm.Call{{ID: "i", Name: "n", Args: "a"}}, CallID: "c", IsError: true}},
			Tools:    []llm.ToolSpec{{Name: "n", Description: "d", Schema: json.RawMessage(`{}`)}}, ToolChoice: "c", Schema: &llm.Schema{Name: "n", JSON: json.RawMessage(`{}`)},
			Grammar: "g", MaxTokens: 1, Temperature: &one, TopP: &one, Seed: &i, Stop: []string{"s"}, Effort: "e",
		}
	}
	r := filled()
	v := reflect.ValueOf(r).Elem()
	if !sameRequest(r, cloneRequest(r)) || !reflect.DeepEqual(r, cloneRequest(r)) {
		t.Fatal("a clone differs")
	}
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if v.Field(i).IsZero() {
			t.Errorf("field %s is new: clone it, compare it and fill it here", name)
		}
		other := filled()
		f := reflect.ValueOf(other).Elem().Field(i)
		f.Set(reflect.Zero(f.Type()))
		if sameRequest(r, other) || sameRequest(other, r) {
			t.Errorf("a request without %s passes for the same", name)
		}
	}
	for name, n := range map[string][2]int{"llm.Message": {reflect.TypeFor[llm.Message]().NumField(), 6}, "llm.ToolSpec": {reflect.TypeFor[llm.ToolSpec]().NumField(), 3}} {
		if n[0] != n[1] {
			t.Errorf("%s has %d fields, %d are compared", name, n[0], n[1])
		}
	}
}
