package memory_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentd/memory"
)

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
