package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"agentd/agent"
	"agentd/api"
	"agentd/goals"
	"agentd/journal"
	"agentd/sandbox"
	"agentd/workspace"
)

// engine is the daemon's side of the API: it turns requests into runs, and runs into what clients see.
type engine struct {
	*agent.Engine
	d *daemon
}

// Start validates a request and makes its run durable.
func (e *engine) Start(ctx context.Context, r api.StartRequest, key string) (journal.RunID, bool, error) {
	ws, err := workspace.Resolve(r.Workspace, e.d.folders()...)
	if err != nil {
		return "", false, api.Errorf(api.ErrWorkspace, "name another folder with -C", "%v", err)
	}
	goal, asked, err := goalOf(r)
	if err != nil {
		return "", false, err
	}
	goal.Budget = e.budget(r.Budget, goal.Budget.Or(e.d.cfg.Budget.goal()))
	granted, err := e.granted(r, asked)
	if err != nil {
		return "", false, err
	}
	net, secrets, err := e.reach(r, goal)
	if err != nil {
		return "", false, err
	}
	if r.Parallel < 0 || r.Parallel > 32 {
		return "", false, api.Errorf(api.ErrInvalid, "", "parallel: %d is not within 1 to 32", r.Parallel)
	}
	if r.Parallel == 0 {
		r.Parallel = e.d.cfg.Parallel
	}
	var planner, judge string
	if judge = strings.Join(goal.Models.Judge, ","); r.Model == "" {
		r.Model, planner = strings.Join(goal.Models.Worker, ","), strings.Join(goal.Models.Planner, ",")
	}
	if r.Model == "" {
		r.Model = e.d.models.fallback(ctx)
	}
	for _, chain := range []string{r.Model, planner, judge} {
		if err := e.d.mayUse(chain); err != nil {
			return "", false, err
		}
		if chain == planner || chain == judge {
			if _, err := e.d.models.openAny(ctx, chain); err != nil {
				return "", false, err
			}
		}
	}
	if r.Memory == "" && goal.Memory.Write != "" {
		r.Memory = goal.Memory.Write
	}
	switch {
	case e.d.opts.ephemeral && r.Memory != agent.MemoryRead: // what it keeps would end with it; a client may lend it what to read
		r.Memory = agent.MemoryOff
	case r.Memory == "":
		r.Memory = cmp.Or(e.d.cfg.Memory, agent.MemoryPropose)
	case !slices.Contains(agent.MemoryModes, r.Memory):
		return "", false, api.Errorf(api.ErrInvalid, "", "memory: %.40q is none of %s", r.Memory, strings.Join(agent.MemoryModes, ", "))
	}
	if err := e.mode(r, ws); err != nil {
		return "", false, err
	}
	least, err := sandbox.ParseLevel(goal.Sandbox.Min)
	if err != nil {
		return "", false, api.Errorf(api.ErrInvalid, "", "sandbox.min: %v", err)
	}
	least = max(least, e.d.require)
	if len(goal.Readable) > 0 {
		least = max(least, sandbox.LevelNamespaces) // nothing less can hide files
	}
	if rep := e.d.box.Report(); rep.Level < least {
		return "", false, api.Errorf(api.ErrSandbox, cmp.Or(rep.Fix, "this version has no backend for more: lower sandbox.min in the goal, or sandbox.require in config.yaml"), "commands need the sandbox level %s, this machine has %s", least, rep.Level)
	}
	if _, err := e.d.chosenServers(r.MCP); err != nil && len(r.MCP) > 0 {
		return "", false, api.Errorf(api.ErrInvalid, "agentctl mcp ls lists them", "%v", err)
	}
	r.Memory = e.d.layers.Memory(r.Memory)
	if r.Browser, err = e.d.browserOf(r.Browser); err != nil {
		return "", false, err
	}
	return e.Engine.Start(ctx, agent.Request{
		Goal: goal, Workspace: ws, Model: r.Model, Yes: r.Yes, Attended: r.Attended && !e.d.opts.ephemeral,
		DenyAsks: (e.d.opts.ephemeral || goal.Unattended == goals.UnattendedDeny && !r.Attended) && !r.Yes, Net: net, Secrets: secrets, Grants: granted, Planner: planner, Judge: judge, Parallel: r.Parallel, Lead: lead(ws, goal), Memory: r.Memory, Mode: r.Mode, Apply: r.Apply, MCP: r.MCP, Browser: r.Browser,
	}, key)
}

// lead is what a run is told of its workspace beforehand: nothing where the goal hides files of it.
func lead(ws string, g goals.Goal) string {
	if len(g.Readable) > 0 {
		return ""
	}
	return workspace.Lead(ws) + workspace.Named(ws, g.Text) + workspace.Guides(ws)
}

