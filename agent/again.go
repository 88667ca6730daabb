package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"agentd/journal"
	"agentd/llm"
	"agentd/planner"
	"agentd/workspace"
)

// A small model seldom mends its own wrong start: it repeats it. What it does well is to try something else when it starts afresh, and
// since the daemon measures the result, one good start of several is enough. So a run of one task on a small local model goes on, after an
// attempt that ended wrong, in the workspace as it was at first, with an empty transcript and a warmer temperature.

const (
	maxAgain      = 14   // attempts of one run
	maxAgainFiles = 3000 // in the workspace: each call is followed by a look at all of them
)

// fresh keeps what is needed to put the workspace back between attempts without touching what a person changed meanwhile.
type fresh struct {
	snap   *workspace.Snapshot // nil: not followed
	loaded bool
	edited bool // somebody else changed the workspace: it is never put back
}

// follow reports whether the workspace is looked at around every call, so that it can be put back.
func (d *driver) follow(ctx context.Context) bool {
	if d.fresh.loaded {
		return d.fresh.snap != nil && !d.fresh.edited
	}
	if !small(d.models[d.current()].Info()) || d.snapshotted(ctx) != nil {
		return false
	}
	var id string
	var files int
	if err := d.led.view(ctx, func(s *journal.State) {
		if s.Snapshot != nil && len(s.Plan.Tasks) == 1 {
			id, files = s.Snapshot.ID, s.Snapshot.Files
		}
	}); err != nil || id == "" {
		return false
	}
	d.fresh.loaded = true
	if files > maxAgainFiles {
		return false
	}
	snap, err := workspace.Load(d.cfg.Snaps, id)
	if err != nil {
		d.log.Warn("the workspace can't be put back between attempts", "run", d.run, "err", err)
		return false
	}
	d.fresh.snap = snap
	return true
}

// small reports whether a model is one that starts afresh rather than mend.
func small(info llm.Info) bool { return info.Local && info.Style == llm.StyleFenced }

// gone are words of goals that name files which are not there in the end.
var gone = regexp.MustCompile(`(?i)\b(delet|remov|renam|mov|without|instead)`)

// unfinished tells a small model, once in an attempt, what is missing when it says that it is done: a file that the goal names, or what
// a check said after its last call.
func (d *driver) unfinished(ctx context.Context, id string, m move) string {
	if m.finish.Failed || !small(d.models[d.current()].Info()) {
		return ""
	}
	var goal string
	var told bool
	if err := d.led.view(ctx, func(s *journal.State) {
		goal = s.Start.Goal.Words()
		for _, turn := range s.Tasks[id].Turns {
			for _, c := range turn.Calls {
				told = told || c.Finished != nil && c.Finished.Rule == ruleMissing
			}
		}
	}); err != nil || told {
		return ""
	}
	for _, p := range planner.NamedFiles(goal) {
		if gone.MatchString(goal) {
			break
		} else if _, err := d.root.Lstat(p); errors.Is(err, fs.ErrNotExist) {
			return fmt.Sprintf("Not done yet: the goal names %s, and there is no such file. Write it now.", p)
		}
	}
	if d.unmet != nil && !d.unmet.OK {
		for _, c := range d.unmet.Checks {
			if said := verdict(c.Output); !c.OK && said != "" {
				return "Not done yet: a check of the result says: " + said + "\nMend that, and leave what is right already."
			}
		}
	}
	return ""
}

// verdict is the line of a failed check's output that says most: the error of a program, else the first line.
func verdict(output string) string {
	var first, last string
	for line := range strings.Lines(output) {
		if line = strings.TrimSpace(line); line != "" {
			first, last = cmp.Or(first, line), line
		}
	}
	if _, after, ok := strings.Cut(last, "Error: "); ok {
		return clip(after, 300)
	}
	return clip(first, 300)
}

// beforeCall notices what somebody else changed since the last call.
func (d *driver) beforeCall(ctx context.Context) {
	if !d.follow(ctx) {
		return
	}
	same, err := d.fresh.snap.Unchanged(ctx, d.ws)
	if err != nil || !same {
		d.fresh.edited = true
		d.log.Info("the workspace was changed by somebody else: it is not put back between attempts", "run", d.run, "err", err)
	}
}

// afterCall notes what the call left.
func (d *driver) afterCall(ctx context.Context) {
	if !d.follow(ctx) {
		return
	}
	if err := d.fresh.snap.Seal(ctx, d.ws); err != nil {
		d.fresh.edited = true
		d.log.Warn("the workspace is not put back between attempts", "run", d.run, "err", err)
	}
}

// startAgain puts the workspace back and makes a plan of a new attempt. ok is false where that can't be done: the caller mends instead.
func (d *driver) startAgain(ctx context.Context, reason string) (ok bool, err error) {
	var plans int
	if err := d.led.view(ctx, func(s *journal.State) { plans = len(s.Plans) }); err != nil {
		return false, err
	}
	if plans >= maxAgain || !d.follow(ctx) {
		return false, nil
	}
	d.discardBoxes()
	d.beforeCall(ctx)
	if d.fresh.edited {
		return false, nil
	}
	report, err := d.fresh.snap.Undo(ctx, d.ws)
	if err != nil || len(report.Kept) > 0 {
		d.fresh.edited = true
		d.log.Warn("the workspace was not put back", "run", d.run, "err", err, "kept", len(report.Kept))
		return false, nil
	}
	d.afterCall(ctx)
	return true, d.led.do(ctx, func(t *tx) error {
		rev := t.Plan.Revision + 1
		task := planner.Task{ID: fmt.Sprintf("try%d", rev), Do: t.Plan.Tasks[0].Do}
		if put := len(report.Restored) + len(report.Removed); put > 0 {
			reason += fmt.Sprintf("; files put back as they were: %d", put)
		}
		t.add(journal.PlanMade{Plan: planner.Plan{Revision: rev, Tasks: []planner.Task{task}}, Reason: clip("starting again: "+strings.TrimSpace(reason), 1500)})
		return nil
	})
}
