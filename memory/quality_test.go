package memory_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"agentd/memory"
)

// The quality of recall is measured on a labelled set: MEMORY_RECALL_SET is a folder with corpus.jsonl {id, scope, text},
// queries.jsonl {qid, scope, text} and qrels.jsonl {qid, ids}; a question searches its own scope, and any of the ids is
// right. The vectors come from vectors.jsonl {text, vector} there, or from the /v1/embeddings of MEMORY_EMBED_URL.
// testdata/reworded.jsonl {qid, text} has the questions of BFCL's memory set in other words; its rule is in
// testdata/README.md.

type labelled struct {
	ID, QID, Scope, Text string
	IDs                  []string
	Vector               []float32
}

func readLines(t *testing.T, path string) []labelled {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	var out []labelled
	for sc.Scan() {
		var l labelled
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out = append(out, l)
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// recorded is an embedder of vectors that were made before, and of a server's.
type recorded struct {
	known map[string][]float32
	url   string
}

func (r *recorded) ID() string { return "minilm" }

func (r *recorded) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	var out [][]float32
	for _, t := range texts {
		v := r.known[t]
		if v == nil {
			if r.url == "" {
				return nil, fmt.Errorf("no vector of %.40q is recorded", t)
			}
			body, err := json.Marshal(map[string]any{"model": "minilm", "input": t})
			if err != nil {
				return nil, err
			}
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, bytes.NewReader(body))
			if err != nil {
				return nil, err
			}
			req.Header.Set("Content-Type", "application/json")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return nil, err
			}
			var answer struct {
				Data []struct{ Embedding []float32 } `json:"data"`
			}
			err = json.NewDecoder(resp.Body).Decode(&answer)
			resp.Body.Close()
			if err != nil || len(answer.Data) != 1 {
				return nil, fmt.Errorf("%s: %s, %v", r.url, resp.Status, err)
			}
			v = answer.Data[0].Embedding
			r.known[t] = v
		}
		out = append(out, v)
	}
	return out, nil
}

// outcome is one question's: right at once, and the reciprocal of the first right rank up to 10.
type outcome struct{ hit1, rr float64 }

func mean(l []outcome) (o outcome) {
	for _, x := range l {
		o.hit1 += x.hit1 / float64(len(l))
		o.rr += x.rr / float64(len(l))
	}
	return o
}

// bootstrap is the 95 % interval of the mean difference of pairs.
func bootstrap(a, b []outcome, of func(outcome) float64) (lo, hi float64) {
	r := rand.New(rand.NewPCG(1, 1))
	var d []float64
	for range 10_000 {
		var s float64
		for range a {
			i := r.IntN(len(a))
			s += of(a[i]) - of(b[i])
		}
		d = append(d, s/float64(len(a)))
	}
	slices.Sort(d)
	return d[250], d[9749]
}

func TestRecallQuality(t *testing.T) {
	dir := os.Getenv("MEMORY_RECALL_SET")
	if dir == "" {
		t.Skip("MEMORY_RECALL_SET names no folder with a labelled set")
	}
	e := &recorded{known: map[string][]float32{}, url: os.Getenv("MEMORY_EMBED_URL")}
	if e.url == "" {
		for _, l := range readLines(t, filepath.Join(dir, "vectors.jsonl")) {
			e.known[l.Text] = l.Vector
		}
	}
	s := fresh(t, memory.Options{Embedder: e})
	names := map[memory.ID]string{}
	for _, c := range readLines(t, filepath.Join(dir, "corpus.jsonl")) {
		it := fact(c.Text)
		it.Namespace = memory.Goal(c.Scope)
		names[add(t, s, it)[0]] = c.ID
	}
	gold := map[string][]string{}
	for _, l := range readLines(t, filepath.Join(dir, "qrels.jsonl")) {
		gold[l.QID] = l.IDs
	}
	reworded := map[string]string{}
	for _, l := range readLines(t, "testdata/reworded.jsonl") {
		reworded[l.QID] = l.Text
	}
	queries := readLines(t, filepath.Join(dir, "queries.jsonl"))
	ask := func(q labelled, text string, o memory.Query) outcome {
		o.Namespaces, o.Text, o.K = []memory.Namespace{memory.Goal(q.Scope)}, text, 10
		hits, _, err := s.Recall(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		for i, h := range hits {
			if slices.Contains(gold[q.QID], names[h.Item.ID]) {
				x := outcome{rr: 1 / float64(i+1)}
				if i == 0 {
					x.hit1 = 1
				}
				return x
			}
		}
		return outcome{}
	}
	for _, set := range []string{"original", "reworded"} {
		var words, fused []outcome
		for _, q := range queries {
			text := q.Text
			if set == "reworded" {
				if text = reworded[q.QID]; text == "" {
					continue
				}
			}
			words = append(words, ask(q, text, memory.Query{WordsOnly: true}))
			fused = append(fused, ask(q, text, memory.Query{}))
		}
		w, f := mean(words), mean(fused)
		h1, h2 := bootstrap(fused, words, func(o outcome) float64 { return o.hit1 })
		m1, m2 := bootstrap(fused, words, func(o outcome) float64 { return o.rr })
		t.Logf("%s: %d questions; words alone hit@1 %.3f MRR %.3f; fused hit@1 %.3f (difference %+.3f, 95%% %+.3f to %+.3f) MRR %.3f (%+.3f, %+.3f to %+.3f)",
			set, len(words), w.hit1, w.rr, f.hit1, f.hit1-w.hit1, h1, h2, f.rr, f.rr-w.rr, m1, m2)
		if f.rr < w.rr || f.hit1 < w.hit1 {
			t.Errorf("%s: fused %+v is worse than words alone %+v", set, f, w)
		}
	}
}
