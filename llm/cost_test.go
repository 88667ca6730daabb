package llm_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agentd/llm"
)

func TestWorstAndCost(t *testing.T) {
	price := &llm.Price{Prompt: 3, Completion: 15, Cached: 0.3, CacheWrite: 3.75}
	for _, tt := range []struct {
		name        string
		price       *llm.Price
		prompt, out int
		usage       llm.Usage
		worst, cost float64
		known       bool
	}{
		{"no price", nil, 100, 10, llm.Usage{Prompt: 100, Completion: 10}, 0, 0, false},
		{"local", &llm.Price{}, 100, 10, llm.Usage{Prompt: 100, Completion: 10}, 0, 0, true},
		{"plain", &llm.Price{Prompt: 1, Completion: 10}, 1e6, 1e5, llm.Usage{Prompt: 1e6, Completion: 1e5}, 2, 2, true},
		{"a cache without a price of its own", &llm.Price{Prompt: 1}, 1e6, 0, llm.Usage{Prompt: 1e6, Cached: 1e6}, 1, 1, true},
		{"all kinds", price, 1e6, 1e5, llm.Usage{Prompt: 1e6, Completion: 1e5, Cached: 5e5, CacheWrite: 2e5}, 3.75 + 1.5, 0.15 + 0.75 + 0.9 + 1.5, true},
		{"a provider that counts nonsense", price, -5, -5, llm.Usage{Prompt: 10, Cached: 99, CacheWrite: 99, Completion: -7}, 0, 0.3 * 10 / 1e6, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			info := llm.Info{Price: tt.price}
			tokens, worst, known := llm.Worst(info, tt.prompt, tt.out)
			if tokens != int64(max(0, tt.prompt)+max(0, tt.out)) || math.Abs(worst-tt.worst) > 1e-12 || known != tt.known {
				t.Errorf("Worst: %d tokens, $%v, %t; want $%v, %t", tokens, worst, known, tt.worst, tt.known)
			}
			cost, known := llm.Cost(info, tt.usage)
			if math.Abs(cost-tt.cost) > 1e-12 || known != tt.known {
				t.Errorf("Cost: $%v, %t; want $%v, %t", cost, known, tt.cost, tt.known)
			}
			if tt.prompt >= tt.usage.Prompt && cost > worst+1e-12 {
				t.Errorf("a call cost $%v, more than its worst case $%v", cost, worst)
			}
		})
	}
}

func TestBuiltinPrices(t *testing.T) {
	p := llm.BuiltinPrices()
	if _, err := time.Parse(time.DateOnly, p.AsOf); err != nil {
		t.Errorf("as_of: %v", err)
	}
	for name, e := range p.Models {
		if _, _, err := llm.ParseName(name); err != nil {
			t.Error(err)
		}
		if e.Prompt <= 0 || e.Completion <= 0 || e.Cached <= 0 || e.Cached > e.Prompt || e.Window < 32_000 || e.MaxOut < 4096 {
			t.Errorf("%s: %+v", name, e)
		}
	}
	for _, provider := range llm.Providers() {
		if name := provider.Name + "/" + provider.Default; provider.Default != "" {
			if _, ok := p.Lookup(name); !ok {
				t.Errorf("the default %s has no price", name)
			}
		}
	}
}

func TestLookup(t *testing.T) {
	p := llm.BuiltinPrices()
	for name, want := range map[string]string{
		"openai/gpt-5": "openai/gpt-5", "openai/gpt-5-mini-2025-08-07": "openai/gpt-5-mini", "anthropic/claude-opus-4-1-20250805": "anthropic/claude-opus-4-1",
		"anthropic/claude-3-5-haiku-latest": "anthropic/claude-3-5-haiku", "mistral/mistral-large-2411": "mistral/mistral-large-latest",
		"groq/openai/gpt-oss-20b": "groq/openai/gpt-oss-20b", "openai/gpt-5x": "", "gpt-5": "", "": "", "openai/": "",
	} {
		got, ok := p.Lookup(name)
		if ok != (want != "") || got != p.Models[want] {
			t.Errorf("Lookup(%q) = %+v, %t; want the entry of %q", name, got, ok, want)
		}
	}
}

