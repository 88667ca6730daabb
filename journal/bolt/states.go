package bolt

import (
	"fmt"

	bbolt "go.etcd.io/bbolt"

	"agentd/journal"
)

// maxStates bounds how many runs' folded states are kept.
const maxStates = 512

// states keeps the folded states of live runs, so that an append folds only its own events. It belongs to the writer.
// A state is only right while it is as long as what is stored: the writer clears all when a transaction fails.
type states struct {
	byRun map[journal.RunID]*journal.State
}

func newStates() *states { return &states{byRun: make(map[journal.RunID]*journal.State)} }

// get returns the run's state, folded from the stored events when it is not known. last is the number that the head
// names, if it could be read.
func (c *states) get(tx *bbolt.Tx, run journal.RunID, last journal.Seq, known bool) (*journal.State, error) {
	if s := c.byRun[run]; s != nil && (!known || s.Last == last) {
		return s, nil
	}
	s, err := foldRun(tx, run)
	if err != nil {
		return nil, err
	}
	if known && s.Last != last {
		return nil, damagedEvent(run, s.Last+1, fmt.Errorf("missing, the run has %d events", last))
	}
	return s, nil
}

func (c *states) put(run journal.RunID, s *journal.State, ended bool) {
	if ended {
		delete(c.byRun, run)
		return
	}
	if _, have := c.byRun[run]; !have && len(c.byRun) >= maxStates {
		for other := range c.byRun { // any: a miss costs one fold
			delete(c.byRun, other)
			break
		}
	}
	c.byRun[run] = s
}

func (c *states) drop(run journal.RunID) { delete(c.byRun, run) }

func (c *states) clear() { clear(c.byRun) }

// foldRun folds all stored events of a run, as far as a summary needs them.
func foldRun(tx *bbolt.Tx, run journal.RunID) (*journal.State, error) {
	s := new(journal.State)
	cur := tx.Bucket(bucketEvents).Cursor()
	for k, v := cur.Seek(eventKey(run, 0)); k != nil; k, v = cur.Next() {
		seq, ok := eventSeq(run, k)
		if !ok {
			break
		}
		if seq != s.Last+1 {
			return nil, damagedEvent(run, s.Last+1, errMissing)
		}
		r, err := decodeRecord(run, seq, k, v)
		if err != nil {
			return nil, err
		}
		e, err := r.Decode()
		if err != nil {
			return nil, err
		}
		s.Run = run
		s.Push(slim(e), r.Time)
	}
	// From the other end too: a damaged key in between looks like the run's end.
	k, _ := cur.Seek(eventKey(run, ^journal.Seq(0)))
	if k == nil {
		k, _ = cur.Last()
	} else {
		k, _ = cur.Prev()
	}
	if seq, ok := eventSeq(run, k); !ok || seq != s.Last {
		return nil, damagedEvent(run, s.Last+1, errMissing)
	}
	return s, nil
}

// slim drops from an event the texts that no summary shows, so that the states kept are small.
func slim(e journal.Event) journal.Event {
	switch e := e.(type) {
	case journal.RunStarted:
		e.Lead = ""
		return e
	case journal.Recalled:
		e.Items = nil
		return e
	case journal.ModelReplied:
		e.Reply = nil
		return e
	case journal.ToolAsked:
		e.Call.Args = nil
		return e
	case journal.ToolStarted:
		e.Call.Args = nil
		return e
	case journal.ToolFinished:
		e.Call.Args, e.Head, e.Tail, e.Changed = nil, "", "", nil
		return e
	case journal.TaskFinished:
		e.Result = ""
		return e
	case journal.CheckFinished:
		e.Checks = nil
		return e
	case journal.Learned:
		e.Items = nil
		return e
	}
	return e
}
