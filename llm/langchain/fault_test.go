package langchain_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"agentd/llm"
	"agentd/llm/langchain"
)

func refuse(code int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
		fmt.Fprint(w, body)
	}
}

// TestRefusals holds O8: every refusal keeps its status, its Retry-After and the provider's words, and is of a kind.
func TestRefusals(t *testing.T) {
	openai := func(message, kind, code string) string {
		return fmt.Sprintf(`{"error":{"message":%q,"type":%q,"param":null,"code":%q}}`, message, kind, code)
	}
	for _, tt := range []struct {
		name  string
		with  http.HandlerFunc
		kind  llm.Kind
		retry time.Duration
		words string
		hint  string
	}{
		{"rate limit", refuse(429, openai("Rate limit reached", "requests", "rate_limit_exceeded"), "Retry-After", "7"), llm.KindRate, 7 * time.Second, "Rate limit reached", ""},
		{"rate limit in milliseconds", refuse(429, openai("slow", "", ""), "Retry-After-Ms", "1500", "Retry-After", "9"), llm.KindRate, 1500 * time.Millisecond, "slow", ""},
		{"rate limit with a senseless wait", refuse(429, openai("slow", "", ""), "Retry-After", "soon"), llm.KindRate, 0, "slow", ""},
		{"rate limit with an endless wait", refuse(429, openai("slow", "", ""), "Retry-After", "1e300"), llm.KindRate, 24 * time.Hour, "slow", ""},
		{"Gemini's list", refuse(429, `[{"error":{"code":429,"message":"Resource exhausted","status":"RESOURCE_EXHAUSTED","details":[{"@type":"x","retryDelay":"17s"}]}}]`), llm.KindRate, 17 * time.Second, "Resource exhausted", ""},
		{"no credit", refuse(429, openai("You exceeded your current quota", "insufficient_quota", "insufficient_quota")), llm.KindAuth, 0, "quota", "no credit"},
		{"bad key, echoed", refuse(401, openai("Incorrect API key provided: "+testKey, "invalid_request_error", "invalid_api_key")), llm.KindAuth, 0, "Incorrect API key provided: [key]", "OPENAI_API_KEY"},
		{"402", refuse(402, `{"error":{"message":"Insufficient Balance"}}`), llm.KindAuth, 0, "Insufficient Balance", "no credit"},
		{"403", refuse(403, `{"error":"forbidden"}`), llm.KindAuth, 0, "forbidden", "OPENAI_API_KEY"},
		{"404", refuse(404, openai("The model `x` does not exist", "invalid_request_error", "model_not_found")), llm.KindInvalid, 0, "does not exist", "name"},
		{"too long", refuse(400, openai("This model's maximum context length is 128000 tokens", "invalid_request_error", "context_length_exceeded")), llm.KindContext, 0, "maximum context length", ""},
		{"too long, llama.cpp", refuse(400, `{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}`), llm.KindContext, 0, "exceeds", ""},
		{"filter", refuse(400, openai("The response was filtered due to the prompt triggering content management policy", "", "content_filter")), llm.KindFilter, 0, "filtered", ""},
		{"invalid", refuse(400, openai("Unrecognized request argument: foo", "invalid_request_error", "")), llm.KindInvalid, 0, "foo", ""},
		{"Mistral's 422", refuse(422, `{"object":"error","message":{"detail":[{"msg":"Extra inputs"}]},"type":"invalid_request_error"}`), llm.KindInvalid, 0, "Extra inputs", ""},
		{"500", refuse(500, openai("The server had an error", "server_error", "")), llm.KindOverload, 0, "server had", ""},
		{"502, a page", refuse(502, "<html><head><style>p{}</style></head><body><h1>502 Bad Gateway</h1></body></html>"), llm.KindOverload, 0, "502 Bad Gateway", ""},
		{"503, empty", refuse(503, ""), llm.KindOverload, 0, "no reason", ""},
		{"529", refuse(529, `{"error":{"message":"overloaded"}}`), llm.KindOverload, 0, "overloaded", ""},
		{"redirect", refuse(307, "", "Location", "http://127.0.0.1:1/v1/chat/completions"), llm.KindInvalid, 0, "no reason", "base URL"},
		{"control characters", refuse(500, "a\x1b[31mred\x00\nb"), llm.KindOverload, 0, "a[31mred b", ""},
		{"endless words", refuse(500, strings.Repeat("x", 1<<20)), llm.KindOverload, 0, "xxx", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := listen(t.Context(), open(t, serve(t, tt.with), nil), ask())
			e := asError(t, got.err)
			if e.Kind != tt.kind || e.RetryAfter != tt.retry || e.Status == 0 || e.Model != "openai/test" {
				t.Errorf("got kind %s, status %d, retry after %s, model %s; want %s, a status, %s, openai/test", e.Kind, e.Status, e.RetryAfter, e.Model, tt.kind, tt.retry)
			}
			if !strings.Contains(e.Message, tt.words) || !strings.Contains(e.Hint, tt.hint) || len(e.Message) > 2000 {
				t.Errorf("got message %.500q, hint %q; want them to hold %q, %q", e.Message, e.Hint, tt.words, tt.hint)
			}
		})
	}
}

