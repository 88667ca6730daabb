//go:build model

package serve

import (
	"cmp"
	"os"
	"syscall"
	"testing"
	"time"

	"agentd/llm/local/serve/gbnf"

	"github.com/hybridgroup/yzma/pkg/llama"
)

// TestGrammarKeepsTheSpeed compares a reply under a JSON schema with a bare loop of the library. Both are measured in CPU
// time, in turns, and the best of each counts: other programs' load changes neither.
func TestGrammarKeepsTheSpeed(t *testing.T) {
	cfg := config(t, cmp.Or(os.Getenv("AGENTD_TEST_MODEL"), "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf")).withDefaults()
	cfg.Context, cfg.Slots = 1024, 1
	e, err := openEngine(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	grammar, err := gbnf.FromSchema([]byte(`{"type":"object","properties":{"tasks":{"type":"array","minItems":6,"maxItems":8,"items":{"type":"object",
		"properties":{"id":{"type":"string","maxLength":24},"do":{"type":"string","maxLength":300}},"required":["id","do"],"additionalProperties":false}}},
		"required":["tasks"],"additionalProperties":false}`))
	if err != nil {
		t.Fatal(err)
	}
	segs, err := newTemplate(e.model).render([]message{
		{Role: "system", Content: content{"You plan. Answer with JSON of the form {\"tasks\":[{\"id\":\"read\",\"do\":\"Read the file notes.txt\"}]}."}},
		{Role: "user", Content: content{"Plan eight tasks: find the five largest files below here, sort them, and write a table of them to report.md."}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	prompt := e.voc.tokenize(segs)
	const tokens = 64
	var bare, held float64
	refused := 0
	for range 3 {
		bare = max(bare, bareLoop(t, e, prompt, tokens))
		before := cpuTime(t) // the prompt is in the cache: both decode one token for each that they choose
		out, err := e.generate(t.Context(), &generation{prompt: prompt, maxTokens: tokens, grammar: grammar})
		if err != nil {
			t.Fatal(err)
		}
		refused = out.GrammarRefused
		held = max(held, float64(out.PredictedN)/(cpuTime(t)-before).Seconds())
		if out.PredictedN < tokens*3/4 {
			t.Fatalf("the reply has only %d tokens: %s", out.PredictedN, out.text)
		}
	}
	t.Logf("bare loop %.2f tokens per CPU-second, under a schema %.2f: %.1f %%; %d first choices refused", bare, held, 100*held/bare, refused)
	if held < 0.9*bare {
		t.Errorf("a schema costs %.1f %% of the speed, want at most 10 %%", 100*(1-held/bare))
	}
}

// bareLoop decodes and samples greedily with nothing but the library, from the end of the prompt on.
func bareLoop(t *testing.T, e *engine, prompt []llama.Token, tokens int) float64 {
	t.Helper()
	s := e.place(prompt)
	if err := e.prefill(t.Context(), s, prompt); err != nil {
		t.Fatal(err)
	}
	greedy := llama.SamplerInitGreedy()
	defer llama.SamplerFree(greedy)
	buf := make([]byte, 256)
	before := cpuTime(t)
	for i := range tokens {
		tok := llama.SamplerSample(greedy, e.ctx, -1)
		llama.TokenToPiece(e.vocab, tok, buf, 0, false)
		e.batch.Clear()
		if err := e.batch.Add(tok, llama.Pos(len(prompt)+i), []llama.SeqId{s.seq}, true); err != nil {
			t.Fatal(err)
		}
		if code, err := llama.Decode(e.ctx, e.batch); err != nil || code != 0 {
			t.Fatalf("decode: %d, %v", code, err)
		}
	}
	took := cpuTime(t) - before
	e.trim(s, len(prompt))
	return float64(tokens) / took.Seconds()
}

func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
