package langchain_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentd/llm"
	"agentd/llm/langchain"
)

func ptr[T any](v T) *T { return &v }

func as(provider, name string) func(*langchain.Config) {
	return func(c *langchain.Config) { c.Provider, c.Model = provider, name }
}

// history is a turn with two calls and their results.
func history() []llm.Message {
	return []llm.Message{{Role: llm.System, Text: "S"}, {Role: llm.User, Text: "a < b && c > d"},
		{Role: llm.Assistant, Text: "T", Calls: []llm.Call{{ID: "call_1", Name: "sh", Args: `{"c":"a && b > \"c\" \\u003c"}`}, {ID: "call_2", Name: "sh"}}},
		{Role: llm.ToolRole, CallID: "call_1", Text: "one"}, {Role: llm.ToolRole, CallID: "call_2", Text: "", IsError: true}}
}

const historyBody = `"messages":[{"role":"system","content":"S"},{"role":"user","content":"a < b && c > d"},` +
	`{"role":"assistant","content":"T","tool_calls":[{"id":"call_1","type":"function","function":{"name":"sh","arguments":"{\"c\":\"a && b > \\\"c\\\" \\\\u003c\"}"}},` +
	`{"id":"call_2","type":"function","function":{"name":"sh","arguments":"{}"}}]},` +
	`{"role":"tool","content":"one","tool_call_id":"call_1"},{"role":"tool","content":"","tool_call_id":"call_2"}]`

