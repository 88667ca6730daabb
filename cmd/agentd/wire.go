package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"agentd/acceptance"
	"agentd/agent"
	"agentd/api"
	"agentd/authority"
	"agentd/journal"
	"agentd/journal/bolt"
	"agentd/policy"
	"agentd/sandbox"
	"agentd/sandbox/egress"
	"agentd/workspace"
)

// daemon is what a serving agentd holds together.
type daemon struct {
	opts       options
	cfg        config
	configPath string
	places     api.Places
	log        *slog.Logger
	pid        int
	started    time.Time
	require    sandbox.Level
	box        *sandbox.Box
	models     *models
	memories   *memories
	grants     *grants
	secrets    *secrets
	ca         *egress.CA

	layers       authority.Authority // over goal files: the organisation's and the user's
	organisation authority.Authority // the organisation's alone: over everything
	goalGrants   *authority.Store
}

// serve runs the daemon until ctx ends, or its lifeline does.
func serve(ctx context.Context, o options, stderr io.Writer) error {
	level := slog.LevelInfo
	if o.debug {
		level = slog.LevelDebug
	}
	d := &daemon{opts: o}
	d.log = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level, ReplaceAttr: d.hideSecrets}))
	d.pid, d.started = os.Getpid(), time.Now()
	if err := d.configure(); err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if o.lifeline >= 0 {
		go watchLifeline(o.lifeline, stop)
	}
	if err := d.openAuthority(); err != nil {
		return err
	}
	if err := os.MkdirAll(d.places.Home, 0o700); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	store, err := d.openStore()
	if _, locked := errors.AsType[*bolt.LockedError](err); locked && o.ready >= 0 {
		return errors.Join(err, tell(o.ready, "running")) // the client that started us finds the winner
	}
	if err != nil {
		return err
	}
	defer store.Close()
	roots, err := d.openCA()
	if err != nil {
		return err
	}
	d.box, err = sandbox.Open(sandbox.Options{AllowNone: o.unboxed, Log: d.log, State: filepath.Join(d.places.Home, "boxes"), NewEgress: d.newEgress, Roots: roots})
	if err != nil {
		return err
	}
	defer d.box.Close()
	if d.models, err = newModels(d); err != nil {
		return err
	}
	defer d.models.Close()
	d.memories = newMemories(d)
	defer d.memories.Close()
	rules, err := d.policy()
	if err != nil {
		return err
	}
	if d.grants, err = openGrants(filepath.Join(filepath.Dir(d.configPath), policy.GrantsFile), d.log); err != nil {
		return err
	}
	offered, err := d.toolset()
	if err != nil {
		return err
	}
	measurer := &acceptance.Measurer{Box: d.box, Scratch: filepath.Join(d.places.Home, "probes")}
	eng := &engine{d: d, Engine: agent.New(agent.Config{
		Store: store, Open: d.models.open, Box: d.box, Require: d.require, Measure: measurer.Measure, Tools: offered, Browser: d.openBrowser, Policy: rules, Granted: d.grants.now, Memory: d.memories.ofRun, Servers: d.servers, Ceiling: d.organisation.Net,
		Snaps: d.snapshots(), Snapshot: workspace.Options{MaxFiles: d.cfg.Snapshot.MaxFiles, MaxBytes: d.cfg.Snapshot.MaxBytes}, Copies: filepath.Join(d.places.Home, "copies"), Version: version, Now: time.Now, Log: d.log,
	})}
	defer eng.Close()
	if err := d.sweep(measurer); err != nil {
		return err
	}
	n, err := eng.Resume(ctx)
	if err != nil {
		return err
	}
	var keeping sync.WaitGroup
	defer keeping.Wait()
	ctx, halt := context.WithCancel(ctx)
	defer halt()
	keeping.Go(func() { d.retain(ctx, store, eng) })
	token := ""
	if d.cfg.Listen != "" {
		if token, err = readSecret(d.cfg.TokenFile); err != nil {
			return fmt.Errorf("token_file: %w", err)
		}
	}
	opts := api.Options{Store: store, Engine: eng, Memory: d.memories, Logger: d.log, Build: version, Token: token, Views: filepath.Join(d.places.Home, "views")}
	opts.Authority = rights{d}
	opts.Goals, opts.Browsers = &goalTester{d: d, m: measurer}, screens{eng.Engine}
	if !d.opts.ephemeral {
		x, err := newScheduled(d, eng, store)
		if err != nil {
			return err
		}
		wait, err := x.run(ctx)
		if err != nil {
			return err
		}
		defer wait()
		opts.Schedule = x
	}
	return d.listen(ctx, api.NewServer(opts), n)
}

