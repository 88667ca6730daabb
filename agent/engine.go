// Package agent is the run loop: it drives runs from goal to outcome and picks them up after a crash.
package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"agentd/acceptance"
	"agentd/goals"
	"agentd/journal"
	"agentd/llm"
	"agentd/policy"
	"agentd/sandbox"
	"agentd/tools"
	"agentd/workspace"
)

// Config is what an engine is built from. All fields but Memory, Browser and Log are required.
type Config struct {
	Store    journal.Store
	Open     func(ctx context.Context, chain string) ([]llm.Model, error) // provider/model[,…] -> the failover chain
	Box      tools.Runner
	Require  sandbox.Level // least isolation of every box
	Measure  Measurer
	Tools    *tools.Set
	Policy   *policy.Rules
	Snaps    string            // folder of workspace snapshots
	Snapshot workspace.Options // the largest workspace
	Copies   string            // folder of the copies that runs of the modes copy and worktree work in
	Version  string
	Memory   func(run journal.RunID, s journal.RunStarted) tools.Memory // what the run may recall and keep; nil: no memory
	Servers  func(run journal.RunID, s journal.RunStarted) Servers      // the run's MCP servers, none of them started; nil: none
	Ceiling  func(net string) (layer string)                            // who forbids that any run connects there, "" for nobody; nil: nobody
	Granted  func() *policy.Rules                                       // what people added to the rules since; nil: nothing
	Now      func() time.Time
	Log      *slog.Logger

	// Browser makes a run's browser, which had seen open, by task, when an earlier daemon was stopped. Nil: there is none.
	Browser func(run journal.RunID, s journal.RunStarted, seen map[string][]tools.Tab) (tools.Browser, error)

	small *tools.Set            // of Tools: what a small model is offered
	sets  map[string]*tools.Set // Tools by RunStarted.Memory
}

// smallTools are enough for any task: a small model that has several ways to do the same takes the wrong one.
var smallTools = []string{"shell", "finish"}

// Measurer runs probes, each in a fresh box on a throw-away copy of the workspace.
type Measurer func(ctx context.Context, base sandbox.Policy, probes []goals.Probe) ([]acceptance.Result, error)

// Request asks for a run. Goal and Workspace are validated by who makes it.
type Request struct {
	Goal      goals.Goal
	Workspace string // absolute, resolved
	Model     string // provider/model[,…]
	Yes       bool
	Attended  bool
	DenyAsks  bool
	Net       []string
	Secrets   []journal.Secret
	Planner   string   // chain of the models that plan; "" is Model
	Judge     string   // chain of the models that give an opinion; "" is Planner
	Grants    []string // what a person, or somebody's default, granted the goal file
	Parallel  int
	Lead      string
	Memory    string   // one of MemoryModes; "" is off
	Mode      string   // one of Modes; "" is direct
	Apply     bool     // with a mode other than direct: apply what was done when it is accepted
	MCP       []string // of the servers, as journal.RunStarted has them
	Browser   string   // on, off or "", which is on where the goal or the network speaks for it
}

// Engine drives all live runs. It is safe for concurrent use.
type Engine struct {
	cfg  Config
	stop context.CancelCauseFunc
	ctx  context.Context
	wg   sync.WaitGroup

	mu    sync.Mutex // guards the fields below
	live  map[journal.RunID]*live
	order []journal.RunID // of live, as they started: who waits for a workspace gets it in this order
	freed chan struct{}   // closed and replaced when a workspace is freed

	learners map[journal.RunID]*learner
}

type live struct {
	ws     string
	led    *ledger
	deltas *hub
	holds  bool    // the workspace
	driver *driver // nil before it is made
}

// New returns an engine that drives nothing yet.
func New(cfg Config) *Engine {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	var err error
	if cfg.small, err = cfg.Tools.Only(smallTools...); err != nil {
		cfg.small = cfg.Tools // a set of other tools
	}
	cfg.sets = toolsets(cfg.Tools)
	ctx, stop := context.WithCancelCause(context.Background())
	return &Engine{cfg: cfg, ctx: ctx, stop: stop, live: make(map[journal.RunID]*live), freed: make(chan struct{}), learners: make(map[journal.RunID]*learner)}
}

