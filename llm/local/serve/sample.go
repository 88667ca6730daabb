package serve

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/hybridgroup/yzma/pkg/llama"
)

// errNoToken is returned when a grammar admits none of the model's tokens.
var errNoToken = errors.New("the grammar admits no token of this model here")

// sampling is how a token is chosen. Temperature 0 takes the best.
type sampling struct {
	temperature, topP   float64
	minP                float64 // least share of the best token's probability
	topK                int
	seed                uint64
	frequency, presence float64
}

// shortlist is how many of the best tokens are looked at where the first choice is refused, before all are.
const shortlist = 128

// sampler chooses tokens for one reply. A grammar is asked about the chosen token alone; only when it refuses that one
// is it asked about the shortlist, and then about the whole vocabulary.
type sampler struct {
	sampling
	voc     *vocabulary
	grammar llama.Sampler
	rng     *rand.Rand
	seen    map[llama.Token]int
	top     []llama.TokenData
	all     []llama.TokenData
	one     []llama.TokenData
	array   *llama.TokenDataArray
	refused int
}

func newSampler(voc *vocabulary, how sampling) *sampler {
	if how.topK <= 0 {
		how.topK = 40
	}
	if how.topP <= 0 || how.topP > 1 {
		how.topP = 1
	}
	return &sampler{
		sampling: how,
		voc:      voc,
		rng:      rand.New(rand.NewPCG(how.seed, 0x9e3779b97f4a7c15)),
		seen:     map[llama.Token]int{},
		one:      make([]llama.TokenData, 1),
		array:    &llama.TokenDataArray{},
	}
}

// constrain starts a grammar; the reply so far is outside it.
func (s *sampler) constrain(grammar string) error {
	s.free()
	s.grammar = llama.SamplerInitGrammar(s.voc.vocab, grammar, "root")
	if s.grammar == 0 {
		return invalid("grammar", "the library can't read the grammar: it wants GBNF with a rule root and no left recursion")
	}
	return nil
}

func (s *sampler) free() {
	llama.SamplerFree(s.grammar)
	s.grammar = 0
}

// pick chooses the next token from the logits, which it may change.
func (s *sampler) pick(logits []float32) (llama.Token, error) {
	inf := float32(math.Inf(-1))
	for _, t := range s.voc.banned {
		logits[t] = inf
	}
	if s.frequency != 0 || s.presence != 0 {
		for t, n := range s.seen {
			logits[t] -= float32(s.frequency)*float32(n) + float32(s.presence)
		}
	}
	t := s.choose(logits)
	if s.grammar != 0 && !s.admits(t) {
		s.refused++
		var err error
		if t, err = s.chooseAdmitted(logits); err != nil {
			return 0, err
		}
	}
	if s.frequency != 0 || s.presence != 0 {
		s.seen[t]++
	}
	return t, nil
}

// accept moves the grammar over a token that it admitted.
func (s *sampler) accept(t llama.Token) {
	if s.grammar != 0 {
		llama.SamplerAccept(s.grammar, t)
	}
}

func (s *sampler) choose(logits []float32) llama.Token {
	if s.temperature <= 0 {
		return argmax(logits)
	}
	s.top = best(s.top, logits, s.topK)
	return s.draw(s.top)
}

func (s *sampler) chooseAdmitted(logits []float32) (llama.Token, error) {
	s.top = best(s.top, logits, max(shortlist, s.topK))
	if ok := s.filter(s.top); len(ok) > 0 {
		return s.draw(ok[:min(len(ok), s.topK)]), nil
	}
	if s.all == nil {
		s.all = make([]llama.TokenData, len(logits))
	}
	s.all = s.all[:len(logits)]
	for i, l := range logits {
		s.all[i] = llama.TokenData{Id: llama.Token(i), Logit: l}
	}
	ok := s.filter(s.all)
	if len(ok) == 0 {
		return 0, errNoToken
	}
	slices.SortFunc(ok, descending)
	return s.draw(ok[:min(len(ok), s.topK)]), nil
}

// draw takes one of sorted candidates by temperature and top-p.
func (s *sampler) draw(sorted []llama.TokenData) llama.Token {
	if s.temperature <= 0 {
		return sorted[0].Id
	}
	var sum float64
	w := make([]float64, len(sorted))
	for i, c := range sorted {
		w[i] = math.Exp(float64(c.Logit-sorted[0].Logit) / s.temperature)
		sum += w[i]
	}
	var kept float64
	n := 0
	for n < len(w) && (n == 0 || kept < s.topP*sum && w[n] >= s.minP) {
		kept += w[n]
		n++
	}
	x := s.rng.Float64() * kept
	for i := range n {
		if x -= w[i]; x < 0 {
			return sorted[i].Id
		}
	}
	return sorted[n-1].Id
}

// admits asks the grammar about one token.
func (s *sampler) admits(t llama.Token) bool {
	s.one[0] = llama.TokenData{Id: t, Logit: 1}
	return len(s.filter(s.one)) == 1
}

// filter asks the grammar about candidates and returns those that it admits, in their order. It reuses their memory.
func (s *sampler) filter(c []llama.TokenData) []llama.TokenData {
	*s.array = llama.TokenDataArray{Data: &c[0], Size: uint64(len(c)), Selected: -1}
	llama.SamplerApply(s.grammar, s.array)
	ok := c[:0]
	for _, d := range c {
		if !math.IsInf(float64(d.Logit), -1) {
			ok = append(ok, d)
		}
	}
	return ok
}

// complete reports that the grammar admits an end and nothing else. A continuation starts with some byte, so the
// tokens of one byte stand for all of them.
func (s *sampler) complete(eog llama.Token) bool {
	if s.grammar == 0 || len(s.voc.bytes) == 0 || !s.admits(eog) {
		return false
	}
	s.top = s.top[:0]
	for _, t := range s.voc.bytes {
		s.top = append(s.top, llama.TokenData{Id: t, Logit: 1})
	}
	return len(s.filter(s.top)) == 0
}

func argmax(logits []float32) llama.Token {
	at, high := 0, logits[0]
	for i, l := range logits {
		if l > high {
			at, high = i, l
		}
	}
	return llama.Token(at)
}

// best returns the k highest logits, sorted. It reuses buf.
func best(buf []llama.TokenData, logits []float32, k int) []llama.TokenData {
	k = min(k, len(logits))
	buf = buf[:0]
	low := float32(math.Inf(-1))
	for i, l := range logits {
		if len(buf) >= 4*k {
			slices.SortFunc(buf, descending)
			buf = buf[:k]
			low = buf[k-1].Logit
		}
		if l > low {
			buf = append(buf, llama.TokenData{Id: llama.Token(i), Logit: l})
		}
	}
	slices.SortFunc(buf, descending)
	if len(buf) > k {
		buf = buf[:k]
	}
	return buf
}

func descending(a, b llama.TokenData) int {
	switch {
	case a.Logit > b.Logit:
		return -1
	case a.Logit < b.Logit:
		return 1
	}
	return int(a.Id - b.Id)
}
