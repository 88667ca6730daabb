// Package apitest has an engine of functions, for tests of what talks to the API.
package apitest

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"

	"agentd/api"
	"agentd/goals"
	"agentd/journal"
)

// Engine is an api.Engine of functions. A nil function has a plain default: Start creates the run, Purge removes it, the
// rest answers with zero values.
type Engine struct {
	Store journal.Store

	OnStart   func(ctx context.Context, r api.StartRequest, key string) (journal.RunID, bool, error)
	OnWake    func(run journal.RunID)
	OnContext func(ctx context.Context, run journal.RunID, step int) (api.Context, error)
	OnDiff    func(ctx context.Context, run journal.RunID) (api.Diff, error)
	OnUndo    func(ctx context.Context, run journal.RunID, by string, step int) (journal.Undone, error)
	OnApply   func(ctx context.Context, run journal.RunID, by string) (journal.Applied, error)
	OnPurge   func(ctx context.Context, run journal.RunID) error
	OnModels  func(ctx context.Context) ([]api.ModelInfo, error)
	OnPull    func(ctx context.Context, name string, progress func(api.PullProgress)) error
	OnRemove  func(ctx context.Context, name string) error
	OnInfo    func(ctx context.Context) (api.Info, error)
	OnDeltas  func(run journal.RunID) (<-chan api.Delta, func())
	OnRules   func(st *journal.State, ask journal.ToolAsked) (api.AskRules, error)
	OnCovers  func(st *journal.State, ask journal.ToolAsked, scope journal.Scope, when string) error
	OnKeep    func(when, why string) error

	runs atomic.Int64
}

var _ api.Engine = (*Engine)(nil)

// Start makes a run of the request.
func (e *Engine) Start(ctx context.Context, r api.StartRequest, key string) (journal.RunID, bool, error) {
	if e.OnStart != nil {
		return e.OnStart(ctx, r, key)
	}
	run := journal.RunID(fmt.Sprintf("run%09d", e.runs.Add(1)))
	return e.Store.Create(ctx, run, key, Started(r))
}

// Started is the first event of a run that is asked for by r, whose goal is checked by nobody.
func Started(r api.StartRequest) journal.RunStarted {
	g := goals.Goal{Text: r.Goal, Budget: r.Budget, Protect: r.Protect}
	if r.File != nil {
		if parsed, err := goals.Parse(r.File.Name, []byte(r.File.Text)); err == nil {
			g = parsed
		}
	}
	for i, c := range r.Checks {
		g.Probes = append(g.Probes, goals.Probe{Name: fmt.Sprintf("check%d", i+1), Cmd: c})
	}
	return journal.RunStarted{
		Goal: g, Workspace: r.Workspace, Model: cmp.Or(r.Model, "local"), Yes: r.Yes, Attended: r.Attended, Net: r.Net, Parallel: r.Parallel, Version: "test",
	}
}

// Wake calls OnWake.
func (e *Engine) Wake(run journal.RunID) {
	if e.OnWake != nil {
		e.OnWake(run)
	}
}

// Context calls OnContext.
func (e *Engine) Context(ctx context.Context, run journal.RunID, step int) (api.Context, error) {
	if e.OnContext != nil {
		return e.OnContext(ctx, run, step)
	}
	return api.Context{}, nil
}

// Diff calls OnDiff.
func (e *Engine) Diff(ctx context.Context, run journal.RunID) (api.Diff, error) {
	if e.OnDiff != nil {
		return e.OnDiff(ctx, run)
	}
	return api.Diff{}, nil
}

// Undo calls OnUndo.
func (e *Engine) Undo(ctx context.Context, run journal.RunID, by string, step int) (journal.Undone, error) {
	if e.OnUndo != nil {
		return e.OnUndo(ctx, run, by, step)
	}
	return journal.Undone{}, nil
}

// Apply calls OnApply.
func (e *Engine) Apply(ctx context.Context, run journal.RunID, by string) (journal.Applied, error) {
	if e.OnApply != nil {
		return e.OnApply(ctx, run, by)
	}
	return journal.Applied{}, nil
}

// Purge removes an ended run.
func (e *Engine) Purge(ctx context.Context, run journal.RunID) error {
	if e.OnPurge != nil {
		return e.OnPurge(ctx, run)
	}
	sum, err := e.Store.Get(ctx, run)
	if err != nil {
		return err
	}
	if !sum.Status.Ended() {
		return api.Errorf(api.ErrLive, "agentctl cancel "+string(run), "run %s has not ended: %s", run, sum.Status)
	}
	return e.Store.Remove(ctx, run)
}

// Models calls OnModels.
func (e *Engine) Models(ctx context.Context) ([]api.ModelInfo, error) {
	if e.OnModels != nil {
		return e.OnModels(ctx)
	}
	return nil, nil
}

// Pull calls OnPull.
func (e *Engine) Pull(ctx context.Context, name string, progress func(api.PullProgress)) error {
	if e.OnPull != nil {
		return e.OnPull(ctx, name, progress)
	}
	return nil
}

// RemoveModel calls OnRemove.
func (e *Engine) RemoveModel(ctx context.Context, name string) error {
	if e.OnRemove != nil {
		return e.OnRemove(ctx, name)
	}
	return nil
}

// Info calls OnInfo.
func (e *Engine) Info(ctx context.Context) (api.Info, error) {
	if e.OnInfo != nil {
		return e.OnInfo(ctx)
	}
	return api.Info{Model: "local", Budget: goals.DefaultBudget, Sandbox: api.SandboxInfo{Level: "namespaces", Required: "landlock", Backend: "native"}}, nil
}

// Deltas calls OnDeltas.
func (e *Engine) Deltas(run journal.RunID) (<-chan api.Delta, func()) {
	if e.OnDeltas != nil {
		return e.OnDeltas(run)
	}
	ch := make(chan api.Delta)
	close(ch)
	return ch, func() {}
}

// Proposals implements api.Engine.
func (e *Engine) Proposals(st *journal.State, ask journal.ToolAsked) (api.AskRules, error) {
	if e.OnRules != nil {
		return e.OnRules(st, ask)
	}
	return api.AskRules{}, nil
}

// Covers implements api.Engine.
func (e *Engine) Covers(st *journal.State, ask journal.ToolAsked, scope journal.Scope, when string) error {
	if e.OnCovers != nil {
		return e.OnCovers(st, ask, scope, when)
	}
	return nil
}

// Keep implements api.Engine.
func (e *Engine) Keep(when, why string) error {
	if e.OnKeep != nil {
		return e.OnKeep(when, why)
	}
	return nil
}
