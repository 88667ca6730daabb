package langchain_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"agentd/llm"
	"agentd/llm/langchain"
)

const testKey = "sk-test-0123456789abcdef"

// server answers each request with the next of its handlers, the last one for ever, and keeps the bodies.
type server struct {
	*httptest.Server
	mu     sync.Mutex
	bodies [][]byte
	heads  []http.Header
	paths  []string
}

func serve(t *testing.T, handlers ...http.HandlerFunc) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client went away
		}
		s.mu.Lock()
		n := min(len(s.bodies), len(handlers)-1)
		s.bodies, s.heads, s.paths = append(s.bodies, b), append(s.heads, r.Header.Clone()), append(s.paths, r.URL.Path)
		s.mu.Unlock()
		handlers[n](w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) last() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bodies[len(s.bodies)-1]
}

// sse answers with events; an event that begins with "event:" is sent as it is.
func sse(events ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, e := range events {
			if !strings.HasPrefix(e, "event:") && !strings.HasPrefix(e, ":") {
				e = "data: " + e
			}
			fmt.Fprintf(w, "%s\n\n", e)
			w.(http.Flusher).Flush()
		}
	}
}

func open(t *testing.T, s *server, change func(*langchain.Config)) llm.Model {
	t.Helper()
	c := langchain.Config{Provider: "openai", Model: "test", BaseURL: s.URL + "/v1", Key: testKey, Schema: true,
		HeaderTimeout: 5 * time.Second, IdleTimeout: 5 * time.Second}
	if change != nil {
		change(&c)
	}
	m, err := langchain.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func ask() *llm.Request {
	return &llm.Request{Messages: []llm.Message{{Role: llm.System, Text: "Be brief."}, {Role: llm.User, Text: "Hello"}}}
}

type heard struct {
	reply *llm.Reply
	err   error
	text  string
	think string
	calls map[int]string
}

func listen(ctx context.Context, m llm.Model, r *llm.Request) heard {
	h := heard{calls: map[int]string{}}
	h.reply, h.err = llm.Collect(m.Stream(ctx, r), func(d llm.Delta) {
		switch d.Kind {
		case llm.DeltaText:
			h.text += d.Text
		case llm.DeltaThink:
			h.think += d.Text
		case llm.DeltaCall:
			h.calls[d.Index] += d.Text
		}
	})
	return h
}

func asError(t *testing.T, err error) *llm.Error {
	t.Helper()
	e, ok := err.(*llm.Error)
	if !ok {
		t.Fatalf("got error %v (%T), want an *llm.Error", err, err)
	}
	if strings.Contains(fmt.Sprintf("%v %+v", e, *e), testKey) {
		t.Errorf("the error holds the key: %+v", *e)
	}
	return e
}

func words(s string) string {
	b, _ := json.Marshal(s)
	return fmt.Sprintf(`{"choices":[{"index":0,"delta":{"content":%s},"finish_reason":null}]}`, b)
}

func tool(index int, id, name, args string) string {
	b, _ := json.Marshal(args)
	s := fmt.Sprintf(`{"index":%d,`, index)
	if id != "" {
		s += fmt.Sprintf(`"id":%q,"type":"function",`, id)
	}
	s += `"function":{`
	if name != "" {
		s += fmt.Sprintf(`"name":%q,`, name)
	}
	return fmt.Sprintf(`{"choices":[{"index":0,"delta":{"tool_calls":[%s"arguments":%s}}]}}]}`, s, b)
}

func finish(reason string) string {
	return fmt.Sprintf(`{"choices":[{"index":0,"delta":{},"finish_reason":%q}]}`, reason)
}

const usage = `{"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":7,"total_tokens":107,"prompt_tokens_details":{"cached_tokens":64}}}`

// TestReply reads the streams that servers of this wire form send, the faults O1, O2, O5 and O6 among them.
func TestReply(t *testing.T) {
	long := strings.Repeat("0123456789", 20_000)
	tests := []struct {
		name   string
		events []string
		want   llm.Reply
		think  string
	}{
		{"text", []string{`{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}`, words("Hel"), words("lo"), finish("stop"), usage, "[DONE]"},
			llm.Reply{Text: "Hello", Stop: llm.StopEnd, Usage: llm.Usage{Prompt: 100, Completion: 7, Cached: 64}}, ""},
		{"O1: interleaved calls are told apart by index", []string{tool(0, "a", "one", ""), tool(1, "b", "two", ""), tool(0, "", "", `{"x":`), tool(1, "", "", `{"y":`),
			tool(0, "", "", `1}`), tool(1, "", "", `2}`), finish("tool_calls"), "[DONE]"},
			llm.Reply{Calls: []llm.Call{{ID: "a", Name: "one", Args: `{"x":1}`}, {ID: "b", Name: "two", Args: `{"y":2}`}}, Stop: llm.StopCalls}, ""},
		{"O2: every piece repeats type, id and name", []string{tool(0, "a", "one", `{"x"`), tool(0, "a", "one", `:1}`), finish("tool_calls"), "[DONE]"},
			llm.Reply{Calls: []llm.Call{{ID: "a", Name: "one", Args: `{"x":1}`}}, Stop: llm.StopCalls}, ""},
		{"every call is numbered 0", []string{tool(0, "a", "one", `{"x":1}`), tool(0, "b", "two", `{}`), finish("tool_calls"), "[DONE]"},
			llm.Reply{Calls: []llm.Call{{ID: "a", Name: "one", Args: `{"x":1}`}, {ID: "b", Name: "two", Args: `{}`}}, Stop: llm.StopCalls}, ""},
		{"no index at all", []string{
			`{"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"one","arguments":"{\"x\""}}]}}]}`,
			`{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":":1}"}}]}}]}`,
			`{"choices":[{"delta":{"tool_calls":[{"id":"b","function":{"name":"two","arguments":{"y":2}}}]}}]}`, finish("stop"), "[DONE]"},
			llm.Reply{Calls: []llm.Call{{ID: "a", Name: "one", Args: `{"x":1}`}, {ID: "b", Name: "two", Args: `{"y":2}`}}, Stop: llm.StopCalls}, ""},
		{"O5: a line of 200 kB", []string{words(long), finish("stop"), "[DONE]"}, llm.Reply{Text: long, Stop: llm.StopEnd}, ""},
		{"O6: a later null does not take the finish reason back", []string{words("x"), finish("length"), `{"choices":[{"index":0,"delta":{"content":""},"finish_reason":null}]}`, "[DONE]"},
			llm.Reply{Text: "x", Stop: llm.StopLength}, ""},
		{"broken arguments are kept as written", []string{tool(0, "a", "one", `{"x": tru`), finish("length"), "[DONE]"},
			llm.Reply{Calls: []llm.Call{{ID: "a", Name: "one", Args: `{"x": tru`}}, Stop: llm.StopLength}, ""},
		{"no arguments", []string{tool(0, "a", "one", ``), finish("tool_calls"), "[DONE]"},
			llm.Reply{Calls: []llm.Call{{ID: "a", Name: "one", Args: `{}`}}, Stop: llm.StopCalls}, ""},
		{"reasoning_content", []string{`{"choices":[{"delta":{"reasoning_content":"hm"}}]}`, words("ok"), finish("stop"), "[DONE]"}, llm.Reply{Text: "ok", Stop: llm.StopEnd}, "hm"},
		{"think tags, cut anywhere", []string{words("<th"), words("ink>a<b</thi"), words("nk>\n\nok <think>"), finish("stop"), "[DONE]"}, llm.Reply{Text: "ok <think>", Stop: llm.StopEnd}, "a<b"},
		{"text that only begins like a tag", []string{words("<"), words("p>"), finish("stop")}, llm.Reply{Text: "<p>", Stop: llm.StopEnd}, ""},
		{"text that ends like a tag", []string{words("<thi"), finish("stop")}, llm.Reply{Text: "<thi", Stop: llm.StopEnd}, ""},
		{"comments, no space after data, no end mark", []string{": keep-alive", "event: x\ndata:" + words("hi"), finish("stop")}, llm.Reply{Text: "hi", Stop: llm.StopEnd}, ""},
		{"blocks of content", []string{`{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"mm"}]},{"type":"text","text":"ok"}]}}]}`, finish("stop")},
			llm.Reply{Text: "ok", Stop: llm.StopEnd}, "mm"},
		{"the old function_call", []string{`{"choices":[{"delta":{"function_call":{"name":"one","arguments":"{\"x\""}}}]}`, `{"choices":[{"delta":{"function_call":{"arguments":":1}"}}}]}`, finish("function_call")},
			llm.Reply{Calls: []llm.Call{{ID: "*", Name: "one", Args: `{"x":1}`}}, Stop: llm.StopCalls}, ""},
		{"a refusal", []string{`{"choices":[{"delta":{"refusal":"No."}}]}`, finish("stop")}, llm.Reply{Text: "No.", Stop: llm.StopFilter}, ""},
		{"DeepSeek's cache", []string{words("x"), finish("stop"), `{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1,"prompt_cache_hit_tokens":8}}`, "[DONE]"},
			llm.Reply{Text: "x", Stop: llm.StopEnd, Usage: llm.Usage{Prompt: 9, Completion: 1, Cached: 8}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := listen(t.Context(), open(t, serve(t, sse(tt.events...)), nil), ask())
			if got.err != nil {
				t.Fatal(got.err)
			}
			tt.want.Model = "openai/test"
			for i := range tt.want.Calls {
				if tt.want.Calls[i].ID == "*" && len(got.reply.Calls) > i && got.reply.Calls[i].ID != "" {
					tt.want.Calls[i].ID = got.reply.Calls[i].ID
				}
			}
			if diff := cmp.Diff(&tt.want, got.reply); diff != "" {
				t.Errorf("reply (-want +got):\n%.2000s", diff)
			}
			if got.text != tt.want.Text || got.think != tt.think {
				t.Errorf("deltas: text %.80q, thought %q; want %.80q, %q", got.text, got.think, tt.want.Text, tt.think)
			}
			for i, c := range got.reply.Calls {
				if got.calls[i] != c.Args && c.Args != "{}" {
					t.Errorf("deltas of call %d: %q, want %q", i, got.calls[i], c.Args)
				}
			}
		})
	}
}