// TestBody holds what is sent, byte for byte: O7 (top_p, effort, schema and choice are said), L1 (Ollama gets calls, results
// and tools), and what each provider of this wire form wants under another name or not at all.
func TestBody(t *testing.T) {
	strict := json.RawMessage(`{ "type":"object", "properties":{"a":{"anyOf":[{"type":"string","pattern":"^x"},{"type":"integer","minimum":1}]}}, "required":["a"], "additionalProperties":false }`)
	loose := json.RawMessage(`{"type":"object","properties":{"a":{"oneOf":[{"type":"string"}]}}}`)
	full := func(r *llm.Request) {
		r.MaxTokens, r.Temperature, r.TopP, r.Seed, r.Stop, r.Effort = 99, ptr(0.0), ptr(0.5), ptr(0), []string{"<END>"}, "low"
	}
	for _, tt := range []struct {
		name   string
		config func(*langchain.Config)
		change func(*llm.Request)
		want   string // behind the messages
	}{
		{"bare", as("openai", "m"), func(*llm.Request) {}, `,"stream":true,"stream_options":{"include_usage":true}}`},
		{"O7: everything", as("openai", "m"), full, `,"stream":true,"stream_options":{"include_usage":true},"max_tokens":99,"temperature":0,"top_p":0.5,"stop":["<END>"],"seed":0,"reasoning_effort":"low"}`},
		{"a reasoning model", as("openai", "gpt-5-mini"), full, `,"stream":true,"stream_options":{"include_usage":true},"max_completion_tokens":99,"seed":0,"reasoning_effort":"low"}`},
		{"mistral", as("mistral", "m"), func(r *llm.Request) { full(r); r.Messages = ask().Messages }, `,"stream":true,"max_tokens":99,"temperature":0,"top_p":0.5,"stop":["<END>"],"random_seed":0}`},
		{"gemini", as("gemini", "gemini-2.5-pro"), full, `,"stream":true,"stream_options":{"include_usage":true},"max_tokens":99,"temperature":0,"top_p":0.5,"stop":["<END>"],"reasoning_effort":"low"}`},
		{"deepseek", as("deepseek", "deepseek-chat"), func(r *llm.Request) { r.Schema = &llm.Schema{Name: "plan", JSON: strict} }, `,"stream":true,"stream_options":{"include_usage":true},"response_format":{"type":"json_object"}}`},
		{"a strict schema", as("openai", "m"), func(r *llm.Request) { r.Schema = &llm.Schema{Name: "my plan", JSON: strict} },
			`,"stream":true,"stream_options":{"include_usage":true},"response_format":{"type":"json_schema","json_schema":{"name":"my_plan","strict":true,"schema":{"type":"object","properties":{"a":{"anyOf":[{"type":"string","pattern":"^x"},{"type":"integer","minimum":1}]}},"required":["a"],"additionalProperties":false}}}}`},
		{"a loose schema", as("openrouter", "a/b"), func(r *llm.Request) { r.Schema = &llm.Schema{Name: "p", JSON: loose} },
			`,"stream":true,"stream_options":{"include_usage":true},"response_format":{"type":"json_schema","json_schema":{"name":"p","schema":{"type":"object","properties":{"a":{"oneOf":[{"type":"string"}]}}}}}}`},
		{"L1: tools, and a choice", as("ollama", "qwen3"), func(r *llm.Request) {
			r.Tools, r.ToolChoice = []llm.ToolSpec{{Name: "sh", Description: "runs <it>", Schema: json.RawMessage(`{ "type": "object" }`)}}, "sh"
		}, `,"tools":[{"type":"function","function":{"name":"sh","description":"runs <it>","parameters":{"type":"object"}}}],"stream":true,"stream_options":{"include_usage":true},"tool_choice":{"type":"function","function":{"name":"sh"}}}`},
		{"a required call", as("groq", "llama-3.3-70b-versatile"), func(r *llm.Request) { r.Tools, r.ToolChoice = []llm.ToolSpec{{Name: "sh"}}, "required" },
			`,"tools":[{"type":"function","function":{"name":"sh","parameters":{"type":"object","properties":{}}}}],"stream":true,"stream_options":{"include_usage":true},"tool_choice":"required"}`},
		{"a choice without tools", as("openai", "m"), func(r *llm.Request) { r.ToolChoice = "none" }, `,"stream":true,"stream_options":{"include_usage":true}}`},
		{"a grammar where none is taken", as("openai", "m"), func(r *llm.Request) { r.Grammar = `root ::= "x"` }, `,"stream":true,"stream_options":{"include_usage":true}}`},
		{"a grammar and extras", func(c *langchain.Config) {
			c.Provider, c.Model, c.Grammar = "local", "m", true
			c.Extra = map[string]json.RawMessage{"id_slot": json.RawMessage("1"), "cache_prompt": json.RawMessage("true")}
		}, func(r *llm.Request) { r.Grammar = `root ::= "<x>\n"` },
			`,"stream":true,"stream_options":{"include_usage":true},"grammar":"root ::= \"<x>\\n\"","cache_prompt":true,"id_slot":1}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, sse(words("ok"), finish("stop"), "[DONE]"))
			var c langchain.Config
			m := open(t, s, func(o *langchain.Config) { tt.config(o); c = *o })
			r := &llm.Request{Messages: history()}
			tt.change(r)
			msgs := historyBody
			if len(r.Messages) == 2 {
				msgs = `"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hello"}]`
			}
			if got := listen(t.Context(), m, r); got.err != nil {
				t.Fatal(got.err)
			}
			want := fmt.Sprintf(`{"model":%q,`, c.Model) + msgs + tt.want
			if diff := cmp.Diff(want, string(s.last())); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			body, err := m.Encode(r)
			if err != nil || !bytes.Equal(body, s.last()) {
				t.Errorf("Encode gives other bytes than were sent: %v\n%s", err, body)
			}
			if s.paths[0] != "/v1/chat/completions" || s.heads[0].Get("Authorization") != "Bearer "+testKey {
				t.Errorf("path %s, headers %v", s.paths[0], s.heads[0])
			}
		})
	}
}

func TestForeignIDs(t *testing.T) {
	r := &llm.Request{Messages: history()}
	body, err := open(t, serve(t, sse()), as("mistral", "m")).Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	var b struct {
		Messages []struct {
			Calls []struct{ ID string } `json:"tool_calls"`
			ID    string                `json:"tool_call_id"`
		}
	}
	if err := json.Unmarshal(body, &b); err != nil {
		t.Fatal(err)
	}
	first := b.Messages[2].Calls[0].ID
	if len(first) != 9 || strings.ContainsAny(first, "-_") || first != b.Messages[3].ID || first == b.Messages[2].Calls[1].ID {
		t.Errorf("Mistral gets the ids %+v", b.Messages)
	}
	body, err = open(t, serve(t, sse()), as("gemini", "gemini-3-pro-preview")).Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(body) || strings.Count(string(body), `"thought_signature":"skip_thought_signature_validator"`) != 1 {
		t.Errorf("Gemini 3 wants one signature for a turn: %s", body)
	}
}

// TestEncode holds the promise of llm.Model: equal requests give equal bytes, a changed one gives others, and nobody's later
// change reaches what was encoded.
func TestEncode(t *testing.T) {
	m := open(t, serve(t, sse()), nil)
	r := &llm.Request{Messages: history(), Tools: tools(), Temperature: ptr(0.2)}
	first, err := m.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	second, err := m.Encode(&llm.Request{Messages: history(), Tools: tools(), Temperature: ptr(0.2)})
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("equal requests differ: %v\n%s\n%s", err, first, second)
	}
	copy(second, "XXXX") // the caller's own copy
	for _, step := range []struct {
		name   string
		change func()
	}{
		{"temperature", func() { *r.Temperature = 0.3 }},
		{"text", func() { r.Messages[1].Text = "other" }},
		{"call", func() { r.Messages[2].Calls[0].Args = `{"c":1}` }},
		{"schema", func() { r.Tools[0].Schema[2] = 'T' }},
		{"description", func() { r.Tools[0].Description = "d" }},
		{"bound", func() { r.MaxTokens = 5 }},
		{"one more", func() { r.Messages = append(r.Messages, llm.Message{Role: llm.User, Text: "x"}) }},
		{"one less", func() { r.Messages = append(r.Messages[:1:1], r.Messages[2:]...) }},
		{"fewer", func() { r.Messages = r.Messages[:2] }},
	} {
		name := step.name
		step.change()
		got, err := m.Encode(r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if bytes.Equal(got, first) || !json.Valid(got) {
			t.Errorf("%s: the change is not in the body: %s", name, got)
		}
		if anew, err := open(t, serve(t, sse()), func(c *langchain.Config) { c.BaseURL = "http://127.0.0.1:1/v1" }).Encode(r); err != nil || !bytes.Equal(got, anew) {
			t.Errorf("%s: a model that has seen nothing before encodes otherwise: %v\n%s\n%s", name, err, got, anew)
		}
		first = got
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			r := &llm.Request{Messages: []llm.Message{{Role: llm.User, Text: fmt.Sprint(i)}}}
			for range 50 {
				if b, err := m.Encode(r); err != nil || !strings.Contains(string(b), fmt.Sprintf(`"content":"%d"`, i)) {
					t.Errorf("%d: got %s, %v", i, b, err)
				}
			}
		})
	}
	wg.Wait()
}

// tools are eight, as an agent offers them.
func tools() []llm.ToolSpec {
	var specs []llm.ToolSpec
	for _, name := range []string{"shell", "code", "read", "write", "edit", "list", "search", "recall"} {
		specs = append(specs, llm.ToolSpec{Name: name, Description: "Does one thing well: " + name + ".",
			Schema: json.RawMessage(`{"type":"object","properties":{"path":{"type":"string","description":"where"},"n":{"type":"integer"}},"required":["path"]}`)})
	}
	return specs
}

// TestOverhead bounds what the wire form adds to what is said.
func TestOverhead(t *testing.T) {
	r := ask()
	r.Tools = tools()
	body, err := open(t, serve(t, sse()), nil).Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	said := 0
	for _, m := range r.Messages {
		said += len(m.Text)
	}
	for _, s := range r.Tools {
		said += len(s.Name) + len(s.Description) + len(s.Schema)
	}
	if over := len(body) - said; over > 1000 {
		t.Errorf("%d bytes around %d", over, said)
	}
}

// TestUnixSocket asks a model on a socket, as the embedded one is asked, without a key.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var auth []string
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		auth = append(auth, r.Header["Authorization"]...)
		sse(words("from "+r.URL.Path), finish("stop"), "[DONE]")(w, r)
	}))
	s.Listener = l
	s.Start()
	defer s.Close()
	m, err := langchain.NewUnix(path, langchain.Config{Model: "qwen"})
	if err != nil {
		t.Fatal(err)
	}
	got := listen(t.Context(), m, ask())
	if got.err != nil || got.reply.Text != "from /v1/chat/completions" {
		t.Errorf("got %+v, %v", got.reply, got.err)
	}
	if len(auth) != 0 {
		t.Errorf("a key was sent: %v", auth)
	}
	want := llm.Info{Name: "local/qwen", Window: 128_000, Style: llm.StyleFenced, Schema: true, Grammar: true, Price: &llm.Price{}, Local: true}
	if diff := cmp.Diff(want, m.Info()); diff != "" {
		t.Errorf("info (-want +got):\n%s", diff)
	}
}

// TestKeepsConnection asks often and connects once.
func TestKeepsConnection(t *testing.T) {
	var mu sync.Mutex
	conns := 0
	s := httptest.NewUnstartedServer(sse(words("x"), finish("stop"), usage, "[DONE]"))
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			mu.Lock()
			conns++
			mu.Unlock()
		}
	}
	s.Start()
	defer s.Close()
	m, err := langchain.New(langchain.Config{Provider: "openai", Model: "m", BaseURL: s.URL + "/v1"})
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if got := listen(t.Context(), m, ask()); got.err != nil {
			t.Fatal(got.err)
		}
	}
	if mu.Lock(); conns != 1 {
		t.Errorf("%d connections for 10 calls, want 1", conns)
	}
	mu.Unlock()
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]langchain.Config{
		"an unknown provider":    {Provider: "acme", Model: "m"},
		"no model":               {Provider: "openai"},
		"no scheme":              {Provider: "openai", Model: "m", BaseURL: "localhost:80"},
		"a password in the URL":  {Provider: "openai", Model: "m", BaseURL: "http://u:" + testKey + "@h/v1"},
		"a key in the URL":       {Provider: "openai", Model: "m", BaseURL: "http://h/v1?key=" + testKey},
		"an extra that's broken": {Provider: "openai", Model: "m", Extra: map[string]json.RawMessage{"a": json.RawMessage("{")}},
	} {
		if _, err := langchain.New(c); err == nil || strings.Contains(err.Error(), testKey) {
			t.Errorf("%s: got error %v", name, err)
		}
	}
}

// longHistory is a step late in a run: 50 messages, 60 kB.
func longHistory() *llm.Request {
	r := &llm.Request{Messages: []llm.Message{{Role: llm.System, Text: strings.Repeat("Follow the rules. ", 100)}}, Tools: tools(), MaxTokens: 4096}
	for i := range 25 {
		id := fmt.Sprintf("call_%d", i)
		r.Messages = append(r.Messages, llm.Message{Role: llm.Assistant, Text: "Next.", Calls: []llm.Call{{ID: id, Name: "shell", Args: `{"path":"ls -l \"a b\" && cat <x >y"}`}}},
			llm.Message{Role: llm.ToolRole, CallID: id, Text: strings.Repeat("-rw-r--r-- 1 root root 4096 Nov 24 11:11 file.go\n", 44)})
	}
	return r
}

func BenchmarkStep(b *testing.B) {
	s := httptest.NewServer(sse(tool(0, "a", "shell", `{"path":"x"}`), finish("tool_calls"), usage, "[DONE]"))
	defer s.Close()
	for _, provider := range []string{"openai", "anthropic"} {
		m, err := langchain.New(langchain.Config{Provider: provider, Model: "m", BaseURL: s.URL + "/v1"})
		if err != nil {
			b.Fatal(err)
		}
		r := longHistory()
		b.Run("Encode/"+provider, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r.MaxTokens = 4096 + i%2 // another request each time
				body, err := m.Encode(r)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(body)))
			}
		})
	}
	m, err := langchain.New(langchain.Config{Provider: "openai", Model: "m", BaseURL: s.URL + "/v1"})
	if err != nil {
		b.Fatal(err)
	}
	r := longHistory()
	b.Run("EncodeTwiceAndStream", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			r.MaxTokens = 4096 + i%2
			for range 2 {
				if _, err := m.Encode(r); err != nil {
					b.Fatal(err)
				}
			}
			if got := listen(b.Context(), m, r); got.err != nil {
				b.Fatal(got.err)
			}
		}
	})
	b.Run("null", func(b *testing.B) { // the same exchange without a model: the network's and the server's share
		for b.Loop() {
			resp, err := http.Post(s.URL, "application/json", strings.NewReader(strings.Repeat("x", 60_000)))
			if err != nil {
				b.Fatal(err)
			}
			var buf bytes.Buffer
			if _, err := buf.ReadFrom(resp.Body); err != nil {
				b.Fatal(err)
			}
			resp.Body.Close()
		}
	})
}
