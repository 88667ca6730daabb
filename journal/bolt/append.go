package bolt

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	bbolt "go.etcd.io/bbolt"

	"agentd/journal"
)

// maxKey bounds an idempotency key.
const maxKey = 1024

// item is an event and its record, made by the caller's goroutine.
type item struct {
	event  journal.Event
	record journal.Record
}

// encode makes items, proving that each can be read back.
func encode(run journal.RunID, events []journal.Event) ([]item, error) {
	items := make([]item, len(events))
	for i, e := range events {
		if e == nil {
			return nil, fmt.Errorf("append to run %s: event %d is nil", run, i)
		}
		r, err := journal.Encode(e)
		if err != nil {
			return nil, fmt.Errorf("append to run %s: %w", run, err)
		}
		if len(r.Data) > maxEvent {
			return nil, fmt.Errorf("append to run %s: %s event of %d bytes, at most %d fit: keep it as a blob", run, r.Kind, len(r.Data), maxEvent)
		}
		if e, err = r.Decode(); err != nil {
			return nil, fmt.Errorf("append to run %s: %w", run, err)
		}
		items[i] = item{event: slim(e), record: r}
	}
	return items, nil
}

// checkRun refuses what can't be a run's id.
func checkRun(run journal.RunID) error {
	if run == "" || len(run) > 64 || strings.Trim(string(run), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
		return fmt.Errorf("run %.80q: not a run's id: %w", run, journal.ErrNotFound)
	}
	return nil
}

// Create implements journal.Store.
func (s *Store) Create(ctx context.Context, run journal.RunID, key string, first journal.RunStarted) (journal.RunID, bool, error) {
	if err := checkRun(run); err != nil {
		return "", false, err
	}
	if len(key) > maxKey {
		return "", false, fmt.Errorf("create run %s: idempotency key of %d bytes, at most %d", run, len(key), maxKey)
	}
	items, err := encode(run, []journal.Event{first})
	if err != nil {
		return "", false, err
	}
	id, fresh := run, true
	err = s.writer.do(&request{ctx: ctx, run: run, apply: func(tx *bbolt.Tx) error {
		id, fresh = run, true
		runs := tx.Bucket(bucketRuns)
		if key != "" {
			if have := tx.Bucket(bucketKeys).Get([]byte(key)); have != nil && runs.Get(have) != nil {
				id, fresh = journal.RunID(have), false
				return errKnown
			}
		}
		if runs.Get([]byte(run)) != nil {
			return fmt.Errorf("create run %s: it exists: %w", run, journal.ErrConflict)
		}
		if key != "" {
			if err := tx.Bucket(bucketKeys).Put([]byte(key), []byte(run)); err != nil {
				return fatalError{err}
			}
		}
		return s.store(tx, run, new(journal.State), []byte(key), items)
	}})
	if errors.Is(err, errKnown) {
		return id, false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("create run %s: %w", run, err)
	}
	return id, fresh, nil
}

// errKnown ends a Create whose key was used before.
var errKnown = errors.New("the key was used before")

// Append implements journal.Store.
func (s *Store) Append(ctx context.Context, run journal.RunID, after journal.Seq, events ...journal.Event) (journal.Seq, error) {
	if err := checkRun(run); err != nil {
		return 0, err
	}
	items, err := encode(run, events)
	if err != nil {
		return 0, err
	}
	var last journal.Seq
	err = s.writer.do(&request{ctx: ctx, run: run, apply: func(tx *bbolt.Tx) error {
		v := tx.Bucket(bucketRuns).Get([]byte(run))
		if v == nil {
			return journal.ErrNotFound
		}
		h, err := decodeHead([]byte(run), v)
		state, ferr := s.writer.states.get(tx, run, h.last, err == nil)
		if ferr != nil {
			return ferr
		}
		if state.Last != after {
			return fmt.Errorf("at event %d, not %d: %w", state.Last, after, journal.ErrConflict)
		}
		last = after + journal.Seq(len(items))
		if len(items) == 0 {
			return errNothing
		}
		return s.store(tx, run, state, h.key, items)
	}})
	if errors.Is(err, errNothing) {
		return after, nil
	}
	if err != nil {
		return 0, fmt.Errorf("append to run %s: %w", run, err)
	}
	return last, nil
}

// store writes the items after state's last, folds them in, and writes the run's head and place in the indexes.
func (s *Store) store(tx *bbolt.Tx, run journal.RunID, state *journal.State, key []byte, items []item) error {
	at := s.now().UTC().Round(0)
	events := tx.Bucket(bucketEvents)
	// Events are added at the end of their run: leave little room before the split.
	events.FillPercent = 0.9
	fresh := state.Last == 0
	if fresh {
		state.Run = run
	}
	for _, it := range items {
		r := it.record
		r.Run, r.Seq, r.Time = run, state.Last+1, at
		k := eventKey(run, r.Seq)
		if err := events.Put(k, encodeRecord(k, r)); err != nil {
			return fatalError{fmt.Errorf("put event %d of run %s: %w", r.Seq, run, err)}
		}
		state.Push(it.event, time.Unix(0, at.UnixNano()).UTC())
	}
	sum := state.Summary()
	v, err := encodeHead(run, sum, key)
	if err != nil {
		return fatalError{err}
	}
	if err := tx.Bucket(bucketRuns).Put([]byte(run), v); err != nil {
		return fatalError{fmt.Errorf("put summary of run %s: %w", run, err)}
	}
	live := tx.Bucket(bucketLive)
	if sum.Status.Ended() {
		err = live.Delete([]byte(run))
	} else if live.Get([]byte(run)) == nil {
		err = live.Put([]byte(run), []byte{})
	}
	if err != nil {
		return fatalError{fmt.Errorf("index run %s: %w", run, err)}
	}
	s.writer.states.put(run, state, sum.Status.Ended())
	return nil
}
