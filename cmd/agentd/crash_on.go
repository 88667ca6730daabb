//go:build crashpoint

package main

import (
	"context"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

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

// scheduleClock is the clock of the schedule: the time that the file AGENTD_CLOCK holds, looked at often.
func scheduleClock() (now func() time.Time, poll time.Duration) {
	path := os.Getenv("AGENTD_CLOCK")
	if path == "" {
		return time.Now, 0
	}
	return func() time.Time {
		data, err := os.ReadFile(path)
		if err != nil {
			panic(err)
		}
		t, err := time.Parse(time.RFC3339, strings.TrimSpace(string(data)))
		if err != nil {
			panic(err)
		}
		return t
	}, 20 * time.Millisecond
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
