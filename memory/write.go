package memory

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"agentd/memory/vec"
)

// op is one caller's part of a commit.
type op struct {
	apply func(*batch) error // may run again, if another op of the commit failed
	alone bool               // runs without others, and without a transaction: it makes its own
	done  chan error
}

// batch is a write transaction and what it will change in the state.
type batch struct {
	tx    *bolt.Tx
	st    *state
	count counters
	gen   *generation
	rows  []row       // new ones, ids ascending
	live  map[ID]bool // of older rows: whether searches may see them
	drop  map[ID]bool // forgotten rows of the tail
	mu    sync.Mutex  // guards free and used
	free  [][]byte    // values of former commits, whose memory is used again
	used  [][]byte    // those that this one uses
	seal  bool        // seal what fills a segment, even if it is not new
	rest  bool        // seal also what does not fill one
	arena []byte      // records of items, which stay until the transaction has ended
	key   []byte
}

// do hands an op to the writer and waits until it is durable.
func (s *Store) do(ctx context.Context, o *op) error {
	o.done = make(chan error, 1)
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.ops <- o:
	case <-s.closes:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	// From here on the op may happen, so its outcome is waited for.
	select {
	case err := <-o.done:
		return err
	case <-s.done:
		select {
		case err := <-o.done:
			return err
		default:
			return ErrClosed
		}
	}
}

// maxOps is how many ops share a commit at most.
const maxOps = 1024

// write is the writer: it takes all that waits, commits it at once, and answers.
func (s *Store) write() {
	defer close(s.done)
	for {
		var first *op
		select {
		case first = <-s.ops:
		default:
			select {
			case first = <-s.ops:
			case <-s.closes:
				return
			case <-s.pause():
				s.spare = nil
				continue
			}
		}
		ops := []*op{first}
		for more := true; more && !ops[len(ops)-1].alone && len(ops) < maxOps; {
			select {
			case o := <-s.ops:
				ops = append(ops, o)
			default:
				more = false
			}
		}
		if last := ops[len(ops)-1]; last.alone {
			s.commit(ops[:len(ops)-1])
			last.done <- last.apply(nil)
		} else {
			s.commit(ops)
		}
		for len(s.state.tail.ids) >= segmentRows {
			seal := &op{apply: func(b *batch) error { b.seal = true; return nil }, done: make(chan error, 1)}
			s.commit([]*op{seal})
			if err := <-seal.done; err != nil {
				break // the rows stay in the tail; the next write tries again
			}
		}
	}
}

// pause ends when no write came for a while: the memory that is kept for the next one goes then. Nil is never.
func (s *Store) pause() <-chan time.Time {
	if s.spare == nil {
		return nil
	}
	return time.After(100 * time.Millisecond)
}

// commit applies ops in one transaction. An op that fails is taken out, and the others are applied anew.
func (s *Store) commit(ops []*op) {
	for len(ops) > 0 {
		failed, err := s.try(ops)
		if err == nil || failed < 0 {
			for _, o := range ops {
				o.done <- err
			}
			return
		}
		ops[failed].done <- err
		ops = slices.Delete(slices.Clone(ops), failed, failed+1)
	}
}

