package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path"
	"slices"
	"sync"
	"syscall"
	"time"

	"agentd/sandbox/boxinit"

	"golang.org/x/sys/unix"
)

// drainGrace is how long output may keep coming once nothing is left in the box: a descriptor that was passed to
// another box through a shared workspace must not hold the caller.
const drainGrace = time.Second

// Proc is a command that runs in a box of its own.
type Proc struct {
	cell    *cell
	box     *Box
	ctx     context.Context
	started time.Time
	stop    func() bool

	watched   chan struct{} // closed when nobody looks at the box any more
	stopWatch func()
	timer     *time.Timer
	term      *os.File // the terminal's master

	done   chan struct{} // closed when result and err are set
	result Result
	err    error

	mu     sync.Mutex // guards the fields below
	killed Reason
	detail string
	dials  map[uint64]chan dialed
	nextID uint64
	over   bool

	pumps   sync.WaitGroup
	readers []*os.File
	helpers sync.WaitGroup // what serves the box while it runs
	count   outputCount
	disk    *diskWatch
	egress  Egress
}

type dialed struct {
	conn net.Conn
	err  error
}

// start gives a built box its program.
func (c *cell) start(ctx context.Context, b *Box, cmd Command) (*Proc, error) {
	p := &Proc{cell: c, box: b, ctx: ctx, done: make(chan struct{}), watched: make(chan struct{}), dials: map[uint64]chan dialed{}}
	p.count.limit = c.plan.limits.Output
	x := boxinit.Exec{Argv: cmd.Argv, Dir: path.Join(c.dir, cmd.Dir), TTY: cmd.TTY, Extra: uint32(len(cmd.ExtraFiles))}
	for _, k := range slices.Sorted(maps.Keys(c.env)) {
		x.Env = append(x.Env, k+"="+c.env[k])
	}
	if cmd.TTY {
		x.Rows, x.Cols = 24, 80
	}
	var give, near []*os.File // the payload's ends, and ours
	defer func() { closeAll(give) }()
	if !cmd.TTY {
		var err error
		if give, near, err = stdio(cmd); err != nil {
			return nil, err
		}
	}
	fds := make([]int, 0, len(give)+len(cmd.ExtraFiles))
	for _, f := range give {
		fds = append(fds, int(f.Fd()))
	}
	for _, f := range cmd.ExtraFiles {
		fds = append(fds, int(f.Fd()))
	}
	c.ctl.SetDeadline(time.Now().Add(setupTimeout))
	err := c.ctl.send(boxinit.FrameExec, x.Encode(), fds...)
	if err != nil {
		closeAll(near)
		return nil, c.setupError(err)
	}
	kind, body, files, err := c.ctl.receive()
	if err != nil {
		closeAll(near)
		return nil, c.setupError(err)
	}
	switch kind {
	case boxinit.FrameStarted:
	case boxinit.FrameMissing:
		closeAll(slices.Concat(near, files))
		why := syscall.ENOENT
		if n, err := boxinit.DecodeNums(body, 1); err == nil {
			why = syscall.Errno(n[0])
		}
		return nil, fmt.Errorf("%w: %s: %w", ErrNoProgram, cmd.Argv[0], why)
	default:
		closeAll(slices.Concat(near, files))
		return nil, fmt.Errorf("start the program: %s", boxinit.FailureText(body, nil))
	}
	c.ctl.SetDeadline(time.Time{})
	if cmd.TTY {
		if len(files) != 1 {
			closeAll(files)
			return nil, errors.New("start the program: the box opened no terminal")
		}
		fd, err := unix.FcntlInt(files[0].Fd(), unix.F_DUPFD_CLOEXEC, 0)
		files[0].Close()
		if err != nil {
			return nil, fmt.Errorf("open terminal: %w", err)
		}
		unix.SetNonblock(fd, true) // so that reads can be given up
		p.term = os.NewFile(uintptr(fd), "terminal")
	}
	p.begin(cmd, near)
	return p, nil
}

// stdio makes the payload's three descriptors and our ends of them.
func stdio(cmd Command) (give, near []*os.File, err error) {
	fail := func(err error) ([]*os.File, []*os.File, error) {
		closeAll(slices.Concat(give, near))
		return nil, nil, fmt.Errorf("make pipes: %w", err)
	}
	if cmd.Stdin == nil {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return fail(err)
		}
		give, near = append(give, f), append(near, nil)
	} else {
		r, w, err := os.Pipe()
		if err != nil {
			return fail(err)
		}
		give, near = append(give, r), append(near, w)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	give, near = append(give, w), append(near, r)
	if cmd.Stderr == nil {
		// The same pipe keeps the order of what a program writes to both.
		dup, err := unix.FcntlInt(w.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return fail(err)
		}
		give = append(give, os.NewFile(uintptr(dup), "stderr"))
		return give, near, nil
	}
	r, w, err = os.Pipe()
	if err != nil {
		return fail(err)
	}
	return append(give, w), append(near, r), nil
}

