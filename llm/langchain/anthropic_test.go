package langchain_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentd/llm"
	"agentd/llm/langchain"
)

func asAnthropic(c *langchain.Config) { c.Provider, c.Model = "anthropic", "claude-test" }

// ev writes an event as Anthropic does: named, and with the name in the data.
func ev(kind, rest string) string {
	if rest != "" {
		rest = "," + rest
	}
	return fmt.Sprintf("event: %s\ndata: {\"type\":%q%s}", kind, kind, rest)
}

func started() string {
	return ev("message_start", `"message":{"id":"m","role":"assistant","content":[],"usage":{"input_tokens":10,"cache_read_input_tokens":200,"cache_creation_input_tokens":30,"output_tokens":1}}`)
}

func block(i int, b string) string {
	return ev("content_block_start", fmt.Sprintf(`"index":%d,"content_block":%s`, i, b))
}
func delta(i int, d string) string {
	return ev("content_block_delta", fmt.Sprintf(`"index":%d,"delta":%s`, i, d))
}
func piece(i int, json string) string {
	return delta(i, fmt.Sprintf(`{"type":"input_json_delta","partial_json":%q}`, json))
}
func ended(reason string) string {
	return ev("message_delta", fmt.Sprintf(`"delta":{"stop_reason":%q},"usage":{"output_tokens":42}`, reason)) + "\n\n" + ev("message_stop", "")
}

var counted = llm.Usage{Prompt: 240, Completion: 42, Cached: 200, CacheWrite: 30}

// TestAnthropicReply reads the streams of the messages API, the faults A2, A4 and A5 among them.
func TestAnthropicReply(t *testing.T) {
	tests := []struct {
		name   string
		schema bool
		events []string
		want   llm.Reply
		think  string
	}{
		{"A2: one reply of many blocks", false, []string{started(), ev("ping", ""),
			block(0, `{"type":"text","text":""}`), delta(0, `{"type":"text_delta","text":"Two "}`), delta(0, `{"type":"text_delta","text":"calls."}`), ev("content_block_stop", `"index":0`),
			block(1, `{"type":"tool_use","id":"t1","name":"one","input":{}}`), piece(1, `{"n":`), piece(1, `12345678901234567890}`), ev("content_block_stop", `"index":1`),
			block(2, `{"type":"tool_use","id":"t2","name":"two","input":{}}`), ev("content_block_stop", `"index":2`), ended("tool_use")},
			llm.Reply{Text: "Two calls.", Calls: []llm.Call{{ID: "t1", Name: "one", Args: `{"n":12345678901234567890}`}, {ID: "t2", Name: "two", Args: `{}`}}, Stop: llm.StopCalls, Usage: counted}, ""},
		{"A4: blocks that langchaingo does not know", false, []string{started(),
			block(0, `{"type":"thinking","thinking":""}`), delta(0, `{"type":"thinking_delta","thinking":"hm"}`), delta(0, `{"type":"signature_delta","signature":"abc"}`),
			block(1, `{"type":"redacted_thinking","data":"xyz"}`), block(2, `{"type":"server_tool_use","id":"s","name":"web_search","input":{}}`), piece(2, `{"q":1}`),
			block(3, `{"type":"web_search_tool_result","content":[]}`), block(4, `{"type":"text","text":"ok"}`), ended("end_turn")},
			llm.Reply{Text: "ok", Stop: llm.StopEnd, Usage: counted}, "hm"},
		{"A5: arguments cut by the limit", false, []string{started(), block(0, `{"type":"text","text":"so"}`), block(1, `{"type":"tool_use","id":"t1","name":"one","input":{}}`), piece(1, `{"path":"/a`), ended("max_tokens")},
			llm.Reply{Text: "so", Calls: []llm.Call{{ID: "t1", Name: "one", Args: `{"path":"/a`}}, Stop: llm.StopLength, Usage: counted}, ""},
		{"no content at all", false, []string{started(), ended("end_turn")}, llm.Reply{Stop: llm.StopEnd, Usage: counted}, ""},
		{"refusal", false, []string{started(), block(0, `{"type":"text","text":"No."}`), ended("refusal")}, llm.Reply{Text: "No.", Stop: llm.StopFilter, Usage: counted}, ""},
		{"a schema's call is the reply's text", true, []string{started(), block(0, `{"type":"tool_use","id":"t1","name":"plan","input":{}}`), piece(0, `{"a":1}`), ended("tool_use")},
			llm.Reply{Text: `{"a":1}`, Stop: llm.StopEnd, Usage: counted}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := ask()
			if tt.schema {
				r.Schema = &llm.Schema{Name: "plan", JSON: json.RawMessage(`{"type":"object"}`)}
			}
			got := listen(t.Context(), open(t, serve(t, sse(tt.events...)), asAnthropic), r)
			if got.err != nil {
				t.Fatal(got.err)
			}
			tt.want.Model = "anthropic/claude-test"
			if diff := cmp.Diff(&tt.want, got.reply); diff != "" {
				t.Errorf("reply (-want +got):\n%s", diff)
			}
			if got.think != tt.think {
				t.Errorf("thought %q, want %q", got.think, tt.think)
			}
		})
	}
}

