package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"agentd/journal"
	"agentd/llm"
	"agentd/planner"
	"agentd/policy"
	"agentd/tools"
)

// Bounds of one run's persistence.
const (
	maxRevisions = 6 // plans after the first
	maxMeasures  = 5 // final measurements that came out unmet

	maxSelfMeasures = 3 // the same, of criteria that the planner proposed
)

// outcome is an error that ends a run.
type outcome struct {
	status journal.Status
	reason string
}

func (o *outcome) Error() string { return string(o.status) + ": " + o.reason }

func end(status journal.Status, format string, args ...any) error {
	return &outcome{status, fmt.Sprintf(format, args...)}
}

// Causes of a cancelled run context.
var (
	errCancelled = errors.New("the run was cancelled")
	errWall      = errors.New("the time limit is reached")
	// ErrStopping is the cause when the daemon stops: the run stays as it is and goes on at the next start.
	ErrStopping = errors.New("the daemon is stopping")
)

// driver drives one run from where its journal stands to its outcome.
type driver struct {
	cfg    *Config
	log    *slog.Logger
	led    *ledger
	run    journal.RunID
	models []llm.Model            // the failover chain
	seats  map[string][]llm.Model // the chains of other roles than the worker's
	set    *tools.Set
	small  *tools.Set   // what a small model is offered
	memory tools.Memory // nil: none
	pages  pages
	life   context.Context // of all that the run does until its end; it is over when that begins
	root   *os.Root
	deltas *hub
	ws     string                        // where it works: the workspace, or the run's copy of it
	others func(ws string) journal.RunID // another run that works in a folder, "" for none

	placeErr error // why ws could not be made

	start journal.RunStarted
	rules *policy.Rules // the engine's, narrowed by the goal's

	snap    chan struct{} // closed when the snapshot is made or has failed
	snapErr error         // set before snap is closed
	marks   marker

	judged int                    // steps at the last measurement of the finished work
	fresh  fresh                  // used by the one task of a small model's run
	probe  time.Duration          // the longest measurement between steps
	unmet  *journal.CheckFinished // the last of these, made after the last call

	servers Servers // nil: none

	mu       sync.Mutex        // guards the fields below
	link     int               // index into models
	links    map[string]int    // of the other seats' chains
	net      []string          // where boxes may connect: journal.State.Net
	remote   *remote           // what the servers offer, nil before it is asked for
	pictures map[string][]byte // lately shown, by hash
}

// drive runs until the run has ended, another driver took it, or ctx ends.
func (d *driver) drive(ctx, work context.Context, halt context.CancelCauseFunc) error {
	ctx, stop := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop(nil)
	wg.Go(func() {
		if err := d.led.serve(ctx); err != nil {
			stop(err)
		}
	})
	if err := d.claim(ctx); err != nil {
		return err
	}
	if o := d.open(ctx); o != nil {
		return d.finish(ctx, o)
	}
	defer d.root.Close()
	defer d.closeBrowser()
	defer halt(nil)
	wg.Go(func() { d.watch(work, halt) })
	wg.Go(func() { d.snapshot(work) })
	err := d.listServers(work)
	if err == nil {
		err = d.steer(work)
	}
	var o *outcome
	switch cause := context.Cause(work); {
	case err == nil:
		return nil
	case errors.Is(cause, errCancelled):
		o = &outcome{journal.StatusCancelled, "cancelled"}
	case errors.Is(cause, errWall):
		o = &outcome{journal.StatusTime, "the time limit (budget.wall) is reached"}
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, journal.ErrFenced), errors.Is(err, journal.ErrFull), errors.Is(err, journal.ErrReadOnly), errors.Is(err, journal.ErrClosed):
		return err // nothing can be recorded: the run goes on when it can
	case errors.As(err, &o):
	default:
		o = &outcome{journal.StatusInternalErr, err.Error()}
		d.log.Error("run failed", "run", d.run, "err", err)
	}
	return d.finish(ctx, o)
}

// claim makes this driver the run's, and settles what the last one left in flight.
func (d *driver) claim(ctx context.Context) error {
	return d.led.do(ctx, func(t *tx) error {
		d.led.epoch = t.Epoch + 1
		t.add(journal.DriverClaimed{Epoch: d.led.epoch, PID: os.Getpid(), Version: d.cfg.Version})
		d.recover(t)
		d.openNet(t.Net)
		return nil
	})
}

// open gets what the run needs from outside its journal, or says why it can't go on.
func (d *driver) open(ctx context.Context) *outcome {
	var err error
	if d.placeErr != nil {
		return &outcome{journal.StatusInternalErr, "the run's copy of the workspace can't be made: " + d.placeErr.Error()}
	}
	if d.root, err = openRoot(d.ws); err != nil {
		return &outcome{journal.StatusInternalErr, err.Error()}
	}
	if d.models, err = d.cfg.Open(ctx, d.start.Model); err != nil {
		d.root.Close()
		return &outcome{journal.StatusProvider, err.Error()}
	}
	if err := d.openSeats(ctx); err != nil {
		d.root.Close()
		return &outcome{journal.StatusProvider, err.Error()}
	}
	return nil
}