// try makes one transaction of ops. failed is the op that did not apply; -1 is the transaction itself.
func (s *Store) try(ops []*op) (failed int, err error) {
	tx, err := s.state.db.db.Begin(true)
	if err != nil {
		return -1, fmt.Errorf("write memory: %w", err)
	}
	defer func() {
		if err != nil {
			// It is rolled back already if the commit failed.
			_ = tx.Rollback()
		}
	}()
	b := &batch{tx: tx, st: &s.state, count: s.state.count, gen: s.state.gen, live: map[ID]bool{}, drop: map[ID]bool{}, free: s.spare}
	defer func() { s.spare = append(b.free, b.used...) }() // the transaction has ended and written them
	for i, o := range ops {
		if err := o.apply(b); err != nil {
			return i, err
		}
	}
	sealed, err := b.settle()
	if err != nil {
		return -1, fmt.Errorf("write memory: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return -1, fmt.Errorf("write memory: %w", err)
	}
	b.adopt(sealed)
	if sealed {
		if err := s.state.db.db.View(s.state.readSegments); err != nil {
			return -1, fmt.Errorf("read what was sealed: %w", err)
		}
		if err := s.state.db.db.View(s.state.readTail); err != nil {
			return -1, fmt.Errorf("read what was sealed: %w", err)
		}
	}
	if err := s.publish(); err != nil {
		return -1, fmt.Errorf("publish memory: %w", err)
	}
	return 0, nil
}

// settle writes what the ops collected: live bitmaps, segments if there are rows for one, and the unsealed vectors.
func (b *batch) settle() (sealed bool, err error) {
	if err := b.putLive(); err != nil {
		return false, err
	}
	rows := b.rows
	switch total := len(b.st.tail.ids) + len(rows); {
	case b.seal && len(rows) == 0 && b.asInMemory():
		rows, err = b.sealTail()
		sealed = true
	case b.seal || b.rest || (total >= segmentRows && len(rows) >= segmentRows/4):
		rows, sealed, err = b.sealAll(rows)
	}
	if err != nil {
		return false, err
	}
	if b.gen != nil {
		if err := putTail(b.gen.bucket(b.tx).Bucket(bucketTail), rows); err != nil {
			return false, err
		}
	}
	return sealed, putCounters(b.tx, b.count)
}

// asInMemory says whether the tail in memory is what a segment is to be made of.
func (b *batch) asInMemory() bool {
	t := b.st.tail
	return !t.torn && len(b.live) == 0 && t.gen == b.gen && len(t.ids) >= segmentRows && len(t.ids) < 2*segmentRows
}

// sealTail writes a segment of the tail's first rows and returns the others.
func (b *batch) sealTail() (left []row, err error) {
	t := b.st.tail
	if b.gen != nil {
		vectors := func(yield func([]float32) bool) {
			for i := range segmentRows {
				if v := t.vector(i); v != nil && !yield(v) {
					return
				}
			}
		}
		if err := b.fix(vectors); err != nil {
			return nil, err
		}
		if err := b.emptyTail(); err != nil {
			return nil, err
		}
	}
	for i := segmentRows; i < len(t.ids); i++ {
		left = append(left, row{&Item{ID: t.ids[i]}, t.vector(i)})
	}
	no := b.count.NextSeg
	b.count.NextSeg++
	return left, putSegment(b.tx, no, b.gen, t.seal(segmentRows, b.gen, b.buffer))
}

// sealAll writes segments of the rows in the file and new ones, several at a time, and returns those that are left.
func (b *batch) sealAll(rows []row) (left []row, sealed bool, err error) {
	before := b.st.count.NextID // the new rows' items are in the bucket, too
	old, err := b.st.tailRows(b.tx, before)
	if err != nil {
		return nil, false, err
	}
	rows = append(old, rows...)
	var parts [][]row
	for len(rows) >= segmentRows || b.rest && len(rows) > 0 {
		n := min(segmentRows, len(rows))
		parts, rows = append(parts, rows[:n]), rows[n:]
	}
	if len(parts) == 0 {
		return rows[len(old):], false, nil
	}
	if b.gen != nil {
		for _, part := range parts { // the first with vectors counts
			if err := b.fix(vectorsOf(part)); err != nil {
				return nil, false, err
			}
		}
		if err := b.emptyTail(); err != nil {
			return nil, false, err
		}
	}
	made := make([][]value, len(parts))
	var wg sync.WaitGroup
	workers := min(runtime.GOMAXPROCS(0), len(parts))
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(parts); i += workers {
				made[i] = makeSegment(parts[i], b.gen, b.buffer)
			}
		})
	}
	wg.Wait()
	for _, values := range made {
		no := b.count.NextSeg
		b.count.NextSeg++
		if err := putSegment(b.tx, no, b.gen, values); err != nil {
			return nil, false, err
		}
	}
	return rows, true, nil
}

