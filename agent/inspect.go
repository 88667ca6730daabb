package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"agentd/journal"
	"agentd/llm"
	"agentd/planner"
	"agentd/workspace"
)

// ErrLive is returned for what can't be done to a run that has not ended.
var ErrLive = errors.New("the run has not ended")

// Sent is what was sent to a model.
type Sent struct {
	Step     int
	Model    string
	Bytes    []byte
	Tokens   int // the provider's count where it gave one, else the estimate
	Hash     string
	Verified bool // Bytes have the hash that the journal recorded before they were sent
}

// Context renders again what a step of a run sent, from the events before it. Verified is false when this version of the
// program renders differently.
func (e *Engine) Context(ctx context.Context, run journal.RunID, step int) (Sent, error) {
	s := new(journal.State)
	var asked journal.ModelAsked
	found := false
	var records []journal.Record // up to the run's end
	for r, err := range e.cfg.Store.Read(ctx, run, 0) {
		if err != nil {
			return Sent{}, err
		}
		if r.Kind == journal.KindModelAsked {
			ev, err := r.Decode()
			if err != nil {
				return Sent{}, err
			}
			if a := ev.(journal.ModelAsked); a.Step == step {
				asked, found = a, true
				break
			}
		}
		if s.Outcome == nil {
			records = append(records, r)
		}
		if err := s.Apply(r); err != nil {
			return Sent{}, err
		}
	}
	if s.Last == 0 {
		return Sent{}, journal.ErrNotFound
	}
	if !found {
		return Sent{}, fmt.Errorf("step %d of run %s: %w (it has %d)", step, run, journal.ErrNotFound, s.Spent.Steps)
	}
	models, err := e.cfg.Open(ctx, asked.Model)
	if err != nil {
		return Sent{}, err
	}
	d := &driver{cfg: &e.cfg, log: e.cfg.Log, run: run, set: e.cfg.Tools, models: models, start: s.Start, ws: s.Start.Workspace}
	if e.cfg.Servers != nil {
		d.servers = e.cfg.Servers(run, s.Start)
		defer d.closeServers()
	}
	var req *llm.Request
	if asked.Purpose == "memory" {
		req = learnRequest(s, records, models[0].Info())
	} else if req, err = d.again(s, asked, models[0].Info()); err != nil {
		return Sent{}, err
	}
	req.MaxTokens = asked.MaxOut
	body, err := models[0].Encode(req)
	if err != nil {
		return Sent{}, err
	}
	sum := sha256.Sum256(body)
	return Sent{
		Step: step, Model: asked.Model, Bytes: body, Tokens: asked.Prompt, Hash: asked.BodyHash,
		Verified: hex.EncodeToString(sum[:]) == asked.BodyHash,
	}, nil
}

// again builds the request that was asked in this state.
func (d *driver) again(s *journal.State, asked journal.ModelAsked, info llm.Info) (*llm.Request, error) {
	if asked.Purpose == "step" {
		task := s.Tasks[asked.Task]
		if task == nil {
			return nil, fmt.Errorf("task %q is not in the plan of that moment", asked.Task)
		}
		return d.render(s, task, info), nil
	}
	var q planQuestion
	if len(s.Plans) > 0 {
		q.revise = d.failedRevision
	}
	switch asked.Purpose {
	case "forms":
		return checkable(planner.FormsPrompt(q.input(s, info)), info), nil
	case "check":
		return checkRequest(s, info, q.input(s, info)), nil
	}
	for _, text := range earlier(s, "plan") {
		q.try++
		_, q.wrong = planner.Parse(text, q.input(s, info))
		q.bad = text
	}
	q.try++
	return q.request(s, info), nil
}

// Changes compares a run's workspace with its snapshot. patch gives each text change as a unified diff of at most limit bytes.
func (e *Engine) Changes(ctx context.Context, run journal.RunID, limit int) (changes []workspace.Change, patches []string, err error) {
	s, err := e.snapshotOf(ctx, run)
	if err != nil {
		return nil, nil, err
	}
	changes, err = s.Diff(ctx, s.Root)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range changes {
		p := ""
		if !c.Binary {
			if p, err = s.Unified(ctx, s.Root, c, limit); err != nil {
				return nil, nil, err
			}
		}
		patches = append(patches, p)
	}
	return changes, patches, nil
}

