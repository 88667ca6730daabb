package sandbox

import (
	"context"
	"time"
)

// pollEvery is how often a running box is looked at.
const pollEvery = 200 * time.Millisecond

// supervise watches what the kernel doesn't limit for a whole box.
func (p *Proc) supervise(ctx context.Context) {
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

func (p *Proc) serveNet(ctx context.Context) {}
