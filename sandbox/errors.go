package sandbox

import (
	"errors"
	"fmt"
)

// ErrUnavailable is matched when this machine can't give the level that a policy requires. Nothing was started.
var ErrUnavailable = errors.New("sandbox level unavailable")

// ErrNoProgram is matched when Argv[0] isn't a program in the box.
var ErrNoProgram = errors.New("no such program in the box")

// ErrClosed is returned when a Box is used after Close.
var ErrClosed = errors.New("sandbox is closed")

// PolicyError says which field of a Policy or Command is wrong. Nothing was started.
type PolicyError struct {
	Field  string // as in JSON: workspace, protect, limits.memory, …
	Reason string
}

func (e *PolicyError) Error() string { return fmt.Sprintf("sandbox policy: %s: %s", e.Field, e.Reason) }

func badField(field, format string, args ...any) error {
	return &PolicyError{Field: field, Reason: fmt.Sprintf(format, args...)}
}

// UnavailableError says which level was required, which one can be had, and what would help.
type UnavailableError struct {
	Want, Have Level
	Fix        string
}

func (e *UnavailableError) Error() string {
	s := fmt.Sprintf("sandbox level %s is required, this machine gives %s", e.Want, e.Have)
	if e.Have == 0 {
		s = fmt.Sprintf("sandbox level %s is required, this machine gives none", e.Want)
	}
	if e.Want == LevelNone { // a system for which there is no box at all
		s = "no command can be run on this system, not even without a sandbox"
	}
	if e.Fix != "" {
		s += ": " + e.Fix
	}
	return s
}

// Is makes the error match ErrUnavailable.
func (e *UnavailableError) Is(target error) bool { return target == ErrUnavailable }
