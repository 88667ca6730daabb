package schedule

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"agentd/goals"
)

// Runs is what a scheduler needs of the daemon.
type Runs interface {
	// Start makes a run of the job's goal durable. The same key starts one run, and returns it again.
	Start(ctx context.Context, j Job, s Slot) (run string, err error)
	// Live reports whether a run has not ended. One that is unknown has.
	Live(ctx context.Context, run string) (bool, error)
	// Cancel asks a run to end.
	Cancel(ctx context.Context, run string) error
}

// Options are what a Scheduler is made of. Runs and Dir are required.
type Options struct {
	Dir    string // folder of its file, the daemon's own
	Runs   Runs
	Secret func(name string) ([]byte, error) // of webhooks; nil: there are none
	Now    func() time.Time
	Poll   time.Duration // longest sleep, so that a jump of the clock is noticed; 0 is 15 s
	Log    *slog.Logger
}

// Scheduler decides when jobs run. Each decision is on disk before it is acted upon, and what is acted upon is a run with a key of its
// own: so an occasion starts one run at most, and none is forgotten, wherever the daemon is killed. It is safe for concurrent use.
type Scheduler struct {
	opt  Options
	wake chan struct{}

	mu    sync.Mutex // guards the fields below; held over the small file's write, which orders them
	jobs  map[string]*Job
	still map[string]change // files that changed and may not be still yet, by job and trigger
	tries map[string]int    // failed starts, by slot
}

// New reads the jobs of a folder.
func New(opt Options) (*Scheduler, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	s := &Scheduler{opt: opt, wake: make(chan struct{}, 1), still: map[string]change{}, tries: map[string]int{}}
	var err error
	if s.jobs, err = load(opt.Dir); err != nil {
		return nil, err
	}
	return s, nil
}

// Run works until ctx ends.
func (s *Scheduler) Run(ctx context.Context) error {
	for {
		s.Tick(ctx)
		timer := time.NewTimer(s.pause())
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		case <-s.wake:
			timer.Stop()
		}
	}
}

// pause is how long to sleep: until the next time, but never so long that a jump of the clock goes unnoticed.
func (s *Scheduler) pause() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opt.Now()
	wait := cmp.Or(s.opt.Poll, 15*time.Second)
	for _, j := range s.jobs {
		if j.Paused {
			continue
		}
		if at := j.Next(now); !at.IsZero() {
			wait = min(wait, at.Sub(now)+time.Millisecond)
		}
		if len(j.Pending) > 0 || slices.ContainsFunc(j.Goal.Triggers, func(t goals.Trigger) bool { return len(t.Files) > 0 }) {
			wait = min(wait, time.Second)
		}
	}
	return max(wait, min(50*time.Millisecond, cmp.Or(s.opt.Poll, time.Minute)))
}

func (s *Scheduler) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Tick decides about everything that is due now and starts what was decided. Run calls it; tests with a clock of their own do too.
func (s *Scheduler) Tick(ctx context.Context) {
	s.mu.Lock()
	names := slices.Sorted(maps.Keys(s.jobs))
	s.mu.Unlock()
	for _, name := range names {
		err := s.decide(ctx, name)
		if err == nil {
			err = s.startPending(ctx, name)
		}
		if err != nil && ctx.Err() == nil {
			s.opt.Log.Error("scheduled goal", "name", name, "err", err)
		}
	}
}

// decide makes the slots of a job that are due durable.
func (s *Scheduler) decide(ctx context.Context, name string) error {
	s.mu.Lock()
	j := s.jobs[name]
	if j == nil || j.Paused {
		s.mu.Unlock()
		return nil
	}
	run, files := j.Run, slices.ContainsFunc(j.Goal.Triggers, func(t goals.Trigger) bool { return len(t.Files) > 0 })
	ws, triggers := j.Workspace, j.Goal.Triggers
	s.mu.Unlock()
	prints := map[int]string{}
	busy := false
	if files { // looked at without the lock
		var err error
		if busy, err = s.live(ctx, run); err != nil {
			return err
		}
		for i, t := range triggers {
			if len(t.Files) > 0 {
				if prints[i], err = fingerprint(ws, t.Files); err != nil {
					return err
				}
			}
		}
	}
	return s.change(name, func(j *Job) bool {
		changed := false
		now := s.opt.Now()
		for i, t := range j.Goal.Triggers {
			switch {
			case t.Cron != "":
				changed = j.cron(i, t, now) || changed
			case len(t.Files) > 0:
				changed = s.files(j, i, t, prints[i], busy || len(j.Pending) > 0, now) || changed
			}
		}
		return changed
	})
}

