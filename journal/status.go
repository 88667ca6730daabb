package journal

import (
	"fmt"
	"strings"
)

// Status is a run's state in one word; an ended run's is also its outcome.
type Status string

// Live statuses.
const (
	StatusQueued  Status = "queued" // started, not yet driven
	StatusRunning Status = "running"
	StatusWaiting Status = "waiting" // an ask is open
	StatusPaused  Status = "paused"
	StatusParked  Status = "parked"   // needs a person; exit 5
	StatusInDoubt Status = "in_doubt" // needs a person to say whether an effect took place; exit 10
)

// Outcomes.
const (
	StatusAccepted    Status = "accepted"
	StatusUnmet       Status = "unmet"       // finished, criteria unmet
	StatusBudget      Status = "budget"      // usd, tokens or steps exhausted
	StatusDenied      Status = "denied"      // by policy
	StatusStalled     Status = "stalled"     // no progress
	StatusSandbox     Status = "no_sandbox"  // the required level is unavailable
	StatusProvider    Status = "no_provider" // no model answers
	StatusUnverified  Status = "unverified"  // finished, nothing measured it
	StatusTime        Status = "time"        // budget.wall
	StatusCancelled   Status = "cancelled"
	StatusInternalErr Status = "internal"
)

// Outcome is one row of the table of how a run can end or stop: what a script, a person and the documentation are told of it.
type Outcome struct {
	Status Status // "" for a fault that keeps a run from starting
	Exit   int    // exit code of agentctl
	Means  string
	Next   string // the command to type next; RUN stands for the run's id
}

// outcomes is the one table: exit codes, result.status, agentctl's help, the hint of a run's end and docs/using.md are made of it.
var outcomes = []Outcome{
	{StatusAccepted, 0, "the criteria hold (or: self-checked)", "agentctl diff RUN"},
	{StatusInternalErr, 1, "an error of agentd", "agentctl daemon log"},
	{"", 2, "usage, or an invalid goal", "agentctl run --help"},
	{StatusUnmet, 3, "finished, criteria unmet", "agentctl show RUN"},
	{StatusBudget, 4, "usd, tokens, steps or work exhausted; the reason names the key", "agentctl show RUN"},
	{StatusParked, 5, "needs a person", "agentctl answer RUN"},
	{StatusDenied, 6, "by policy, or by a person", "agentctl show RUN"},
	{StatusStalled, 7, "no progress", "agentctl show RUN"},
	{StatusSandbox, 8, "the required sandbox level is unavailable", "agentctl doctor"},
	{StatusProvider, 9, "no model answers", "agentctl doctor"},
	{StatusInDoubt, 10, "an effect is in doubt", "agentctl answer RUN"},
	{StatusUnverified, 11, "finished, nothing measured it", "agentctl diff RUN"},
	{StatusTime, 124, "the time limit (budget.wall)", "agentctl show RUN"},
	{StatusCancelled, 130, "cancelled or interrupted", "agentctl undo RUN"},
}

// Outcomes returns the table, by exit code.
func Outcomes() []Outcome { return append([]Outcome(nil), outcomes...) }

func (s Status) outcome() (Outcome, bool) {
	for _, o := range outcomes {
		if o.Status == s && s != "" {
			return o, true
		}
	}
	return Outcome{}, false
}

// Ended reports whether a run with this status is over.
func (s Status) Ended() bool {
	switch s {
	case StatusQueued, StatusRunning, StatusWaiting, StatusPaused, StatusParked, StatusInDoubt:
		return false
	}
	return true
}

// Exit is the exit code that stands for the status. A live status other than parked and in_doubt has none: 0.
func (s Status) Exit() int {
	o, _ := s.outcome()
	return o.Exit
}

// Next is the command to type next about a run with this status, "" for one that goes on.
func (s Status) Next(run RunID) string {
	o, _ := s.outcome()
	return strings.ReplaceAll(o.Next, "RUN", string(run))
}

// OutcomeTable is the table as Markdown.
func OutcomeTable() string {
	var b strings.Builder
	b.WriteString("| code | result.status | | next |\n|---|---|---|---|\n")
	for _, o := range outcomes {
		fmt.Fprintf(&b, "| %d | %s | %s | `%s` |\n", o.Exit, o.Status, o.Means, o.Next)
	}
	return b.String()
}
