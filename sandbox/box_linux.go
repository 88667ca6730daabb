package sandbox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Box runs commands in confinement. It holds no state of a command once that has ended.
type Box struct {
	opts     Options
	launcher launcher
	rep      Report
	groups   *cgroups // nil where none can be made
	holders  placeholders

	picked  chan struct{} // closed when pickErr and what pick sets are set
	pickErr error

	ctx    context.Context
	cancel context.CancelCauseFunc
	group  sync.WaitGroup // init reapers and box builders

	mu      sync.Mutex // guards the fields below; nothing blocks under it
	closed  bool
	spares  map[string]*spare
	found   *toolchains
	foundAt time.Time
}

// Open picks what this machine can enforce.
func Open(o Options) (*Box, error) {
	b := &Box{opts: o, spares: map[string]*spare{}}
	b.holders.state = o.State
	if err := b.holders.sweep(); err != nil {
		return nil, fmt.Errorf("remove what an earlier process left in workspaces: %w", err)
	}
	b.ctx, b.cancel = context.WithCancelCause(context.Background())
	b.picked = make(chan struct{})
	if o.Background {
		b.group.Go(func() { b.pickErr = b.pick(); close(b.picked) })
		return b, nil
	}
	defer close(b.picked)
	if b.pickErr = b.pick(); b.pickErr != nil {
		return nil, b.pickErr
	}
	return b, nil
}

// wait returns when a backend was picked.
func (b *Box) wait(ctx context.Context) error {
	select {
	case <-b.picked:
		return b.pickErr
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close ends prepared boxes and waits for all that the Box started. Running commands must have been ended before.
func (b *Box) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.cancel(ErrClosed)
	b.dropSpares()
	b.group.Wait()
	b.holders.settle("")
	if b.groups != nil {
		b.groups.close()
	}
	if b.launcher != nil {
		b.launcher.close()
	}
	return nil
}

// Report says what this Box enforces. It waits until that was tried.
func (b *Box) Report() Report {
	<-b.picked
	if b.pickErr != nil {
		return unavailable(b.pickErr)
	}
	return b.rep
}

func newNative(nursery *nursery) (launcher, error) {
	n := &native{nursery: nursery, uid: uint32(os.Getuid()), gid: uint32(os.Getgid()), abi: landlockABI()}
	if os.Geteuid() == 0 {
		n.root = true
		id, err := freeUID()
		if err != nil {
			return nil, err
		}
		n.uid, n.gid = id, id
	}
	nursery.user = !n.root
	n.templates = &templates{native: n, kept: map[string]*template{}}
	return n, nil
}

// tools returns the toolchains of this machine, looked for at most once a minute.
func (b *Box) tools() toolchains {
	b.mu.Lock()
	t, at := b.found, b.foundAt
	b.mu.Unlock()
	if t != nil && time.Since(at) < time.Minute {
		return *t
	}
	home, _ := os.UserHomeDir()
	if real, err := filepath.EvalSymlinks(home); err == nil {
		home = real
	}
	fresh := findToolchains(os.Getenv("PATH"), home, os.Getenv)
	fresh.base, fresh.system = systemOps(etcShown)
	fresh.own, fresh.proc = ownOps(), procOps()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.found, b.foundAt = &fresh, time.Now()
	return fresh
}

// Run runs one command and returns when nothing of it is left.
func (b *Box) Run(ctx context.Context, p Policy, c Command) (Result, error) {
	if err := b.wait(ctx); err != nil {
		return Result{}, err
	}
	return b.run(ctx, p, c)
}

func (b *Box) run(ctx context.Context, p Policy, c Command) (Result, error) {
	proc, err := b.start(ctx, p, c)
	if err != nil {
		return Result{}, err
	}
	return proc.Wait()
}

// Start starts one command. The caller must Wait. When ctx ends, the command is killed.
func (b *Box) Start(ctx context.Context, p Policy, c Command) (*Proc, error) {
	if err := b.wait(ctx); err != nil {
		return nil, err
	}
	return b.start(ctx, p, c)
}

func (b *Box) start(ctx context.Context, p Policy, c Command) (*Proc, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if have := b.launcher.level(); have < p.Require.minimum() {
		return nil, &UnavailableError{Want: p.Require.minimum(), Have: have, Fix: b.rep.Fix}
	}
	pl, err := b.plan(p)
	if err != nil {
		return nil, err
	}
	if c.Dir != "" {
		if err := checkCommandDir(pl.ws, c.Dir); err != nil {
			return nil, err
		}
	}
	cell, err := b.take(ctx, pl, pl.key())
	if err != nil {
		return nil, err
	}
	proc, err := cell.start(ctx, b, c)
	if err != nil {
		cell.end()
		return nil, err
	}
	return proc, nil
}

func checkCommandDir(ws, dir string) error {
	root, err := os.OpenRoot(ws)
	if err != nil {
		return badField("workspace", "%v", err)
	}
	defer root.Close()
	st, err := root.Stat(dir)
	if err != nil {
		return badField("dir", "%v", err)
	}
	if !st.IsDir() {
		return badField("dir", "%q is not a folder", dir)
	}
	return nil
}
