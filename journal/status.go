package journal

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
	switch s {
	case StatusInternalErr:
		return 1
	case StatusUnmet:
		return 3
	case StatusBudget:
		return 4
	case StatusParked:
		return 5
	case StatusDenied:
		return 6
	case StatusStalled:
		return 7
	case StatusSandbox:
		return 8
	case StatusProvider:
		return 9
	case StatusInDoubt:
		return 10
	case StatusUnverified:
		return 11
	case StatusTime:
		return 124
	case StatusCancelled:
		return 130
	}
	return 0
}