// emptyTail takes all vectors out of the tail: one by one would read and join every page. What stays is put back.
func (b *batch) emptyTail() error {
	g := b.gen.bucket(b.tx)
	if err := g.DeleteBucket(bucketTail); err != nil {
		return err
	}
	_, err := g.CreateBucket(bucketTail)
	return err
}

// spareBytes bounds the memory that is kept for the next commit.
const spareBytes = 64 << 20

// buffer is n bytes of any value that the transaction may keep until it has ended.
func (b *batch) buffer(n int) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, v := range b.free {
		if cap(v) == n {
			b.free = slices.Delete(b.free, i, i+1)
			b.used = append(b.used, v)
			return v
		}
	}
	v := make([]byte, n)
	if kept := len(b.free) + len(b.used); kept*n < spareBytes {
		b.used = append(b.used, v)
	}
	return v
}

// newBuffer is memory of its own.
func newBuffer(n int) []byte { return make([]byte, n) }

// fix gives the generation's codec the mean of its first segment's vectors.
func (b *batch) fix(vectors iter.Seq[[]float32]) error {
	if b.gen.fixed {
		return nil
	}
	mean := vec.Mean(vectors, b.gen.codec.Dim())
	if mean == nil {
		return nil
	}
	g, err := b.gen.withMean(mean)
	if err != nil {
		return err
	}
	b.gen = g
	return g.put(b.tx)
}

// vectorsOf is the vectors of those rows that have one.
func vectorsOf(rows []row) iter.Seq[[]float32] {
	return func(yield func([]float32) bool) {
		for _, r := range rows {
			if r.vec != nil && !yield(r.vec) {
				return
			}
		}
	}
}

func (g *generation) withMean(mean []float32) (*generation, error) {
	c, err := vec.NewCodec(g.codec.Dim(), g.codec.Seed(), mean)
	if err != nil {
		return nil, err
	}
	return &generation{no: g.no, model: g.model, codec: c, fixed: true}, nil
}

// putLive writes the live bitmaps of segments whose rows changed.
func (b *batch) putLive() error {
	for _, s := range b.segsChanged() {
		if err := b.tx.Bucket(bucketLive).Put(segKey(s.no, 0), encodeBitmap(s.live, s.rows)); err != nil {
			return err
		}
	}
	return nil
}

// segsChanged are copies of the segments whose live rows the batch changes.
func (b *batch) segsChanged() []*segment {
	changed := map[uint32]bitmap{}
	var out []*segment
	for id, live := range b.live {
		s, row, ok := b.st.locate(id)
		if !ok {
			continue
		}
		m := changed[s.no]
		if m == nil {
			m = slices.Clone(s.live)
			changed[s.no] = m
		}
		if live {
			m.set(row)
		} else {
			m.unset(row)
		}
	}
	for _, s := range b.st.segs {
		if m := changed[s.no]; m != nil {
			out = append(out, s.withLive(m))
		}
	}
	return out
}

// locate finds the segment and row of a sealed id.
func (st *state) locate(id ID) (*segment, int, bool) {
	i, _ := slices.BinarySearchFunc(st.segs, id, func(s *segment, id ID) int {
		if s.id(s.rows-1) < id {
			return -1
		}
		return 1
	})
	if i == len(st.segs) {
		return nil, 0, false
	}
	row, ok := st.segs[i].find(id)
	return st.segs[i], row, ok
}

// adopt makes the batch's changes in the state, once they are durable.
func (b *batch) adopt(sealed bool) {
	st := b.st
	if changed := b.segsChanged(); len(changed) > 0 {
		segs := slices.Clone(st.segs)
		for _, s := range changed {
			i := slices.IndexFunc(segs, func(o *segment) bool { return o.no == s.no })
			segs[i] = s
		}
		st.segs = segs
	}
	st.count = b.count
	if b.gen != nil && st.gen == nil && !sealed {
		st.tail.setGeneration(b.gen)
	}
	st.gen = b.gen
	if sealed {
		return // the tail is read anew
	}
	for id := range b.drop {
		if _, ok := st.tail.find(id); ok {
			st.tail.torn = true
		}
	}
	if len(b.live) > 0 {
		m := slices.Clone(st.tail.live)
		for id, live := range b.live {
			if row, ok := st.tail.find(id); ok && live {
				m.set(row)
			} else if ok {
				m.unset(row)
			}
		}
		st.tail.live = m
	}
	for _, r := range b.rows {
		st.tail.add(r)
	}
}

