package memory

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// Forget removes items. From its return on nothing finds them; their bytes leave the file with Compact. The runs that they
// came from, which it returns, still hold them in their journals.
func (s *Store) Forget(ctx context.Context, ids ...ID) (runs []string, err error) {
	err = s.do(ctx, &op{apply: func(b *batch) error {
		runs = nil
		for _, id := range ids {
			it, err := b.get(id)
			if damaged := (*CorruptError)(nil); errors.As(err, &damaged) {
				it = &Item{ID: id} // what cannot be read can be forgotten all the same
			} else if err != nil {
				return fmt.Errorf("forget %w", err)
			}
			if it.Source.Run != "" && !slices.Contains(runs, it.Source.Run) {
				runs = append(runs, it.Source.Run)
			}
			if err := b.forget(id); err != nil {
				return err
			}
		}
		return nil
	}})
	return runs, err
}

// forget removes an item's record and unsealed vector. A sealed vector and the words stay until Compact.
func (b *batch) forget(id ID) error {
	b.live[id], b.drop[id] = false, true
	b.count.Items--
	if b.gen != nil {
		if err := dropFromTail(b.gen.bucket(b.tx).Bucket(bucketTail), id, b.gen.codec.Dim()); err != nil {
			return err
		}
	}
	if err := b.tx.Bucket(bucketAsk).Delete(idKey(id)); err != nil {
		return err
	}
	return b.tx.Bucket(bucketItems).Delete(idKey(id))
}

// Expire forgets the items whose time is over, and those of namespaces that keep refuses (nil: none). It returns how many.
func (s *Store) Expire(ctx context.Context, keep func(*Item) bool) (int, error) {
	now := s.now()
	var old []ID
	for it, err := range s.All() {
		if damaged := (*CorruptError)(nil); errors.As(err, &damaged) {
			continue
		}
		if err != nil {
			return 0, err
		}
		if it.expired(now) || keep != nil && !keep(it) {
			old = append(old, it.ID)
		}
	}
	if len(old) == 0 {
		return 0, nil
	}
	_, err := s.Forget(ctx, old...)
	return len(old), err
}

// Compact takes forgotten rows out of their segments and writes the file anew, so that nothing of them is left in it.
// Inserts wait; searches go on.
func (s *Store) Compact(ctx context.Context) error {
	return s.do(ctx, &op{alone: true, apply: func(*batch) error {
		if err := s.purge(ctx); err != nil {
			return fmt.Errorf("compact memory: %w", err)
		}
		if err := s.rewrite(); err != nil {
			return fmt.Errorf("compact memory: %w", err)
		}
		return nil
	}})
}

