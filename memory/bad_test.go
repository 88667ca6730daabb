package memory_test

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentd/memory"
)

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
