package memory_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"agentd/memory"
)

// TestContradictions proposes pairs of texts: the second is linked to the first, repeats it, or stands by itself.
func TestContradictions(t *testing.T) {
	for _, tt := range []struct {
		name, first, second string
		want                string
	}{
		{"another number", "The service listens on port 8080.", "The service listens on port 9090.", "contradicts"},
		{"a negation", "The tests need make db first", "The tests do not need make db first", "contradicts"},
		{"a contraction", "The reports go to Anna", "The reports don't go to Anna", "contradicts"},
		{"the same", "The service listens on port 8080.", "the service listens on port 8080", "repeats"},
		{"another thing with another number", "The proxy listens on port 8080", "The database listens on port 9090", ""},
		{"a number alone", "8080", "9090", ""},
		{"more is said", "The tests need make db first", "The tests need make db first and not make web", ""},
	} {
		for _, with := range []string{"words", "vectors"} {
			for _, accept := range []bool{false, true} {
				var o memory.Options
				if with == "vectors" {
					o.Embedder = embedder()
				}
				s := fresh(t, o)
				first, err := s.Propose(t.Context(), accept, fact(tt.first))
				if err != nil {
					t.Fatal(err)
				}
				second, err := s.Propose(t.Context(), accept, fact(tt.second))
				if err != nil {
					t.Fatal(err)
				}
				got := ""
				it, err := s.Get(second[0].ID)
				if err != nil {
					t.Fatal(err)
				}
				switch {
				case second[0].DuplicateOf == first[0].ID:
					got = "repeats"
				case slices.Equal(it.Contradicts, []memory.ID{first[0].ID}):
					got = "contradicts"
					if o, err := s.Get(first[0].ID); err != nil || !slices.Equal(o.Contradicts, []memory.ID{it.ID}) {
						t.Errorf("%s: the first is not linked back: %+v, %v", tt.name, o, err)
					}
				}
				if got != tt.want {
					t.Errorf("%s, by %s, accepted %v: got %q, want %q", tt.name, with, accept, got, tt.want)
				}
			}
		}
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