// budget is what a run may use: what its goal asks for within every layer, over which the command line goes within the organisation's. The
// default of the money is left out where nobody set a limit: it holds all the same, but does not refuse a model without a price.
func (e *engine) budget(flags, asked goals.Budget) goals.Budget {
	within := func(b goals.Budget) goals.Budget { return e.d.organisation.Budget(flags.Or(e.d.layers.Budget(b))) }
	b := within(asked.Or(goals.DefaultBudget))
	if within(asked).USD == 0 {
		b.USD = 0
	}
	return b
}

// mode checks where a run is asked to work.
func (e *engine) mode(r api.StartRequest, ws string) error {
	switch r.Mode {
	case "", agent.ModeDirect:
		if r.Apply {
			return api.Errorf(api.ErrInvalid, "use it with the mode copy or worktree", "apply: in the mode direct the work is in the workspace already")
		}
	case agent.ModeCopy:
	case agent.ModeWorktree:
		if err := workspace.IsRepository(ws); err != nil {
			return api.Errorf(api.ErrWorkspace, "", "%v", err)
		}
	default:
		return api.Errorf(api.ErrInvalid, "", "mode: %.40q is none of %s", r.Mode, strings.Join(agent.Modes, ", "))
	}
	return nil
}

// reach is where a run may connect, and with which secrets: what the request says, and what the goal file asks for, which was granted.
func (e *engine) reach(r api.StartRequest, g goals.Goal) ([]string, []journal.Secret, error) {
	for _, n := range r.Net {
		if err := (sandbox.Net{Allow: []string{n}}).Check(); err != nil {
			return nil, nil, api.Errorf(api.ErrInvalid, "use HOST:PORT, *.SUFFIX:PORT, CIDR:PORT or public", "net: %v", err)
		}
	}
	allow, list := slices.Clone(r.Net), slices.Clone(r.Secrets)
	open := func(rule string) {
		if !slices.Contains(allow, rule) {
			allow = append(allow, rule)
		}
	}
	for _, n := range g.Sandbox.Net {
		rule := n
		if n != sandbox.Public && (sandbox.Net{Allow: []string{n}}).Check() != nil {
			rule = n + ":443" // a name without a port; what else is wrong with it shows below
		}
		open(rule)
	}
	for _, s := range g.Secrets {
		one := journal.Secret(s)
		if !slices.ContainsFunc(list, func(o journal.Secret) bool { return o.Name == s.Name }) {
			list = append(list, one)
		}
	}
	for _, s := range list {
		for _, h := range s.Hosts {
			if !strings.Contains(h, ":") {
				h += ":443"
			}
			if (sandbox.Net{Allow: allow, Secrets: []sandbox.Secret{{Name: s.Name, Hosts: []string{h}}}}).Check() != nil {
				open(h) // a secret for a host opens that host
			}
		}
	}
	if err := e.d.ceiling(allow, list); err != nil {
		return nil, nil, err
	}
	if err := e.d.checkNet(allow, list); err != nil {
		return nil, nil, api.Errorf(api.ErrInvalid, "keep a secret with: agentctl secret set NAME", "%v", err)
	}
	return allow, list, nil
}

// goalOf makes the goal of a request: text or file, with what the command line adds. asked is the goal as its file has it, which is all that needs a grant.
func goalOf(r api.StartRequest) (g, asked goals.Goal, err error) {
	switch {
	case r.File != nil && r.Goal != "":
		return g, asked, api.Errorf(api.ErrGoal, "give one of them", "a goal in words and a goal file are given")
	case r.File != nil:
		if g, err = goals.ParseWith(r.File.Name, []byte(r.File.Text), r.File.Import); err == nil {
			g, err = g.Fill(r.Params)
			addChecks(&g, r.Checks)
		}
	default:
		g, err = goals.FromText(r.Goal, r.Checks)
	}
	if err != nil {
		return g, asked, api.Errorf(api.ErrGoal, "", "%v", err)
	}
	if r.File == nil && len(r.Params) > 0 {
		return g, asked, api.Errorf(api.ErrGoal, "drop --param", "a goal in words takes no parameters")
	}
	if r.File != nil {
		asked = g
	}
	g.Protect = append(g.Protect, r.Protect...)
	g.Budget = r.Budget.Or(g.Budget)
	if err := errors.Join(g.Validate(), g.Supported()); err != nil {
		return g, asked, api.Errorf(api.ErrGoal, "", "%v", err)
	}
	return g, asked, nil
}

