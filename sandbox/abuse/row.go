// Package abuse tries to break out of a box in every way its table lists, and says of each what happened.
//
// The payload is the running program itself, executed again inside the box: a program that offers the suite calls
// Main first. Every case works against canaries in a folder of its own; none writes a real sysctl, ends a real
// process or fills a real disk.
package abuse

import "time"

// Outcome says how a case ended.
type Outcome string

// The outcomes.
const (
	Passed        Outcome = "passed"
	Failed        Outcome = "failed"
	NotApplicable Outcome = "not applicable"
)

// Row is the result of one case.
type Row struct {
	ID      string        `json:"id"`
	Group   string        `json:"group"`
	Title   string        `json:"title"`
	Outcome Outcome       `json:"outcome"`
	Detail  string        `json:"detail,omitempty"` // why it failed or isn't applicable
	Took    time.Duration `json:"took"`
}
