package memory

import (
	"fmt"

	"agentd/memory/vec"
)

// Vectors is the store's vectors at one moment, for searches by vector alone. It must be closed.
type Vectors struct{ n *snapshot }

// Vectors takes the present state.
func (s *Store) Vectors() (*Vectors, error) {
	n, err := s.view()
	if err != nil {
		return nil, err
	}
	return &Vectors{n}, nil
}

// Close lets go of the state.
func (v *Vectors) Close() { v.n.release() }

// Nearest returns the ids of the items nearest to each query, best first, among those that pass a filter (nil: all).
func (v *Vectors) Nearest(queries [][]float32, f Filter, o vec.Options) ([][]ID, error) {
	if v.n.gen == nil {
		return make([][]ID, len(queries)), nil
	}
	c := v.n.gen.codec
	for i, q := range queries {
		if err := vec.Check(q, c.Dim()); err != nil {
			return nil, fmt.Errorf("query %d: %w: %w", i+1, ErrQuery, err)
		}
	}
	masks, err := v.n.masks(nil, f)
	if err != nil {
		return nil, err
	}
	hits, _ := c.SearchBatch(v.n.masked(masks), queries, o)
	out := make([][]ID, len(queries))
	for i, l := range hits {
		ids := make([]ID, len(l))
		for j, h := range l {
			ids[j] = v.n.id(h.Seg, h.Row)
		}
		out[i] = ids
	}
	return out, nil
}
