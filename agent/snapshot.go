package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"agentd/goals"
	"agentd/journal"
	"agentd/sandbox"
	"agentd/tools"
	"agentd/workspace"
)

// snapshot takes the workspace's snapshot, unless an earlier driver did; it works beside the planner.
func (d *driver) snapshot(ctx context.Context) {
	defer close(d.snap)
	d.snapErr = func() error {
		var have bool
		if err := d.led.view(ctx, func(s *journal.State) { have = s.Snapshot != nil }); err != nil || have {
			return err
		}
		s, err := workspace.Take(ctx, d.ws, d.cfg.Snaps, d.cfg.Snapshot)
		if err != nil {
			return err
		}
		return d.led.do(ctx, func(t *tx) error {
			t.add(journal.SnapshotMade{ID: s.ID, Files: s.Files, Bytes: s.Bytes, Mode: s.Mode})
			return nil
		})
	}()
}

// snapshotted returns when the snapshot is on disk: nothing writes before.
func (d *driver) snapshotted(ctx context.Context) error {
	select {
	case <-d.snap:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	var limit *workspace.LimitError
	if errors.As(d.snapErr, &limit) {
		return end(journal.StatusInternalErr, "no snapshot, so nothing may write: %v", d.snapErr)
	}
	return d.snapErr
}

// changes seals the snapshot and returns what the run changed.
func (d *driver) changes(ctx context.Context) []workspace.Change {
	diff, err := d.compare(ctx)
	if err != nil {
		d.log.Warn("changes not listed", "run", d.run, "err", err)
	}
	return diff
}

// compare lists what changed in the workspace since the run's snapshot.
func (d *driver) compare(ctx context.Context) ([]workspace.Change, error) {
	var id string
	if err := d.led.view(ctx, func(s *journal.State) {
		if s.Snapshot != nil {
			id = s.Snapshot.ID
		}
	}); err != nil {
		return nil, err
	}
	if id == "" {
		return nil, nil // nothing could be written
	}
	d.discardBoxes()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	s, err := workspace.Load(d.cfg.Snaps, id)
	if err != nil {
		return nil, err
	}
	if err := s.Seal(ctx, d.ws); err != nil {
		return nil, err
	}
	return s.Diff(ctx, d.ws)
}

// named lists changed paths, and which of them look like tests, up to a bound each.
func named(diff []workspace.Change) (changed, tests []string) {
	const most = 500
	for _, p := range workspace.Paths(diff) {
		if len(changed) < most {
			changed = append(changed, p)
		}
		if workspace.LooksLikeTest(p) && len(tests) < most {
			tests = append(tests, p)
		}
	}
	return changed, tests
}

// steering files of a workspace take effect on later runs, so no run writes them.
var steering = []string{"goals/**", "AGENTS.md"}

// boxPolicy is what every box of the run may do.
func (d *driver) boxPolicy() sandbox.Policy {
	protect := slices.Clone(d.start.Goal.Protect)
	for _, s := range steering {
		// A file that is not there is not protected by a placeholder, which would show in every listing; the file tools refuse it all the same.
		if _, err := d.root.Lstat(strings.TrimSuffix(s, "/**")); err == nil {
			protect = append(protect, s)
		}
	}
	return sandbox.Policy{Workspace: d.ws, Protect: protect, Net: d.reach(), Require: atLeast(d.cfg.Require, d.start.Goal)}
}

// atLeast is the isolation that a goal's boxes need: the daemon's least, or the goal's where that is more. A run doesn't start where there is less, and a
// box that is asked for after a restart on another machine is refused.
func atLeast(least sandbox.Level, g goals.Goal) sandbox.Level {
	level, err := sandbox.ParseLevel(g.Sandbox.Min)
	if err != nil {
		return sandbox.LevelGVisor // it was checked when the goal was read: never less than was asked for
	}
	return max(least, level)
}

// taskPolicy is what a box of a task may do: what the run may, within the goal's scope and what the task itself declares.
func (d *driver) taskPolicy(task []string) (sandbox.Policy, error) {
	p := d.boxPolicy()
	for _, globs := range [][]string{d.start.Goal.Writable, task} {
		o, err := lookOutside(d.root, globs, "scope.write")
		if err != nil {
			return p, err
		}
		for _, s := range o.list() {
			p.Protect = append(p.Protect, literal(s))
		}
	}
	var err error
	p.Hide, err = d.unseenPaths()
	return p, err
}

// protected reports whether file tools must not write a workspace path.
func (d *driver) protected(path string) bool {
	path = tools.Fold(path)
	for _, list := range [][]string{d.start.Goal.Protect, steering} {
		for _, glob := range list {
			glob = tools.Fold(glob)
			if ok, err := doublestar.Match(glob, path); ok || err != nil {
				return true
			}
			if ok, err := doublestar.Match(glob+"/**", path); ok || err != nil {
				return true // a folder's name protects what is in it
			}
		}
	}
	return false
}
