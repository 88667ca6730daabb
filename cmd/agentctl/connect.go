package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"agentd/api"
)

// dial connects to the running daemon. It looks at the usual socket first and then at the link in the data folder, for a
// daemon that was started with another XDG_RUNTIME_DIR.
func (a *app) dial() (*api.Client, error) {
	p, err := api.FindPlaces(a.home, a.getenv)
	if err != nil {
		return nil, err
	}
	return a.dialAt(p)
}

func (a *app) dialAt(p api.Places) (*api.Client, error) {
	c, err := api.Dial(p.Socket)
	if errors.Is(err, api.ErrNotRunning) && p.Link != p.Socket {
		if linked, linkErr := api.Dial(p.Link); linkErr == nil {
			c, err = linked, nil
		}
	}
	if err != nil {
		return nil, err
	}
	c.By = signature()
	return c, nil
}

// readyTimeout bounds the start of a daemon: it may have to check a large journal after an unclean stop.
const readyTimeout = 2 * time.Minute

// reach is dialAt and a first answer: who is about to die still takes connections.
func (a *app) reach(ctx context.Context, p api.Places) (*api.Client, api.Info, error) {
	c, err := a.dialAt(p)
	if err != nil {
		return nil, api.Info{}, err
	}
	info, err := c.Info(ctx)
	if err != nil {
		c.Close()
		return nil, info, err
	}
	return c, info, nil
}

// ensure reaches the daemon and starts one when none answers. started says that it did.
func (a *app) ensure(ctx context.Context) (c *api.Client, info api.Info, started bool, err error) {
	p, err := api.FindPlaces(a.home, a.getenv)
	if err != nil {
		return nil, info, false, err
	}
	var args []string
	if a.home != "" {
		args = []string{"--home", p.Home}
	}
	for end := time.Now().Add(readyTimeout); ; {
		c, info, err = a.reach(ctx, p)
		if !errors.Is(err, api.ErrNotRunning) {
			return c, info, false, err
		}
		d, err := a.spawn(ctx, p, args)
		if err == nil {
			if err := d.cmd.Process.Release(); err != nil {
				return nil, info, false, fmt.Errorf("let the daemon go: %w", err)
			}
			c, info, err = a.reach(ctx, p)
			return c, info, err == nil, err
		}
		if !errors.Is(err, api.ErrRunning) {
			return nil, info, false, err
		}
		// Another has the data folder: one that another client is starting, or that is ending.
		c, info, err = a.await(ctx, p, 500*time.Millisecond)
		if !errors.Is(err, api.ErrNotRunning) || time.Now().After(end) {
			return c, info, false, err
		}
	}
}

// await tries to reach a daemon for a while.
func (a *app) await(ctx context.Context, p api.Places, d time.Duration) (*api.Client, api.Info, error) {
	for end := time.Now().Add(d); ; {
		c, info, err := a.reach(ctx, p)
		if !errors.Is(err, api.ErrNotRunning) {
			return c, info, err
		}
		if time.Now().After(end) {
			return nil, info, api.Errorf(api.ErrNotRunning, "agentctl daemon log", "a daemon holds %s and does not answer", p.Home)
		}
		select {
		case <-ctx.Done():
			return nil, info, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// daemon is a started agentd.
type daemon struct {
	cmd *exec.Cmd
	// lifeline is the end of a pipe whose closing ends an ephemeral daemon.
	lifeline *os.File
}

// spawn starts agentd in a session of its own, with its standard error in the log, and waits until it listens. An
// ephemeral daemon gets a lifeline.
func (a *app) spawn(ctx context.Context, p api.Places, args []string, ephemeral ...string) (*daemon, error) {
	exe, err := findDaemon()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(p.Home, 0o700); err != nil {
		return nil, api.Errorf(api.ErrInvalid, "set AGENTD_HOME to a folder that can be written", "make the data folder: %v", err)
	}
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, api.Errorf(api.ErrInvalid, "set AGENTD_HOME to a folder that can be written", "open the daemon's log: %v", err)
	}
	defer log.Close()
	logStart, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("open the daemon's log: %w", err)
	}
	ready, readyW, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer ready.Close()
	defer readyW.Close()
	d := &daemon{cmd: exec.Command(exe, append(args, "--ready-fd", "3")...)}
	d.cmd.Dir = "/"
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.ExtraFiles = []*os.File{readyW}
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if len(ephemeral) > 0 {
		life, lifeW, err := os.Pipe()
		if err != nil {
			return nil, fmt.Errorf("make a pipe: %w", err)
		}
		defer life.Close()
		d.lifeline = lifeW
		d.cmd.Args = append(d.cmd.Args, append(ephemeral, "--lifeline-fd", "4")...)
		d.cmd.ExtraFiles = append(d.cmd.ExtraFiles, life)
	}
	if err := d.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the daemon: %w", err), d.drop())
	}
	readyW.Close()
	slow := time.AfterFunc(time.Second, func() { a.note("starting the daemon (%s, log %s) …", exe, p.Log) })
	defer slow.Stop()
	stop := context.AfterFunc(ctx, func() { ready.Close() })
	defer stop()
	if err := ready.SetReadDeadline(time.Now().Add(readyTimeout)); err != nil {
		return nil, fmt.Errorf("wait for the daemon: %w", err)
	}
	// It writes "ready" when it listens, or "running" when another daemon has the data folder.
	word, err := bufio.NewReader(io.LimitReader(ready, 64)).ReadString('\n')
	switch word {
	case "ready\n":
		return d, nil
	case "running\n":
		return nil, errors.Join(api.ErrRunning, d.kill())
	}
	if ctx.Err() != nil {
		return nil, errors.Join(ctx.Err(), d.kill())
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = api.Errorf(api.ErrNotRunning, "agentctl daemon log", "the daemon was not ready within %s", readyTimeout)
		return nil, errors.Join(err, d.kill())
	}
	return nil, errors.Join(a.failed(p, logStart), d.kill())
}

