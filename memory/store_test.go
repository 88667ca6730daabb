package memory_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"agentd/memory"
	"agentd/memory/vec"
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

func TestRecallByWordsAndMeaning(t *testing.T) {
	s := fresh(t, memory.Options{Embedder: embedder()})
	ids := add(t, s,
		fact("the red car is parked in the garage"),
		fact("invoice 4711 was paid in March"),
		fact("func readConfig parses config.yaml in cmd/agentd"),
		fact("会议在东京举行"),
		fact("the garden needs water every evening"))
	for _, c := range []struct {
		name, text string
		want       memory.ID
		words      bool // found by words
	}{
		{"synonyms", "crimson automobile", ids[0], false},
		{"a number", "4711", ids[1], true},
		{"part of a camel-case name", "config reading", ids[2], true},
		{"a path", "agentd", ids[2], true},
		{"two characters of Chinese", "东京", ids[3], true},
	} {
		hits, r, err := s.Recall(t.Context(), memory.Query{Text: c.text, K: 3})
		if err != nil || len(hits) == 0 || hits[0].Item.ID != c.want {
			t.Errorf("%s: %+v, %v; want %s first", c.name, hits, err, c.want)
			continue
		}
		if (hits[0].WordRank > 0) != c.words || hits[0].VectorRank == 0 || r.Mode != "words and vectors" || r.Model != "bag-1" {
			t.Errorf("%s: hit %+v, receipt %+v", c.name, hits[0], r)
		}
		if len(r.Hits) != len(hits) || r.Hits[0].ID != c.want || r.Hits[0].Cosine != hits[0].Cosine {
			t.Errorf("%s: receipt %+v does not match the hits", c.name, r)
		}
	}
	hits, r, err := s.Recall(t.Context(), memory.Query{Text: "crimson automobile", K: 3, WordsOnly: true})
	if err != nil || len(hits) != 0 || r.Mode != "words" || r.Note == "" {
		t.Errorf("words only found %v, receipt %+v, %v", hits, r, err)
	}
}

func TestRecallWithoutEmbedder(t *testing.T) {
	s := fresh(t, memory.Options{})
	id := add(t, s, fact("the build runs under make"))[0]
	ids, r := recall(t, s, memory.Query{Text: "how does the build run"})
	if !slices.Equal(ids, []memory.ID{id}) || r.Mode != "words" || r.Note != "no embedder" {
		t.Errorf("found %v, receipt %+v", ids, r)
	}
	// An embedder that fails leaves the words, and says so.
	b := embedder()
	s = fresh(t, memory.Options{Embedder: b})
	id = add(t, s, fact("the build runs under make"))[0]
	b.fail = errors.New("connection refused")
	ids, r = recall(t, s, memory.Query{Text: "how does the build run"})
	if !slices.Equal(ids, []memory.ID{id}) || r.Mode != "words" || !strings.Contains(r.Note, "connection refused") {
		t.Errorf("found %v, receipt %+v", ids, r)
	}
	if _, err := s.Add(t.Context(), fact("another")); !errors.Is(err, b.fail) {
		t.Errorf("add: %v, want the embedder's error", err)
	}
}

func TestRecallBounds(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	s := fresh(t, memory.Options{Embedder: embedder(), Now: func() time.Time { return now }})
	old := fact("red cars rust quickly")
	old.Expires = now.Add(time.Minute)
	ids := add(t, s, old, fact("red cars are fast"), fact("red cars are fast"), fact("red roses smell in the garden all summer long"))
	now = now.Add(time.Hour)
	got, r := recall(t, s, memory.Query{Text: "red cars", K: 10})
	if slices.Contains(got, ids[0]) || len(got) != 2 {
		t.Errorf("found %v: the expired one is %s, %s and %s are copies", got, ids[0], ids[1], ids[2])
	}
	reasons := map[string]int{}
	for _, d := range r.Dropped {
		reasons[d.Reason]++
	}
	if d := cmp.Diff(map[string]int{"expired": 1, "duplicate": 1}, reasons); d != "" {
		t.Errorf("reasons differ:\n%s", d)
	}
	got, _ = recall(t, s, memory.Query{Text: "red cars", K: 10, MinScore: 0.6})
	if len(got) != 1 {
		t.Errorf("with a least score of 0.6 found %v, want one", got)
	}
	hits, _, err := s.Recall(t.Context(), memory.Query{Text: "red cars", K: 10, MaxChars: 20})
	if err != nil || len(hits) != 1 || len(hits[0].Item.Text) > 20 {
		t.Errorf("with 20 characters found %v, %v", hits, err)
	}
}

