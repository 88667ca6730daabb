package main

import (
	"context"
	"errors"
	"time"

	"agentd/journal"
	"agentd/memory"
)

// retainEvery is how often what is too old is looked for.
const retainEvery = time.Hour

// purger forgets an ended run.
type purger interface {
	Purge(ctx context.Context, run journal.RunID) error
}

// retain removes what is older than the configuration allows, now and every hour, until ctx ends.
func (d *daemon) retain(ctx context.Context, store journal.Store, p purger) {
	if d.cfg.Retention == (retentionConfig{}) {
		return
	}
	tick := time.NewTicker(retainEvery)
	defer tick.Stop()
	for {
		runs, err := oldRuns(ctx, store, p, d.cfg.Retention.Runs, time.Now())
		items := 0
		if err == nil {
			items, err = d.memories.drop(ctx, d.cfg.Retention.Memory, time.Now())
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			d.log.Warn("what is too old was not removed", "err", err)
		case runs+items > 0:
			d.log.Info("removed what is too old", "runs", runs, "memories", items)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// oldRuns purges the runs that ended longer than age ago and returns how many; 0 is no limit. A run that another holds is left for
// the next time.
func oldRuns(ctx context.Context, store journal.Store, p purger, age time.Duration, now time.Time) (n int, err error) {
	if age == 0 {
		return 0, nil
	}
	var after journal.RunID
	for {
		page, err := store.List(ctx, journal.Filter{Oldest: true, After: after, Limit: 100})
		if err != nil {
			return n, err
		}
		for _, s := range page {
			after = s.Run
			if now.Sub(s.Started) < age {
				return n, nil // the rest started later
			}
			if !s.Status.Ended() || now.Sub(s.Updated) < age {
				continue
			}
			if err := p.Purge(ctx, s.Run); err == nil {
				n++
			} else if ctx.Err() != nil {
				return n, err
			}
		}
		if len(page) < 100 {
			return n, nil
		}
	}
}

// drop forgets what runs wanted remembered longer than age ago, and takes its bytes out of the file; 0 is no limit.
func (m *memories) drop(ctx context.Context, age time.Duration, now time.Time) (n int, err error) {
	if age == 0 {
		return 0, nil
	}
	err = m.use(false, func(s *memory.Store) error {
		n, err = s.Expire(ctx, func(it *memory.Item) bool {
			return it.Trust == memory.Person || it.Source.Run == "" || now.Sub(it.Created) < age
		})
		if err != nil || n == 0 {
			return err
		}
		return s.Compact(ctx)
	})
	if errors.Is(err, errNothing) {
		return 0, nil
	}
	return n, err
}
