package memory

import (
	"context"
	"fmt"
	"slices"

	"agentd/memory/vec"
)

// maxBatch is how many items share one transaction at most.
const maxBatch = 32768

// Add stores items and returns their ids. It is durable when it returns: all of them, or none if there are at most 32768.
// Items without a vector get the embedder's; a given one must not change until Add returns. An item's ID, Updated and SupersededBy are set by the store.
func (s *Store) Add(ctx context.Context, items ...Item) ([]ID, error) {
	now := s.now().UTC()
	for i := range items {
		if err := items[i].validate(); err != nil {
			return nil, fmt.Errorf("add memory %d of %d: %w", i+1, len(items), err)
		}
	}
	vectors, model, err := s.vectors(ctx, items)
	if err != nil {
		return nil, err
	}
	ids := make([]ID, 0, len(items))
	for from := 0; from < len(items); from += maxBatch {
		part := items[from:min(from+maxBatch, len(items))]
		got := make([]ID, len(part))
		err := s.do(ctx, &op{apply: func(b *batch) error {
			b.rows = slices.Grow(b.rows, len(part))
			own := slices.Clone(part) // the caller's stay as they are, and this may run again
			for i := range own {
				it := &own[i]
				it.Vector = nil
				it.SupersededBy, it.Updated = 0, now
				if it.Created.IsZero() {
					it.Created = now
				}
				v := vectors[from+i]
				if v != nil {
					if err := b.model(model, len(v)); err != nil {
						return fmt.Errorf("add memory %d of %d: %w", from+i+1, len(items), err)
					}
				}
				if err := b.insert(it, v); err != nil {
					return fmt.Errorf("add memory %d of %d: %w", from+i+1, len(items), err)
				}
				got[i] = it.ID
			}
			return nil
		}})
		if err != nil {
			return ids, err
		}
		ids = append(ids, got...)
	}
	return ids, nil
}

// givenModel is the model of vectors that come with their items, in a store without an embedder.
const givenModel = "given"

// vectors makes the items' unit vectors; those without one are embedded, if there is an embedder.
func (s *Store) vectors(ctx context.Context, items []Item) ([][]float32, string, error) {
	model := givenModel
	if s.emb != nil {
		model = s.emb.ID()
	}
	out := make([][]float32, len(items))
	var texts []string
	var at []int
	for i := range items {
		v := items[i].Vector
		switch {
		case v != nil:
			if err := vec.Check(v, len(v)); err != nil {
				return nil, "", fmt.Errorf("add memory %d of %d: %w: %w", i+1, len(items), ErrItem, err)
			}
			// The caller's own is only read, until it is on disk.
			if !vec.Unit(v) {
				v = slices.Clone(v)
				vec.Normalize(v)
			}
			out[i] = v
		case s.emb != nil:
			texts, at = append(texts, items[i].Text), append(at, i)
		}
	}
	if len(texts) == 0 {
		return out, model, nil
	}
	// Before the model is asked in vain.
	n, err := s.view()
	if err != nil {
		return nil, "", err
	}
	g := n.gen
	n.release()
	if g != nil {
		if err := g.fits(model, 0); err != nil {
			return nil, "", err
		}
	}
	made, err := s.cache.embed(ctx, s.emb, texts)
	if err != nil {
		return nil, "", fmt.Errorf("embed %d texts: %w", len(texts), err)
	}
	for i, v := range made {
		out[at[i]] = v
	}
	return out, model, nil
}