func TestTiesPreferTrustThenAge(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	s := fresh(t, memory.Options{Now: func() time.Time { now = now.Add(time.Second); return now }})
	a, b, c := fact("port eight thousand alpha"), fact("port eight thousand bravo"), fact("port eight thousand delta")
	b.Trust = memory.Person
	ids := add(t, s, a)
	ids = append(ids, add(t, s, b)...)
	ids = append(ids, add(t, s, c)...)
	got, _ := recall(t, s, memory.Query{Text: "port"})
	// Ranks differ by row order, so fused scores do: the newest row comes first among equal words.
	if len(got) != 3 || got[0] != ids[2] {
		t.Errorf("found %v, want the newest of %v first", got, ids)
	}
}

func TestNamespacesAndFilters(t *testing.T) {
	for _, n := range []int{10, 5000} { // in the tail; sealed and in the tail
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			s := fresh(t, memory.Options{Embedder: embedder()})
			var items []memory.Item
			for i := range n {
				it := fact(fmt.Sprintf("note %d about subject %d", i, i%7))
				if i%5 == 0 {
					it.Namespace = memory.Repository("/r")
				}
				if i%9 == 0 {
					it.Tags = []string{"nine", "all"}
				}
				it.Source = memory.Source{Kind: []string{"user", "web"}[i%2], Run: fmt.Sprint("run", i%3)}
				it.Trust = memory.Trust(i % 3)
				items = append(items, it)
			}
			ids := add(t, s, items...)
			for _, c := range []struct {
				name string
				q    memory.Query
				want func(i int) bool
			}{
				{"namespace", memory.Query{Namespaces: []memory.Namespace{memory.Repository("/r")}}, func(i int) bool { return i%5 == 0 }},
				{"two namespaces", memory.Query{Namespaces: []memory.Namespace{memory.Repository("/r"), memory.User}}, func(int) bool { return true }},
				{"unknown namespace", memory.Query{Namespaces: []memory.Namespace{"goal:x"}}, func(int) bool { return false }},
				{"tag", memory.Query{Filter: memory.Filter{"tag": {"nine"}}}, func(i int) bool { return i%9 == 0 }},
				{"kind and run", memory.Query{Filter: memory.Filter{"kind": {"web"}, "run": {"run0", "run1"}}}, func(i int) bool { return i%2 == 1 && i%3 < 2 }},
				{"trust and namespace", memory.Query{Namespaces: []memory.Namespace{memory.User}, Filter: memory.Filter{"trust": {"person"}}}, func(i int) bool { return i%5 != 0 && i%3 == 2 }},
			} {
				want := 0
				for i := range n {
					if c.want(i) {
						want++
					}
				}
				c.q.Text, c.q.K = "note about subject 3", 1000
				got, _ := recall(t, s, c.q)
				for _, id := range got {
					if i := slices.Index(ids, id); !c.want(i) {
						t.Errorf("%s: item %d does not pass", c.name, i)
					}
				}
				if len(got) == 0 && want > 0 || len(got) > want {
					t.Errorf("%s: found %d of %d", c.name, len(got), want)
				}
			}
		})
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

