package agent

import (
	"context"
	"sync"
	"time"

	"agentd/journal"
	"agentd/workspace"
)

// marker notes the workspace before steps that follow a change, so that a run can be taken back step by step. It works while the model
// thinks, and never beside a call that writes.
type marker struct {
	mu    sync.Mutex    // guards the fields below; never held over I/O
	dirty bool          // something may have been written since the last mark
	busy  int           // calls that may be writing now
	free  chan struct{} // not nil while a mark is taken: closed at its end

	last  *workspace.Snapshot // used by the one that takes a mark
	took  time.Duration       // the last mark
	ended time.Time           // of it
}

// markShare is the reciprocal of the time that marks may take of a run's: in a huge workspace some steps have none.
const markShare = 10

// begin reports whether a mark may be taken now; end must follow.
func (m *marker) begin(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.dirty || m.busy > 0 || m.free != nil || now.Sub(m.ended) < m.took*(markShare-1) && m.took > 100*time.Millisecond {
		return false
	}
	m.dirty, m.free = false, make(chan struct{})
	return true
}

func (m *marker) end(took time.Duration, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.took, m.ended = took, now
	close(m.free)
	m.free = nil
}

// write waits for a mark that is being taken and then counts as a writer until the returned function is called.
func (m *marker) write(ctx context.Context) (done func(), err error) {
	for {
		m.mu.Lock()
		free := m.free
		if free == nil {
			m.busy++
			m.dirty = true
			m.mu.Unlock()
			return func() {
				m.mu.Lock()
				m.busy--
				m.mu.Unlock()
			}, nil
		}
		m.mu.Unlock()
		select {
		case <-free:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// mark notes the workspace before a step's calls, if anything may have changed since the last mark. A failure costs only this mark.
func (d *driver) mark(ctx context.Context, step int) {
	select {
	case <-d.snap:
	default:
		return // the snapshot is the mark of the first steps
	}
	if d.snapErr != nil || !d.marks.begin(time.Now()) {
		return
	}
	start := time.Now()
	err := func() error {
		if d.marks.last == nil {
			if err := d.firstMark(ctx, step); err != nil {
				return err
			}
		}
		d.discardBoxes() // their mount points must not get into it
		last, err := d.marks.last.Mark(ctx, d.ws, step, d.marks.last, d.cfg.Snapshot)
		if err == nil {
			d.marks.last = last
		}
		return err
	}()
	d.marks.end(time.Since(start), time.Now())
	if err != nil && ctx.Err() == nil {
		d.log.Warn("step can't be gone back to", "run", d.run, "step", step, "err", err)
	}
}

// firstMark loads what the next mark is compared with.
func (d *driver) firstMark(ctx context.Context, step int) error {
	var id string
	if err := d.led.view(ctx, func(s *journal.State) {
		if s.Snapshot != nil {
			id = s.Snapshot.ID
		}
	}); err != nil {
		return err
	}
	s, err := workspace.Load(d.cfg.Snaps, id)
	if err != nil {
		return err
	}
	d.marks.last, _, err = s.Before(step)
	return err
}
