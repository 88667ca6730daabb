package memory_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"agentd/memory"
)

// bag is an embedder whose vectors are sums of a random vector for each word: texts with common words are near.
type bag struct {
	name string
	dim  int
	fail error
	mu   sync.Mutex
	n    int // texts embedded
}

func (b *bag) ID() string { return b.name }

func (b *bag) Embed(_ context.Context, texts []string) ([][]float32, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return nil, b.fail
	}
	b.n += len(texts)
	var out [][]float32
	for _, t := range texts {
		v := make([]float32, b.dim)
		for _, w := range strings.Fields(strings.ToLower(t)) {
			seed := uint64(len(b.name))
			for _, c := range []byte(synonyms(strings.Trim(w, ".,?"))) {
				seed = seed*31 + uint64(c)
			}
			r := rand.NewPCG(seed, 9)
			for i := range v {
				v[i] += float32(int32(r.Uint64())) / (1 << 31)
			}
		}
		out = append(out, v)
	}
	return out, nil
}

// synonyms is what the embedder knows and words do not.
func synonyms(w string) string {
	switch w {
	case "automobile", "vehicle":
		return "car"
	case "crimson":
		return "red"
	}
	return w
}

func embedder() *bag { return &bag{name: "bag-1", dim: 64} }

func open(t testing.TB, path string, o memory.Options) *memory.Store {
	t.Helper()
	s, err := memory.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func fresh(t testing.TB, o memory.Options) *memory.Store {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "memory.db"), o)
}

func add(t testing.TB, s *memory.Store, items ...memory.Item) []memory.ID {
	t.Helper()
	ids, err := s.Add(t.Context(), items...)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func fact(text string) memory.Item { return memory.Item{Namespace: memory.User, Text: text} }

func recall(t testing.TB, s *memory.Store, q memory.Query) ([]memory.ID, memory.Receipt) {
	t.Helper()
	if q.K == 0 {
		q.K = 5
	}
	hits, r, err := s.Recall(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	var ids []memory.ID
	for _, h := range hits {
		ids = append(ids, h.Item.ID)
	}
	return ids, r
}

func TestItemRoundTrip(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 5e6, time.UTC)
	path := filepath.Join(t.TempDir(), "sub", "memory.db")
	s := open(t, path, memory.Options{Now: func() time.Time { return now }})
	first := add(t, s, fact("the first"))[0]
	want := memory.Item{
		Namespace: memory.Repository("/home/me/x"), Text: "tabs, not spaces\nин Go", Trust: memory.Person, State: memory.Proposed,
		Source: memory.Source{Kind: "user", Run: "r1", Step: 3, File: "a.go", URL: "https://example.org/?a=b", Events: []int64{4, 9}},
		Tags:   []string{"style", "go"}, Expires: now.Add(time.Hour), Contradicts: []memory.ID{first},
	}
	id := add(t, s, want)[0]
	want.ID, want.Created, want.Updated = id, now, now
	for range 2 {
		got, err := s.Get(id)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(&want, got); d != "" {
			t.Errorf("item differs (-want +got):\n%s", d)
		}
		old, err := s.Get(first)
		if err != nil || !slices.Equal(old.Contradicts, []memory.ID{id}) {
			t.Errorf("the contradicted item: %+v, %v", old, err)
		}
		s.Close()
		s = open(t, path, memory.Options{})
	}
}

func TestSealedAndReopened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "memory.db")
	b := embedder()
	s := open(t, path, memory.Options{Embedder: b})
	var items []memory.Item
	for i := range 10_000 {
		items = append(items, fact(fmt.Sprintf("entry%d lies in drawer%d", i, i%100)))
	}
	ids := add(t, s, items[:4500]...)
	for i := 4500; i < 10_000; i += 500 { // small batches go through the tail
		ids = append(ids, add(t, s, items[i:i+500]...)...)
	}
	check := func(name string) {
		t.Helper()
		st, err := s.Stats()
		if err != nil || st.Items != 10_000 || st.Vectors != 10_000 || st.Segments != 2 || st.Tail != 10_000-2*4096 || st.Model != "bag-1" || st.Dim != 64 {
			t.Fatalf("%s: stats %+v, %v", name, st, err)
		}
		for _, i := range []int{0, 1, 4095, 4096, 4500, 8191, 8192, 9999} {
			hits, _, err := s.Recall(t.Context(), memory.Query{Text: items[i].Text, K: 1})
			if err != nil || len(hits) != 1 || hits[0].Item.ID != ids[i] || hits[0].Cosine < 0.999 {
				t.Fatalf("%s: entry %d: %+v, %v", name, i, hits, err)
			}
		}
		if bad, err := s.Check(); err != nil || len(bad) > 0 {
			t.Fatalf("%s: check: %v, %v", name, bad, err)
		}
	}
	check("written")
	s.Close()
	s = open(t, path, memory.Options{Embedder: b})
	check("reopened")
}

func TestConcurrentAddAndRecall(t *testing.T) {
	s := fresh(t, memory.Options{Embedder: embedder()})
	const writers, each = 8, 60
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if _, err := s.Add(context.Background(), fact(fmt.Sprintf("writer%d wrote item%d", w, i)), fact(fmt.Sprintf("and writer%d its twin%d", w, i))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	stop := make(chan struct{})
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				n := 0
				last := memory.ID(0)
				for it, err := range s.All() {
					if err != nil || it.ID <= last {
						t.Errorf("item %v after %s: %v", it, last, err)
						return
					}
					last = it.ID
					n++
				}
				if n%2 != 0 {
					t.Errorf("%d items: half of a write is seen", n)
					return
				}
				if _, _, err := s.Recall(context.Background(), memory.Query{Text: "writer3 item7", K: 5}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	go func() {
		for {
			if st, err := s.Stats(); err != nil || st.Items == writers*each*2 || t.Failed() {
				close(stop)
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	wg.Wait()
	for w := range writers {
		got, _ := recall(t, s, memory.Query{Text: fmt.Sprintf("writer%d item%d", w, each-1), K: 1})
		if len(got) != 1 {
			t.Errorf("writer %d's last item is not found", w)
		}
	}
}