// Resume drives every run that has not ended. It is called once, before the first Start.
func (e *Engine) Resume(ctx context.Context) (int, error) {
	n := 0
	var after journal.RunID
	for {
		page, err := e.cfg.Store.List(ctx, journal.Filter{Live: true, Oldest: true, After: after, Limit: 100})
		if err != nil {
			return n, fmt.Errorf("list live runs: %w", err)
		}
		for _, s := range page {
			e.launch(s.Run, s.Workspace)
			after = s.Run
			n++
		}
		if len(page) < 100 {
			if e.cfg.Memory != nil {
				e.wg.Go(func() { e.lessons(e.ctx) })
			}
			return n, nil
		}
	}
}

// Close stops all drivers; their runs go on at the next Resume. It returns when none acts any more.
func (e *Engine) Close() {
	e.stop(ErrStopping)
	e.wg.Wait()
}

// Start makes a run durable and drives it. With a key that was used before it returns that run, and fresh is false.
func (e *Engine) Start(ctx context.Context, r Request, key string) (id journal.RunID, fresh bool, err error) {
	models, err := e.cfg.Open(ctx, r.Model)
	if err != nil {
		return "", false, err
	}
	if r.Parallel <= 0 {
		r.Parallel = 2
	}
	if models[0].Info().Local {
		r.Parallel = 1 // one slot
	}
	first := journal.RunStarted{
		Goal: r.Goal, Workspace: r.Workspace, Model: r.Model, Yes: r.Yes, Attended: r.Attended, DenyAsks: r.DenyAsks, Net: r.Net, Secrets: r.Secrets, Grants: r.Grants, Planner: r.Planner, Judge: r.Judge,
		Parallel: r.Parallel, Version: e.cfg.Version, Key: key, Lead: r.Lead, Memory: r.Memory, Mode: r.Mode, Apply: r.Apply,
		MCP: r.MCP, Browser: e.cfg.browserFor(r.Browser, r.Goal.Text, r.Net),
	}
	id, fresh, err = e.cfg.Store.Create(ctx, newRunID(e.cfg.Now()), key, first)
	if err != nil {
		return "", false, fmt.Errorf("start the run: %w", err)
	}
	if fresh {
		e.launch(id, r.Workspace)
	}
	return id, fresh, nil
}

// newRunID makes an id that sorts by time: 7 characters of it in base 32, and 5 random ones.
func newRunID(now time.Time) journal.RunID {
	const digits = "0123456789abcdefghjkmnpqrstvwxyz"
	id := make([]byte, 12)
	t := uint64(now.UnixMilli()) / 64
	for i := 6; i >= 0; i-- {
		id[i] = digits[t%32]
		t /= 32
	}
	rand.Read(id[7:]) // never fails
	for i := 7; i < 12; i++ {
		id[i] = digits[id[i]%32]
	}
	return journal.RunID(id)
}

// Wake says that another appended to a run.
func (e *Engine) Wake(run journal.RunID) {
	e.mu.Lock()
	l := e.live[run]
	e.mu.Unlock()
	if l != nil {
		l.led.wake()
	}
}

// Live reports whether a run is driven now, or waits for its workspace.
func (e *Engine) Live(run journal.RunID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.live[run] != nil
}

// Count is the number of live runs.
func (e *Engine) Count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.live)
}

// Deltas follows what a run's model is writing. The channel is closed when the run ends or cancel is called.
func (e *Engine) Deltas(run journal.RunID) (<-chan Delta, func()) {
	e.mu.Lock()
	l := e.live[run]
	e.mu.Unlock()
	if l == nil {
		return (&hub{closed: true}).subscribe()
	}
	return l.deltas.subscribe()
}