// begin starts what serves a running program: pumps, limits, the network, the control socket.
func (p *Proc) begin(cmd Command, near []*os.File) {
	p.started = time.Now()
	limits := p.cell.plan.limits
	p.disk = newDiskWatch(p.cell.plan, p.started)
	if cmd.TTY {
		p.pump(p.term, cmd.Stdout)
		if cmd.Stdin != nil {
			p.feed(p.term, cmd.Stdin, false)
		}
	} else {
		p.pump(near[1], cmd.Stdout)
		if len(near) > 2 {
			p.pump(near[2], cmd.Stderr)
		}
		if cmd.Stdin != nil {
			p.feed(near[0], cmd.Stdin, true)
		}
	}
	p.stop = context.AfterFunc(p.ctx, func() { p.kill(KilledCancelled, "cancelled") })
	p.timer = time.AfterFunc(limits.Wall, func() { p.kill(KilledWall, "wall time, "+limits.Wall.String()) })
	ctx, cancel := context.WithCancel(context.Background())
	watch := time.AfterFunc(pollEvery, func() { p.supervise(ctx) })
	p.stopWatch = func() {
		if watch.Stop() {
			close(p.watched)
		}
		<-p.watched
	}
	if err := p.serveNet(ctx); err != nil {
		p.kill(KilledCancelled, "network: "+err.Error())
	}
	go p.wait(cancel) // joined by Wait, and by done
}

// pump copies output and counts it.
func (p *Proc) pump(r *os.File, w io.Writer) {
	if w == nil {
		w = io.Discard
	}
	p.readers = append(p.readers, r)
	p.pumps.Go(func() {
		defer r.Close()
		buf := make([]byte, 32<<10)
		for {
			n, err := r.Read(buf)
			if n > 0 {
				keep, over := p.count.add(n)
				if keep > 0 {
					if _, err := w.Write(buf[:keep]); err != nil {
						w = io.Discard // the caller's writer is broken, not the program
					}
				}
				if over {
					p.kill(KilledOutput, "output, "+Bytes(p.count.limit))
				}
			}
			if err != nil {
				return
			}
		}
	})
}

// feed copies input until the box ends. It isn't waited for: a caller's reader may block for ever.
func (p *Proc) feed(w *os.File, r io.Reader, closeAfter bool) {
	go func() {
		io.Copy(w, r)
		if closeAfter {
			w.Close()
		}
	}()
}

// kill ends the box, for the first reason that asks.
func (p *Proc) kill(why Reason, detail string) {
	p.mu.Lock()
	if p.killed == "" && !p.over {
		p.killed, p.detail = why, detail
	}
	p.mu.Unlock()
	p.cell.kill()
}

// Kill ends the command and all that it started. Wait then says "cancelled".
func (p *Proc) Kill() { p.kill(KilledCancelled, "cancelled") }

// Signal sends a signal to the command's process group.
func (p *Proc) Signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cell.ctl.send(boxinit.FrameSignal, boxinit.EncodeNums(uint64(s)))
}

// Resize tells a terminal's new size.
func (p *Proc) Resize(rows, cols uint16) error {
	if p.term == nil {
		return errors.New("the command has no terminal")
	}
	raw, err := p.term.SyscallConn()
	if err != nil {
		return err
	}
	cerr := raw.Control(func(fd uintptr) {
		err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
	})
	return errors.Join(cerr, err)
}

// Wait returns how the command ended, when nothing of it is left. It may be called by several goroutines.
func (p *Proc) Wait() (Result, error) {
	<-p.done
	return p.result, p.err
}

// wait follows the control socket until the init says that the box is empty, or is gone.
func (p *Proc) wait(cancel func()) {
	defer close(p.done)
	exit, err := p.follow()
	p.mu.Lock()
	p.over = true
	for id, ch := range p.dials {
		ch <- dialed{err: net.ErrClosed}
		delete(p.dials, id)
	}
	p.mu.Unlock()
	p.stop()
	p.timer.Stop()
	wall := time.Since(p.started)
	if exit == nil { // killed, or the init died: wait until the kernel has ended all of the box
		p.cell.kill()
		p.cell.init.wait()
	}
	p.drain()
	cancel()
	p.stopWatch()
	p.helpers.Wait()
	p.finish(exit, err, wall)
	if exit == nil {
		p.cell.end()
	} else {
		p.mu.Lock()
		quiet := exit.Quiet == 1 && p.nextID == 0 // nobody dialled into it
		p.mu.Unlock()
		p.cell.leave(&p.box.group, quiet)
	}
}

