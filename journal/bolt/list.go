package bolt

import (
	"context"
	"errors"
	"fmt"

	bbolt "go.etcd.io/bbolt"

	"agentd/journal"
)

// Get implements journal.Store. A damaged summary is made anew from the events.
func (s *Store) Get(ctx context.Context, run journal.RunID) (journal.Summary, error) {
	if err := errors.Join(checkRun(run), ctx.Err()); err != nil {
		return journal.Summary{}, err
	}
	var sum journal.Summary
	err := s.view(func(tx *bbolt.Tx) error {
		v := tx.Bucket(bucketRuns).Get([]byte(run))
		if v == nil {
			return fmt.Errorf("run %s: %w", run, journal.ErrNotFound)
		}
		h, err := decodeHead([]byte(run), v)
		if err == nil {
			if sum, err = h.decode(); err == nil {
				return nil
			}
		}
		state, err := foldRun(tx, run)
		if err == nil {
			sum = state.Summary()
		}
		return err
	})
	return sum, err
}

// List implements journal.Store. The order is that of the runs' ids, which sort by their start. A run whose summary and
// events are both damaged is listed with the status internal and the fault as its reason.
func (s *Store) List(ctx context.Context, f journal.Filter) ([]journal.Summary, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	limit := pageLimit(f.Limit)
	out := []journal.Summary{}
	err := s.view(func(tx *bbolt.Tx) error {
		runs := tx.Bucket(bucketRuns)
		index, live := runs, f.Live || f.Status != "" && !f.Status.Ended()
		if live {
			index = tx.Bucket(bucketLive)
		}
		cur := index.Cursor()
		k, v := first(cur, f)
		for ; k != nil && len(out) < limit; k, v = next(cur, f) {
			if live {
				v = runs.Get(k)
			}
			h, err := decodeHead(k, v)
			var sum journal.Summary
			switch {
			case err != nil:
				sum = s.rebuilt(tx, journal.RunID(k), err)
				h.status, h.workspace = sum.Status, []byte(sum.Workspace)
			case !matches(f, h):
				continue
			default:
				if sum, err = h.decode(); err != nil {
					sum = s.rebuilt(tx, journal.RunID(k), err)
				}
			}
			if matches(f, h) {
				out = append(out, sum)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	return out, nil
}

func matches(f journal.Filter, h head) bool {
	return (f.Status == "" || f.Status == h.status) && (f.Workspace == "" || f.Workspace == string(h.workspace)) && !(f.Live && h.status.Ended())
}

// rebuilt makes a summary from the events when the stored one can't be read because of why.
func (s *Store) rebuilt(tx *bbolt.Tx, run journal.RunID, why error) journal.Summary {
	s.log.Warn("summary is damaged", "run", run, "err", why)
	state, err := foldRun(tx, run)
	if err != nil {
		return journal.Summary{Run: run, Status: journal.StatusInternalErr, Reason: err.Error()}
	}
	return state.Summary()
}

// first puts the cursor on the first run that f asks for.
func first(cur *bbolt.Cursor, f journal.Filter) (k, v []byte) {
	after := []byte(f.After)
	switch {
	case f.Oldest && f.After == "":
		return cur.First()
	case f.Oldest:
		if k, v = cur.Seek(after); string(k) == string(f.After) && k != nil {
			return cur.Next()
		}
		return k, v
	case f.After == "":
		return cur.Last()
	}
	if k, _ = cur.Seek(after); k == nil {
		if k, v = cur.Last(); k != nil && string(k) < string(f.After) {
			return k, v
		}
		return nil, nil
	}
	return cur.Prev()
}

func next(cur *bbolt.Cursor, f journal.Filter) (k, v []byte) {
	if f.Oldest {
		return cur.Next()
	}
	return cur.Prev()
}
