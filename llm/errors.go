package llm

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Kind classifies what went wrong with a call, by what the caller can do about it.
type Kind string

// The kinds of failure.
const (
	KindAuth       Kind = "auth"           // a key is missing, wrong or not allowed
	KindRate       Kind = "rate_limit"     // asked too often; see RetryAfter
	KindOverload   Kind = "overloaded"     // the provider can't answer now (5xx, 529)
	KindContext    Kind = "context_length" // the prompt is too long
	KindFilter     Kind = "content_filter" // the provider refused the content
	KindInvalid    Kind = "invalid"        // the request itself is wrong (4xx)
	KindTruncated  Kind = "truncated"      // the reply broke off
	KindTimeout    Kind = "timeout"        // no answer in time
	KindConnect    Kind = "connect"        // the endpoint can't be reached
	KindBudget     Kind = "budget"         // the call's worst case doesn't fit what is left; nothing was sent
	KindUnpriced   Kind = "unpriced"       // a money limit is set and the model's price is unknown; nothing was sent
	KindCanceled   Kind = "canceled"       // the caller gave up
	KindUnexpected Kind = "unexpected"     // the provider broke its protocol
)

// Error is the failure of a model call.
type Error struct {
	Kind       Kind
	Model      string        // provider/model, if known
	Status     int           // HTTP status, 0 if none
	RetryAfter time.Duration // what the provider asked for, 0 if nothing
	Message    string        // safe to show: no key, no header
	Hint       string        // what a person can do, often empty
	Err        error         // cause, may be nil
}

// Error says the model, the kind, the status and the provider's words.
func (e *Error) Error() string {
	s := string(e.Kind)
	if e.Model != "" {
		s = e.Model + ": " + s
	}
	if e.Status != 0 {
		s = fmt.Sprintf("%s (status %d)", s, e.Status)
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is makes a timeout match context.DeadlineExceeded and a cancelled call context.Canceled.
func (e *Error) Is(target error) bool {
	return e.Kind == KindTimeout && target == context.DeadlineExceeded ||
		e.Kind == KindCanceled && target == context.Canceled
}

// Retryable reports whether the same call may succeed when it is made again, of the same model.
func (e *Error) Retryable() bool {
	switch e.Kind {
	case KindRate, KindOverload, KindTruncated, KindTimeout, KindConnect, KindUnexpected:
		return true
	}
	return false
}

// Failover reports whether another model of a chain should be tried.
func (e *Error) Failover() bool {
	switch e.Kind {
	case KindAuth, KindRate, KindOverload, KindTimeout, KindConnect:
		return true
	}
	return false
}

// AsError returns err's *Error, or one of kind unexpected around it; nil stays nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.Canceled):
		return &Error{Kind: KindCanceled, Message: "cancelled", Err: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Kind: KindTimeout, Message: "no answer in time", Err: err}
	}
	return &Error{Kind: KindUnexpected, Message: err.Error(), Err: err}
}