// get reads an item as the batch has it.
func (b *batch) get(id ID) (*Item, error) {
	v := b.tx.Bucket(bucketItems).Get(idKey(id))
	if v == nil {
		return nil, fmt.Errorf("%s: %w", id, ErrNotFound)
	}
	it, err := decodeItem(v, id)
	if err != nil {
		return nil, &CorruptError{What: "memory " + id.String()}
	}
	return it, nil
}

// update writes a changed item and lets searches see it or not.
func (b *batch) update(it *Item) error {
	for i := range b.rows {
		if b.rows[i].item.ID == it.ID {
			b.rows[i].item = it
		}
	}
	b.live[it.ID] = it.recalled()
	return b.put(it, false)
}

// put writes an item's record, and whether it waits for review.
func (b *batch) put(it *Item, isNew bool) error {
	b.key = binary.BigEndian.AppendUint64(b.key[:0], uint64(it.ID)) // bbolt copies keys
	key := b.key
	if !isNew || it.State == Proposed {
		ask := b.tx.Bucket(bucketAsk)
		var err error
		if it.State == Proposed {
			err = ask.Put(key, nil)
		} else if ask.Get(key) != nil {
			err = ask.Delete(key)
		}
		if err != nil {
			return err
		}
	}
	items := b.tx.Bucket(bucketItems)
	items.FillPercent = 0.9 // ids ascend
	if size := recordSize(it); cap(b.arena)-len(b.arena) < size {
		b.arena = make([]byte, 0, max(size, min(2*cap(b.arena), 1<<20), 4<<10))
	}
	from := len(b.arena)
	b.arena = encodeItem(b.arena, it)
	return items.Put(key, b.arena[from:len(b.arena):len(b.arena)])
}

// insert gives an item its id and stores it.
func (b *batch) insert(it *Item, v []float32) error {
	it.ID = b.count.NextID
	b.count.NextID++
	b.count.Items++
	for _, id := range it.Supersedes {
		old, err := b.get(id)
		if err != nil {
			return fmt.Errorf("supersedes %w", err)
		}
		old.SupersededBy, old.Updated = it.ID, it.Created
		if err := b.update(old); err != nil {
			return err
		}
	}
	for _, id := range it.Contradicts {
		other, err := b.get(id)
		if err != nil {
			return fmt.Errorf("contradicts %w", err)
		}
		if !slices.Contains(other.Contradicts, it.ID) && len(other.Contradicts) < maxLinks {
			other.Contradicts = append(other.Contradicts, it.ID)
			if err := b.update(other); err != nil {
				return err
			}
		}
	}
	if err := b.put(it, true); err != nil {
		return err
	}
	b.rows = append(b.rows, row{it, v})
	return nil
}

// model checks that vectors of a model and dimension fit the store's, and begins its first generation.
func (b *batch) model(id string, dim int) error {
	if b.gen != nil {
		return b.gen.fits(id, dim)
	}
	g, err := firstGeneration(id, dim)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrItem, err)
	}
	b.count.Generation, b.gen = g.no, g
	return g.put(b.tx)
}

func firstGeneration(model string, dim int) (*generation, error) {
	c, err := vec.NewCodec(dim, 1, nil)
	if err != nil {
		return nil, err
	}
	return &generation{no: 1, model: model, codec: c}, nil
}

func (g *generation) fits(model string, dim int) error {
	switch {
	case g.model != model:
		return fmt.Errorf("%w: the store's are of %q, these are of %q; migrate with reembed", ErrModel, g.model, model)
	case dim != 0 && g.codec.Dim() != dim:
		return fmt.Errorf("%w: the store's have %d values, these have %d", ErrModel, g.codec.Dim(), dim)
	}
	return nil
}