// Undo puts an ended run's workspace back, and records it: as it was before the run, or with a step before that step's first change. What a
// person changed since is kept.
func (e *Engine) Undo(ctx context.Context, run journal.RunID, by string, step int) (journal.Undone, error) {
	if e.Live(run) {
		return journal.Undone{}, fmt.Errorf("undo: %w; cancel it first: agentctl cancel %s", ErrLive, run)
	}
	s, err := e.snapshotOf(ctx, run)
	if err != nil {
		return journal.Undone{}, err
	}
	st := new(journal.State)
	if err := journal.CatchUp(ctx, e.cfg.Store, run, st); err != nil {
		return journal.Undone{}, err
	}
	root, from := s.Root, ""
	if st.Applied != nil && st.Applied.Snapshot != "" { // what was done in the copy is in the workspace
		root, from = st.Start.Workspace, st.Applied.Snapshot
	}
	if other := e.busy(root); other != "" {
		return journal.Undone{}, fmt.Errorf("undo: run %s works in that folder now: %w", other, ErrLive)
	}
	rep, at, err := e.takeBack(ctx, s, root, from, st.Undone, step)
	if err != nil {
		return journal.Undone{}, err
	}
	u := journal.Undone{By: by, Step: step, At: at, Restored: append(rep.Restored, rep.Removed...)}
	for _, k := range rep.Kept {
		u.Kept = append(u.Kept, k.Path+": "+k.Reason)
	}
	_, err = journal.Update(ctx, e.cfg.Store, run, func(*journal.State) ([]journal.Event, error) { return []journal.Event{u}, nil })
	return u, err
}

// takeBack undoes a run wholly (step 0) or to before a step; at is the step of the mark that it went to, 0 for the run's beginning. Where
// an earlier undo left the workspace in the middle of the run, it goes on from there, forward too. applied is the snapshot of a copy that was applied to root.
func (e *Engine) takeBack(ctx context.Context, s *workspace.Snapshot, root, applied string, last *journal.Undone, step int) (rep workspace.Report, at int, err error) {
	if step == 0 && last == nil && applied == "" {
		rep, err = s.Undo(ctx, root)
		return rep, 0, err
	}
	to, at, err := s.Before(step)
	if err != nil {
		return rep, 0, err
	}
	var from *workspace.Snapshot
	switch {
	case last != nil:
		from, _, err = s.Before(last.At)
	case applied != "":
		from, err = workspace.Load(e.cfg.Snaps, applied)
	default:
		from, err = s.End()
	}
	if err != nil {
		return rep, 0, err
	}
	rep, err = to.Restore(ctx, root, from)
	return rep, at, err
}

func (e *Engine) snapshotOf(ctx context.Context, run journal.RunID) (*workspace.Snapshot, error) {
	s := new(journal.State)
	if err := journal.CatchUp(ctx, e.cfg.Store, run, s); err != nil {
		return nil, err
	}
	if s.Snapshot == nil {
		return nil, fmt.Errorf("run %s has no snapshot: it wrote nothing: %w", run, journal.ErrNotFound)
	}
	return workspace.Load(e.cfg.Snaps, s.Snapshot.ID)
}

// busy names a live run whose workspace is the folder, or lies above or below it.
func (e *Engine) busy(ws string) journal.RunID { return e.busyBut("", ws) }

// busyBut is busy but for one run.
func (e *Engine) busyBut(run journal.RunID, ws string) journal.RunID {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, l := range e.live {
		if id != run && nested(l.ws, ws) {
			return id
		}
	}
	return ""
}

// Purge forgets an ended run: its journal, its blobs and its snapshot.
func (e *Engine) Purge(ctx context.Context, run journal.RunID) error {
	if e.Live(run) {
		return fmt.Errorf("remove: %w; cancel it first: agentctl cancel %s", ErrLive, run)
	}
	e.unlearn(run)
	s := new(journal.State)
	if err := journal.CatchUp(ctx, e.cfg.Store, run, s); err != nil {
		return err
	}
	if s.Snapshot != nil {
		if err := workspace.Remove(e.cfg.Snaps, s.Snapshot.ID); err != nil && !errors.Is(err, workspace.ErrNotFound) {
			return err
		}
	}
	if s.Applied != nil && s.Applied.Snapshot != "" {
		if err := workspace.Remove(e.cfg.Snaps, s.Applied.Snapshot); err != nil && !errors.Is(err, workspace.ErrNotFound) {
			return err
		}
	}
	if m := s.Start.Mode; m != "" && m != ModeDirect {
		if err := workspace.Discard(e.cfg.copyOf(run)); err != nil {
			return fmt.Errorf("remove the run's copy: %w", err)
		}
	}
	return e.cfg.Store.Remove(ctx, run)
}