// TestAnthropicBody holds what is sent: A1 (every call kept), A3 (tool_choice, is_error, cache marks), arguments that are not
// valid, and nothing that langchaingo adds by itself.
func TestAnthropicBody(t *testing.T) {
	s := serve(t, sse(started(), ended("end_turn")))
	temp := 0.5
	r := &llm.Request{
		Messages: []llm.Message{
			{Role: llm.System, Text: "Rules <b> & more"}, {Role: llm.System, Text: "Second"},
			{Role: llm.User, Text: "Go"},
			{Role: llm.Assistant, Text: "Three", Calls: []llm.Call{{ID: "a", Name: "sh", Args: `{ "n": 12345678901234567890, "c": "a && b > c" }`},
				{ID: "b:1", Name: "sh", Args: `{"broken`}, {ID: "c", Name: "sh"}}},
			{Role: llm.ToolRole, CallID: "a", Text: "fine"}, {Role: llm.ToolRole, CallID: "b:1", Text: "not JSON", IsError: true}, {Role: llm.ToolRole, CallID: "c", Text: ""},
			{Role: llm.User, Text: "Go on"},
		},
		Tools:      []llm.ToolSpec{{Name: "sh", Description: "run", Schema: json.RawMessage(`{"type": "object"}`)}, {Name: "ls"}},
		ToolChoice: "required", MaxTokens: 100, Temperature: &temp, Stop: []string{"END"},
	}
	m := open(t, s, asAnthropic)
	if got := listen(t.Context(), m, r); got.err != nil {
		t.Fatal(got.err)
	}
	want := `{"model":"claude-test","messages":[{"role":"user","content":[{"type":"text","text":"Go"}]},` +
		`{"role":"assistant","content":[{"type":"text","text":"Three"},{"type":"tool_use","id":"a","name":"sh","input":{"n":12345678901234567890,"c":"a && b > c"}},` +
		`{"type":"tool_use","id":"b_1","name":"sh","input":{"invalid_arguments":"{\"broken"}},{"type":"tool_use","id":"c","name":"sh","input":{}}]},` +
		`{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"fine"},{"type":"tool_result","tool_use_id":"b_1","content":"not JSON","is_error":true},` +
		`{"type":"tool_result","tool_use_id":"c","content":""},{"type":"text","text":"Go on","cache_control":{"type":"ephemeral"}}]}],` +
		`"system":[{"type":"text","text":"Rules <b> & more\n\nSecond","cache_control":{"type":"ephemeral"}}],"max_tokens":100,` +
		`"tools":[{"name":"sh","description":"run","input_schema":{"type":"object"}},{"name":"ls","input_schema":{"type":"object","properties":{}},"cache_control":{"type":"ephemeral"}}],` +
		`"stream":true,"temperature":0.5,"stop_sequences":["END"],"tool_choice":{"type":"any"}}`
	if diff := cmp.Diff(want, string(s.last())); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if body, err := m.Encode(r); err != nil || string(body) != want {
		t.Errorf("Encode differs from what was sent: %v\n%s", err, body)
	}
	if s.paths[0] != "/v1/messages" || s.heads[0].Get("X-Api-Key") != testKey || s.heads[0].Get("Anthropic-Version") == "" {
		t.Errorf("path %s, headers %v", s.paths[0], s.heads[0])
	}
}

func TestAnthropicSchemaIsAForcedTool(t *testing.T) {
	r := ask()
	r.Schema = &llm.Schema{Name: "plan", JSON: json.RawMessage(`{"type":"object","properties":{"a":{"type":"integer"}}}`)}
	body, err := open(t, serve(t, sse()), asAnthropic).Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"tool_choice":{"type":"tool","name":"plan"}`, `"input_schema":{"type":"object","properties":{"a":{"type":"integer"}}}`} {
		if !strings.Contains(string(body), want) {
			t.Errorf("body lacks %s: %s", want, body)
		}
	}
}

func TestAnthropicFaults(t *testing.T) {
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			fmt.Fprint(w, body)
		}
	}
	fault := func(kind, message string) string {
		return fmt.Sprintf(`{"type":"error","error":{"type":%q,"message":%q}}`, kind, message)
	}
	for _, tt := range []struct {
		name string
		with http.HandlerFunc
		want llm.Kind
	}{
		{"529", status(529, fault("overloaded_error", "Overloaded")), llm.KindOverload},
		{"429", status(429, fault("rate_limit_error", "This request would exceed your rate limit of 40,000 input tokens")), llm.KindRate},
		{"401", status(401, fault("authentication_error", "invalid x-api-key")), llm.KindAuth},
		{"no credit", status(400, fault("invalid_request_error", "Your credit balance is too low to access the API")), llm.KindAuth},
		{"prompt too long", status(400, fault("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum")), llm.KindContext},
		{"413", status(413, fault("request_too_large", "Request exceeds the maximum size")), llm.KindContext},
		{"400", status(400, fault("invalid_request_error", "tools.0: bad")), llm.KindInvalid},
		{"overloaded in the stream", sse(started(), block(0, `{"type":"text","text":"par"}`), "event: error\ndata: "+fault("overloaded_error", "Overloaded")), llm.KindOverload},
		{"overloaded after the stop reason", sse(started(), strings.Split(ended("end_turn"), "\n\n")[0], "event: error\ndata: "+fault("api_error", "Internal server error")), llm.KindOverload},
		{"cut", sse(started(), block(0, `{"type":"text","text":"par"}`)), llm.KindTruncated},
		{"cut before a word", sse(started()), llm.KindTruncated},
		{"no event", sse(), llm.KindTruncated},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := listen(t.Context(), open(t, serve(t, tt.with), asAnthropic), ask())
			if e := asError(t, got.err); e.Kind != tt.want {
				t.Errorf("got kind %s (%v), want %s", e.Kind, e, tt.want)
			}
		})
	}
}
