package memory

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"slices"

	"agentd/memory/vec"
)

// All yields every item in the order of ids, as of one moment. A damaged one is yielded as a *CorruptError, and the rest
// follows.
func (s *Store) All() iter.Seq2[*Item, error] {
	return func(yield func(*Item, error) bool) {
		n, err := s.view()
		if err != nil {
			yield(nil, err)
			return
		}
		defer n.release()
		c := n.items.Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			id := ID(binary.BigEndian.Uint64(k))
			it, err := decodeItem(v, id)
			if err != nil {
				it, err = nil, &CorruptError{What: "memory " + id.String()}
			}
			if !yield(it, err) {
				return
			}
		}
	}
}

// Seal makes a segment of the rows that are not sealed yet, however few. The store seals full segments by itself; after a
// bulk load this makes the last rows as fast to search as the others.
func (s *Store) Seal(ctx context.Context) error {
	return s.do(ctx, &op{apply: func(b *batch) error { b.rest = true; return nil }})
}

// Vector returns an item's unit vector, or nil if it has none.
func (s *Store) Vector(id ID) ([]float32, error) {
	n, err := s.view()
	if err != nil {
		return nil, err
	}
	defer n.release()
	if _, err := n.item(id); err != nil {
		return nil, err
	}
	return n.vectorOf(id)
}

// vectorOf is an item's vector, whether searches see it or not.
func (n *snapshot) vectorOf(id ID) ([]float32, error) {
	if n.gen == nil {
		return nil, nil
	}
	dim := n.gen.codec.Dim()
	st := state{segs: n.segs}
	if s, row, ok := st.locate(id); ok {
		if s.vec == nil || s.vec.broken || s.vec.have != nil && !s.vec.have.has(row) {
			return nil, nil
		}
		v, err := s.vec.vector(row, dim)
		if err != nil {
			return nil, &CorruptError{What: "the vector of memory " + id.String()}
		}
		return slices.Clone(v), nil
	}
	if row, ok := slices.BinarySearch(n.tail.ids, id); ok && n.tail.have.has(row) && n.tail.vecs.Rows > 0 {
		c := n.tail.vecs.Chunks[row/vec.ChunkRows]
		return slices.Clone(c.F32[row%vec.ChunkRows*dim:][:dim]), nil
	}
	return nil, nil
}

// counters fills in what the file counts.
func (n *snapshot) counters(st *Stats) error {
	var c counters
	if err := json.Unmarshal(n.meta.Get(keyState), &c); err != nil {
		return fmt.Errorf("memory's counters: %w", err)
	}
	st.Items = c.Items
	proposed := n.ask.Cursor()
	for k, _ := proposed.First(); k != nil; k, _ = proposed.Next() {
		st.Proposed++
	}
	return nil
}

// Stats describes a store.
type Stats struct {
	Items     int    `json:"items"`
	Proposed  int    `json:"proposed"`
	Segments  int    `json:"segments"`
	Tail      int    `json:"tail"`   // rows that are not sealed
	Rows      int    `json:"rows"`   // forgotten ones that are not compacted away included
	Hidden    int    `json:"hidden"` // rows that searches do not see: proposed, rejected, superseded, forgotten
	Model     string `json:"model,omitempty"`
	Dim       int    `json:"dim,omitempty"`
	Vectors   int    `json:"vectors"`
	FileBytes int64  `json:"file_bytes"`
	CodeBytes int64  `json:"code_bytes"` // of memory, for 1-bit codes
}

// Stats counts what the store holds.
func (s *Store) Stats() (Stats, error) {
	n, err := s.view()
	if err != nil {
		return Stats{}, err
	}
	defer n.release()
	st := Stats{Segments: len(n.segs), Tail: n.tail.rows, Rows: n.rows}
	for i := range n.views {
		st.Hidden += n.viewRows(i) - n.live(i).count()
		v := &n.views[i]
		st.CodeBytes += int64(len(v.Bits))
		if v.Live != nil {
			st.Vectors += bitmap(v.Live).count()
		} else {
			st.Vectors += v.Rows
		}
	}
	if n.gen != nil {
		st.Model, st.Dim = n.gen.model, n.gen.codec.Dim()
	}
	if err := n.counters(&st); err != nil {
		return Stats{}, err
	}
	if f, err := os.Stat(s.path); err == nil {
		st.FileBytes = f.Size()
	}
	return st, nil
}
