package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"agentd/journal"
	"agentd/llm"
)

// Bounds of one attempt at a task.
const (
	maxTaskSteps = 60 // model calls of one attempt
	maxMuddles   = 4  // unusable replies in a row
	maxLoops     = 3  // refused repeats of a call; each raises the temperature first
	maxStale     = 15 // calls in a row that showed nothing new

	// The same of a small model, which does better to start afresh.
	smallSteps, smallMuddles, smallLoops, smallStale, smallFails = 10, 1, 1, 2, 2
)

// task works on one task until it is done or failed. It picks up an attempt where the journal left it.
func (d *driver) task(ctx context.Context, id string) error {
	if err := d.recall(ctx, id); err != nil {
		return err
	}
	err := d.led.do(ctx, func(t *tx) error {
		if task := t.Tasks[id]; task.Status == journal.TaskPending {
			t.add(journal.TaskStarted{Task: id, Attempt: task.Attempt + 1})
		}
		return nil
	})
	for err == nil {
		var done bool
		if done, err = d.advance(ctx, id); done {
			return nil
		}
	}
	return err
}

// advance does the next thing a task needs: settle an open reply, or ask the model. done: the task has ended.
func (d *driver) advance(ctx context.Context, id string) (done bool, err error) {
	if err := errors.Join(d.gate(ctx), d.untaken(ctx, id)); err != nil {
		return false, err
	}
	var reply *llm.Reply
	var asked journal.ModelAsked
	err = d.led.view(ctx, func(s *journal.State) {
		task := s.Tasks[id]
		if done = task.Status != journal.TaskRunning; done || len(task.Turns) == 0 {
			return
		}
		last := task.Turns[len(task.Turns)-1]
		if last.Reply() != nil && !settled(last, d.parse(last.Asked, last.Reply())) {
			reply, asked = last.Reply(), last.Asked
		}
	})
	if err != nil || done {
		return done, err
	}
	if reply != nil {
		return d.act(ctx, id, asked, d.parse(asked, reply), nil)
	}
	return d.step(ctx, id, nil)
}

// settled reports whether every call of a turn's reply has finished.
func settled(turn *journal.Turn, want []move) bool {
	if len(turn.Calls) < len(want) {
		return false
	}
	for _, c := range turn.Calls {
		if c.Finished == nil {
			return false
		}
	}
	return true
}

// step asks the model for the task's next move and acts on it. pending are events of the last step that wait to share a commit.
func (d *driver) step(ctx context.Context, id string, pending []journal.Event) (done bool, err error) {
	if len(pending) > 0 {
		// A pause, an answer or a limit may stop the next call, so nothing may wait in memory for it.
		var stop bool
		if err := d.led.view(ctx, func(s *journal.State) { stop = s.Paused != nil }); err != nil {
			return false, err
		}
		if stop {
			return false, d.led.do(ctx, func(t *tx) error { t.add(pending...); return nil })
		}
	}
	if len(pending) > 0 && d.models[d.current()].Info().Local {
		if err := d.led.do(ctx, func(t *tx) error { t.add(pending...); return nil }); err != nil {
			return false, err
		}
		pending = nil
		if done, err := d.finished(ctx, id); done || err != nil {
			return done, err
		}
	}
	if err := d.stopHere(ctx, false); err != nil {
		if len(pending) > 0 {
			err = errors.Join(err, d.led.do(ctx, func(t *tx) error { t.add(pending...); return nil }))
		}
		return false, err
	}
	var why string
	reply, asked, err := d.ask(ctx, question{
		task: id, purpose: "step", before: pending,
		build: func(s *journal.State, info llm.Info) (*llm.Request, error) {
			task := s.Tasks[id]
			if s.Outdated() {
				why = goalRevised
				return nil, errGiveUp
			}
			if why = exhausted(task, info); why != "" {
				return nil, errGiveUp
			}
			return d.render(s, task, info), nil
		},
	})
	var short *tight
	if errors.As(err, &short) { // the task's own bound: others may go on
		why, err = short.Error(), errGiveUp
	}
	if errors.Is(err, errGiveUp) {
		return true, d.led.do(ctx, func(t *tx) error {
			t.add(pending...)
			t.add(journal.TaskFinished{Task: id, Reason: why})
			return nil
		})
	}
	if err != nil {
		return false, err
	}
	return d.act(ctx, id, asked.ModelAsked, d.parse(asked.ModelAsked, reply), asked.settle)
}

// errGiveUp stops an attempt before its next call.
var errGiveUp = errors.New("the attempt is exhausted")

