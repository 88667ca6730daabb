package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"agentd/journal"
)

// errYield is the cause when a lesson gives the local model's one slot to a run.
var errYield = errors.New("a run needs the local model")

// learner is the learning from one ended run.
type learner struct {
	stop context.CancelCauseFunc
	done chan struct{}

	mu    sync.Mutex              // guards yield
	yield context.CancelCauseFunc // ends a call of a local model; nil: none is under way
}

// lessons lists the ended runs, of the newest, whose lessons a crash or a stop of the daemon cut off, and goes on with them.
func (e *Engine) lessons(ctx context.Context) {
	const newest, page = 500, 100
	var after journal.RunID
	for n := 0; n < newest; n += page {
		runs, err := e.cfg.Store.List(ctx, journal.Filter{After: after, Limit: page})
		if err != nil {
			if ctx.Err() == nil {
				e.cfg.Log.Warn("runs to learn from are not listed", "err", err)
			}
			return
		}
		for _, s := range runs {
			if after = s.Run; s.Learning {
				e.learn(ctx, s.Run)
			}
		}
		if len(runs) < page {
			return
		}
	}
}

// learn finds out what later runs should know of an ended run. It returns when that is done or ctx ends; then the next daemon does it.
func (e *Engine) learn(ctx context.Context, run journal.RunID) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	l := &learner{stop: stop, done: make(chan struct{})}
	defer close(l.done)
	e.mu.Lock()
	if e.learners[run] != nil {
		e.mu.Unlock()
		return
	}
	e.learners[run] = l
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		delete(e.learners, run)
		e.mu.Unlock()
	}()
	for {
		again, err := e.learnOnce(ctx, run, l)
		if err != nil && ctx.Err() == nil && !errors.Is(err, journal.ErrNotFound) {
			e.cfg.Log.Warn("nothing was learned from a run", "run", run, "err", err)
		}
		if !again {
			return
		}
	}
}

// learnOnce learns, unless a run takes the local model away meanwhile: then it is to be called again.
func (e *Engine) learnOnce(ctx context.Context, run journal.RunID, l *learner) (again bool, err error) {
	s := new(journal.State)
	if err := journal.CatchUp(ctx, e.cfg.Store, run, s); err != nil || !s.Learning() {
		return false, err
	}
	call, yield := context.WithCancelCause(ctx)
	defer yield(nil)
	if models, err := e.cfg.Open(ctx, s.Start.Model); err == nil && models[0].Info().Local {
		if err := e.idle(ctx, l, yield); err != nil {
			return false, err
		}
		defer l.yieldBy(nil)
	}
	d := &driver{cfg: &e.cfg, log: e.cfg.Log, led: newLedger(e.cfg.Store, run, e.cfg.Now), run: run, deltas: &hub{closed: true}, ws: s.Start.Workspace, start: s.Start}
	if e.cfg.Memory != nil {
		d.memory = e.cfg.Memory(run, s.Start)
	}
	if d.memory == nil {
		return false, nil // for a daemon that has one
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer yield(nil)
	wg.Go(func() {
		if err := d.led.serve(call); err != nil {
			yield(err)
		}
	})
	err = d.learn(call)
	return errors.Is(context.Cause(call), errYield) && ctx.Err() == nil, err
}

// idlePatience bounds how long lessons wait for runs, which may wait for a person themselves.
const idlePatience = 5 * time.Minute

// idle waits until no run is live, and from then on lets a run that starts take the model.
func (e *Engine) idle(ctx context.Context, l *learner, yield context.CancelCauseFunc) error {
	late := time.NewTimer(idlePatience)
	defer late.Stop()
	for over := false; ; {
		e.mu.Lock()
		free := len(e.live) == 0 || over
		freed := e.freed
		if free {
			l.yieldBy(yield)
		}
		e.mu.Unlock()
		if free {
			return nil
		}
		select {
		case <-freed:
		case <-late.C:
			over = true
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (l *learner) yieldBy(f context.CancelCauseFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.yield = f
}

// makeWay ends calls of a local model that nobody waits for. The caller holds the engine's lock.
func (e *Engine) makeWay() {
	for _, l := range e.learners {
		l.mu.Lock()
		if l.yield != nil {
			l.yield(errYield)
		}
		l.mu.Unlock()
	}
}

// unlearn ends the learning from a run and waits for it.
func (e *Engine) unlearn(run journal.RunID) {
	e.mu.Lock()
	l := e.learners[run]
	e.mu.Unlock()
	if l != nil {
		l.stop(journal.ErrNotFound)
		<-l.done
	}
}