// cut sends events and breaks the connection.
func cut(events ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		sse(events...)(w, r)
		panic(http.ErrAbortHandler)
	}
}

// stall sends events and says nothing more.
func stall(events ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if len(events) > 0 {
			sse(events...)(w, r)
		}
		<-r.Context().Done()
	}
}

// TestBrokenStreams holds O3: whatever ends a stream early is an error of a kind, never a short reply.
func TestBrokenStreams(t *testing.T) {
	for _, tt := range []struct {
		name string
		with http.HandlerFunc
		want llm.Kind // empty: a reply
	}{
		{"O3: an error event", sse(words("par"), `{"error":{"message":"The server had an error","type":"server_error"}}`, "[DONE]"), llm.KindOverload},
		{"an error event with a status", sse(words("par"), `{"error":{"message":"Provider returned error","code":429}}`), llm.KindRate},
		{"an error event as a string", sse(words("par"), `{"error":"model runner has stopped"}`), llm.KindUnexpected},
		{"vLLM's error event", sse(`{"object":"error","message":"boom","type":"BadRequestError","code":400}`), llm.KindInvalid},
		{"cut in the text", cut(words("par")), llm.KindTruncated},
		{"ended without a finish reason", sse(words("par")), llm.KindTruncated},
		{"ended by its mark without a finish reason", sse(words("par"), "[DONE]"), llm.KindTruncated},
		{"cut in a line", cut(words("par"), `{"choices":[{"del`), llm.KindUnexpected},
		{"nothing", sse(), llm.KindTruncated},
		{"no stream but a page", refuse(200, "<html>welcome</html>", "Content-Type", "text/html"), llm.KindTruncated},
		{"a number where an object belongs", sse(`{"choices":7}`), llm.KindUnexpected},
		{"a line without end", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for range 20 << 4 {
				if _, err := w.Write([]byte(strings.Repeat("x", 64<<10))); err != nil {
					return
				}
			}
		}, llm.KindUnexpected},
		{"more calls than anyone makes", func(w http.ResponseWriter, r *http.Request) {
			for i := range 200 {
				sse(tool(i, fmt.Sprint("c", i), "x", "{}"))(w, r)
			}
		}, llm.KindUnexpected},
		{"silent before a word", stall(), llm.KindTimeout},
		{"silent in the text", stall(words("par")), llm.KindTimeout},
		{"cut behind the finish reason", cut(words("all"), finish("stop")), ""},
		{"silent behind the finish reason", stall(words("all"), finish("stop")), ""},
		{"not streamed", refuse(200, `{"choices":[{"index":0,"message":{"role":"assistant","content":"all"},"finish_reason":"stop"}]}`, "Content-Type", "application/json"), ""},
		{"not streamed, an error", refuse(200, `{"error":{"message":"busy","type":"overloaded"}}`, "Content-Type", "application/json"), llm.KindOverload},
		{"not streamed, cut", refuse(200, `{"choices":[{"index":0,"message":{"content":"all"}}]}`, "Content-Type", "application/json"), llm.KindTruncated},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := open(t, serve(t, tt.with), func(c *langchain.Config) { c.HeaderTimeout, c.IdleTimeout = time.Second, time.Second })
			got := listen(t.Context(), m, ask())
			if tt.want == "" {
				if got.err != nil || got.reply.Text != "all" {
					t.Fatalf("got %v, %v; want the reply", got.reply, got.err)
				}
				return
			}
			e := asError(t, got.err)
			if e.Kind != tt.want {
				t.Errorf("got kind %s (%v), want %s", e.Kind, e, tt.want)
			}
			if tt.want == llm.KindTimeout && !errors.Is(got.err, context.DeadlineExceeded) {
				t.Errorf("%v is no context.DeadlineExceeded", got.err)
			}
		})
	}
}

