package memory

import (
	"fmt"
	"sync"

	bolt "go.etcd.io/bbolt"

	"agentd/memory/vec"
)

// snapshot is the store at one moment. Its mapped memory holds until release.
type snapshot struct {
	h     *handle
	tx    *bolt.Tx
	items *bolt.Bucket
	meta  *bolt.Bucket
	ask   *bolt.Bucket
	gen   *generation
	segs  []*segment
	tail  tailView
	views []vec.Segment // of segs and tail, in order; those without vectors are empty
	rows  int
	words int // in all rows

	mu      sync.Mutex // guards the fields below
	refs    int
	filters map[string][]bitmap // masks of recent filters
}

// publish makes the state visible.
func (s *Store) publish() error {
	tx, err := s.state.db.db.Begin(false)
	if err != nil {
		return err
	}
	n := &snapshot{h: s.state.db, tx: tx, items: tx.Bucket(bucketItems), meta: tx.Bucket(bucketMeta), ask: tx.Bucket(bucketAsk), gen: s.state.gen, segs: s.state.segs, refs: 1}
	n.tail = s.state.tail.view()
	n.views = make([]vec.Segment, 0, len(n.segs)+1)
	for _, g := range n.segs {
		var v vec.Segment
		if g.vec != nil && !g.vec.broken {
			v = g.vec.view
		}
		n.views = append(n.views, v)
		n.rows += g.rows
		n.words += g.words
	}
	n.views = append(n.views, n.tail.vecs)
	n.rows += n.tail.rows
	n.words += n.tail.words
	n.h.wg.Add(1)
	s.mu.Lock()
	old := s.cur
	s.cur = n
	s.mu.Unlock()
	if old != nil {
		old.release()
	}
	return nil
}

// view takes the current snapshot; the caller releases it.
func (s *Store) view() (*snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.cur == nil {
		return nil, ErrClosed
	}
	s.cur.mu.Lock()
	s.cur.refs++
	s.cur.mu.Unlock()
	return s.cur, nil
}

func (n *snapshot) release() {
	n.mu.Lock()
	n.refs--
	last := n.refs == 0
	n.mu.Unlock()
	if last {
		// A read transaction's rollback only fails when it was rolled back already.
		_ = n.tx.Rollback()
		n.h.wg.Done()
	}
}

// item reads an item of the snapshot.
func (n *snapshot) item(id ID) (*Item, error) {
	v := n.items.Get(idKey(id))
	if v == nil {
		return nil, fmt.Errorf("%s: %w", id, ErrNotFound)
	}
	it, err := decodeItem(v, id)
	if err != nil {
		return nil, &CorruptError{What: "memory " + id.String()}
	}
	return it, nil
}

// Get returns one item, without its vector.
func (s *Store) Get(id ID) (*Item, error) {
	n, err := s.view()
	if err != nil {
		return nil, err
	}
	defer n.release()
	return n.item(id)
}