func TestForgetLeavesNothing(t *testing.T) {
	for _, n := range []int{20, 9000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "memory.db")
			b := embedder()
			s := open(t, path, memory.Options{Embedder: b})
			var items []memory.Item
			for i := range n {
				it := fact(fmt.Sprintf("ordinary entry%d", i))
				if i%1000 == 5 {
					it = fact(fmt.Sprintf("secretword%d belongs to nobody", i))
					it.Source.Run = fmt.Sprint("run", i/2000)
				}
				items = append(items, it)
			}
			ids := add(t, s, items...)
			var gone []memory.ID
			var vectors [][]float32
			for i := 5; i < n; i += 1000 {
				gone = append(gone, ids[i])
				v, err := s.Vector(ids[i])
				if err != nil || v == nil {
					t.Fatalf("vector of %s: %v, %v", ids[i], v, err)
				}
				vectors = append(vectors, v)
			}
			runs, err := s.Forget(t.Context(), gone...)
			if err != nil || len(runs) != (len(gone)+1)/2 {
				t.Fatalf("forget: runs %v, %v", runs, err)
			}
			held, err := s.Vectors() // a reader of the old file
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Compact(t.Context()); err != nil {
				t.Fatal(err)
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(raw, []byte("secretword")) {
				t.Error("the text is still in the file")
			}
			for _, v := range vectors {
				if bytes.Contains(raw, vec.BytesOf(v[:4])) {
					t.Error("a vector is still in the file")
				}
			}
			if !bytes.Contains(raw, []byte("ordinary entry7")) {
				t.Error("an ordinary text is not in the file: the test looks for the wrong thing")
			}
			if near, err := held.Nearest([][]float32{vectors[0]}, nil, vec.Options{K: 1}); err != nil || len(near[0]) != 1 {
				t.Errorf("the held snapshot: %v, %v", near, err)
			}
			held.Close()
			check := func() {
				t.Helper()
				for i, id := range gone {
					if _, err := s.Get(id); !errors.Is(err, memory.ErrNotFound) {
						t.Errorf("get %s: %v", id, err)
					}
					if got, _ := recall(t, s, memory.Query{Text: items[5+1000*i].Text}); slices.Contains(got, id) {
						t.Errorf("%s is recalled", id)
					}
				}
				if got, _ := recall(t, s, memory.Query{Text: "entry7", K: 1}); !slices.Equal(got, ids[7:8]) {
					t.Errorf("entry 7: found %v", got)
				}
				if st, err := s.Stats(); err != nil || st.Items != n-len(gone) {
					t.Errorf("stats %+v, %v", st, err)
				}
			}
			check()
			s.Close()
			s = open(t, path, memory.Options{Embedder: b})
			check()
			if next := add(t, s, fact("one more"))[0]; next <= ids[n-1] {
				t.Errorf("id %s was given again", next)
			}
		})
	}
}

func TestExpire(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	s := fresh(t, memory.Options{Now: func() time.Time { return now }})
	a, b, c := fact("one"), fact("two"), fact("three")
	a.Expires = now.Add(time.Minute)
	b.Created = now.AddDate(-1, 0, 0)
	ids := add(t, s, a, b, c)
	now = now.Add(time.Hour)
	n, err := s.Expire(t.Context(), func(it *memory.Item) bool { return it.Created.After(now.AddDate(0, -6, 0)) })
	if err != nil || n != 2 {
		t.Errorf("expired %d, %v; want 2", n, err)
	}
	if _, err := s.Get(ids[2]); err != nil {
		t.Errorf("the item that is kept: %v", err)
	}
}

func TestSupersede(t *testing.T) {
	s := fresh(t, memory.Options{Embedder: embedder()})
	old := add(t, s, fact("the server listens on port 8080"))[0]
	it := fact("the server listens on port 9090")
	it.Supersedes = []memory.ID{old}
	id := add(t, s, it)[0]
	if got, _ := recall(t, s, memory.Query{Text: "server port"}); !slices.Equal(got, []memory.ID{id}) {
		t.Errorf("found %v, want %s alone", got, id)
	}
	if o, err := s.Get(old); err != nil || o.SupersededBy != id {
		t.Errorf("the old item: %+v, %v", o, err)
	}
	it.Supersedes = []memory.ID{999}
	if _, err := s.Add(t.Context(), it); !errors.Is(err, memory.ErrNotFound) {
		t.Errorf("superseding nothing: %v", err)
	}
}

