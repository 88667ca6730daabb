package journal

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"agentd/goals"
	"agentd/llm"
	"agentd/planner"
)

// State is what a run's events add up to. It is a pure fold: no clock, no I/O. It is not safe for concurrent use; who
// needs one of their own folds one.
type State struct {
	Run     RunID     `json:"run"`
	Last    Seq       `json:"last"` // number of the last event folded
	Began   time.Time `json:"began"`
	Updated time.Time `json:"updated"`

	Start  RunStarted   `json:"start"`
	Epoch  int          `json:"epoch"`
	Budget goals.Budget `json:"budget"`
	Spent  Spent        `json:"spent"`
	// InFlight holds the model calls asked and not yet settled, by call id.
	InFlight map[string]ModelAsked `json:"in_flight,omitempty"`

	Snapshot *SnapshotMade       `json:"snapshot,omitempty"`
	Recalls  map[string]Recalled `json:"recalls,omitempty"` // by call or task, "" is the plan's

	Goals   []string `json:"goals,omitempty"`   // the goal's texts before its revisions
	Planned int      `json:"planned,omitempty"` // how many of the revisions the plan takes in

	Plan     planner.Plan     `json:"plan"`
	Plans    []PlanMade       `json:"plans,omitempty"`
	Planning []*Turn          `json:"planning,omitempty"` // planner's calls since the last PlanMade
	Tasks    map[string]*Task `json:"tasks,omitempty"`    // of the current plan

	Proposed []goals.Probe  `json:"proposed,omitempty"` // criteria the planner proposed, frozen
	Base     *CheckFinished `json:"base,omitempty"`
	Final    *CheckFinished `json:"final,omitempty"`
	Measured int            `json:"measured,omitempty"` // final measurements so far

	Servers []ToolsListed `json:"servers,omitempty"` // what servers outside of the daemon offer
	Listed  int           `json:"listed,omitempty"`  // times that one said so

	Net         []string            `json:"net,omitempty"`          // where boxes may connect now
	Hosts       []Egress            `json:"hosts,omitempty"`        // connections so far
	Files       map[string][]string `json:"files,omitempty"`        // workspace files with untrusted content, and its origins; "." is all
	PlanOrigins []string            `json:"plan_origins,omitempty"` // of what the plan was made from

	Shot *Picture `json:"shot,omitempty"` // the last picture that the run took

	Tabs map[string][]Tab `json:"tabs,omitempty"` // of the browser, by task; those of tasks that go on

	Asks     map[string]*Ask `json:"asks,omitempty"`    // open ones, by call id
	Granted  []AskAnswered   `json:"granted,omitempty"` // allowances that answer later asks too
	Messages []MessageSent   `json:"messages,omitempty"`
	Notes    int             `json:"notes,omitempty"`
	Denied   string          `json:"denied,omitempty"` // the last call that policy or a person denied

	Paused  *Paused      `json:"paused,omitempty"`
	Cancel  bool         `json:"cancel,omitempty"`
	Outcome *RunFinished `json:"outcome,omitempty"`
	Ended   time.Time    `json:"ended,omitzero"`
	Undone  *Undone      `json:"undone,omitempty"`
	Applied *Applied     `json:"applied,omitempty"`
	Learned *Learned     `json:"learned,omitempty"`

	calls map[string]*ToolCall // by call id, of every task
	turns map[string]*Turn     // in flight, by ModelAsked.Call
}

// Spent is what a run has used, calls in flight at their reservation included.
type Spent struct {
	Steps    int     `json:"steps"`
	Tokens   int64   `json:"tokens"`
	USD      float64 `json:"usd"`
	Calls    int     `json:"calls"`    // of models, retries included
	Reserved int64   `json:"reserved"` // the part of Tokens that is in flight
	// Active is the time in which the run could have worked: not while it waited for a person, was paused, or had no driver.
	Active time.Duration `json:"active"`
	// Work is the time in which models, tools and checks worked, of all tasks together.
	Work time.Duration `json:"work,omitempty"`
}

// work adds a call's time. One that was cut off by a crash has none.
func (s *Spent) work(ms int64) {
	s.Work += time.Duration(min(max(0, ms), maxGap.Milliseconds())) * time.Millisecond
}

// maxGap bounds how much active time one gap between events can count for, so that a clock that jumps ahead ends no run.
const maxGap = 70 * time.Minute

