//go:build crashpoint

package main

import (
	"context"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"agentd/journal"
)

// wrapStore makes the daemon kill itself at the n-th commit: AGENTD_CRASH_AT is n:before or n:after. The crash suite alone
// builds with this tag.
func wrapStore(s journal.Store) journal.Store {
	n, when, ok := strings.Cut(os.Getenv("AGENTD_CRASH_AT"), ":")
	at, err := strconv.ParseInt(n, 10, 64)
	if !ok || err != nil {
		return s
	}
	return &crashing{Store: s, at: at, before: when == "before"}
}

type crashing struct {
	journal.Store
	at     int64
	before bool
	n      atomic.Int64
}

func (c *crashing) point(before bool) {
	if before == c.before && c.n.Load() == c.at {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

func (c *crashing) Create(ctx context.Context, run journal.RunID, key string, first journal.RunStarted) (journal.RunID, bool, error) {
	c.n.Add(1)
	c.point(true)
	id, fresh, err := c.Store.Create(ctx, run, key, first)
	c.point(false)
	return id, fresh, err
}

func (c *crashing) Append(ctx context.Context, run journal.RunID, after journal.Seq, events ...journal.Event) (journal.Seq, error) {
	c.n.Add(1)
	c.point(true)
	seq, err := c.Store.Append(ctx, run, after, events...)
	c.point(false)
	return seq, err
}