func TestReview(t *testing.T) {
	for _, n := range []int{0, 4200} { // proposals in the tail; in a segment
		s := fresh(t, memory.Options{Embedder: embedder()})
		p, err := s.Propose(t.Context(), false, fact("the tests need docker"), fact("The tests need Docker."), fact("the tests need 3 docker hosts"))
		if err != nil {
			t.Fatal(err)
		}
		if p[0].DuplicateOf != 0 || p[1].DuplicateOf != p[0].ID || p[2].DuplicateOf != 0 {
			t.Fatalf("proposals %+v", p)
		}
		var fill []memory.Item
		for i := range n {
			fill = append(fill, fact(fmt.Sprint("filling ", i)))
		}
		if n > 0 {
			add(t, s, fill...)
		}
		if got, _ := recall(t, s, memory.Query{Text: "docker tests", WordsOnly: true}); len(got) != 0 {
			t.Fatalf("proposals are recalled: %v", got)
		}
		w, err := s.Waiting()
		if err != nil || len(w) != 2 {
			t.Fatalf("waiting %v, %v", w, err)
		}
		if err := s.Accept(t.Context(), p[0].ID); err != nil {
			t.Fatal(err)
		}
		if err := s.Reject(t.Context(), p[2].ID); err != nil {
			t.Fatal(err)
		}
		if got, _ := recall(t, s, memory.Query{Text: "docker tests", K: 1}); !slices.Equal(got, []memory.ID{p[0].ID}) {
			t.Errorf("found %v, want %s", got, p[0].ID)
		}
		again, err := s.Propose(t.Context(), true, fact("the tests need docker"))
		if err != nil || again[0].DuplicateOf != p[0].ID {
			t.Errorf("proposed again: %+v, %v", again, err)
		}
		if w, err := s.Waiting(); err != nil || len(w) != 0 {
			t.Errorf("still waiting: %v, %v", w, err)
		}
		if err := s.Accept(t.Context(), 99999); !errors.Is(err, memory.ErrNotFound) {
			t.Errorf("accepting nothing: %v", err)
		}
	}
}

func TestReembed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "memory.db")
	s := open(t, path, memory.Options{Embedder: embedder()})
	var items []memory.Item
	for i := range 9000 {
		items = append(items, fact(fmt.Sprintf("entry%d in box%d", i, i%50)))
	}
	ids := add(t, s, items...)
	if _, err := s.Forget(t.Context(), ids[17]); err != nil {
		t.Fatal(err)
	}
	s.Close()
	b := &bag{name: "bag-22", dim: 96}
	s = open(t, path, memory.Options{Embedder: b})
	if _, err := s.Add(t.Context(), fact("new")); !errors.Is(err, memory.ErrModel) {
		t.Fatalf("adding with another model: %v", err)
	}
	if got, r := recall(t, s, memory.Query{Text: "entry4"}); len(got) == 0 || r.Mode != "words" || !strings.Contains(r.Note, "reembed") {
		t.Errorf("recall with another model: %v, %+v", got, r)
	}
	// Cut after one segment, and go on in another life.
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Reembed(ctx, func(done, of int) {
		if done == 1 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("cut reembedding: %v", err)
	}
	before := b.n
	s.Close()
	s = open(t, path, memory.Options{Embedder: b})
	var steps []string
	if err := s.Reembed(t.Context(), func(done, of int) { steps = append(steps, fmt.Sprintf("%d/%d", done, of)) }); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"2/3", "3/3"}, steps); d != "" {
		t.Errorf("steps differ:\n%s", d)
	}
	if b.n-before > 9000-4096+2 {
		t.Errorf("%d texts were embedded after the cut", b.n-before)
	}
	for range 2 {
		st, err := s.Stats()
		if err != nil || st.Model != "bag-22" || st.Dim != 96 || st.Vectors != 8999 {
			t.Errorf("stats %+v, %v", st, err)
		}
		for _, i := range []int{0, 4096, 8999} {
			hits, r, err := s.Recall(t.Context(), memory.Query{Text: items[i].Text, K: 1})
			if err != nil || len(hits) != 1 || hits[0].Item.ID != ids[i] || hits[0].Cosine < 0.999 || r.Model != "bag-22" {
				t.Errorf("entry %d: %+v %+v %v", i, hits, r, err)
			}
		}
		s.Close()
		s = open(t, path, memory.Options{Embedder: b})
	}
}

func TestVectorsComeLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "memory.db")
	s := open(t, path, memory.Options{})
	var items []memory.Item
	for i := range 4200 {
		items = append(items, fact(fmt.Sprintf("entry%d", i)))
	}
	ids := add(t, s, items...)
	s.Close()
	s = open(t, path, memory.Options{Embedder: embedder()})
	car := add(t, s, fact("a crimson vehicle"))[0]
	if got, r := recall(t, s, memory.Query{Text: "red car", K: 1}); !slices.Equal(got, []memory.ID{car}) || r.Mode != "words and vectors" {
		t.Errorf("found %v %+v", got, r)
	}
	// The one vector is the nearest to everything.
	if got, _ := recall(t, s, memory.Query{Text: "entry4", K: 2}); !slices.Contains(got, ids[4]) {
		t.Errorf("entry 4: found %v", got)
	}
	if err := s.Reembed(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if st, err := s.Stats(); err != nil || st.Vectors != 4201 {
		t.Errorf("stats %+v, %v", st, err)
	}
	if v, err := s.Vector(ids[4]); err != nil || len(v) != 64 {
		t.Errorf("vector of entry 4: %v, %v", v, err)
	}
}

func TestExportImport(t *testing.T) {
	s := fresh(t, memory.Options{Embedder: embedder()})
	it := fact("first \"quoted\" <tag> ünï")
	it.Tags = []string{"a"}
	it.Source = memory.Source{Kind: "web", URL: "https://example.org"}
	a := add(t, s, it)[0]
	it = fact("second")
	it.Supersedes = []memory.ID{a}
	add(t, s, it)
	var out bytes.Buffer
	if err := s.Export(&out, true); err != nil {
		t.Fatal(err)
	}
	if strings.Count(out.String(), "\n") != 2 {
		t.Fatalf("exported %q", out.String())
	}
	to := fresh(t, memory.Options{Embedder: embedder()})
	add(t, to, fact("already there"))
	if n, err := to.Import(t.Context(), bytes.NewReader(out.Bytes())); err != nil || n != 2 {
		t.Fatalf("imported %d, %v", n, err)
	}
	got, err := to.Get(2)
	if err != nil || got.Text != "first \"quoted\" <tag> ünï" || got.SupersededBy != 3 || got.Source.URL != "https://example.org" {
		t.Errorf("imported %+v, %v", got, err)
	}
	for _, c := range []struct{ line, want string }{
		{`{"namespace":"user","text":"x"`, "line 1"},
		{`{"namespace":"user","text":""}`, "empty"},
		{`{"namespace":"user","text":"x","trust":"total"}`, "trust"},
	} {
		if _, err := to.Import(t.Context(), strings.NewReader(c.line)); !errors.Is(err, memory.ErrItem) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.line, err, c.want)
		}
	}
}

