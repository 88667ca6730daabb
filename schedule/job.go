// Package schedule starts runs by themselves: at times, when files change, and when somebody asks over HTTP.
package schedule

import (
	"errors"
	"time"

	"agentd/goals"
)

// Job is a goal that its triggers start. The goal is the copy that a person approved: what changes on disk later is told and not used.
type Job struct {
	Name      string            `json:"name"` // unique
	ID        string            `json:"id"`   // of this entry, so that a later one of the same name has other keys
	Workspace string            `json:"workspace"`
	File      string            `json:"file"` // where the goal was read
	Goal      goals.Goal        `json:"goal"`
	Source    string            `json:"source,omitempty"` // the file's text as it was approved, to compare with
	Model     string            `json:"model,omitempty"`
	Net       []string          `json:"net,omitempty"`
	Mode      string            `json:"mode,omitempty"`
	Apply     bool              `json:"apply,omitempty"`
	Params    map[string]string `json:"params,omitempty"`
	Imports   map[string]string `json:"imports,omitempty"` // the text of what the goal imports, as it was approved
	Granted   []string          `json:"granted,omitempty"` // what the goal asks for and was granted
	By        string            `json:"by,omitempty"`      // who approved it
	Approved  time.Time         `json:"approved"`

	Paused bool   `json:"paused,omitempty"`
	Why    string `json:"why,omitempty"` // of a pause that nobody asked for

	Marks   []Mark `json:"marks"`             // by trigger of the goal
	Pending []Slot `json:"pending,omitempty"` // decided and not yet started, in order
	Run     string `json:"run,omitempty"`     // the last run it started
	History []Past `json:"history,omitempty"` // the newest last
}

// Mark is how far a trigger is. A time up to Last is never decided about again, whatever the clock says.
type Mark struct {
	Last  time.Time `json:"last,omitzero"`   // of cron: the newest time that was decided about
	Print string    `json:"print,omitempty"` // of files: fingerprint of what is known
	Count int       `json:"count,omitempty"` // of files: changes so far
	Seen  []string  `json:"seen,omitempty"`  // of a webhook: the newest deliveries
}

// Slot is one occasion for a run. Its key makes the run unique: starting it twice gives the same run.
type Slot struct {
	Key     string    `json:"key"`
	Trigger int       `json:"trigger"` // index; -1 is a person's
	At      time.Time `json:"at"`
	Overlap string    `json:"overlap,omitempty"`
	Body    string    `json:"body,omitempty"` // what a webhook was sent: untrusted text
}

// Past is what became of an occasion.
type Past struct {
	At    time.Time `json:"at"`
	Key   string    `json:"key,omitempty"`
	What  string    `json:"what"` // started, skipped
	Run   string    `json:"run,omitempty"`
	Cause string    `json:"cause,omitempty"` // why it was skipped
}

// Errors of a Scheduler.
var (
	// ErrNotFound is returned for a name that no job has.
	ErrNotFound = errors.New("no such scheduled goal")
	// ErrTaken is returned for a name that a job of another workspace has.
	ErrTaken = errors.New("another workspace's goal is scheduled under that name")
)

// Bounds of a job.
const (
	maxJobs    = 200
	maxHistory = 50
	maxQueue   = 20  // pending slots of one job
	maxCatchUp = 20  // missed times that the rule all starts
	maxSeen    = 500 // deliveries of a webhook
)

// grace is how late a time may be decided about without counting as missed.
const grace = 90 * time.Second

// maxBack is how far the clock may go back before times are decided about anew: a run that such a time has started is found by its key.
const maxBack = 25 * time.Hour

// note adds to a job's history.
func (j *Job) note(p Past) {
	j.History = append(j.History, p)
	if n := len(j.History); n > maxHistory {
		j.History = j.History[n-maxHistory:]
	}
}

// add queues a slot unless the queue is full or holds it.
func (j *Job) add(s Slot) {
	for _, p := range j.Pending {
		if p.Key == s.Key {
			return
		}
	}
	if len(j.Pending) >= maxQueue {
		j.note(Past{At: s.At, Key: s.Key, What: "skipped", Cause: "too many wait already"})
		return
	}
	j.Pending = append(j.Pending, s)
}

// Next is when the job's time tables come next, zero if it has none.
func (j *Job) Next(now time.Time) (next time.Time) {
	for i, t := range j.Goal.Triggers {
		if t.Cron == "" {
			continue
		}
		c, err := goals.ParseCron(t.Cron, t.TZ)
		if err != nil {
			continue // it was approved by a version that could read it
		}
		from := now
		if i < len(j.Marks) && j.Marks[i].Last.After(now) {
			from = j.Marks[i].Last
		}
		if at := c.Next(from); next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next
}
