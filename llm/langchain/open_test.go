package langchain_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"agentd/llm"
	"agentd/llm/langchain"
)

func envOf(kv ...string) func(string) string {
	return func(k string) string {
		for i := 0; i+1 < len(kv); i += 2 {
			if kv[i] == k {
				return kv[i+1]
			}
		}
		return ""
	}
}

// lister serves GET /v1/models, /api/tags and /api/ps.
func lister(t *testing.T, models, tags, ps string) string {
	mux := http.NewServeMux()
	for path, body := range map[string]string{"/v1/models": models, "/api/tags": tags, "/api/ps": ps} {
		if body != "" {
			mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
		}
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

func TestOpen(t *testing.T) {
	base := lister(t, `{"data":[{"id":"big","context_length":262144},{"id":"plain"}]}`, "", `{"models":[{"name":"qwen3:latest","context_length":16384}]}`)
	host := strings.TrimPrefix(base, "http://")
	table, err := llm.LoadPrices("testdata/prices.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		env    func(string) string
		prices *llm.Prices
		want   llm.Info
	}{
		{"openai/gpt-5", envOf("OPENAI_API_KEY", "k"), nil, llm.Info{Name: "openai/gpt-5", Window: 400_000, MaxOut: 128_000, Style: llm.StyleTools, Schema: true, Price: &llm.Price{Prompt: 1.25, Completion: 10, Cached: .125}, Sees: true}},
		{"openai/gpt-5-2025-08-07", envOf("OPENAI_API_KEY", "k"), nil, llm.Info{Name: "openai/gpt-5-2025-08-07", Window: 400_000, MaxOut: 128_000, Style: llm.StyleTools, Schema: true, Price: &llm.Price{Prompt: 1.25, Completion: 10, Cached: .125}, Sees: true}},
		{"anthropic/claude-sonnet-4-5-20250929", envOf("ANTHROPIC_API_KEY", "k"), nil, llm.Info{Name: "anthropic/claude-sonnet-4-5-20250929", Window: 200_000, MaxOut: 64_000, Style: llm.StyleTools, Schema: true, Price: &llm.Price{Prompt: 3, Completion: 15, Cached: .3, CacheWrite: 3.75}, Sees: true}},
		{"deepseek", envOf("DEEPSEEK_API_KEY", "k"), nil, llm.Info{Name: "deepseek/deepseek-chat", Window: 128_000, MaxOut: 8192, Style: llm.StyleTools, Price: &llm.Price{Prompt: .28, Completion: .42, Cached: .028}}},
		{"openai/big", envOf("OPENAI_BASE_URL", base+"/v1/"), nil, llm.Info{Name: "openai/big", Window: 262_144, Style: llm.StyleTools, Schema: true}},
		{"openai/plain", envOf("OPENAI_BASE_URL", base+"/v1", "OPENAI_API_KEY", "k"), nil, llm.Info{Name: "openai/plain", Window: 128_000, Style: llm.StyleTools, Schema: true}},
		{"openai/offline", envOf("OPENAI_BASE_URL", "http://127.0.0.1:1/v1"), nil, llm.Info{Name: "openai/offline", Window: 128_000, Style: llm.StyleTools, Schema: true}},
		{"ollama/qwen3", envOf("OLLAMA_HOST", host), nil, llm.Info{Name: "ollama/qwen3", Window: 16_384, Style: llm.StyleTools, Schema: true, Price: &llm.Price{}, Local: true}},
		{"ollama/gemma3", envOf("OLLAMA_HOST", "0.0.0.0:1", "OLLAMA_CONTEXT_LENGTH", "20000"), nil, llm.Info{Name: "ollama/gemma3", Window: 20_000, Style: llm.StyleTools, Schema: true, Price: &llm.Price{}, Local: true, Sees: true}},
		{"openai/in-house", envOf("OPENAI_API_KEY", "k"), table, llm.Info{Name: "openai/in-house", Window: 64_000, MaxOut: 4096, Style: llm.StyleTools, Schema: true, Price: &llm.Price{Prompt: 1, Completion: 2}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := langchain.Open(t.Context(), tt.name, tt.env, langchain.Options{Prices: tt.prices})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, m.Info()); diff != "" {
				t.Errorf("info (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	keys := envOf("OPENAI_API_KEY", testKey, "ANTHROPIC_API_KEY", testKey)
	for _, tt := range []struct {
		name  string
		env   func(string) string
		kind  llm.Kind // empty: no *llm.Error
		words []string
	}{
		{"openai/gpt-99", keys, "", []string{"openai/gpt-99", "openai/gpt-5", "openai/gpt-4.1", "OPENAI_BASE_URL"}},
		{"acme/x", keys, "", []string{"acme", "anthropic", "openai", "ollama", "local"}},
		{"gpt-5", keys, "", []string{"openai/gpt-5"}},
		{"", keys, "", []string{"provider"}},
		{"openai/", keys, "", []string{"missing"}},
		{"openai/a b", keys, "", []string{"spaces"}},
		{"openrouter", keys, "", []string{"openrouter/MODEL"}},
		{"local", keys, "", []string{"worker"}},
		{"openai/gpt-5", envOf(), llm.KindAuth, []string{"OPENAI_API_KEY"}},
		{"gemini/gemini-2.5-pro", keys, llm.KindAuth, []string{"GEMINI_API_KEY"}},
		{"openai/x", envOf("OPENAI_BASE_URL", "ftp://u:"+testKey+"@h"), "", []string{"base URL", "http://host/v1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := langchain.Open(t.Context(), tt.name, tt.env, langchain.Options{})
			if err == nil {
				t.Fatal("no error")
			}
			var e *llm.Error
			if errors.As(err, &e) != (tt.kind != "") || e != nil && e.Kind != tt.kind {
				t.Errorf("got %T of kind %v, want %q", err, e, tt.kind)
			}
			for _, w := range tt.words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
			if strings.Contains(err.Error(), testKey) {
				t.Errorf("%q holds the key", err)
			}
		})
	}
}

func TestDefault(t *testing.T) {
	tags := `{"models":[{"name":"nomic-embed-text:latest"},{"name":"qwen3:8b"}]}`
	ollama := lister(t, "", tags, "")
	empty := lister(t, `{"data":[]}`, `{"models":[]}`, "")
	openai := lister(t, `{"data":[{"id":"fake model"},{"id":"fake-model"},{"id":"other"}]}`, "", "")
	hang := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(hang.Close)
	none := "127.0.0.1:1" // nothing listens there
	for _, tt := range []struct {
		name string
		env  func(string) string
		want string
	}{
		{"nothing", envOf("OLLAMA_HOST", none), "local"},
		{"anthropic first", envOf("OPENAI_API_KEY", "k", "ANTHROPIC_API_KEY", "k", "GEMINI_API_KEY", "k"), "anthropic/claude-sonnet-4-5"},
		{"openai", envOf("OPENAI_API_KEY", "k", "GEMINI_API_KEY", "k"), "openai/gpt-5"},
		{"openai elsewhere", envOf("OPENAI_API_KEY", "k", "OPENAI_BASE_URL", openai+"/v1"), "openai/fake-model"},
		{"elsewhere without a key", envOf("OPENAI_BASE_URL", openai+"/v1"), "openai/fake-model"},
		{"elsewhere without a list", envOf("OPENAI_API_KEY", "k", "OPENAI_BASE_URL", empty+"/v1"), "openai/gpt-5"},
		{"gemini", envOf("GEMINI_API_KEY", "k"), "gemini/gemini-2.5-flash"},
		{"ollama", envOf("OLLAMA_HOST", ollama), "ollama/qwen3:8b"},
		{"ollama without a model", envOf("OLLAMA_HOST", empty), "local"},
		{"ollama that hangs", envOf("OLLAMA_HOST", hang.URL), "local"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now()
			if got := langchain.Default(context.Background(), tt.env); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if d := time.Since(start); d > 2*time.Second {
				t.Errorf("took %s", d)
			}
		})
	}
}

func TestEmbedder(t *testing.T) {
	vectors := func(data string) http.HandlerFunc { return refuse(200, `{"data":[`+data+`]}`) }
	one, two := `{"index":0,"embedding":[1,0]}`, `{"index":1,"embedding":[0,0.5]}`
	for _, tt := range []struct {
		name string
		with http.HandlerFunc
		want llm.Kind // empty: the two vectors
	}{
		{"in order", vectors(one + "," + two), ""},
		{"out of order", vectors(two + "," + one), ""},
		{"without numbers", vectors(`{"embedding":[1,0]},{"embedding":[0,0.5]}`), ""},
		{"too few", vectors(one), llm.KindUnexpected},
		{"one twice", vectors(two + "," + two), llm.KindUnexpected},
		{"of two dimensions", vectors(one + `,{"index":1,"embedding":[1]}`), llm.KindUnexpected},
		{"an empty one", vectors(one + `,{"index":1,"embedding":[]}`), llm.KindUnexpected},
		{"too large a number", vectors(one + `,{"index":1,"embedding":[1e99,0]}`), llm.KindUnexpected},
		{"a page", refuse(200, "<html>"), llm.KindUnexpected},
		{"401", refuse(401, `{"error":{"message":"bad key `+testKey+`"}}`), llm.KindAuth},
		{"429", refuse(429, `{}`, "Retry-After", "3"), llm.KindRate},
		{"hang", stall(), llm.KindTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, tt.with)
			e, err := langchain.NewEmbedder(langchain.Config{Provider: "openai", Model: "small", BaseURL: s.URL + "/v1", Key: testKey, HeaderTimeout: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			got, err := e.Embed(t.Context(), []string{"a", "b"})
			if tt.want != "" {
				if e := asError(t, err); e.Kind != tt.want {
					t.Errorf("got kind %s (%v), want %s", e.Kind, e, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([][]float32{{1, 0}, {0, 0.5}}, got); diff != "" {
				t.Errorf("vectors (-want +got):\n%s", diff)
			}
			if want := `{"model":"small","input":["a","b"]}`; string(s.last()) != want || s.paths[0] != "/v1/embeddings" {
				t.Errorf("sent %s to %s, want %s", s.last(), s.paths[0], want)
			}
			if e.ID() != "openai/small@"+s.URL {
				t.Errorf("id %s", e.ID())
			}
		})
	}
}
