package memory_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"agentd/memory"
	"agentd/memory/vec"
)

// TestTail adds items in batches that share values of the file, one in three without a vector, forgets some at the edges of
// those values, and looks at every item again: in the tail, after a new start, and sealed from memory and from the file.
func TestTail(t *testing.T) {
	for _, c := range []struct {
		name   string
		forget []int // by place
		more   int   // batches of 300 after the first
	}{
		{"whole", nil, 0},
		{"forgotten", []int{0, 1, 60, 63, 64, 65, 127, 200, 298, 299}, 0},
		{"sealed from memory", nil, 14},
		{"sealed from the file", []int{0, 1, 60, 63, 64, 65, 127, 200, 298, 299}, 14},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "memory.db")
			s := open(t, path, memory.Options{})
			r := rand.New(rand.NewPCG(3, 3))
			var ids []memory.ID
			var vectors [][]float32
			batch := func() {
				items := make([]memory.Item, 300)
				for i := range items {
					items[i] = fact(fmt.Sprintf("entry%d is here", len(ids)+i))
					var v []float32
					if (len(ids)+i)%3 != 1 {
						v = make([]float32, 16)
						for j := range v {
							v[j] = float32(r.NormFloat64())
						}
						vec.Normalize(v)
					}
					items[i].Vector, vectors = v, append(vectors, v)
				}
				ids = append(ids, add(t, s, items...)...)
			}
			batch()
			for _, i := range c.forget {
				if _, err := s.Forget(t.Context(), ids[i]); err != nil {
					t.Fatal(err)
				}
			}
			for range c.more {
				batch()
			}
			look := func(when string) {
				t.Helper()
				if bad, err := s.Check(); err != nil || len(bad) > 0 {
					t.Fatalf("%s: check: %v, %v", when, bad, err)
				}
				for i, id := range ids {
					gone := i < 300 && slices.Contains(c.forget, i)
					v, err := s.Vector(id)
					if gone {
						if !errors.Is(err, memory.ErrNotFound) {
							t.Fatalf("%s: forgotten %s: %v, %v", when, id, v, err)
						}
						continue
					}
					if err != nil || !slices.Equal(v, vectors[i]) {
						t.Fatalf("%s: vector of %s: got %v, %v; want %v", when, id, v, err, vectors[i])
					}
				}
				for i := 0; i < len(ids); i += 37 {
					hits, _, err := s.Recall(t.Context(), memory.Query{Text: fmt.Sprintf("entry%d", i), K: 3, WordsOnly: true})
					if gone := i < 300 && slices.Contains(c.forget, i); err != nil || gone != (len(hits) == 0 || hits[0].Item.ID != ids[i]) {
						t.Fatalf("%s: by words, entry%d (forgotten: %v): %+v, %v", when, i, gone, hits, err)
					}
				}
				near, err := s.Vectors()
				if err != nil {
					t.Fatal(err)
				}
				defer near.Close()
				for i := 0; i < len(ids); i += 41 {
					if vectors[i] == nil || i < 300 && slices.Contains(c.forget, i) {
						continue
					}
					got, err := near.Nearest([][]float32{vectors[i]}, nil, vec.Options{K: 1})
					if err != nil || len(got[0]) != 1 || got[0][0] != ids[i] {
						t.Fatalf("%s: nearest to %s: %v, %v", when, ids[i], got, err)
					}
				}
			}
			look("at once")
			s.Close()
			s = open(t, path, memory.Options{})
			look("after a new start")
			if err := s.Compact(t.Context()); err != nil {
				t.Fatal(err)
			}
			look("compacted")
		})
	}
}
