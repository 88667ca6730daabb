package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"agentd/sandbox"
)

// Process is a running browser.
type Process interface {
	// Kill ends it and all of its children at once. It may be called more than once.
	Kill()
	// Wait returns once nothing of it is left.
	Wait() error
}

// Start starts argv with files as its descriptors 3, 4, … in a process group or a box of its own, and with none of the caller's
// environment. The caller closes files. When ctx ends, so does the process.
type Start func(ctx context.Context, argv []string, files []*os.File) (Process, error)

// ErrNoBrowser is returned where no Chromium or Chrome is installed.
var ErrNoBrowser = errors.New("no browser found: install chromium (apt-get install chromium) or Google Chrome")

// programs are where browsers are, the real ones before shell scripts that start them: killing such a script leaves the
// browser alive.
var programs = []string{
	"/usr/lib/chromium/chromium", "/opt/google/chrome/chrome", "/usr/lib/chromium-browser/chromium-browser",
	"/usr/lib64/chromium-browser/chromium-browser", "/opt/microsoft/msedge/msedge", "/usr/lib/chromium/chromium-headless-shell",
}

// Find returns the browser of this machine.
func Find() (string, error) {
	for _, p := range programs {
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	for _, name := range []string{"chromium", "google-chrome", "chrome", "headless_shell"} {
		p, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		if real, err := filepath.EvalSymlinks(p); err == nil && isELF(real) {
			return real, nil
		}
	}
	return "", ErrNoBrowser
}

func isELF(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var head [4]byte
	_, err = f.Read(head[:])
	return err == nil && string(head[:]) == "\x7fELF"
}

// Where a browser in a box finds things.
const (
	boxScratch = "/workspace"
	boxProfile = "/tmp/profile"
	boxProxy   = "127.0.0.1:3128"
)

// boxLimits are a browser's: it lives as long as its run, and a site's processes need more than a command's.
var boxLimits = sandbox.Limits{
	Wall: 30 * 24 * time.Hour, CPU: 30 * 24 * time.Hour, Memory: 2 << 30, Disk: 1 << 30, File: 512 << 20,
	Output: 1 << 30, Procs: 512, Files: 8192,
}

// InBox returns a Start that starts browsers in boxes of b. Of net, a box opens what it says. scratch is the host folder that a
// browser sees as its workspace, the only one that it can write; the real workspace isn't in the box.
func InBox(b *sandbox.Box, net sandbox.Net, scratch, program string) Start {
	return func(ctx context.Context, argv []string, files []*os.File) (Process, error) {
		p := sandbox.Policy{Workspace: scratch, Net: net, Limits: boxLimits}
		if dir := filepath.Dir(program); !strings.HasPrefix(dir, "/usr/") {
			p.ReadOnly = []string{dir}
		}
		ctx, cancel := context.WithCancel(ctx)
		// The profile is in the box's own memory, and is gone with it.
		argv = append([]string{"/bin/sh", "-c", `mkdir -p "$0/Default" && cp /workspace/preferences "$0/Default/Preferences"; exec "$@"`, boxProfile}, argv...)
		proc, err := b.Start(ctx, p, sandbox.Command{Argv: argv, Stdout: discard{}, ExtraFiles: files})
		if err != nil {
			cancel()
			return nil, fmt.Errorf("start the browser in a box: %w", err)
		}
		return &boxed{proc: proc, cancel: cancel}, nil
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

type boxed struct {
	proc   *sandbox.Proc
	cancel context.CancelFunc
}

// Kill ends the box.
func (b *boxed) Kill() { b.cancel() }

// Wait waits for the box to be empty.
func (b *boxed) Wait() error {
	_, err := b.proc.Wait()
	b.cancel()
	return err
}