// addChecks adds the command line's checks to a goal file's, under names that the file does not use.
func addChecks(g *goals.Goal, checks []string) {
	n := 0
	for _, cmd := range checks {
		name := ""
		for taken := true; taken; {
			n++
			name = fmt.Sprintf("check%d", n)
			taken = slices.ContainsFunc(g.Probes, func(p goals.Probe) bool { return p.Name == name })
		}
		g.Probes = append(g.Probes, goals.Probe{Name: name, Cmd: cmd})
		g.Require = append(g.Require, name+".exit == 0")
	}
}

// Context returns what a step sent.
func (e *engine) Context(ctx context.Context, run journal.RunID, step int) (api.Context, error) {
	s, err := e.Engine.Context(ctx, run, step)
	return api.Context{Step: s.Step, Model: s.Model, Bytes: s.Bytes, Tokens: s.Tokens, Hash: s.Hash, Verified: s.Verified}, err
}

// maxPatch bounds the unified diff of one file, in bytes.
const maxPatch = 256 << 10

// Diff compares a run's workspace with its snapshot.
func (e *engine) Diff(ctx context.Context, run journal.RunID) (api.Diff, error) {
	changes, patches, err := e.Engine.Changes(ctx, run, maxPatch)
	if err != nil {
		return api.Diff{}, err
	}
	d := api.Diff{Files: []api.FileDiff{}}
	for i, c := range changes {
		f := api.FileDiff{Path: c.Path, Change: string(c.Kind), Patch: patches[i], Binary: c.Binary}
		if c.Kind == workspace.Renamed {
			f.Change = "renamed from " + c.From
		}
		if c.OldMode != c.NewMode && c.Kind == workspace.Changed {
			f.Mode = fmt.Sprintf("%04o", c.NewMode)
		}
		d.Files = append(d.Files, f)
	}
	return d, nil
}

// Undo puts a run's workspace back.
func (e *engine) Undo(ctx context.Context, run journal.RunID, by string, step int) (journal.Undone, error) {
	u, err := e.Engine.Undo(ctx, run, by, step)
	return u, live(err)
}

// Apply brings what a run did in its copy to its workspace.
func (e *engine) Apply(ctx context.Context, run journal.RunID, by string) (journal.Applied, error) {
	a, err := e.Engine.Apply(ctx, run, by)
	if errors.Is(err, agent.ErrNotApplicable) {
		return a, api.Errorf(api.ErrInvalid, "only a run of --mode copy or --mode worktree has a copy", "%v", err)
	}
	return a, live(err)
}

// Purge removes an ended run.
func (e *engine) Purge(ctx context.Context, run journal.RunID) error {
	return live(e.Engine.Purge(ctx, run))
}

func live(err error) error {
	if errors.Is(err, agent.ErrLive) {
		return api.Errorf(api.ErrLive, "", "%v", err)
	}
	return err
}

// Info describes the daemon.
func (e *engine) Info(ctx context.Context) (api.Info, error) {
	d := e.d
	rep := d.box.Report()
	box := api.SandboxInfo{Level: rep.Level.String(), Required: d.require.String(), Backend: rep.Backend, Kernel: rep.Kernel, Fix: rep.Fix}
	for _, g := range rep.Guarantees {
		box.Guarantees = append(box.Guarantees, api.Guarantee(g))
	}
	return api.Info{
		Version: version, PID: d.pid, Started: d.started, Home: d.places.Home, Socket: d.places.Socket, Log: d.places.Log,
		Config: d.configPath, Model: d.models.fallback(ctx), Env: d.models.keys(), Embedder: d.embedderName(), Sandbox: box,
		Budget: d.cfg.Budget.goal().Or(goals.DefaultBudget), Live: e.Engine.Count(),
	}, nil
}

// embedderName names what makes vectors, "" for none.
func (d *daemon) embedderName() string {
	if e := d.models.embedder(); e != nil {
		return e.ID()
	}
	return ""
}

// Deltas follows what a run's model is writing.
func (e *engine) Deltas(run journal.RunID) (<-chan api.Delta, func()) {
	in, cancel := e.Engine.Deltas(run)
	out := make(chan api.Delta, 64)
	done := make(chan struct{})
	go func() { // ends when the hub closes in, which cancel does too
		defer close(out)
		for x := range in {
			select {
			case out <- api.Delta{Call: x.Call, Task: x.Task, Text: x.Text, Tool: x.Tool, Reset: x.Reset, Chars: x.Chars}:
			case <-done:
				return
			}
		}
	}()
	return out, func() { close(done); cancel() }
}

// hostPort reports whether an address can be listened at.
func hostPort(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" || strings.TrimSpace(host) == "" {
		return fmt.Errorf("listen: %q is not HOST:PORT", addr)
	}
	return nil
}