// failed is why a daemon ended before it was ready: the end of what it wrote to its log since.
func (a *app) failed(p api.Places, from int64) error {
	why := "it says nothing"
	if f, err := os.Open(p.Log); err == nil {
		defer f.Close()
		data, err := io.ReadAll(io.NewSectionReader(f, from, 64<<10))
		if text := strings.TrimSpace(string(data)); err == nil && text != "" {
			why = text
			if len(why) > 2000 {
				why = "…" + why[len(why)-2000:]
			}
		}
	}
	return api.Errorf(api.ErrNotRunning, "agentctl doctor", "the daemon did not start: %s", why)
}

// kill ends a daemon that didn't get ready and waits for it.
func (d *daemon) kill() error {
	err := d.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	_ = d.cmd.Wait() // its exit code says nothing more
	return errors.Join(err, d.drop())
}

// drop closes the lifeline, if there is one.
func (d *daemon) drop() error {
	if d.lifeline == nil {
		return nil
	}
	err := d.lifeline.Close()
	d.lifeline = nil
	return err
}

// end ends an ephemeral daemon by its lifeline and waits for it; one that doesn't go is killed.
func (d *daemon) end() error {
	if err := d.drop(); err != nil {
		return err
	}
	gone := make(chan error, 1)
	go func() { gone <- d.cmd.Wait() }()
	select {
	case <-gone:
		return nil
	case <-time.After(10 * time.Second):
	}
	err := d.cmd.Process.Kill()
	<-gone
	return err
}

// findDaemon finds agentd: beside this program, else on the path.
func findDaemon() (string, error) {
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "agentd")
		if fi, err := os.Stat(beside); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return beside, nil
		}
	}
	exe, err := exec.LookPath("agentd")
	if err != nil {
		return "", api.Errorf(api.ErrNotRunning, "install agentd beside agentctl", "no daemon answers, and there is no agentd beside agentctl or on the path to start one")
	}
	return exe, nil
}

// ephemeral starts a private daemon in a folder of its own. The returned function ends it and removes the folder.
func (a *app) ephemeral(ctx context.Context) (c *api.Client, info api.Info, end func() error, err error) {
	home, err := os.MkdirTemp("", "agentd-")
	if err != nil {
		return nil, info, nil, fmt.Errorf("make a private data folder: %w", err)
	}
	p, err := api.FindPlaces(home, a.getenv)
	if err != nil {
		return nil, info, nil, errors.Join(err, os.RemoveAll(home))
	}
	d, err := a.spawn(ctx, p, []string{"--home", home}, "--ephemeral")
	if err != nil {
		return nil, info, nil, errors.Join(err, os.RemoveAll(home))
	}
	end = func() error { return errors.Join(d.end(), os.RemoveAll(home)) }
	c, info, err = a.reach(ctx, p)
	if err != nil {
		return nil, info, nil, errors.Join(err, end())
	}
	return c, info, end, nil
}
