package bolt

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	bbolt "go.etcd.io/bbolt"

	"agentd/journal"
)

// A page of a reader: no transaction is open while its consumer works.
const (
	pageRecords = 256
	pageBytes   = 1 << 20
)

var errMissing = errors.New("missing")

// entry is a record or what is wrong with it.
type entry struct {
	journal.Record
	err error
}

// page reads records after a number. A record that is damaged or missing is an entry with an error. It fails with
// ErrNotFound when the run does not exist.
func (s *Store) page(run journal.RunID, after journal.Seq) (out []entry, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		last, known, err := lastOf(tx, run)
		if err != nil {
			return err
		}
		size, next := 0, after+1
		cur := tx.Bucket(bucketEvents).Cursor()
		for k, v := cur.Seek(eventKey(run, next)); k != nil && len(out) < pageRecords && size < pageBytes; k, v = cur.Next() {
			seq, ok := eventSeq(run, k)
			if !ok {
				break
			}
			// In a damaged page the keys can be out of order; numbers only ever rise, or a reader would go round in circles.
			if seq < next || known && seq > last {
				continue
			}
			if seq != next {
				out = append(out, missing(run, next))
			}
			r, err := decodeRecord(run, seq, k, v)
			out = append(out, entry{r, err})
			size, next = size+len(v), seq+1
		}
		if len(out) == 0 && known && next <= last {
			out = append(out, missing(run, next))
		}
		return nil
	})
	return out, err
}

func missing(run journal.RunID, seq journal.Seq) entry {
	return entry{journal.Record{Run: run, Seq: seq}, damagedEvent(run, seq, errMissing)}
}

// lastOf returns the number that a run's head says its last event has; it is not known when the head is damaged.
func lastOf(tx *bbolt.Tx, run journal.RunID) (last journal.Seq, known bool, err error) {
	v := tx.Bucket(bucketRuns).Get([]byte(run))
	if v == nil {
		return 0, false, fmt.Errorf("run %s: %w", run, journal.ErrNotFound)
	}
	h, err := decodeHead([]byte(run), v)
	return h.last, err == nil, nil
}

// Read implements journal.Store. A damaged event is yielded as an error that names it; a consumer that goes on gets the
// events after it.
func (s *Store) Read(ctx context.Context, run journal.RunID, after journal.Seq) iter.Seq2[journal.Record, error] {
	return func(yield func(journal.Record, error) bool) {
		if err := checkRun(run); err != nil {
			yield(journal.Record{}, err)
			return
		}
		s.read(ctx, run, after, yield)
	}
}

// read yields what is stored after a number and returns the last one yielded, and whether to go on.
func (s *Store) read(ctx context.Context, run journal.RunID, after journal.Seq, yield func(journal.Record, error) bool) (journal.Seq, bool) {
	for {
		page, err := s.page(run, after)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			yield(journal.Record{}, err)
			return after, false
		}
		if len(page) == 0 {
			return after, true
		}
		for _, e := range page {
			if !yield(e.Record, e.err) {
				return after, false
			}
			if after = e.Seq; ctx.Err() != nil {
				break
			}
		}
	}
}

// Watch implements journal.Store. Its last pair says by an error why it ended: the context's, journal.ErrNotFound after
// a removal, or journal.ErrClosed.
func (s *Store) Watch(ctx context.Context, run journal.RunID, after journal.Seq) iter.Seq2[journal.Record, error] {
	return func(yield func(journal.Record, error) bool) {
		if err := checkRun(run); err != nil {
			yield(journal.Record{}, err)
			return
		}
		ear := s.hub.listen(run)
		defer s.hub.leave(run, ear)
		for {
			// What is appended after this read wakes us: the ear was there before it.
			var more bool
			if after, more = s.read(ctx, run, after, yield); !more {
				return
			}
			select {
			case <-ear:
			case <-ctx.Done():
			case <-s.closing.Done():
			}
		}
	}
}

// hub wakes the watchers of a run. It carries no events: a watcher reads them from the store, when it is ready.
type hub struct {
	// mu guards the field below.
	mu   sync.Mutex
	ears map[journal.RunID]map[chan struct{}]struct{}
}

func (h *hub) listen(run journal.RunID) chan struct{} {
	ear := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ears == nil {
		h.ears = make(map[journal.RunID]map[chan struct{}]struct{})
	}
	if h.ears[run] == nil {
		h.ears[run] = make(map[chan struct{}]struct{})
	}
	h.ears[run][ear] = struct{}{}
	return ear
}

func (h *hub) leave(run journal.RunID, ear chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.ears[run], ear)
	if len(h.ears[run]) == 0 {
		delete(h.ears, run)
	}
}

func (h *hub) notify(run journal.RunID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for ear := range h.ears[run] {
		select {
		case ear <- struct{}{}:
		default: // it is awake already, and has not read yet
		}
	}
}

// maxPage bounds one Page and one List.
const maxPage = 10_000

func pageLimit(n int) int {
	if n <= 0 {
		return 100
	}
	return min(n, maxPage)
}

// Page implements journal.Store.
func (s *Store) Page(ctx context.Context, run journal.RunID, before journal.Seq, limit int) ([]journal.Record, error) {
	if err := errors.Join(checkRun(run), ctx.Err()); err != nil {
		return nil, err
	}
	limit = pageLimit(limit)
	var out []journal.Record
	err := s.view(func(tx *bbolt.Tx) error {
		last, known, err := lastOf(tx, run)
		if err != nil {
			return err
		}
		if before == 0 || known && before > last {
			before = last + 1
			if !known {
				before = ^journal.Seq(0)
			}
		}
		cur := tx.Bucket(bucketEvents).Cursor()
		step := cur.Prev
		if k, _ := cur.Seek(eventKey(run, before)); k == nil {
			step = cur.Last
		}
		k, v := step()
		out, err = back(cur, run, before, known, limit, k, v)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// back collects up to limit records before a number, from the cursor's place backwards, and turns them round. The last
// number is taken from the first record when it is not known.
func back(cur *bbolt.Cursor, run journal.RunID, before journal.Seq, known bool, limit int, k, v []byte) ([]journal.Record, error) {
	var out []journal.Record
	for next := before - 1; next > 0 && len(out) < limit; k, v = cur.Prev() {
		seq, ok := eventSeq(run, k)
		if !known && ok {
			next, known = seq, true
		}
		if !ok || seq != next {
			return nil, damagedEvent(run, next, errMissing)
		}
		r, err := decodeRecord(run, seq, k, v)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
		next = seq - 1
	}
	slices.Reverse(out)
	return out, nil
}
