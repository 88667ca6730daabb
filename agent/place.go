package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"agentd/journal"
	"agentd/workspace"
)

// Where a run works.
const (
	ModeDirect   = "direct"   // in the workspace itself
	ModeCopy     = "copy"     // in a copy, which is applied to the workspace by command or on acceptance
	ModeWorktree = "worktree" // in a checkout of its own, which becomes a branch of the repository in the same way
)

// Modes are the words of RunStarted.Mode; "" is direct.
var Modes = []string{ModeDirect, ModeCopy, ModeWorktree}

// ErrNotApplicable is returned for a run that has nothing apart from its workspace.
var ErrNotApplicable = errors.New("there is nothing to apply")

// copyOf is where a run that does not work in the workspace itself has its files.
func (c *Config) copyOf(run journal.RunID) string { return filepath.Join(c.Copies, string(run)) }

// branchOf is the branch of a run in the mode worktree.
func branchOf(run journal.RunID) string { return "agentd/" + string(run) }

// place returns the folder that a run works in, and makes it where it is not there yet.
func (d *driver) place(ctx context.Context) (string, error) {
	if d.start.Mode == "" || d.start.Mode == ModeDirect {
		return d.start.Workspace, nil
	}
	dir := d.cfg.copyOf(d.run)
	if _, err := os.Lstat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(d.cfg.Copies, 0o700); err != nil {
		return "", err
	}
	if d.start.Mode == ModeWorktree {
		return dir, workspace.Checkout(ctx, d.cfg.Box, d.start.Workspace, dir, branchOf(d.run), atLeast(d.cfg.Require, d.start.Goal))
	}
	part := dir + ".part"
	if err := workspace.Discard(part); err != nil { // of a daemon that was killed
		return "", err
	}
	if err := workspace.Clone(ctx, d.start.Workspace, part, d.cfg.Snapshot); err != nil {
		return "", err
	}
	return dir, os.Rename(part, dir)
}

// Apply brings what an ended run did in its copy to its workspace: in the mode copy file by file, where a file that changed there
// meanwhile is kept and named; in the mode worktree as a branch.
func (e *Engine) Apply(ctx context.Context, run journal.RunID, by string) (journal.Applied, error) {
	if e.Live(run) {
		return journal.Applied{}, fmt.Errorf("apply: %w", ErrLive)
	}
	s := new(journal.State)
	if err := journal.CatchUp(ctx, e.cfg.Store, run, s); err != nil {
		return journal.Applied{}, err
	}
	if other := e.busy(s.Start.Workspace); other != "" {
		return journal.Applied{}, fmt.Errorf("apply: run %s works in that folder now: %w", other, ErrLive)
	}
	a, err := e.cfg.apply(ctx, s, by)
	if err != nil {
		return a, err
	}
	_, err = journal.Update(ctx, e.cfg.Store, run, func(*journal.State) ([]journal.Event, error) { return []journal.Event{a}, nil })
	return a, err
}

// apply does the work of Apply. Doing it again finds nothing to do.
func (c *Config) apply(ctx context.Context, s *journal.State, by string) (journal.Applied, error) {
	a := journal.Applied{By: by}
	dir := c.copyOf(s.Run)
	if m := s.Start.Mode; m == ModeCopy || m == ModeWorktree {
		if _, err := os.Lstat(dir); err != nil {
			return a, fmt.Errorf("%w: its copy could not be made, or is gone", ErrNotApplicable)
		}
	}
	switch s.Start.Mode {
	case ModeCopy:
	case ModeWorktree:
		a.Branch = branchOf(s.Run)
		some, err := workspace.Publish(ctx, c.Box, dir, s.Start.Workspace, a.Branch, clip(s.Start.Goal.Words(), 2000), atLeast(c.Require, s.Start.Goal))
		if !some {
			a.Branch = ""
		}
		return a, err
	default:
		return a, fmt.Errorf("%w: the run worked in the workspace itself", ErrNotApplicable)
	}
	if s.Snapshot == nil {
		return a, nil // it wrote nothing
	}
	before, err := workspace.Load(c.Snaps, s.Snapshot.ID)
	if err != nil {
		return a, err
	}
	after, err := workspace.Take(ctx, dir, c.Snaps, c.Snapshot)
	if err != nil {
		return a, err
	}
	rep, err := after.Restore(ctx, s.Start.Workspace, before)
	a.Snapshot, a.Changed = after.ID, append(rep.Restored, rep.Removed...)
	slices.Sort(a.Changed)
	for _, k := range rep.Kept {
		a.Kept = append(a.Kept, k.Path+": "+k.Reason)
	}
	return a, err
}

// applied brings an accepted run's work to its workspace, where it was started so. The event belongs into the commit of the run's end.
func (d *driver) applied(ctx context.Context) ([]journal.Event, error) {
	if !d.start.Apply || d.start.Mode == "" || d.start.Mode == ModeDirect {
		return nil, nil
	}
	if other := d.others(d.start.Workspace); other != "" {
		return []journal.Event{journal.Noted{Topic: "apply", Text: fmt.Sprintf("not applied: run %s works in %s now; apply it with: agentctl apply %s", other, d.start.Workspace, d.run)}}, nil
	}
	var a journal.Applied
	s := new(journal.State)
	err := journal.CatchUp(ctx, d.cfg.Store, d.run, s)
	if err == nil {
		a, err = d.cfg.apply(ctx, s, "agentd")
	}
	if err != nil {
		return []journal.Event{journal.Noted{Topic: "apply", Text: clip(fmt.Sprintf("not applied: %v; apply it with: agentctl apply %s", err, d.run), 1000)}}, ctxErr(ctx)
	}
	return []journal.Event{a}, nil
}
