package serve

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hybridgroup/yzma/pkg/llama"
)

func TestBest(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 40, 1000, 5000} {
		logits := make([]float32, n)
		for i := range logits {
			logits[i] = float32(rng.IntN(500)) / 7 // with ties
		}
		all := make([]llama.TokenData, n)
		for i, l := range logits {
			all[i] = llama.TokenData{Id: llama.Token(i), Logit: l}
		}
		slices.SortFunc(all, descending)
		for _, k := range []int{1, 3, 40, 128} {
			got := best(nil, logits, k)
			want := all[:min(k, n)]
			for i := range got {
				if got[i].Logit != want[i].Logit { // ties may come in any order at the border
					t.Fatalf("n %d, k %d, place %d: logit %v, want %v", n, k, i, got[i].Logit, want[i].Logit)
				}
			}
			if len(got) != len(want) {
				t.Errorf("n %d, k %d: %d tokens, want %d", n, k, len(got), len(want))
			}
		}
		if got, want := argmax(logits), all[0]; logits[got] != want.Logit {
			t.Errorf("n %d: argmax %d has %v, want %v", n, got, logits[got], want.Logit)
		}
	}
}

func TestDraw(t *testing.T) {
	logits := []float32{1, 3, 2, -5}
	voc := &vocabulary{size: 4, banned: []llama.Token{2}}
	pick := func(how sampling) map[llama.Token]int {
		s := newSampler(voc, how)
		got := map[llama.Token]int{}
		for range 2000 {
			tok, err := s.pick(slices.Clone(logits))
			if err != nil {
				t.Fatal(err)
			}
			got[tok]++
		}
		return got
	}
	if got := pick(sampling{}); got[1] != 2000 {
		t.Errorf("temperature 0 drew %v, want only token 1", got)
	}
	got := pick(sampling{temperature: 1, seed: 7})
	if got[2] != 0 {
		t.Errorf("a banned token was drawn %d times", got[2])
	}
	if p := float64(got[0]) / 2000; p < 0.08 || p > 0.16 { // e^1/(e^1+e^3) is 0.119
		t.Errorf("token 0 was drawn %v of the time, want about 0.12", p)
	}
	if got := pick(sampling{temperature: 1, topP: 0.5, seed: 7}); got[1] != 2000 {
		t.Errorf("top_p 0.5 drew %v, want only token 1", got)
	}
	if got := pick(sampling{temperature: 3, topK: 1, seed: 7}); got[1] != 2000 {
		t.Errorf("top_k 1 drew %v, want only token 1", got)
	}
	again := pick(sampling{temperature: 1, seed: 7})
	if again[0] != pick(sampling{temperature: 1, seed: 7})[0] {
		t.Error("one seed gave two results")
	}
	if got := pick(sampling{frequency: 2}); got[0] == 0 || got[1] == 2000 {
		t.Errorf("a frequency penalty of 2 drew %v, want token 0 too", got)
	}
}
