package llm

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"sync"
	"time"
)

// Rate bounds how often a model is asked: a bucket of Burst calls that fills at PerMinute.
type Rate struct {
	PerMinute float64 // calls; 0 is no bound
	Burst     int     // calls at once after a pause; 0 is 1

	Now   func() time.Time                                 // nil: the clock
	Sleep func(ctx context.Context, d time.Duration) error // nil: real time
}

// WithRate makes calls of m wait for their turn. Callers share the bucket, and are served in the order in which they came.
func WithRate(m Model, r Rate) Model {
	if r.PerMinute <= 0 {
		return m
	}
	r.Burst = cmp.Or(max(0, r.Burst), 1)
	if r.Now == nil {
		r.Now = time.Now
	}
	if r.Sleep == nil {
		r.Sleep = sleep
	}
	return &limited{Model: m, r: r}
}

type limited struct {
	Model
	r Rate

	mu   sync.Mutex
	next time.Time // guarded by mu: the next turn that nobody has taken
}

func (l *limited) Stream(ctx context.Context, r *Request) iter.Seq2[Delta, error] {
	return func(yield func(Delta, error) bool) {
		if wait := l.take(); wait > 0 {
			if wait >= time.Second && !yield(Delta{Kind: DeltaNote, Text: fmt.Sprintf("waiting %s for the rate limit", wait.Round(100*time.Millisecond))}, nil) {
				return
			}
			if err := l.r.Sleep(ctx, wait); err != nil {
				yield(Delta{}, AsError(err))
				return
			}
		}
		l.Model.Stream(ctx, r)(yield)
	}
}

// take reserves the next turn and returns how long it is until then.
func (l *limited) take() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.r.Now()
	gap := time.Duration(float64(time.Minute) / l.r.PerMinute)
	if full := now.Add(-gap * time.Duration(l.r.Burst-1)); l.next.Before(full) {
		l.next = full
	}
	wait := l.next.Sub(now)
	l.next = l.next.Add(gap)
	return max(0, wait)
}