func TestBadInput(t *testing.T) {
	s := fresh(t, memory.Options{})
	given := func(v ...float32) memory.Item {
		it := fact("x")
		it.Vector = v
		return it
	}
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	add(t, s, given(1, 2, 3, 4, 5, 6, 7, 8))
	before, err := s.Stats()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		it   memory.Item
		want error
	}{
		{"empty text", fact(""), memory.ErrItem},
		{"blank text", fact(" \n\t"), memory.ErrItem},
		{"1 MB text", fact(strings.Repeat("x", 1<<20)), memory.ErrItem},
		{"invalid UTF-8", fact("a\xffb"), memory.ErrItem},
		{"no namespace", memory.Item{Text: "x"}, memory.ErrItem},
		{"long tag", memory.Item{Namespace: "user", Text: "x", Tags: []string{strings.Repeat("t", 2000)}}, memory.ErrItem},
		{"zero byte in a name", memory.Item{Namespace: "us\x00er", Text: "x"}, memory.ErrItem},
		{"unknown trust", memory.Item{Namespace: "user", Text: "x", Trust: 9}, memory.ErrItem},
		{"too many tags", memory.Item{Namespace: "user", Text: "x", Tags: make([]string, 33)}, memory.ErrItem},
		{"short vector", given(1, 2, 3, 4), memory.ErrModel},
		{"long vector", given(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16), memory.ErrModel},
		{"NaN", given(1, 2, 3, nan, 5, 6, 7, 8), memory.ErrItem},
		{"Inf", given(1, 2, 3, inf, 5, 6, 7, 8), memory.ErrItem},
		{"all zero", given(0, 0, 0, 0, 0, 0, 0, 0), memory.ErrItem},
		{"empty vector", memory.Item{Namespace: "user", Text: "x", Vector: []float32{}}, memory.ErrItem},
	} {
		// A bad item takes the good one of the same call with it.
		if _, err := s.Add(t.Context(), fact("good"), c.it); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	v8 := []float32{1, 0, 0, 0, 0, 0, 0, 0}
	for _, c := range []struct {
		name string
		q    memory.Query
		want error
	}{
		{"k 0", memory.Query{Text: "x"}, memory.ErrQuery},
		{"k -1", memory.Query{Text: "x", K: -1}, memory.ErrQuery},
		{"k 1e9", memory.Query{Text: "x", K: 1e9}, memory.ErrQuery},
		{"no text", memory.Query{K: 1}, memory.ErrQuery},
		{"long text", memory.Query{Text: strings.Repeat("x", 1<<20), K: 1}, memory.ErrQuery},
		{"invalid UTF-8", memory.Query{Text: "\xff", K: 1}, memory.ErrQuery},
		{"unknown field", memory.Query{Text: "x", K: 1, Filter: memory.Filter{"colour": {"red"}}}, memory.ErrQuery},
		{"unknown trust", memory.Query{Text: "x", K: 1, Filter: memory.Filter{"trust": {"total"}}}, memory.ErrQuery},
		{"long value", memory.Query{Text: "x", K: 1, Filter: memory.Filter{"tag": {strings.Repeat("x", 2000)}}}, memory.ErrQuery},
		{"least score NaN", memory.Query{Text: "x", K: 1, MinScore: math.NaN()}, memory.ErrQuery},
		{"negative budget", memory.Query{Text: "x", K: 1, MaxChars: -1}, memory.ErrQuery},
		{"short vector", memory.Query{Vector: v8[:4], K: 1}, memory.ErrModel},
		{"NaN", memory.Query{Vector: []float32{nan, 0, 0, 0, 0, 0, 0, 0}, K: 1}, memory.ErrQuery},
	} {
		if _, _, err := s.Recall(t.Context(), c.q); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := s.Forget(t.Context(), 1, 77); !errors.Is(err, memory.ErrNotFound) {
		t.Errorf("forgetting nothing: %v", err)
	}
	after, err := s.Stats()
	if d := cmp.Diff(before, after); d != "" || err != nil {
		t.Errorf("the store changed (%v):\n%s", err, d)
	}
	for _, id := range []string{"", "m", "mx", "-1", "m0", "0"} {
		if _, err := memory.ParseID(id); !errors.Is(err, memory.ErrNotFound) {
			t.Errorf("id %q: %v", id, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "memory.db")
	s := open(t, path, memory.Options{})
	add(t, s, fact("x"))
	if _, err := memory.Open(path, memory.Options{}); !errors.Is(err, memory.ErrLocked) {
		t.Errorf("a second opening: %v, want %v", err, memory.ErrLocked)
	}
	s.Close()
	if _, err := s.Add(t.Context(), fact("y")); !errors.Is(err, memory.ErrClosed) {
		t.Errorf("adding to a closed store: %v", err)
	}
	if _, _, err := s.Recall(t.Context(), memory.Query{Text: "x", K: 1}); !errors.Is(err, memory.ErrClosed) {
		t.Errorf("asking a closed store: %v", err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		data []byte
		want error
	}{
		{"text", []byte(strings.Repeat("not a database\n", 2000)), memory.ErrVersion},
		{"short", []byte("hello"), memory.ErrVersion},
		{"other version", bytes.ReplaceAll(good, []byte("agentd memory 1"), []byte("agentd memory 7")), memory.ErrVersion},
		{"broken meta pages", append(make([]byte, 8192), good[8192:]...), memory.ErrVersion},
		{"cut", good[:5*4096], memory.ErrDamaged},
	} {
		p := filepath.Join(dir, strings.ReplaceAll(c.name, " ", "-"))
		if err := os.WriteFile(p, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := memory.Open(p, memory.Options{})
		if err == nil {
			s.Close()
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if now, err := os.ReadFile(p); err != nil || !bytes.Equal(now, c.data) {
			t.Errorf("%s: the file was changed (%v)", c.name, err)
		}
	}
}
