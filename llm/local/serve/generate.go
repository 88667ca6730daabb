package serve

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/hybridgroup/yzma/pkg/llama"
)

// generation is one reply to make.
type generation struct {
	prompt    []llama.Token
	maxTokens int
	sampling  sampling
	grammar   string                  // holds the whole reply; "" is free
	marker    string                  // text that begins a tool call; what follows isn't shown
	after     string                  // grammar that holds what follows the marker, when grammar is empty
	lead      string                  // what the prompt ends with and the reply begins with: the marker of a call that is required
	bare      func(text string) bool  // reports that a reply without marker is a tool call
	stop      []string                // texts that end the reply and aren't part of it
	show      func(text string) error // pieces of valid UTF-8 as they are certain; an error ends the reply
}

// outcome is a reply as it came out.
type outcome struct {
	text   string // all of it, tool calls included
	reason string // stop or length
	timings
}

// contextError is returned for a prompt that leaves no room for a reply.
type contextError struct{ prompt, window int }

func (e *contextError) Error() string {
	return fmt.Sprintf("the prompt has %d tokens; this model's context takes %d, reply included", e.prompt, e.window)
}

// generate waits for the engine's turn and makes one reply. A cancelled ctx ends it within a fraction of a second, and
// what was computed of the prompt stays in the cache.
func (e *engine) generate(ctx context.Context, g *generation) (*outcome, error) {
	if len(g.prompt) >= e.cfg.Context {
		return nil, &contextError{len(g.prompt), e.cfg.Context}
	}
	if len(g.prompt) == 0 {
		return nil, fmt.Errorf("the prompt is empty")
	}
	queued := time.Now()
	if err := e.lock(ctx); err != nil {
		return nil, err
	}
	defer e.unlock()
	e.setAbort(ctx)
	defer e.setAbort(context.Background())

	smp := newSampler(e.voc, g.sampling)
	defer smp.free()
	if g.grammar != "" {
		if err := smp.constrain(g.grammar); err != nil {
			return nil, err
		}
	}
	start := time.Now()
	s := e.place(g.prompt)
	out := &outcome{reason: "stop"}
	out.QueuedMS = float64(start.Sub(queued).Microseconds()) / 1000
	out.CacheN = len(s.tokens)
	out.PromptN = len(g.prompt) - out.CacheN
	out.promptTokensInTotal = len(g.prompt)
	if err := e.prefill(ctx, s, g.prompt); err != nil {
		return nil, err
	}
	predicting := time.Now()
	err := e.predict(ctx, s, smp, g, out)
	out.set(predicting.Sub(start), time.Since(predicting))
	out.GrammarRefused = smp.refused
	return out, err
}

// prefill computes what the slot lacks of the prompt.
func (e *engine) prefill(ctx context.Context, s *slot, prompt []llama.Token) error {
	for len(s.tokens) < len(prompt) {
		if err := ctx.Err(); err != nil {
			return err
		}
		at := len(s.tokens)
		end := min(at+e.cfg.Batch, len(prompt))
		if err := e.decode(ctx, s, prompt[at:end], end == len(prompt)); err != nil {
			return err
		}
	}
	return nil
}

// decode computes tokens at the end of the slot; last asks for the logits of the last one.
func (e *engine) decode(ctx context.Context, s *slot, tokens []llama.Token, last bool) error {
	e.batch.Clear()
	at := len(s.tokens)
	for i, t := range tokens {
		if err := e.batch.Add(t, llama.Pos(at+i), []llama.SeqId{s.seq}, last && i == len(tokens)-1); err != nil {
			return fmt.Errorf("fill the batch: %w", err)
		}
	}
	start := time.Now()
	if e.pacer != nil {
		e.pacer.begin(len(tokens))
	}
	code, err := llama.Decode(e.ctx, e.batch)
	if e.pacer != nil {
		e.pacer.end(len(tokens), time.Since(start))
	}
	if err == nil && code == 0 {
		s.tokens = append(s.tokens, tokens...)
		return nil
	}
	e.trim(s, at)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("decode: %w", err)
	}
	return fmt.Errorf("decode: the library answered %d", code)
}

// predict samples tokens until the reply ends.
func (e *engine) predict(ctx context.Context, s *slot, smp *sampler, g *generation, out *outcome) error {
	most := e.cfg.Context - len(g.prompt)
	if g.maxTokens > 0 {
		most = min(most, g.maxTokens)
	}
	text := &reply{stop: g.stop, marker: g.marker, show: g.show, bare: g.bare}
	text.buf, text.marked = append(text.buf, g.lead...), g.lead != ""
	defer func() { out.text = text.String() }()
	eog := e.voc.eog
	for {
		logits, err := llama.GetLogitsIth(e.ctx, -1, e.voc.size)
		if err != nil || logits == nil {
			return fmt.Errorf("read the logits: none (%v)", err)
		}
		t, err := smp.pick(logits)
		if err != nil {
			return err
		}
		out.PredictedN++
		if e.voc.ends[t] {
			return text.end()
		}
		smp.accept(t)
		marked := text.marked
		done, err := text.add(e.voc.pieces[t])
		if err != nil || done {
			return err
		}
		if text.marked && !marked && g.grammar == "" && g.after != "" {
			if err := smp.constrain(g.after); err != nil {
				return err
			}
		}
		if smp.complete(eog) {
			return text.end()
		}
		if out.PredictedN >= most {
			out.reason = "length"
			return text.end()
		}
		if err := e.decode(ctx, s, []llama.Token{t}, true); err != nil {
			return err
		}
	}
}

// place finds the slot that saves most work for a prompt and trims it to what both share. A slot that holds another
// conversation is kept; the least recently used one gives way, and takes over a long common beginning from the other.
func (e *engine) place(prompt []llama.Token) *slot {
	e.clock++
	var best, oldest *slot
	lcp := -1
	oldestAge := int64(math.MaxInt64)
	for _, s := range e.slots {
		if n := common(s.tokens, prompt); n > lcp {
			best, lcp = s, n
		}
		if s.used < oldestAge {
			oldest, oldestAge = s, s.used
		}
	}
	s := best
	if best != oldest && 2*lcp < min(len(best.tokens), len(prompt)) {
		s = oldest
		if lcp >= copyWorth && lcp > common(oldest.tokens, prompt) {
			e.trim(s, 0)
			if err := llama.MemorySeqCp(e.mem, best.seq, s.seq, -1, -1); err == nil {
				s.tokens = append(s.tokens[:0], best.tokens...)
			}
		}
	}
	e.trim(s, min(common(s.tokens, prompt), len(prompt)-1))
	s.used = e.clock
	return s
}

// copyWorth is the least common beginning that is copied from slot to slot: below it computing is as fast.
const copyWorth = 32

// trim shortens a slot to n tokens, in the library's cache too.
func (e *engine) trim(s *slot, n int) {
	ok, err := llama.MemorySeqRm(e.mem, s.seq, llama.Pos(n), -1)
	if err != nil || !ok { // this kind of model can't forget a part: forget all
		llama.MemorySeqRm(e.mem, s.seq, -1, -1)
		n = 0
	}
	s.tokens = s.tokens[:min(n, len(s.tokens))]
}

func common(a, b []llama.Token) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