// TaskStatus is how far a task is.
type TaskStatus string

// The statuses of a task.
const (
	TaskPending TaskStatus = "pending"
	TaskRunning TaskStatus = "running"
	TaskDone    TaskStatus = "done"
	TaskFailed  TaskStatus = "failed"
)

// Task is a task of the current plan and what became of it.
type Task struct {
	planner.Task
	Status   TaskStatus `json:"status"`
	Attempt  int        `json:"attempt"`
	Turns    []*Turn    `json:"turns,omitempty"` // of the current attempt
	Result   string     `json:"result,omitempty"`
	Failures []string   `json:"failures,omitempty"` // reasons of the failed attempts
	Origins  []string   `json:"origins,omitempty"`  // of the untrusted content in its calls' results, over all attempts
	Began    time.Time  `json:"began,omitzero"`
	Ended    time.Time  `json:"ended,omitzero"`
	// What its model calls used, over all attempts; those in flight at their reservation.
	Steps  int     `json:"steps,omitempty"`
	Tokens int64   `json:"tokens,omitempty"`
	USD    float64 `json:"usd,omitempty"`
}

// Turn is one model call and what was done with its reply.
type Turn struct {
	Asked   ModelAsked    `json:"asked"`
	Seq     Seq           `json:"seq"` // of ModelAsked
	Replied *ModelReplied `json:"replied,omitempty"`
	Calls   []*ToolCall   `json:"calls,omitempty"`
}

// ToolCall is one call and how far it is: asked, started or finished.
type ToolCall struct {
	Call
	Asked    *ToolAsked    `json:"asked,omitempty"`
	Answer   *AskAnswered  `json:"answer,omitempty"`
	Started  *ToolStarted  `json:"started,omitempty"`
	Finished *ToolFinished `json:"finished,omitempty"`
}

// Ask is an open question to a person.
type Ask struct {
	ToolAsked
	Since time.Time `json:"since"`
}