func (p *Proc) follow() (*boxinit.Exit, error) {
	for {
		kind, body, files, err := p.cell.ctl.receive()
		if err != nil {
			return nil, err
		}
		switch kind {
		case boxinit.FrameExit:
			closeAll(files)
			return boxinit.DecodeExit(body)
		case boxinit.FrameConn:
			p.answer(body, files)
		default:
			closeAll(files)
			return nil, fmt.Errorf("unexpected message %q from the box", kind)
		}
	}
}

// drain lets the pumps reach the end of the output.
func (p *Proc) drain() {
	deadline := time.Now().Add(drainGrace)
	for _, r := range p.readers {
		r.SetReadDeadline(deadline)
	}
	p.pumps.Wait()
}

func (p *Proc) finish(exit *boxinit.Exit, err error, wall time.Duration) {
	p.mu.Lock()
	killed, detail := p.killed, p.detail
	p.mu.Unlock()
	if p.cell.group != nil && killed == "" && p.cell.group.oom() > p.cell.ooms {
		killed, detail = KilledMemory, "memory, "+Bytes(p.cell.plan.limits.Memory)
	}
	r := Result{Killed: killed, Detail: detail, Level: p.cell.level, Usage: Usage{Wall: wall}}
	if p.egress != nil {
		r.Egress = p.egress.Decisions()
		r.Denied = denials(r.Egress)
	}
	if exit == nil {
		r.Exit, r.Signal = 137, "SIGKILL"
		r.Usage.CPU, r.Usage.MaxRSS = p.count.cpu(), p.count.memory()
		if killed == "" {
			p.err = fmt.Errorf("the box ended unexpectedly: %w", err)
		}
		p.result = r
		return
	}
	ws := syscall.WaitStatus(exit.Status)
	r.Exit = ws.ExitStatus()
	if ws.Signaled() {
		r.Exit, r.Signal = 128+int(ws.Signal()), unix.SignalName(ws.Signal())
		if r.Killed == "" {
			r.Killed, r.Detail = p.cell.plan.signalReason(ws.Signal())
		}
	}
	r.Usage.CPU = time.Duration(exit.UserUS+exit.SysUS) * time.Microsecond
	r.Usage.MaxRSS = max(int64(exit.MaxRSSKB)<<10, p.count.memory())
	p.result = r
}

// signalReason recognises the signals by which the kernel tells of a limit.
func (pl *plan) signalReason(s syscall.Signal) (Reason, string) {
	switch s {
	case unix.SIGXCPU:
		return KilledCPU, "CPU time, " + pl.limits.CPU.String()
	case unix.SIGXFSZ:
		return KilledDisk, "one file, " + Bytes(pl.limits.File)
	}
	return "", ""
}

// Dial connects to a TCP port on the box's loopback. Nobody but the daemon can.
func (p *Proc) Dial(ctx context.Context, port uint16) (net.Conn, error) {
	ch := make(chan dialed, 1)
	p.mu.Lock()
	if p.over {
		p.mu.Unlock()
		return nil, net.ErrClosed
	}
	p.nextID++
	id := p.nextID
	p.dials[id] = ch
	err := p.cell.ctl.send(boxinit.FrameDial, boxinit.EncodeNums(id, uint64(port)))
	if err != nil {
		delete(p.dials, id)
	}
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case d := <-ch:
		return d.conn, d.err
	case <-ctx.Done():
		p.mu.Lock()
		delete(p.dials, id)
		p.mu.Unlock()
		select {
		case d := <-ch:
			if d.conn != nil {
				d.conn.Close()
			}
		default:
		}
		return nil, context.Cause(ctx)
	}
}

// answer hands the socket of a dial to who asked.
func (p *Proc) answer(body []byte, files []*os.File) {
	defer closeAll(files)
	nums, err := boxinit.DecodeNums(body, 2)
	if err != nil {
		return
	}
	var d dialed
	if len(files) == 1 {
		d.conn, d.err = net.FileConn(files[0])
	} else {
		d.err = fmt.Errorf("dial the box: %w", syscall.Errno(nums[1]))
	}
	p.mu.Lock()
	ch := p.dials[nums[0]]
	delete(p.dials, nums[0])
	p.mu.Unlock()
	if ch != nil {
		ch <- d
	} else if d.conn != nil {
		d.conn.Close()
	}
}