// cron decides about the times of a table since the last decision.
func (j *Job) cron(i int, t goals.Trigger, now time.Time) bool {
	c, err := goals.ParseCron(t.Cron, t.TZ)
	if err != nil {
		return false // see Next
	}
	m := &j.Marks[i]
	reset := m.Last.Sub(now) > maxBack
	if reset {
		m.Last = now // the clock was far ahead for a while; what ran then has its key
	}
	var due []time.Time
	for at := c.Next(m.Last); !at.IsZero() && !at.After(now); at = c.Next(at) {
		if due = append(due, at); len(due) > 2*maxCatchUp {
			if due = due[maxCatchUp:]; now.Sub(at) > 48*time.Hour { // many years of minutes are not walked one by one
				at = now.Add(-24 * time.Hour).Truncate(time.Minute)
			}
		}
	}
	if len(due) == 0 {
		return reset
	}
	m.Last = due[len(due)-1]
	slot := func(at time.Time) Slot {
		return Slot{Key: fmt.Sprintf("schedule/%s/%d/%s", j.ID, i, at.UTC().Format(time.RFC3339)), Trigger: i, At: at, Overlap: t.Overlap}
	}
	last := due[len(due)-1]
	missed := due
	if now.Sub(last) <= grace {
		missed = due[:len(due)-1]
	}
	switch t.Missed {
	case "skip":
		j.skipped(missed, i, "the daemon did not run at that time")
		missed = nil
	case "all":
		if n := len(missed); n > maxCatchUp {
			j.skipped(missed[:n-maxCatchUp], i, fmt.Sprintf("more than %d were missed", maxCatchUp))
			missed = missed[n-maxCatchUp:]
		}
	default: // one run for all that was missed; the time that is due now will do for it
		if n := len(missed); n > 0 && len(missed) < len(due) {
			j.skipped(missed, i, "a later one stands for it")
			missed = nil
		} else if n > 1 {
			j.skipped(missed[:n-1], i, "a later one stands for it")
			missed = missed[n-1:]
		}
	}
	for _, at := range missed {
		j.add(slot(at))
	}
	if now.Sub(last) <= grace {
		j.add(slot(last))
	}
	return true
}

// skipped notes times that start nothing; of many only the newest.
func (j *Job) skipped(times []time.Time, _ int, cause string) {
	for _, at := range times[max(0, len(times)-10):] {
		j.note(Past{At: at, What: "skipped", Cause: cause})
	}
}

// startPending starts what was decided, in order, as far as the runs before it allow.
func (s *Scheduler) startPending(ctx context.Context, name string) error {
	for {
		s.mu.Lock()
		j := s.jobs[name]
		if j == nil || j.Paused || len(j.Pending) == 0 {
			s.mu.Unlock()
			return nil
		}
		job, slot := *j, j.Pending[0]
		tries := s.tries[slot.Key]
		s.mu.Unlock()
		busy, err := s.live(ctx, job.Run)
		if err != nil {
			return err
		}
		past := Past{At: slot.At, Key: slot.Key, What: "started"}
		switch {
		case !busy:
			run, err := s.opt.Runs.Start(ctx, job, slot)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if past.Run = run; err == nil {
				break
			}
			if tries < 3 { // it may be a passing fault: the slot stays
				s.mu.Lock()
				s.tries[slot.Key]++
				s.mu.Unlock()
				return fmt.Errorf("start %s: %w", slot.Key, err)
			}
			past = Past{At: slot.At, Key: slot.Key, What: "skipped", Cause: "it can't be started: " + err.Error()}
		case slot.Overlap == "queue" || slot.Trigger < 0:
			return nil // until that run has ended
		case slot.Overlap == "cancel":
			return s.opt.Runs.Cancel(ctx, job.Run)
		default:
			past = Past{At: slot.At, Key: slot.Key, What: "skipped", Run: job.Run, Cause: "run " + job.Run + " goes on"}
		}
		if err := s.change(name, func(j *Job) bool {
			j.Pending = slices.DeleteFunc(j.Pending, func(p Slot) bool { return p.Key == slot.Key })
			if past.What == "started" {
				j.Run = past.Run
			}
			delete(s.tries, slot.Key)
			j.note(past)
			return true
		}); err != nil {
			return err
		}
	}
}

func (s *Scheduler) live(ctx context.Context, run string) (bool, error) {
	if run == "" {
		return false, nil
	}
	return s.opt.Runs.Live(ctx, run)
}

// change makes a change of a job durable; where that fails the job is as it was.
func (s *Scheduler) change(name string, f func(*Job) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[name]
	if j == nil {
		return ErrNotFound
	}
	was := j.clone()
	if !f(j) {
		return nil
	}
	if err := save(s.opt.Dir, s.jobs); err != nil {
		s.jobs[name] = &was
		return err
	}
	return nil
}

