package llm

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"
)

// Retry says how a failed call is made again. The zero value is the default of each field.
type Retry struct {
	Tries    int           // calls in all; 0 is 4
	Base     time.Duration // before the second call; 0 is 500 ms. It doubles from call to call
	Cap      time.Duration // the longest wait of our own choice; 0 is 20 s
	Patience time.Duration // the longest wait that a provider may ask for; 0 is 2 minutes. A longer one ends the tries

	Sleep  func(ctx context.Context, d time.Duration) error // nil: real time
	Jitter func() float64                                   // in [0,1); nil: random
}

// scale says, for each kind that is worth another try, how much longer than Base to wait: an overloaded provider needs
// more time than a broken connection.
var scale = map[Kind]time.Duration{
	KindRate: 4, KindOverload: 4, KindTimeout: 1, KindConnect: 1, KindTruncated: 1, KindUnexpected: 1,
}

// WithRetry makes calls of m that fail for a passing reason again. A reply is acted on only when it is complete, so a call may be made
// again after deltas were seen; a DeltaNote then says so, and what was displayed of the broken reply is void.
func WithRetry(m Model, r Retry) Model {
	r.Tries = cmp.Or(r.Tries, 4)
	r.Base, r.Cap, r.Patience = cmp.Or(r.Base, 500*time.Millisecond), cmp.Or(r.Cap, 20*time.Second), cmp.Or(r.Patience, 2*time.Minute)
	if r.Sleep == nil {
		r.Sleep = sleep
	}
	if r.Jitter == nil {
		r.Jitter = rand.Float64
	}
	return &retrying{m, r}
}

type retrying struct {
	Model
	r Retry
}

func (t *retrying) Stream(ctx context.Context, req *Request) iter.Seq2[Delta, error] {
	return func(yield func(Delta, error) bool) {
		for try := 1; ; try++ {
			failed, over := relay(t.Model.Stream(ctx, req), yield, nil)
			if over {
				return
			}
			wait, again := t.wait(failed, try)
			if !again || ctx.Err() != nil {
				yield(Delta{}, failed)
				return
			}
			note := fmt.Sprintf("%s: asking again in %s (try %d of %d)", failed, wait.Round(10*time.Millisecond), try+1, t.r.Tries)
			if !yield(Delta{Kind: DeltaNote, Text: note}, nil) {
				return
			}
			if err := t.r.Sleep(ctx, wait); err != nil {
				yield(Delta{}, AsError(err))
				return
			}
		}
	}
}

// wait returns how long to wait after the try-th call failed, and whether to try again at all. What the provider asks for is
// a floor, never shortened.
func (t *retrying) wait(e *Error, try int) (time.Duration, bool) {
	factor, listed := scale[e.Kind]
	if !listed || !e.Retryable() || try >= t.r.Tries || e.RetryAfter > t.r.Patience {
		return 0, false
	}
	d := t.r.Cap
	if shift := try - 1; shift < 20 {
		d = min(d, t.r.Base*factor<<shift)
	}
	d = d/2 + time.Duration(float64(d/2)*t.r.Jitter())
	return max(d, e.RetryAfter), true
}

// relay hands a stream's deltas on until it fails. Over is true when there is nothing more to do: the reply is complete, or the
// consumer has stopped. See, if not nil, is shown each delta first.
func relay(stream iter.Seq2[Delta, error], yield func(Delta, error) bool, see func(Delta)) (failed *Error, over bool) {
	for d, err := range stream {
		if err != nil {
			return AsError(err), false
		}
		if see != nil {
			see(d)
		}
		if !yield(d, nil) || d.Kind == DeltaDone {
			return nil, true
		}
	}
	return &Error{Kind: KindTruncated, Message: "the stream ended without a reply"}, false
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