// Fold folds records in order.
func Fold(records []Record) (*State, error) {
	s := new(State)
	for _, r := range records {
		if err := s.Apply(r); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Apply folds the next record in. On an error the state is unchanged.
func (s *State) Apply(r Record) error {
	if r.Seq != s.Last+1 {
		return fmt.Errorf("run %s: event %d after %d: %w", r.Run, r.Seq, s.Last, ErrCorrupt)
	}
	e, err := r.Decode()
	if err != nil {
		return err
	}
	s.fold(e, r)
	return nil
}

// Push folds an event that is about to be appended as the run's next, at a time.
func (s *State) Push(e Event, at time.Time) {
	s.fold(e, Record{Run: s.Run, Seq: s.Last + 1, Time: at, Kind: e.Kind()})
}

func (s *State) fold(e Event, r Record) {
	if gap := r.Time.Sub(s.Updated); s.Last > 0 && s.Status() == StatusRunning && r.Kind != KindDriverClaimed && gap > 0 {
		s.Spent.Active += min(gap, maxGap)
	}
	s.Run, s.Last, s.Updated = r.Run, r.Seq, r.Time
	s.apply(e, r)
}

func (s *State) apply(e Event, r Record) {
	switch e := e.(type) {
	case RunStarted:
		s.Start, s.Began, s.Net = e, r.Time, slices.Clone(e.Net)
		s.Budget = e.Goal.Budget.Or(goals.DefaultBudget)
	case DriverClaimed:
		s.Epoch = e.Epoch
	case SnapshotMade:
		s.Snapshot = &e
	case Recalled:
		put(&s.Recalls, cmp.Or(e.Call, e.Task), e)
	case PlanMade:
		s.planMade(e)
	case TaskStarted:
		if t := s.Tasks[e.Task]; t != nil {
			t.Status, t.Attempt, t.Turns, t.Began = TaskRunning, e.Attempt, nil, r.Time
		}
	case ModelAsked:
		s.asked(e, r.Seq)
	case ModelReplied:
		s.replied(e)
	case ToolAsked:
		c := s.call(e.Call)
		c.Asked, c.Answer = &e, nil
		put(&s.Asks, e.Call.ID, &Ask{ToolAsked: e, Since: r.Time})
	case AskAnswered:
		if c := s.calls[e.Ask]; c != nil {
			c.Answer = &e
		}
		delete(s.Asks, e.Ask)
		if e.Answer == "allow" && e.Scope != ScopeOnce {
			s.Granted = append(s.Granted, e)
		}
		if s.Paused != nil && s.Paused.Parked {
			s.Paused = nil
		}
	case ToolStarted:
		c := s.call(e.Call)
		c.Started, c.Finished = &e, nil
	case ToolFinished:
		s.Spent.work(e.Ms)
		s.call(e.Call).Finished = &e
		delete(s.Asks, e.Call.ID)
		s.taint(e)
		if n := len(e.Pictures); n > 0 {
			s.Shot = &e.Pictures[n-1]
		}
		if e.Status == ToolRefused {
			s.Denied = clip(e.Call.Tool+": "+string(e.Call.Args), 200)
		}
	case TaskFinished:
		s.taskFinished(e, r.Time)
	case CheckFinished:
		for _, c := range e.Checks {
			s.Spent.work(c.Ms)
		}
		switch e.Phase {
		case "base":
			s.Base = &e
		case "final":
			s.Final, s.Measured = &e, s.Measured+1
		}
	case GoalRevised:
		s.Goals, s.Start.Goal.Text = append(s.Goals, s.Start.Goal.Text), e.Text
	case MessageSent:
		s.Messages = append(s.Messages, e)
	case LimitChanged:
		s.Budget = e.Budget.Or(s.Budget)
	case Paused:
		s.Paused = &e
	case Resumed:
		s.Paused = nil
	case CancelAsked:
		s.Cancel = true
	case Noted:
		s.Notes++
	case RunFinished:
		s.Outcome, s.Ended = &e, r.Time
	case ToolsListed:
		s.toolsListed(e)
	case Undone:
		s.Undone = &e
	case Applied:
		s.Applied, s.Undone = &e, nil
	case Learned:
		s.Learned = &e
	case TakenOver: // what it leads to is in the tabs
	case TabsChanged:
		put(&s.Tabs, e.Task, e.Tabs)
	}
}

func (s *State) planMade(e PlanMade) {
	s.Plan, s.Plans, s.Planning = e.Plan, append(s.Plans, e), nil
	s.Planned = max(s.Planned, e.Goals)
	s.PlanOrigins = Union(s.PlanOrigins, e.Origins)
	s.Proposed = append(s.Proposed, e.Checks...)
	tasks := make(map[string]*Task, len(e.Plan.Tasks))
	for _, t := range e.Plan.Tasks {
		next := &Task{Task: t, Status: TaskPending}
		if old := s.Tasks[t.ID]; old != nil {
			next.Attempt, next.Failures = old.Attempt, old.Failures
			next.Steps, next.Tokens, next.USD, next.Origins = old.Steps, old.Tokens, old.USD, old.Origins
			if old.Status == TaskDone {
				next = old
				next.Task = t
			}
		}
		tasks[t.ID] = next
	}
	s.Tasks = tasks
}

func (s *State) asked(e ModelAsked, seq Seq) {
	turn := &Turn{Asked: e, Seq: seq}
	put(&s.InFlight, e.Call, e)
	put(&s.turns, e.Call, turn)
	s.Spent.Calls++
	s.Spent.Steps = max(s.Spent.Steps, e.Step)
	s.Spent.Tokens += e.Reserved
	s.Spent.Reserved += e.Reserved
	s.Spent.USD += e.USD
	if t := s.Tasks[e.Task]; t != nil && e.Task != "" {
		t.Turns = append(t.Turns, turn)
		t.Steps, t.Tokens, t.USD = t.Steps+1, t.Tokens+e.Reserved, t.USD+e.USD
	} else {
		s.Planning = append(s.Planning, turn)
	}
}

func (s *State) replied(e ModelReplied) {
	asked, ok := s.InFlight[e.Call]
	if !ok {
		return
	}
	delete(s.InFlight, e.Call)
	s.Spent.work(e.Ms)
	s.Spent.Tokens += e.Used - asked.Reserved
	s.Spent.Reserved -= asked.Reserved
	s.Spent.USD += e.USD - asked.USD
	if t := s.Tasks[asked.Task]; t != nil {
		t.Tokens, t.USD = t.Tokens+e.Used-asked.Reserved, t.USD+e.USD-asked.USD
	}
	s.turns[e.Call].Replied = &e
}

// call returns the state's own record of c, made at its first event.
func (s *State) call(c Call) *ToolCall {
	if have := s.calls[c.ID]; have != nil {
		return have
	}
	tc := &ToolCall{Call: c}
	put(&s.calls, c.ID, tc)
	if turn := s.turns[c.From]; turn != nil {
		turn.Calls = append(turn.Calls, tc)
	}
	return tc
}

func (s *State) taskFinished(e TaskFinished, at time.Time) {
	t := s.Tasks[e.Task]
	if t == nil {
		return
	}
	t.Ended = at
	delete(s.Tabs, e.Task)
	if e.OK {
		t.Status, t.Result = TaskDone, e.Result
		return
	}
	t.Status, t.Failures = TaskFailed, append(t.Failures, e.Reason)
}

// OpenCalls returns the calls that started and have not finished, in no order.
func (s *State) OpenCalls() []*ToolCall {
	var open []*ToolCall
	for _, c := range s.calls {
		if c.Started != nil && c.Finished == nil {
			open = append(open, c)
		}
	}
	return open
}

// ToolCall returns a call by its id, nil if there is none.
func (s *State) ToolCall(id string) *ToolCall { return s.calls[id] }

// Outdated reports whether the goal was revised since the plan was made.
func (s *State) Outdated() bool { return len(s.Goals) > s.Planned && len(s.Plans) > 0 }

// Learning reports whether the run has ended and what later runs should know of it is still to be found out.
func (s *State) Learning() bool { return s.Outcome != nil && s.Outcome.Learn && s.Learned == nil }

// Status is the run's state in one word.
func (s *State) Status() Status {
	switch {
	case s.Outcome != nil:
		return s.Outcome.Status
	case s.Paused != nil && s.Paused.Parked:
		for _, a := range s.Asks {
			if a.Ask == AskDoubt {
				return StatusInDoubt
			}
		}
		return StatusParked
	case s.Paused != nil:
		return StatusPaused
	case len(s.Asks) > 0:
		return StatusWaiting
	case s.Epoch == 0:
		return StatusQueued
	}
	return StatusRunning
}

// Summary is what a list shows of the run.
func (s *State) Summary() Summary {
	sum := Summary{
		Run: s.Run, Status: s.Status(), Goal: clip(s.Start.Goal.Text, 200), Name: s.Start.Goal.Name,
		Workspace: s.Start.Workspace, Model: s.Start.Model, Started: s.Began, Updated: s.Updated, Last: s.Last,
		Steps: s.Spent.Steps, Tokens: s.Spent.Tokens, USD: s.Spent.USD, Asks: len(s.Asks),
	}
	if s.Outcome != nil {
		sum.Self, sum.Reason, sum.Learning = s.Outcome.Self, clip(s.Outcome.Reason, 200), s.Learning()
		return sum
	}
	sum.Now = clip(s.now(), 120)
	if s.Paused != nil {
		sum.Reason = clip(s.Paused.Reason, 200)
	}
	return sum
}

// now says in a few words what a live run is doing.
func (s *State) now() string {
	for _, t := range s.Plan.Tasks {
		task := s.Tasks[t.ID]
		if task == nil || task.Status != TaskRunning {
			continue
		}
		if n := len(task.Turns); n > 0 {
			for _, c := range task.Turns[n-1].Calls {
				if c.Finished == nil {
					return task.ID + ": " + c.Tool
				}
			}
		}
		return task.ID + ": thinking"
	}
	if len(s.Plan.Tasks) == 0 {
		return "planning"
	}
	return "checking"
}

// clip cuts s to at most n bytes at a rune's border and says so by an ellipsis.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	cut := n - len("…")
	for cut > 0 && s[cut]&0xC0 == 0x80 {
		cut--
	}
	return s[:cut] + "…"
}

func put[K comparable, V any](m *map[K]V, k K, v V) {
	if *m == nil {
		*m = make(map[K]V)
	}
	(*m)[k] = v
}

// Failed reports whether a model call ended without a reply.
func (t *Turn) Failed() bool { return t.Replied != nil && t.Replied.Reply == nil }

// Reply returns the turn's reply, nil while there is none.
func (t *Turn) Reply() *llm.Reply {
	if t.Replied == nil {
		return nil
	}
	return t.Replied.Reply
}