// folders are the daemon's own, in which no run works.
func (d *daemon) folders() []string {
	return []string{d.places.Home, filepath.Dir(d.configPath), d.models.store.Dir()}
}

// sweep removes what an earlier daemon left behind when it was killed.
func (d *daemon) sweep(m *acceptance.Measurer) error {
	if err := m.Sweep(); err != nil {
		return fmt.Errorf("remove old copies: %w", err)
	}
	if _, err := os.Stat(d.snapshots()); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if _, err := workspace.Sweep(d.snapshots()); err != nil {
		return fmt.Errorf("remove old snapshots' contents: %w", err)
	}
	return nil
}

func (d *daemon) snapshots() string { return filepath.Join(d.places.Home, "snapshots") }

// configure reads flags, environment and configuration into plain values.
func (d *daemon) configure() error {
	var err error
	if d.places, err = api.FindPlaces(d.opts.home, os.Getenv); err != nil {
		return err
	}
	d.configPath = d.opts.config
	if d.configPath == "" {
		d.configPath = configPath(os.Getenv)
	}
	if d.cfg, err = loadConfig(d.configPath, d.opts.config != ""); err != nil {
		return err
	}
	d.secrets = newSecrets(d.configPath, d.log)
	d.secrets.public = modelNames(d.cfg)
	d.require = sandbox.LevelLandlock
	if r := d.cfg.Sandbox.Require; r != "" {
		if d.require, err = sandbox.ParseLevel(r); err != nil {
			return err
		}
	}
	if d.opts.unboxed {
		d.require = sandbox.LevelNone
	}
	if d.cfg.Listen != "" {
		return hostPort(d.cfg.Listen)
	}
	return nil
}

func (d *daemon) openStore() (journal.Store, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	store, err := bolt.Open(bolt.Options{Dir: d.places.Home, Logger: d.log, CheckCommand: []string{self, "db", "check"}})
	if err != nil {
		return nil, err
	}
	return maskingStore{wrapStore(store), d.secrets}, nil
}

// listen serves clients until ctx ends, then lets requests finish.
func (d *daemon) listen(ctx context.Context, srv *api.Server, resumed int) error {
	ln, err := passed(os.Getenv, d.pid, d.places.Socket)
	if ln == nil && err == nil {
		ln, err = d.places.Listen()
	}
	if err != nil {
		return err
	}
	d.log.Info("listening", "socket", d.places.Socket, "home", d.places.Home, "version", version, "pid", d.pid, "resumed", resumed)
	if d.opts.ready >= 0 {
		if err := tell(d.opts.ready, "ready"); err != nil {
			d.log.Warn("ready not told", "err", err)
		}
	}
	if d.cfg.Listen == "" {
		return srv.Serve(ctx, ln)
	}
	tcp, err := net.Listen("tcp", d.cfg.Listen)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	return both(ctx, srv, ln, tcp)
}

// both serves the socket and the TCP address; when one fails, both end.
func both(ctx context.Context, srv *api.Server, listeners ...net.Listener) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make(chan error)
	for _, ln := range listeners {
		go func() {
			err := srv.Serve(ctx, ln)
			stop()
			errs <- err
		}()
	}
	var all error
	for range listeners {
		all = errors.Join(all, <-errs)
	}
	return all
}

// tell writes a word to who started this daemon: "ready" when it listens, "running" when another has the data folder.
func tell(fd int, word string) error {
	f := os.NewFile(uintptr(fd), "ready")
	if f == nil {
		return fmt.Errorf("descriptor %d is not open", fd)
	}
	_, err := f.WriteString(word + "\n")
	return errors.Join(err, f.Close())
}

// watchLifeline ends the daemon when the other end of the pipe closes, however its holder died.
func watchLifeline(fd int, stop context.CancelCauseFunc) {
	f := os.NewFile(uintptr(fd), "lifeline")
	if f == nil {
		stop(fmt.Errorf("lifeline: descriptor %d is not open", fd))
		return
	}
	io.Copy(io.Discard, f) // ends at end of file or at an error: both mean that nobody holds it
	stop(nil)
}
