package memory

import (
	"context"

	"fmt"
	"math"

	bolt "go.etcd.io/bbolt"

	"agentd/memory/vec"
)

// Reembed makes the vectors of all items anew with the store's embedder, as the next generation: segment by segment, each
// durable, so that a later call goes on where this one was cut. Searches use the old vectors until the last is made; then
// the new generation takes over in one transaction. Inserts wait while the unsealed rows are embedded. progress, if not nil,
// is told how many of how many segments are done.
func (s *Store) Reembed(ctx context.Context, progress func(done, of int)) error {
	if s.emb == nil {
		return fmt.Errorf("reembed: %w: the store has no embedder", ErrModel)
	}
	for {
		var left int
		err := s.do(ctx, &op{alone: true, apply: func(*batch) error {
			done, of, err := s.reembedStep(ctx)
			if err == nil && progress != nil {
				progress(done, of)
			}
			left = of - done
			return err
		}})
		if err != nil {
			return fmt.Errorf("reembed: %w", err)
		}
		if left == 0 {
			return nil
		}
	}
}

// next is the generation under way: one of this model, if a former call began it.
func (s *Store) next(ctx context.Context) (*generation, error) {
	no := s.state.count.Generation + 1
	model := s.emb.ID()
	var g *generation
	err := s.state.db.db.View(func(tx *bolt.Tx) error {
		if (&generation{no: no}).bucket(tx) == nil {
			return nil
		}
		var err error
		g, err = readGeneration(tx, no)
		return err
	})
	if err != nil {
		return nil, err
	}
	if g != nil && g.model == model {
		return g, nil
	}
	probe, err := s.cache.embed(ctx, s.emb, []string{"dimension"})
	if err != nil {
		return nil, err
	}
	c, err := vec.NewCodec(len(probe[0]), 1, nil)
	if err != nil {
		return nil, err
	}
	fresh := &generation{no: no, model: model, codec: c}
	return fresh, s.state.db.db.Update(func(tx *bolt.Tx) error {
		if g != nil { // of a third model
			if err := tx.DeleteBucket(g.name()); err != nil {
				return err
			}
		}
		return fresh.put(tx)
	})
}

// reembedStep embeds one segment; after the last one, the tail, and switches over.
func (s *Store) reembedStep(ctx context.Context) (done, of int, err error) {
	g, err := s.next(ctx)
	if err != nil {
		return 0, 0, err
	}
	of = len(s.state.segs) + 1
	var todo *segment
	var rows []row
	err = s.state.db.db.View(func(tx *bolt.Tx) error {
		b := g.bucket(tx).Bucket(bucketBits)
		for _, seg := range s.state.segs {
			if b.Get(segKey(seg.no, 0)) != nil {
				done++
				continue
			}
			if todo == nil {
				todo = seg
			}
		}
		if todo == nil {
			var err error
			rows, err = s.state.tailRows(tx, math.MaxUint64)
			return err
		}
		for r := range todo.rows {
			it, err := decodeItem(tx.Bucket(bucketItems).Get(idKey(todo.id(r))), todo.id(r))
			if err != nil { // forgotten or damaged: a row without a vector
				it = nil
			}
			rows = append(rows, row{item: it})
		}
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	if err := s.embedRows(ctx, rows, g.codec.Dim()); err != nil {
		return 0, 0, err
	}
	if todo == nil {
		return of, of, s.switchTo(g, rows)
	}
	list := make([][]float32, len(rows))
	for i, r := range rows {
		list[i] = r.vec
	}
	err = s.state.db.db.Update(func(tx *bolt.Tx) error {
		if mean := vec.Mean(vectorsOf(rows), g.codec.Dim()); !g.fixed && mean != nil {
			if g, err = g.withMean(mean); err != nil {
				return err
			}
			if err := g.put(tx); err != nil {
				return err
			}
		}
		return putSegment(tx, todo.no, g, makeVectors(list, g, newBuffer))
	})
	if err != nil {
		return 0, 0, err
	}
	return done + 1, of, s.refresh()
}

func (s *Store) embedRows(ctx context.Context, rows []row, dim int) error {
	var texts []string
	var at []int
	for i, r := range rows {
		if r.item != nil {
			texts, at = append(texts, r.item.Text), append(at, i)
		}
	}
	made, err := s.cache.embed(ctx, s.emb, texts)
	if err != nil {
		return err
	}
	for i, v := range made {
		if len(v) != dim {
			return fmt.Errorf("%w: %s made a vector of %d values, before of %d", ErrModel, s.emb.ID(), len(v), dim)
		}
		rows[at[i]].vec = v
	}
	return nil
}

// switchTo makes g, complete but for the tail's rows, the store's generation and removes the old one.
func (s *Store) switchTo(g *generation, tailRows []row) error {
	count := s.state.count
	old := s.state.gen
	count.Generation = g.no
	err := s.state.db.db.Update(func(tx *bolt.Tx) error {
		if err := putTail(g.bucket(tx).Bucket(bucketTail), tailRows); err != nil {
			return err
		}
		if old != nil {
			if err := tx.DeleteBucket(old.name()); err != nil {
				return err
			}
		}
		return putCounters(tx, count)
	})
	if err != nil {
		return err
	}
	next := state{db: s.state.db}
	if err := next.load(); err != nil {
		return err
	}
	s.state = next
	return s.publish()
}

// refresh views the segments anew after pages may have moved.
func (s *Store) refresh() error {
	if err := s.state.db.db.View(s.state.readSegments); err != nil {
		return err
	}
	return s.publish()
}