// purge rewrites the segments that have rows without items, one transaction each.
func (s *Store) purge(ctx context.Context) error {
	for i := 0; i < len(s.state.segs); i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		seg := s.state.segs[i]
		var rows []row
		missing := false
		err := s.state.db.db.View(func(tx *bolt.Tx) error {
			for r := range seg.rows {
				id := seg.id(r)
				v := tx.Bucket(bucketItems).Get(idKey(id))
				if v == nil {
					missing = true
					continue
				}
				it, err := decodeItem(v, id)
				if err != nil {
					continue // its record stays, for Check to name
				}
				w := row{item: it}
				if seg.vec != nil && !seg.vec.broken && (seg.vec.have == nil || seg.vec.have.has(r)) {
					// A damaged vector is left out: reembed makes it anew.
					if f, err := seg.vec.vector(r, s.state.gen.codec.Dim()); err == nil {
						w.vec = slices.Clone(f)
					}
				}
				rows = append(rows, w)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if !missing {
			continue
		}
		if err := s.rewriteSegment(seg, rows); err != nil {
			return err
		}
		if len(rows) == 0 {
			i--
		}
	}
	return nil
}

// rewriteSegment replaces a segment's rows by fewer.
func (s *Store) rewriteSegment(seg *segment, rows []row) error {
	err := s.state.db.db.Update(func(tx *bolt.Tx) error {
		if err := dropSegment(tx, seg.no, s.state.gen); err != nil {
			return err
		}
		next := &generation{no: s.state.count.Generation + 1}
		if next.bucket(tx) != nil { // being made by Reembed, which does this segment again
			if err := dropVectors(tx, seg.no, next); err != nil {
				return err
			}
		}
		if len(rows) == 0 {
			return nil
		}
		return writeSegment(tx, seg.no, rows, s.state.gen)
	})
	if err != nil {
		return err
	}
	// Its old copies are not to be taken over.
	s.state.segs = slices.DeleteFunc(slices.Clone(s.state.segs), func(o *segment) bool { return o.no == seg.no })
	if err := s.state.db.db.View(s.state.readSegments); err != nil {
		return err
	}
	return s.publish()
}

func dropSegment(tx *bolt.Tx, no uint32, g *generation) error {
	for _, n := range [][]byte{bucketRows, bucketLive, bucketIndex} {
		if err := tx.Bucket(n).Delete(segKey(no, 0)); err != nil {
			return err
		}
	}
	if g == nil {
		return nil
	}
	return dropVectors(tx, no, g)
}

func dropVectors(tx *bolt.Tx, no uint32, g *generation) error {
	for _, n := range [][]byte{bucketF32, bucketI8, bucketBits, bucketHave} {
		b := g.bucket(tx).Bucket(n)
		for chunk := range segmentRows / 1024 {
			if err := b.Delete(segKey(no, chunk)); err != nil {
				return err
			}
		}
	}
	return nil
}

// rewrite copies what is in the file to a new one, which takes its place. The old one lives until its last reader is done.
func (s *Store) rewrite() error {
	tmp := s.path + ".compact"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	fresh, err := openFile(tmp)
	if err != nil {
		return err
	}
	fail := func(err error) error {
		fresh.Close()
		os.Remove(tmp)
		return err
	}
	fresh.NoSync = true // synced once, at the end
	if err := s.state.db.db.View(func(from *bolt.Tx) error { return copyFile(fresh, from) }); err != nil {
		return fail(err)
	}
	if err := fresh.Sync(); err != nil {
		return fail(err)
	}
	fresh.NoSync = false
	next := state{db: &handle{db: fresh}}
	if err := next.load(); err != nil {
		return fail(err)
	}
	if err := os.Rename(tmp, s.path); err != nil {
		return fail(err)
	}
	if err := syncDir(filepath.Dir(s.path)); err != nil {
		return err
	}
	old := s.state.db
	s.state = next
	if err := s.publish(); err != nil {
		return err
	}
	// Readers that are at it keep the old file open; whoever is last lets it go.
	s.old.Go(func() {
		old.wg.Wait()
		_ = old.db.Close()
	})
	return nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// copyFile writes all buckets of a transaction to a fresh file, a few MiB to a transaction.
func copyFile(to *bolt.DB, from *bolt.Tx) error {
	tx, err := to.Begin(true)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after the commit it does nothing
	size := 0
	var walk func(path [][]byte, b *bolt.Bucket) error
	walk = func(path [][]byte, b *bolt.Bucket) error {
		if _, err := makePath(tx, path); err != nil {
			return err
		}
		return b.ForEach(func(k, v []byte) error {
			if v == nil {
				return walk(append(slices.Clone(path), k), b.Bucket(k))
			}
			if size += len(k) + len(v); size > 16<<20 {
				if err := tx.Commit(); err != nil {
					return err
				}
				if tx, err = to.Begin(true); err != nil {
					return err
				}
				size = 0
			}
			d, err := makePath(tx, path)
			if err != nil {
				return err
			}
			d.FillPercent = 0.95
			return d.Put(k, v)
		})
	}
	err = from.ForEach(func(k []byte, b *bolt.Bucket) error { return walk([][]byte{k}, b) })
	if err != nil {
		return err
	}
	return tx.Commit()
}

func makePath(tx *bolt.Tx, path [][]byte) (*bolt.Bucket, error) {
	b, err := tx.CreateBucketIfNotExists(path[0])
	for _, n := range path[1:] {
		if err != nil {
			return nil, err
		}
		b, err = b.CreateBucketIfNotExists(n)
	}
	return b, err
}