func (j *Job) clone() Job {
	c := *j
	c.Marks, c.Pending, c.History = slices.Clone(j.Marks), slices.Clone(j.Pending), slices.Clone(j.History)
	for i := range c.Marks {
		c.Marks[i].Seen = slices.Clone(c.Marks[i].Seen)
	}
	return c
}

// Add schedules a goal, or approves a new text of one that is scheduled already: from now on its triggers start this very goal.
func (s *Scheduler) Add(j Job) (Job, error) {
	if len(j.Goal.Triggers) == 0 {
		return Job{}, goals.ErrNoTriggers
	}
	now := s.opt.Now()
	j.ID, j.Approved, j.Marks = rand.Text()[:10], now, make([]Mark, len(j.Goal.Triggers))
	for i, t := range j.Goal.Triggers {
		j.Marks[i].Last = now
		if len(t.Files) > 0 {
			var err error
			if j.Marks[i].Print, err = fingerprint(j.Workspace, t.Files); err != nil {
				return Job{}, err
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.jobs[j.Name]
	switch {
	case old != nil && old.Workspace != j.Workspace:
		return Job{}, fmt.Errorf("%w: %q is %s's: give this one another name", ErrTaken, j.Name, old.Workspace)
	case old == nil && len(s.jobs) >= maxJobs:
		return Job{}, fmt.Errorf("%d goals are scheduled already, which is the most", maxJobs)
	case old != nil:
		j.ID, j.Run, j.Pending, j.History, j.Paused = old.ID, old.Run, old.Pending, old.History, old.Paused && old.Why == ""
		for i, t := range j.Goal.Triggers { // a trigger that is the same goes on where it is
			for k, o := range old.Goal.Triggers {
				if sameTrigger(o, t) && k < len(old.Marks) {
					j.Marks[i] = old.Marks[k]
				}
			}
		}
	}
	s.jobs[j.Name] = &j
	if err := save(s.opt.Dir, s.jobs); err != nil {
		s.jobs[j.Name] = old
		if old == nil {
			delete(s.jobs, j.Name)
		}
		return Job{}, err
	}
	s.poke()
	return j.clone(), nil
}

func sameTrigger(a, b goals.Trigger) bool {
	return a.Cron == b.Cron && a.TZ == b.TZ && slices.Equal(a.Files, b.Files) && a.Webhook == b.Webhook
}

// Remove forgets a job. Its runs go on.
func (s *Scheduler) Remove(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.jobs[name]
	if old == nil {
		return ErrNotFound
	}
	delete(s.jobs, name)
	if err := save(s.opt.Dir, s.jobs); err != nil {
		s.jobs[name] = old
		return err
	}
	return nil
}

// Pause keeps a job from starting runs until it is resumed. Times that pass meanwhile are treated as missed.
func (s *Scheduler) Pause(name string, paused bool) error {
	defer s.poke()
	return s.change(name, func(j *Job) bool {
		changed := j.Paused != paused
		j.Paused, j.Why = paused, ""
		return changed
	})
}

// Now starts a job's run at a person's word: after the one that goes on, if one does. key is that of the request, so that a repeated request starts one
// run.
func (s *Scheduler) Now(ctx context.Context, name, key string) (Past, error) {
	slot := Slot{Trigger: -1, At: s.opt.Now()}
	if err := s.change(name, func(j *Job) bool {
		slot.Key = "schedule/" + j.ID + "/now/" + key
		if slices.ContainsFunc(j.History, func(p Past) bool { return p.Key == slot.Key }) {
			return false
		}
		j.add(slot)
		return true
	}); err != nil {
		return Past{}, err
	}
	err := s.startPending(ctx, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.jobs[name]; j != nil {
		for _, p := range slices.Backward(j.History) {
			if p.Key == slot.Key {
				return p, nil
			}
		}
		for _, p := range j.Pending {
			if p.Key == slot.Key && err == nil {
				why := "run " + j.Run + " goes on"
				if j.Paused {
					why = "it is paused"
				}
				return Past{At: slot.At, Key: slot.Key, What: "queued", Run: j.Run, Cause: why}, nil
			}
		}
	}
	if err == nil {
		err = errors.New("it was not started")
	}
	return Past{}, err
}

// Jobs lists the jobs by name.
func (s *Scheduler) Jobs() []Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Job
	for _, name := range slices.Sorted(maps.Keys(s.jobs)) {
		out = append(out, s.jobs[name].clone())
	}
	return out
}

// Job returns one job.
func (s *Scheduler) Job(name string) (Job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.jobs[name]; j != nil {
		return j.clone(), nil
	}
	return Job{}, ErrNotFound
}
