package bolt

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	bbolt "go.etcd.io/bbolt"

	"agentd/journal"
)

// request is one caller's part of a transaction.
type request struct {
	// apply makes the changes, or none and an error that concerns this request alone. A storage error is wrapped in
	// fatalError, and fails the transaction. It can run again in another transaction.
	apply func(*bbolt.Tx) error
	// exclusive runs outside of any transaction, with the writer to itself; apply is nil then.
	exclusive func() error
	run       journal.RunID // whose watchers are told, "" for none
	ctx       context.Context
	err       error
	done      chan struct{}
}

// fatalError fails a whole transaction.
type fatalError struct{ error }

func (e fatalError) Unwrap() error { return e.error }

// writer makes all changes, from one goroutine. Requests that arrive while a transaction is being synced share the next
// one; a request that finds it idle waits for nobody.
type writer struct {
	s      *Store
	wake   chan struct{}
	joined sync.WaitGroup

	// mu guards the fields below.
	mu      sync.Mutex
	pending []*request
	closed  bool

	// The fields below belong to the goroutine.
	states *states
	broken error // set when it is unknown what is on disk: nothing is written any more
}

func (w *writer) start(s *Store) {
	w.s, w.wake, w.states = s, make(chan struct{}, 1), newStates()
	w.joined.Add(1)
	go func() {
		defer w.joined.Done()
		w.loop()
	}()
}

// wait returns when the goroutine has ended; the store's closing makes it end once all that was accepted is done.
func (w *writer) wait() { w.joined.Wait() }

// do hands a request over and waits for its outcome. A context that ends before the writer takes it, takes it back.
func (w *writer) do(r *request) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	r.done = make(chan struct{})
	w.mu.Lock()
	if w.closed || w.s.closing.Err() != nil {
		w.mu.Unlock()
		return journal.ErrClosed
	}
	w.pending = append(w.pending, r)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
	select {
	case <-r.done:
		return r.err
	case <-r.ctx.Done():
	}
	w.mu.Lock()
	for i, p := range w.pending {
		if p == r {
			w.pending = append(w.pending[:i], w.pending[i+1:]...)
			w.mu.Unlock()
			return r.ctx.Err()
		}
	}
	w.mu.Unlock()
	<-r.done
	return r.err
}

func (w *writer) loop() {
	last := 0
	for {
		select {
		case <-w.wake:
		case <-w.s.closing.Done():
		}
		for {
			w.gather(last)
			batch := w.take()
			if len(batch) == 0 {
				break
			}
			w.commitAll(batch)
			last = len(batch)
		}
		last = 0
		if w.s.closing.Err() != nil {
			w.mu.Lock()
			done := len(w.pending) == 0
			w.closed = done
			w.mu.Unlock()
			if done {
				return
			}
		}
	}
}

// gather yields, for a fraction of a sync's time, to the callers whose last requests were just answered together: they
// are about to ask again, and with those that asked meanwhile make one transaction instead of two that take turns. A lone
// caller is never waited for.
func (w *writer) gather(last int) {
	if last < 2 {
		return
	}
	waiting := w.waiting()
	for end := time.Now().Add(gatherTime); w.waiting() < waiting+last && time.Now().Before(end); {
		runtime.Gosched()
	}
}

// gatherTime bounds what a group's next transaction waits for its members.
const gatherTime = 200 * time.Microsecond

func (w *writer) waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.pending)
}

// maxBatch bounds a transaction.
const maxBatch = 1024

func (w *writer) take() []*request {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := min(len(w.pending), maxBatch)
	batch := w.pending[:n:n]
	w.pending = w.pending[n:]
	return batch
}

// commitAll makes the requests durable and answers them.
func (w *writer) commitAll(batch []*request) {
	var part []*request
	flush := func() {
		if len(part) == 0 {
			return
		}
		err := w.commit(part)
		if len(part) > 1 && errors.Is(err, journal.ErrFull) {
			// One of them may be what does not fit.
			for _, r := range part {
				r.err = nil
				if err := w.commit([]*request{r}); err != nil {
					r.err = err
				}
			}
		} else if err != nil {
			for _, r := range part {
				r.err = err
			}
		}
		for _, r := range part {
			if r.err == nil && r.run != "" {
				w.s.hub.notify(r.run)
			}
			close(r.done)
		}
		part = nil
	}
	for _, r := range batch {
		if r.exclusive == nil {
			part = append(part, r)
			continue
		}
		flush()
		if r.err = w.broken; r.err == nil {
			r.err = r.exclusive()
		}
		close(r.done)
	}
	flush()
}

// commit runs one transaction. Requests that fail on their own have their err set; the error returned concerns all.
func (w *writer) commit(batch []*request) (err error) {
	if w.broken != nil {
		return w.broken
	}
	before, err := w.txid()
	if err != nil {
		return err
	}
	changed := false
	err = w.update(func(tx *bbolt.Tx) error {
		for _, r := range batch {
			if r.err = r.ctx.Err(); r.err != nil {
				continue
			}
			if r.err = r.apply(tx); r.err == nil {
				changed = true
			} else if fatal := (fatalError{}); errors.As(r.err, &fatal) {
				return fatal.error
			}
		}
		if !changed {
			return errNothing
		}
		return nil
	})
	if err == nil || errors.Is(err, errNothing) {
		return nil
	}
	// The states were folded ahead of what is stored.
	w.states.clear()
	err = storageError(w.s.dir, err)
	after, idErr := w.txid()
	if idErr != nil || after != before || !errors.Is(err, journal.ErrFull) && !errors.Is(err, journal.ErrReadOnly) {
		// A failed sync leaves open what is on disk, and a second one would not tell.
		w.broken = fmt.Errorf("the journal in %s can't be written since an earlier error; restart agentd: %w", w.s.dir, err)
		w.s.log.Error("journal write failed", "dir", w.s.dir, "err", err)
	}
	return err
}

// errNothing rolls a transaction back that changed nothing.
var errNothing = errors.New("nothing to commit")

// update is like view, for the writer's transactions. Only Compact swaps the file, in the writer's own goroutine.
func (w *writer) update(fn func(*bbolt.Tx) error) (err error) {
	defer guard(w.s.path(), &err)()
	return w.s.db.Update(fn)
}

// txid is the number of the last committed transaction.
func (w *writer) txid() (id int, err error) {
	defer guard(w.s.path(), &err)()
	err = w.s.db.View(func(tx *bbolt.Tx) error {
		id = tx.ID()
		return nil
	})
	return id, err
}
