package browser

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// OnHost starts a browser as an ordinary child, in a process group of its own that dies with this process. It is for tests and
// for machines without a sandbox, where an operator allowed that.
func OnHost(ctx context.Context, argv []string, files []*os.File) (Process, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "HOME=" + os.TempDir()}
	cmd.ExtraFiles = files
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	h := &hosted{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() { // the parent-death signal is of the thread that started it: it must live as long
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		h.err = cmd.Wait()
		h.Kill() // what it left in its group
		close(h.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, h.Kill)
	return h, nil
}

type hosted struct {
	cmd  *exec.Cmd
	done chan struct{}
	once sync.Once
	err  error
}

// Kill ends the group.
func (h *hosted) Kill() {
	h.once.Do(func() { _ = syscall.Kill(-h.cmd.Process.Pid, syscall.SIGKILL) }) // it may be gone
}

// Wait waits for the browser's end.
func (h *hosted) Wait() error { <-h.done; return h.err }
