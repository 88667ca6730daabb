package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"agentd/goals"
	"agentd/journal"
)

// Errors of the service beside those of the journal. errors.Is finds them, and the journal's, on both sides of the socket.
var (
	// ErrInvalid is returned for a request that can't be right: a bad value, an unknown field, an unknown route.
	ErrInvalid = errors.New("invalid request")
	// ErrGoal is returned when the goal or its file is refused; it is goals.ErrInvalid.
	ErrGoal = goals.ErrInvalid
	// ErrModel is returned when no model of that name is known.
	ErrModel = errors.New("unknown model")
	// ErrWorkspace is returned when the folder can't be a workspace.
	ErrWorkspace = errors.New("unusable workspace")
	// ErrTooLarge is returned when a body or a field is over its limit.
	ErrTooLarge = errors.New("too large")
	// ErrLive is returned when a run must have ended first.
	ErrLive = errors.New("the run has not ended")
	// ErrEnded is returned when a run has ended and can't be changed.
	ErrEnded = errors.New("the run has ended")
	// ErrNotOpen is returned for an answer to an ask that was answered already.
	ErrNotOpen = errors.New("the ask is not open")
	// ErrDenied is returned when policy refuses.
	ErrDenied = errors.New("denied by policy")
	// ErrSandbox is returned when the required sandbox level is unavailable.
	ErrSandbox = errors.New("sandbox level unavailable")
	// ErrProvider is returned when a model's provider can't be used.
	ErrProvider = errors.New("provider unavailable")
	// ErrUnauthorized is returned when a TCP client has no or a wrong token.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrForbidden is returned when the peer is another user.
	ErrForbidden = errors.New("forbidden")
	// ErrVersion is returned by the client when the daemon speaks another version of this interface.
	ErrVersion = errors.New("another version")
	// ErrNotRunning is returned by the client when no daemon answers.
	ErrNotRunning = errors.New("no daemon answers")
	// ErrRunning is returned by Listen when a daemon answers at the socket already.
	ErrRunning = errors.New("a daemon is running already")
	// ErrInternal is returned for a fault of the daemon; its log has the details.
	ErrInternal = errors.New("internal error")
)

// kinds is the one mapping of errors to codes and back. The first sentinel that errors.Is finds decides, so the more
// specific ones come first.
var kinds = []struct {
	code   string
	status int
	err    error
	exit   int // of a command that ends with it
}{
	{"invalid_goal", http.StatusBadRequest, ErrGoal, 2},
	{"no_goal_file", http.StatusNotFound, goals.ErrNotFound, 2},
	{"unknown_model", http.StatusBadRequest, ErrModel, 2},
	{"workspace", http.StatusBadRequest, ErrWorkspace, 2},
	{"too_large", http.StatusRequestEntityTooLarge, ErrTooLarge, 2},
	{"not_open", http.StatusConflict, ErrNotOpen, 2},
	{"live", http.StatusConflict, ErrLive, 2},
	{"ended", http.StatusConflict, ErrEnded, 2},
	{"denied", http.StatusForbidden, ErrDenied, 6},
	{"no_sandbox", http.StatusServiceUnavailable, ErrSandbox, 8},
	{"no_provider", http.StatusBadGateway, ErrProvider, 9},
	{"unauthorized", http.StatusUnauthorized, ErrUnauthorized, 1},
	{"forbidden", http.StatusForbidden, ErrForbidden, 1},
	{"version", http.StatusUpgradeRequired, ErrVersion, 1},
	{"not_running", http.StatusServiceUnavailable, ErrNotRunning, 1},
	{"running", http.StatusConflict, ErrRunning, 1},
	{"not_found", http.StatusNotFound, journal.ErrNotFound, 2},
	{"conflict", http.StatusConflict, journal.ErrConflict, 1},
	{"fenced", http.StatusConflict, journal.ErrFenced, 1},
	{"corrupt", http.StatusInternalServerError, journal.ErrCorrupt, 1},
	{"full", http.StatusInsufficientStorage, journal.ErrFull, 1},
	{"read_only", http.StatusInsufficientStorage, journal.ErrReadOnly, 1},
	{"closed", http.StatusServiceUnavailable, journal.ErrClosed, 1},
	{"timeout", http.StatusGatewayTimeout, context.DeadlineExceeded, 1},
	{"cancelled", 499, context.Canceled, 130},
	{"invalid", http.StatusBadRequest, ErrInvalid, 2},
	{"internal", http.StatusInternalServerError, ErrInternal, 1},
}

// Error is an error as it crosses the socket. errors.Is matches it with the sentinel of its code.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // what to do next
}

// Error is the message alone; a program that talks to a person adds the hint.
func (e *Error) Error() string { return e.Message }

// Is matches the sentinel that the code stands for.
func (e *Error) Is(target error) bool {
	for _, k := range kinds {
		if k.code == e.Code {
			return k.err == target
		}
	}
	return false
}

// Errorf makes an error of the sentinel kind's code with a message for people and a hint that says what to do next.
func Errorf(kind error, hint, format string, args ...any) *Error {
	e := &Error{Code: "internal", Message: fmt.Sprintf(format, args...), Hint: hint}
	for _, k := range kinds {
		if k.err == kind {
			e.Code = k.code
		}
	}
	return e
}

// ErrorOf maps any error to the form that crosses the socket. An *Error stays as it is; a known sentinel, or an error with
// Code() string, gets its code and keeps its message; what is unknown becomes internal and tells no details.
func ErrorOf(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	out := &Error{Code: "internal", Message: "internal error of the daemon", Hint: "see agentctl daemon log"}
	if c, ok := errors.AsType[interface {
		error
		Code() string
	}](err); ok {
		for _, k := range kinds {
			if k.code == c.Code() {
				out = &Error{Code: k.code, Message: err.Error()}
			}
		}
	}
	if out.Code == "internal" {
		for _, k := range kinds {
			if errors.Is(err, k.err) {
				out = &Error{Code: k.code, Message: err.Error()}
				break
			}
		}
	}
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok && h.Hint() != "" {
		out.Hint = h.Hint()
	}
	return out
}

// status is the HTTP status that goes with the error's code.
func (e *Error) status() int {
	for _, k := range kinds {
		if k.code == e.Code {
			return k.status
		}
	}
	return http.StatusInternalServerError
}

// ExitCode is the exit code of a command that ends with err: 2 for what the caller asked wrongly, 1 for what failed, and
// the outcome's own code where the error stands for one.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	code := ErrorOf(err).Code
	for _, k := range kinds {
		if k.code == code {
			return k.exit
		}
	}
	return 1
}