// finished ends a task of a small model when the run's criteria hold: it often doesn't see that it is done, and goes on until it has spoilt
// its work. The measurement that decides the run is made later, as ever. Criteria that take long are measured only when the model repeats itself.
func (d *driver) finished(ctx context.Context, id string) (bool, error) {
	var h history
	var last *journal.ToolFinished
	if err := d.led.view(ctx, func(s *journal.State) { h, last = look(s.Tasks[id]), lastResult(s.Tasks[id]) }); err != nil {
		return false, err
	}
	if last == nil || last.Rule != "" || d.probe > maxProbe && (h.stale == 0 || h.stale%2 != 0) {
		return false, nil
	}
	start := time.Now()
	e, _, err := d.judgeWork(ctx)
	d.probe = max(d.probe, time.Since(start))
	if d.unmet = e; err != nil || e == nil || !e.OK {
		return false, err
	}
	e.Phase = "progress"
	return true, d.led.do(ctx, func(t *tx) error {
		t.add(*e, journal.TaskFinished{Task: id, OK: true, Result: "The checks hold."})
		return nil
	})
}

// maxProbe is how long criteria may take that are measured after every step.
const maxProbe = 5 * time.Second

// lastResult is the result of an attempt's last call, nil when there is none.
func lastResult(task *journal.Task) *journal.ToolFinished {
	if len(task.Turns) == 0 {
		return nil
	}
	calls := task.Turns[len(task.Turns)-1].Calls
	if len(calls) == 0 {
		return nil
	}
	return calls[len(calls)-1].Finished
}

// exhausted says why an attempt must not go on, or "".
func exhausted(task *journal.Task, info llm.Info) string {
	h := look(task)
	loops, muddles, stale, steps := maxLoops, maxMuddles, maxStale, maxTaskSteps
	if small(info) {
		loops, muddles, stale, steps = smallLoops, smallMuddles, smallStale, smallSteps
	}
	switch {
	case h.loops >= loops:
		return fmt.Sprintf("stalled: the same call was repeated although it gives the same result: %s", clip(h.loop, 300))
	case h.muddles >= muddles:
		return "stalled: the model's replies can't be used: " + clip(h.muddle, 300)
	case small(info) && h.fails >= smallFails:
		return fmt.Sprintf("stalled: the last %d calls failed", h.fails)
	case h.stale >= stale:
		return fmt.Sprintf("stalled: the last %d calls showed nothing new", h.stale)
	case len(task.Turns) >= steps:
		return fmt.Sprintf("the task took %d steps without an end", len(task.Turns))
	}
	return ""
}

// history is what an attempt's calls so far say about its progress.
type history struct {
	loops, muddles, stale int
	fails                 int    // in a row
	loop, muddle          string // the last of each
	same                  int    // times in a row that the last call gave the same result
	key                   string // of the last call
}

// look folds an attempt's turns into its history.
func look(task *journal.Task) history {
	var h history
	seen := make(map[string]bool)
	var lastResult string
	for _, turn := range task.Turns {
		for _, c := range turn.Calls {
			f := c.Finished
			if f == nil {
				continue
			}
			switch {
			case f.Rule == ruleMuddle:
				h.muddles, h.muddle = h.muddles+1, f.Head
				continue
			case f.Rule == ruleMissing:
				continue
			case f.Rule == ruleLoop:
				h.loops, h.loop = h.loops+1, c.Tool+" "+string(c.Args)
				continue
			}
			h.muddles = 0
			h.fails++
			if f.Status == journal.ToolOK {
				h.fails = 0
			}
			key := callKey(c.Tool, c.Args)
			result := key + fmt.Sprintf("%s %d %d %s%s%s", f.Status, f.Exit, f.Bytes, f.Blob, f.Head, f.Tail)
			if key == h.key && result == lastResult {
				h.same++
			} else {
				h.same = 1
			}
			h.key, lastResult = key, result
			if seen[result] {
				h.stale++
			} else {
				h.stale = 0
			}
			seen[result] = true
		}
	}
	return h
}

// Rules of refusals that are the loop's own.
const (
	ruleMuddle = "unusable reply"
	ruleLoop   = "repeated call"

	ruleMissing = "a file is missing"
)

// callKey identifies equal calls.
func callKey(tool string, args []byte) string { return tool + "\x00" + strings.TrimSpace(string(args)) }

// warmth is the temperature for a task's next call: a small model that repeats itself is shaken, and one that starts again (plan is the
// number of plans) tries what is less likely.
func warmth(task *journal.Task, plan int, info llm.Info) *float64 {
	h := look(task)
	var t float64
	switch {
	case small(info) && plan > 1:
		t = min(0.9, 0.3+0.1*float64(plan+h.loops+h.muddles))
	case h.loops+h.muddles > 0:
		t = min(1, 0.4+0.3*float64(h.loops+h.muddles))
	case info.Local && (h.same > 1 || h.fails > 0 || task.Attempt > 1):
		t = 0.4
	case info.Local:
		t = 0
	default:
		return nil
	}
	return &t
}