// TestCallerGivesUp holds O4 and O9: a deadline or a cancellation in mid-stream is an error that errors.Is knows.
func TestCallerGivesUp(t *testing.T) {
	for _, tt := range []struct {
		name string
		with http.HandlerFunc
		ctx  func(context.Context) (context.Context, context.CancelFunc)
		kind llm.Kind
		is   error
	}{
		{"deadline before a word", stall(), deadline, llm.KindTimeout, context.DeadlineExceeded},
		{"deadline in the text", stall(words("par")), deadline, llm.KindTimeout, context.DeadlineExceeded},
		{"cancelled before a word", stall(), cancelled, llm.KindCanceled, context.Canceled},
		{"cancelled in the text", stall(words("par")), cancelled, llm.KindCanceled, context.Canceled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := tt.ctx(t.Context())
			defer cancel()
			got := listen(ctx, open(t, serve(t, tt.with), nil), ask())
			if e := asError(t, got.err); e.Kind != tt.kind || !errors.Is(got.err, tt.is) {
				t.Errorf("got %s (%v), want %s and errors.Is %v", e.Kind, e, tt.kind, tt.is)
			}
		})
	}
}

func deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, 150*time.Millisecond)
}

func cancelled(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	time.AfterFunc(150*time.Millisecond, cancel)
	return ctx, cancel
}

// TestConsumerBreaks holds that a consumer that stops cancels the call.
func TestConsumerBreaks(t *testing.T) {
	gone := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		sse(words("one"), words("two"))(w, r)
		<-r.Context().Done()
		close(gone)
	})
	for d, err := range open(t, s, nil).Stream(t.Context(), ask()) {
		if err != nil || d.Text != "one" {
			t.Fatalf("got %+v, %v", d, err)
		}
		break
	}
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Error("the request goes on")
	}
}

func TestUnreachable(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	for _, tt := range []struct {
		name string
		base string
		with *http.Client
		kind llm.Kind
	}{
		{"refused", s.URL + "/v1", nil, llm.KindConnect},
		{"no such host", "http://host.invalid/v1", nil, llm.KindConnect},
		{"reset", "", nil, llm.KindConnect},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.base == "" {
				tt.base = "http://" + resetter(t) + "/v1"
			}
			m, err := langchain.New(langchain.Config{Provider: "openai", Model: "x", BaseURL: tt.base, Key: testKey, HTTPClient: tt.with})
			if err != nil {
				t.Fatal(err)
			}
			e := asError(t, listen(t.Context(), m, ask()).err)
			if e.Kind != tt.kind {
				t.Errorf("got %s (%v), want %s", e.Kind, e, tt.kind)
			}
		})
	}
}

// resetter accepts connections and drops them.
func resetter(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() { // ends when the listener closes
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	return l.Addr().String()
}
