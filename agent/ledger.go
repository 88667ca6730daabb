package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"agentd/journal"
)

// ledger owns the state of one run: it alone folds and appends for its driver. Others hand it functions, which it calls
// one at a time on its own goroutine, so that no lock is held over I/O.
type ledger struct {
	store journal.Store
	run   journal.RunID
	now   func() time.Time
	epoch int
	mask  func(journal.Event) journal.Event // what the store will make of an event; nil: nothing

	ops  chan op
	poke chan struct{} // capacity 1: another appended

	mu      sync.Mutex // guards changed
	changed chan struct{}
}

type op struct {
	fn    func(*tx) error
	reply chan error
}

// tx is one decision: it sees the state, and what it adds is folded at once and appended when the decision returns.
type tx struct {
	*journal.State
	events []journal.Event
	now    time.Time
	mask   func(journal.Event) journal.Event
}

func (t *tx) add(events ...journal.Event) {
	for _, e := range events {
		if t.mask != nil {
			e = t.mask(e) // so that the state is what the journal will hold
		}
		t.Push(e, t.now)
		t.events = append(t.events, e)
	}
}

func newLedger(store journal.Store, run journal.RunID, now func() time.Time) *ledger {
	l := &ledger{store: store, run: run, now: now, ops: make(chan op), poke: make(chan struct{}, 1), changed: make(chan struct{})}
	if m, ok := store.(interface {
		Mask(journal.Event) journal.Event
	}); ok {
		l.mask = m.Mask
	}
	return l
}

// serve runs decisions until ctx ends.
func (l *ledger) serve(ctx context.Context) error {
	state := new(journal.State)
	if err := journal.CatchUp(ctx, l.store, l.run, state); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-l.poke:
			before := state.Last
			if err := journal.CatchUp(ctx, l.store, l.run, state); err != nil {
				return err
			}
			if state.Last != before {
				l.broadcast()
			}
		case o := <-l.ops:
			next, err := l.decide(ctx, state, o.fn)
			state = next
			o.reply <- err
		}
	}
}

// decide runs fn on the state and appends what it adds; when another appended meanwhile, it folds that and decides again.
// It returns the state to go on with, which holds nothing that is not on disk.
func (l *ledger) decide(ctx context.Context, s *journal.State, fn func(*tx) error) (*journal.State, error) {
	for {
		before := s.Last
		t := &tx{State: s, now: l.now(), mask: l.mask}
		err := fn(t)
		if err == nil && l.epoch != 0 && s.Epoch > l.epoch {
			err = journal.ErrFenced
		}
		if err == nil && len(t.events) == 0 {
			return s, nil
		}
		if err == nil {
			if _, err = l.store.Append(ctx, l.run, before, t.events...); err == nil {
				l.broadcast()
				return s, nil
			}
		}
		if len(t.events) > 0 { // what was folded is not on disk
			fresh := new(journal.State)
			if ferr := journal.CatchUp(context.WithoutCancel(ctx), l.store, l.run, fresh); ferr != nil {
				return s, errors.Join(err, ferr)
			}
			s = fresh
		}
		if !errors.Is(err, journal.ErrConflict) {
			return s, err
		}
		l.broadcast()
	}
}

func (l *ledger) broadcast() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
}

// do makes one decision. fn may be called again when another appended meanwhile; it must not keep the state.
func (l *ledger) do(ctx context.Context, fn func(*tx) error) error {
	o := op{fn: fn, reply: make(chan error, 1)}
	select {
	case l.ops <- o:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return <-o.reply // the owner always answers: a decision is never left half made
}

// view calls fn with the state.
func (l *ledger) view(ctx context.Context, fn func(*journal.State)) error {
	return l.do(ctx, func(t *tx) error { fn(t.State); return nil })
}

// wake says that another may have appended.
func (l *ledger) wake() {
	select {
	case l.poke <- struct{}{}:
	default:
	}
}

// wait returns when cond holds of the state.
func (l *ledger) wait(ctx context.Context, cond func(*journal.State) bool) error {
	for {
		l.mu.Lock()
		changed := l.changed
		l.mu.Unlock()
		var ok bool
		if err := l.view(ctx, func(s *journal.State) { ok = cond(s) }); err != nil || ok {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
