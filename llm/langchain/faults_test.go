package langchain_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"agentd/llm"
	"agentd/llm/langchain"
)

// TestFaultsEndToEnd drives a model as a run does, with retries and a second model behind it, against an endpoint that goes
// wrong in each way that endpoints do. Each ends in a reply or in an error of a kind, soon.
func TestFaultsEndToEnd(t *testing.T) {
	ok := sse(words("fine"), finish("stop"), usage, "[DONE]")
	broken := sse(tool(0, "a", "shell", `{"command": "ls`), finish("tool_calls"), usage, "[DONE]")
	for _, tt := range []struct {
		name   string
		faults []http.HandlerFunc // of the first model, one a call; the last for ever
		want   string             // the reply's text or arguments; empty: the second model's
		kind   llm.Kind           // of the error, where there is no second model
		alone  bool
	}{
		{"429 with Retry-After", []http.HandlerFunc{refuse(429, `{}`, "Retry-After", "1"), ok}, "fine", "", true},
		{"429 with Retry-After for an hour", []http.HandlerFunc{refuse(429, `{}`, "Retry-After", "3600")}, "", llm.KindRate, true},
		{"429, then another model", []http.HandlerFunc{refuse(429, `{}`, "Retry-After", "3600")}, "second", "", false},
		{"500", []http.HandlerFunc{refuse(500, `{}`), ok}, "fine", "", true},
		{"500 for ever", []http.HandlerFunc{refuse(500, `{}`)}, "", llm.KindOverload, true},
		{"529", []http.HandlerFunc{refuse(529, `{}`), refuse(529, `{}`), ok}, "fine", "", true},
		{"cut stream", []http.HandlerFunc{cut(words("fi")), ok}, "fine", "", true},
		{"cut stream for ever", []http.HandlerFunc{cut(words("fi"))}, "", llm.KindTruncated, true},
		{"broken arguments", []http.HandlerFunc{broken}, `{"command": "ls`, "", true},
		{"hang", []http.HandlerFunc{stall(), ok}, "fine", "", true},
		{"hang for ever", []http.HandlerFunc{stall()}, "", llm.KindTimeout, true},
		{"hang, then another model", []http.HandlerFunc{stall()}, "second", "", false},
		{"wrong key", []http.HandlerFunc{refuse(401, `{}`)}, "", llm.KindAuth, true},
		{"wrong key, then another model", []http.HandlerFunc{refuse(401, `{}`)}, "second", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			quick := func(c *langchain.Config) { c.HeaderTimeout, c.IdleTimeout = 500*time.Millisecond, 500*time.Millisecond }
			m := llm.WithRetry(open(t, serve(t, tt.faults...), quick), llm.Retry{Tries: 3, Base: 10 * time.Millisecond, Patience: 2 * time.Second})
			if !tt.alone {
				var err error
				if m, err = llm.Chain(m, open(t, serve(t, sse(words("second"), finish("stop"))), quick)); err != nil {
					t.Fatal(err)
				}
			}
			start := time.Now()
			got := listen(t.Context(), m, ask())
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("took %s", d)
			}
			if tt.kind != "" {
				if e := asError(t, got.err); e.Kind != tt.kind {
					t.Errorf("got kind %s (%v), want %s", e.Kind, e, tt.kind)
				}
				return
			}
			if got.err != nil {
				t.Fatal(got.err)
			}
			said := got.reply.Text
			if len(got.reply.Calls) > 0 {
				said = got.reply.Calls[0].Args
			}
			if said != tt.want {
				t.Errorf("got %q, want %q", said, tt.want)
			}
		})
	}
}

// TestRetryAfterIsHonoured holds that a call is not made again before the provider said it may be.
func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	s := serve(t, refuse(429, `{}`, "Retry-After", "1"), sse(words("fine"), finish("stop")))
	start := time.Now()
	got := listen(t.Context(), llm.WithRetry(open(t, s, nil), llm.Retry{Base: time.Millisecond}), ask())
	if got.err != nil || time.Since(start) < time.Second {
		t.Errorf("got %v after %s, want a reply after a second", got.err, time.Since(start))
	}
}

// TestRecordedCall replays what a server said, without it and without a key.
func TestRecordedCall(t *testing.T) {
	s := serve(t, sse(tool(0, "a", "shell", `{"command":"ls"}`), finish("tool_calls"), usage, "[DONE]"))
	dir := t.TempDir()
	live := listen(t.Context(), llm.WithRecord(open(t, s, nil), dir), ask())
	s.Close()
	again := listen(t.Context(), llm.Replay(open(t, s, func(c *langchain.Config) { c.Key = "" }), dir), ask())
	if live.err != nil || again.err != nil || again.reply.Calls[0] != live.reply.Calls[0] || again.reply.Usage != live.reply.Usage {
		t.Errorf("recorded %+v, %v; replayed %+v, %v", live.reply, live.err, again.reply, again.err)
	}
	if _, err := llm.Collect(llm.Replay(open(t, s, nil), dir).Stream(t.Context(), &llm.Request{Messages: ask().Messages, MaxTokens: 1}), nil); !errors.Is(err, llm.ErrNotRecorded) || !strings.Contains(err.Error(), dir) {
		t.Errorf("another call: %v", err)
	}
}