func TestLoadPrices(t *testing.T) {
	write := func(s string) string {
		f := filepath.Join(t.TempDir(), "p.json")
		if err := os.WriteFile(f, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		return f
	}
	p, err := llm.LoadPrices(write(`{"as_of":"2027-01-01","models":{"openai/gpt-5":{"prompt":9,"completion":9,"window":10,"max_out":5}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if e, _ := p.Lookup("openai/gpt-5"); e.Prompt != 9 || p.AsOf != "2027-01-01" {
		t.Errorf("the file does not win: %+v", e)
	}
	if _, ok := p.Lookup("openai/gpt-4o"); !ok {
		t.Error("the built-in entries are gone")
	}
	if e, _ := llm.BuiltinPrices().Lookup("openai/gpt-5"); e.Prompt == 9 {
		t.Error("the built-in table was changed")
	}
	for content, word := range map[string]string{
		`{`:                                   "EOF",
		`{"models":{}}`:                       "as_of",
		`{"as_of":"x","models":{"gpt-5":{}}}`: "provider/model",
		`{"as_of":"x","models":{"a/b":{"promt":1}}}`:                         "promt",
		`{"as_of":"x","models":{"a/b":{"prompt":-1}}}`:                       "negative",
		`{"as_of":"x","models":{"a/b":{"prompt":1,"window":1,"max_out":2}}}`: "max_out",
	} {
		file := write(content)
		if _, err := llm.LoadPrices(file); err == nil || !strings.Contains(err.Error(), word) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: got %v, want an error with %q and the path", content, err, word)
		}
	}
	if _, err := llm.LoadPrices(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing file is no error")
	}
}

func TestParseName(t *testing.T) {
	for name, want := range map[string]string{
		"openai/gpt-5": "openai gpt-5", " anthropic/x ": "anthropic x", "groq/openai/gpt-oss-20b": "groq openai/gpt-oss-20b", "local": "local ", "local/qwen": "local qwen",
		"openai": "openai gpt-5", "ollama/qwen3:8b": "ollama qwen3:8b",
	} {
		p, m, err := llm.ParseName(name)
		if got := p.Name + " " + m; err != nil || got != want {
			t.Errorf("ParseName(%q) = %q, %v; want %q", name, got, err, want)
		}
	}
	for name, word := range map[string]string{"": "anthropic, openai", "gpt-5": "openai/gpt-5", "acme/x": "acme", "openai/": "missing", "ollama": "ollama/MODEL", "openai/a\nb": "spaces"} {
		if _, _, err := llm.ParseName(name); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("ParseName(%q): got %v, want an error with %q", name, err, word)
		}
	}
}

func TestErrorKinds(t *testing.T) {
	for kind, want := range map[llm.Kind][2]bool{ // retryable, failover
		llm.KindAuth: {false, true}, llm.KindRate: {true, true}, llm.KindOverload: {true, true}, llm.KindContext: {}, llm.KindFilter: {}, llm.KindInvalid: {},
		llm.KindTruncated: {true, false}, llm.KindTimeout: {true, true}, llm.KindConnect: {true, true}, llm.KindBudget: {}, llm.KindUnpriced: {}, llm.KindCanceled: {}, llm.KindUnexpected: {true, false},
	} {
		e := &llm.Error{Kind: kind}
		if got := [2]bool{e.Retryable(), e.Failover()}; got != want {
			t.Errorf("%s: retryable and failover %v, want %v", kind, got, want)
		}
	}
	e := &llm.Error{Kind: llm.KindRate, Model: "a/b", Status: 429, Message: "slow"}
	if got, want := e.Error(), "a/b: rate_limit (status 429): slow"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
