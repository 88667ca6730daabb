package llm

import (
	"context"
	"iter"
	"time"
)

// Measure is what a meter sees of one call.
type Measure struct {
	Model string        // that answered, or was asked
	First time.Duration // until the first delta; 0 where there was none
	Total time.Duration
	Usage Usage
	USD   float64 // 0 where the price is unknown
	Err   *Error  // nil for a reply
	Left  bool    // the consumer broke off
}

// WithMeter tells hook of each call of m when it is over. Hook runs in the caller's goroutine and must not block. Now is the
// clock; nil is the real one.
func WithMeter(m Model, now func() time.Time, hook func(Measure)) Model {
	if now == nil {
		now = time.Now
	}
	return &metered{m, now, hook}
}

type metered struct {
	Model
	now  func() time.Time
	hook func(Measure)
}

func (m *metered) Stream(ctx context.Context, r *Request) iter.Seq2[Delta, error] {
	return func(yield func(Delta, error) bool) {
		info := m.Model.Info()
		start := m.now()
		seen := Measure{Model: info.Name}
		done := false
		failed, _ := relay(m.Model.Stream(ctx, r), yield, func(d Delta) {
			if seen.First == 0 {
				seen.First = m.now().Sub(start)
			}
			if d.Kind == DeltaDone && d.Reply != nil {
				done = true
				seen.Usage = d.Reply.Usage
				seen.USD, _ = Cost(info, d.Reply.Usage)
				if d.Reply.Model != "" {
					seen.Model = d.Reply.Model
				}
			}
		})
		seen.Total, seen.Err = m.now().Sub(start), failed
		seen.Left = failed == nil && !done
		m.hook(seen)
		if failed != nil {
			yield(Delta{}, failed)
		}
	}
}