func (e *Engine) launch(run journal.RunID, ws string) {
	if dir := e.cfg.copyOf(run); e.cfg.Copies != "" {
		if _, err := os.Lstat(dir); err == nil {
			ws = dir
		}
	}
	l := &live{ws: ws, led: newLedger(e.cfg.Store, run, e.cfg.Now), deltas: new(hub)}
	e.mu.Lock()
	e.live[run] = l
	e.order = append(e.order, run)
	e.makeWay()
	e.mu.Unlock()
	e.wg.Go(func() {
		err := e.drive(e.ctx, run, l)
		e.retire(run, l)
		if err == nil {
			e.learn(e.ctx, run)
		} else if !errors.Is(err, ErrStopping) {
			e.cfg.Log.Error("run is not driven any more", "run", run, "err", err)
		}
	})
}

func (e *Engine) retire(run journal.RunID, l *live) {
	l.deltas.close()
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.live, run)
	for i, id := range e.order {
		if id == run {
			e.order = append(e.order[:i:i], e.order[i+1:]...)
			break
		}
	}
	close(e.freed)
	e.freed = make(chan struct{})
}

func (e *Engine) drive(ctx context.Context, run journal.RunID, l *live) error {
	err := e.acquire(ctx, run, l)
	if err != nil {
		return err
	}
	s := new(journal.State)
	if err := journal.CatchUp(ctx, e.cfg.Store, run, s); err != nil {
		return err
	}
	if s.Outcome != nil {
		return nil
	}
	d := &driver{
		cfg: &e.cfg, log: e.cfg.Log, led: l.led, run: run, deltas: l.deltas, others: func(ws string) journal.RunID { return e.busyBut(run, ws) },
		start: s.Start, rules: rulesOf(e.cfg.Policy, s.Start.Goal), snap: make(chan struct{}), marks: marker{dirty: s.Epoch > 0},
	}
	d.set, d.small = e.cfg.offers(s.Start)
	if m := s.Start.Memory; e.cfg.Memory != nil && m != "" && m != MemoryOff {
		d.memory = e.cfg.Memory(run, s.Start)
	}
	if e.cfg.Servers != nil {
		d.servers = e.cfg.Servers(run, s.Start)
		defer d.closeServers()
	}
	if d.ws, err = d.place(ctx); err != nil {
		d.ws, d.placeErr = s.Start.Workspace, err
	} else if d.ws != s.Start.Workspace {
		e.move(l, d.ws)
	}
	work, halt := context.WithCancelCause(ctx)
	defer halt(nil)
	d.life = work
	e.mu.Lock()
	l.driver = d
	e.mu.Unlock()
	return d.drive(ctx, work, halt)
}

// move says that a run works in another folder from now on, so that nobody waits for its workspace.
func (e *Engine) move(l *live, ws string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l.ws = ws
	close(e.freed)
	e.freed = make(chan struct{})
}

// acquire waits until no older run holds the run's workspace, or a folder above or below it. A cancelled run does not wait.
func (e *Engine) acquire(ctx context.Context, run journal.RunID, l *live) error {
	for {
		e.mu.Lock()
		free := true
		for _, id := range e.order {
			if id == run {
				break
			}
			if other := e.live[id]; other != nil && nested(other.ws, l.ws) {
				free = false
			}
		}
		for id, other := range e.live {
			if id != run && other.holds && nested(other.ws, l.ws) {
				free = false
			}
		}
		l.holds = free
		freed := e.freed
		e.mu.Unlock()
		if free {
			return nil
		}
		s := new(journal.State)
		if err := journal.CatchUp(ctx, e.cfg.Store, run, s); err != nil {
			return err
		}
		if s.Cancel {
			return nil // it will not act, so it needs no workspace
		}
		select {
		case <-freed:
		case <-l.led.poke:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// nested reports whether one folder is the other or lies in it.
func nested(a, b string) bool {
	return a == b || strings.HasPrefix(a, b+string(filepath.Separator)) || strings.HasPrefix(b, a+string(filepath.Separator))
}
