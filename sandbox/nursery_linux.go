package sandbox

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"agentd/sandbox/boxinit"

	"golang.org/x/sys/unix"
)

// nursery is the small process that forks all inits. The daemon itself couldn't: its threads hold locks, and its page
// tables are large.
type nursery struct {
	program string
	user    bool // it lives in a user namespace of its own, for the rights to make network namespaces that boxes share

	mu     sync.Mutex // guards the fields below; held while an init is started, a millisecond or two
	proc   *os.Process
	ctl    *channel
	log    *os.File
	closed bool
}

// initProc is a started init.
type initProc struct {
	pid   int
	pidfd *os.File
	ctl   int
	log   *os.File
}

// kill ends the init, and with it every process of its pid namespace.
func (ip *initProc) kill() {
	if raw, err := ip.pidfd.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, 0) })
	}
}

// ended says whether the init has ended.
func ended(fd int) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(p, 0)
	return err == nil && n == 1
}

// wait returns when the init has ended, which is after every other process of its pid namespace has.
func (ip *initProc) wait() {
	if raw, err := ip.pidfd.SyscallConn(); err == nil {
		raw.Read(func(fd uintptr) bool { return ended(int(fd)) })
	}
}

func (ip *initProc) alive() bool {
	alive := false
	if raw, err := ip.pidfd.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { alive = !ended(int(fd)) })
	}
	return alive
}

// end kills the init, waits, and closes what belongs to it.
func (ip *initProc) end() {
	ip.kill()
	ip.wait()
	ip.close()
}

func (ip *initProc) close() {
	ip.pidfd.Close()
	ip.log.Close()
}

var devNull = sync.OnceValues(func() (*os.File, error) { return os.OpenFile(os.DevNull, os.O_RDWR, 0) })

// start starts an init as b says. The caller owns the control socket, the log, and still the mounts.
func (n *nursery) start(b boxinit.Birth, mounts ...*os.File) (*initProc, error) {
	null, err := devNull()
	if err != nil {
		return nil, err
	}
	ip, theirs, err := newInitProc()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	body := b.Encode()
	fds := []int{int(null.Fd()), int(ip.log.Fd()), int(theirs.Fd())}
	for _, f := range mounts {
		fds = append(fds, int(f.Fd()))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for try := 0; ; try++ {
		err = n.request(body, ip, fds)
		if err == nil {
			return ip, nil
		}
		var refused birthError
		if try > 0 || errors.As(err, &refused) || n.closed {
			break
		}
		n.end() // it was killed, for want of memory say: another one is as good
	}
	unix.Close(ip.ctl)
	ip.log.Close()
	return nil, fmt.Errorf("start the box's init: %w", err)
}

// birthError is what the kernel said to the nursery.
type birthError string

func (e birthError) Error() string { return string(e) }

// network makes a network namespace.
func (n *nursery) network() (*os.File, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for try := 0; ; try++ {
		f, err := n.requestNet()
		var refused birthError
		if err == nil || try > 0 || errors.As(err, &refused) || n.closed {
			return f, err
		}
		n.end()
	}
}

func (n *nursery) requestNet() (*os.File, error) {
	if err := n.ready(); err != nil {
		return nil, err
	}
	if err := n.ctl.send(boxinit.FrameNet, nil); err != nil {
		return nil, err
	}
	kind, body, files, err := n.ctl.receive()
	if err != nil {
		return nil, err
	}
	if kind != boxinit.FrameNet || len(files) != 1 {
		closeAll(files)
		return nil, birthError(body)
	}
	return files[0], nil
}

// ready starts the nursery unless it runs.
func (n *nursery) ready() error {
	if n.closed {
		return ErrClosed
	}
	if n.ctl == nil {
		if err := n.open(); err != nil {
			return err
		}
	}
	return n.ctl.SetDeadline(time.Now().Add(setupTimeout))
}

func (n *nursery) request(birth []byte, ip *initProc, fds []int) error {
	if err := n.ready(); err != nil {
		return err
	}
	if err := n.ctl.send(boxinit.FrameBirth, birth, fds...); err != nil {
		return err
	}
	kind, body, files, err := n.ctl.receive()
	if err != nil {
		return err
	}
	if kind == boxinit.FrameError {
		return birthError(body)
	}
	nums, err := boxinit.DecodeNums(body, 1)
	if err != nil || kind != boxinit.FrameBirth || len(files) != 1 {
		closeAll(files)
		return errors.New("the nursery's answer is malformed")
	}
	ip.pid, ip.pidfd = int(nums[0]), files[0]
	return nil
}

// newInitProc makes the control socket and the log of an init.
func newInitProc() (*initProc, *os.File, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make control socket: %w", err)
	}
	log, err := unix.MemfdCreate("box", unix.MFD_CLOEXEC)
	if err != nil {
		unix.Close(pair[0])
		unix.Close(pair[1])
		return nil, nil, fmt.Errorf("make log: %w", err)
	}
	return &initProc{ctl: pair[0], log: os.NewFile(uintptr(log), "box log")}, os.NewFile(uintptr(pair[1]), "box control"), nil
}

// open starts the nursery itself.
func (n *nursery) open() error {
	null, err := devNull()
	if err != nil {
		return err
	}
	ip, theirs, err := newInitProc()
	if err != nil {
		return err
	}
	defer theirs.Close()
	proc, err := os.StartProcess(n.program, []string{"agentd-box"}, &os.ProcAttr{
		Dir: "/", Env: boxinit.Environ(boxinit.RoleNursery), Files: []*os.File{null, null, ip.log, theirs},
		Sys: n.attributes(),
	})
	if err != nil {
		unix.Close(ip.ctl)
		ip.log.Close()
		return err
	}
	if n.ctl, err = openChannel(ip.ctl); err != nil {
		proc.Kill()
		proc.Wait()
		ip.log.Close()
		return err
	}
	n.proc, n.log = proc, ip.log
	return nil
}

// attributes are those of the nursery's process.
func (n *nursery) attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setsid: true}
	if n.user {
		a.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET // from which it goes to a box's network, and back
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: boxUID, HostID: os.Getuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: boxUID, HostID: os.Getgid(), Size: 1}}
		a.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN} // the user isn't 0 in there: an exec would lose them
	}
	return a
}

func (n *nursery) end() {
	if n.proc == nil {
		return
	}
	n.ctl.Close()
	late := time.AfterFunc(treeGrace, func() { n.proc.Kill() }) // it waits for the inits, which have been ended
	n.proc.Wait()
	late.Stop()
	n.log.Close()
	n.proc, n.ctl, n.log = nil, nil, nil
}

func (n *nursery) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	n.end()
}
