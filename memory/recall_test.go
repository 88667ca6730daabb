package memory_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"agentd/memory"
)

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