// style is how a model of the run's chain is asked to act.
func (d *driver) style(name string) llm.Style {
	for _, m := range d.models {
		if m.Info().Name == name {
			return m.Info().Style
		}
	}
	return d.models[0].Info().Style
}

// watch ends the work when a person cancels or time is up.
func (d *driver) watch(ctx context.Context, halt context.CancelCauseFunc) {
	for {
		var cancelled bool
		var left time.Duration
		d.led.mu.Lock()
		changed := d.led.changed
		d.led.mu.Unlock()
		if err := d.led.view(ctx, func(s *journal.State) { cancelled, left = s.Cancel && s.Outcome == nil, d.left(s) }); err != nil {
			return
		}
		if cancelled {
			halt(errCancelled)
			return
		}
		if left <= 0 {
			halt(errWall)
			return
		}
		timer := time.NewTimer(left)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// left is how much active time remains; a run that waits for a person uses none.
func (d *driver) left(s *journal.State) time.Duration {
	if s.Budget.Wall < 0 || s.Status() != journal.StatusRunning {
		return 24 * time.Hour
	}
	return s.Budget.Wall - s.Spent.Active - max(0, d.led.now().Sub(s.Updated))
}

// steer does what the state asks for next, until the run has ended.
func (d *driver) steer(ctx context.Context) error {
	for {
		var next func(context.Context) error
		if err := d.led.view(ctx, func(s *journal.State) { next = d.next(s) }); err != nil {
			return err
		}
		if next == nil {
			return nil
		}
		if err := next(ctx); err != nil {
			if !d.worthMeasuring(ctx, err) {
				return err
			}
			if merr := d.measureLast(ctx, err); merr != nil {
				return merr
			}
		}
	}
}

// next picks the phase that a state is in; nil when the run has ended.
func (d *driver) next(s *journal.State) func(context.Context) error {
	switch {
	case s.Outcome != nil:
		return nil
	case s.Base == nil && len(d.start.Goal.BaseProbes()) > 0:
		return d.baseline
	case len(s.Plans) == 0:
		return func(ctx context.Context) error { return d.plan(ctx, "start", nil) }
	case s.Outdated():
		return d.reviseGoal
	}
	var open, failed bool
	for _, t := range s.Tasks {
		switch t.Status {
		case journal.TaskFailed:
			failed = true
		case journal.TaskPending, journal.TaskRunning:
			open = true
		}
	}
	switch {
	case failed:
		return d.reviseFailed
	case open:
		return d.work
	}
	return d.measureFinal
}

// work runs tasks that are ready, several at once where they can't disturb each other, until none is left or one failed.
func (d *driver) work(ctx context.Context) error {
	type result struct {
		id  string
		err error
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	done := make(chan result)
	running := make(map[string]bool)
	var first error
	for {
		var ready []planner.Task
		if len(running) == 0 && first == nil {
			first = d.fanOut(ctx)
		}
		err := d.led.view(ctx, func(s *journal.State) {
			if first != nil || anyFailed(s) || s.Outdated() {
				return
			}
			limit := s.Start.Parallel - len(running)
			for _, t := range s.Plan.Ready(
				func(id string) bool { return s.Tasks[id].Status == journal.TaskDone },
				func(id string) bool { return running[id] },
			) {
				if len(ready) < limit {
					ready = append(ready, t)
				}
			}
		})
		if err != nil && first == nil {
			first = err
		}
		if len(ready) == 0 && len(running) == 0 {
			return first
		}
		for _, t := range ready {
			running[t.ID] = true
			go func() {
				err := d.task(ctx, t.ID)
				d.closeTabs(t.ID)
				done <- result{t.ID, err}
			}()
		}
		r := <-done
		delete(running, r.id)
		if r.err == nil && first == nil && len(running) == 0 {
			r.err = d.stopHere(ctx, true)
		}
		if r.err != nil && first == nil {
			first = r.err
			stop(r.err)
		}
	}
}

func anyFailed(s *journal.State) bool {
	for _, t := range s.Tasks {
		if t.Status == journal.TaskFailed {
			return true
		}
	}
	return false
}

// gate returns when the run may act: not while it is paused.
func (d *driver) gate(ctx context.Context) error {
	return d.led.wait(ctx, func(s *journal.State) bool { return s.Paused == nil })
}

// note records something a person may want to know.
func (d *driver) note(ctx context.Context, topic, task, format string, args ...any) error {
	return d.led.do(ctx, func(t *tx) error {
		t.add(journal.Noted{Topic: topic, Task: task, Text: clip(fmt.Sprintf(format, args...), 1000)})
		return nil
	})
}

// clip cuts s to at most n bytes at a rune's border and says so by an ellipsis.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	n -= len("…")
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}
