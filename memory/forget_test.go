package memory_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"agentd/memory"
	"agentd/memory/vec"
)

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
