package boxinit

import "syscall"

// Birth says how the nursery starts an init. Forking copies the page tables of the process that does it: the nursery
// is small, the daemon isn't.
type Birth struct {
	Role  string
	Flags uint64 // of clone
	// The one user and group that exist in a new user namespace, and who they are outside. Not read without
	// CLONE_NEWUSER among the flags.
	UID, HostUID, GID, HostGID uint64
	SetGroups                  bool     // the group mapping may be written with setgroups allowed: the daemon is root
	Become                     bool     // take UID and GID over, and drop supplementary groups
	Argv                       []string // the program, if not this one: what makes the namespaces itself
	Caps                       bool     // keep the capabilities that building a view needs across the exec
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// Encode returns the wire form of b.
func (b *Birth) Encode() []byte {
	var e encoder
	e.str(b.Role)
	for _, n := range []uint64{b.Flags, b.UID, b.HostUID, b.GID, b.HostGID, bit(b.SetGroups), bit(b.Become), bit(b.Caps)} {
		e.num(n)
	}
	e.strs(b.Argv)
	return e
}

// DecodeBirth reads what Encode wrote.
func DecodeBirth(p []byte) (*Birth, error) {
	d := decoder{b: p}
	b := &Birth{Role: d.str(), Flags: d.num(), UID: d.num(), HostUID: d.num(), GID: d.num(), HostGID: d.num(),
		SetGroups: d.num() == 1, Become: d.num() == 1, Caps: d.num() == 1, Argv: d.strs()}
	return b, d.end("birth")
}

// Environ is the environment of an init. It carries nothing but the role and what keeps the runtime small.
func Environ(role string) []string {
	return []string{Marker + "=" + role, "GOGC=off", "GOMEMLIMIT=24MiB", "GOMAXPROCS=1", "GOTRACEBACK=single", "GODEBUG=containermaxprocs=0,updatemaxprocs=0"}
}

// The capabilities that a box's init keeps across the exec, until the view is built: DAC_OVERRIDE, SETPCAP,
// NET_BIND_SERVICE, NET_ADMIN, SYS_CHROOT and SYS_ADMIN of its own user namespace.
var viewCaps = []uintptr{1, 8, 10, 12, 18, 21}

const (
	cloneNewUser = 0x10000000
	sysPidfdOpen = 434
)

// nurse starts inits for the daemon until that ends.
func nurse() {
	// It stays dumpable: an undumpable process can't write the id maps of its children.
	born := make(chan struct{}, 1)
	go func() {
		for range born {
			for {
				if _, err := syscall.Wait4(-1, nil, 0, nil); err != nil && err != syscall.EINTR {
					break // no child is left: wait for the next
				}
			}
		}
	}()
	for {
		kind, body, fds, err := Receive(control)
		if err != nil {
			return
		}
		if kind != FrameBirth || len(fds) != 3 {
			return
		}
		pid, pidfd, err := deliver(body, fds)
		for _, fd := range fds {
			syscall.Close(fd)
		}
		if err != nil {
			err = Send(control, FrameError, []byte(err.Error()))
		} else {
			err = Send(control, FrameBirth, EncodeNums(uint64(pid)), pidfd)
			syscall.Close(pidfd)
			select {
			case born <- struct{}{}:
			default:
			}
		}
		if err != nil {
			return
		}
	}
}

// deliver starts one init. Its descriptors are: where it reads and writes, its log, its control socket.
func deliver(body []byte, fds []int) (pid, pidfd int, err error) {
	b, err := DecodeBirth(body)
	if err != nil {
		return 0, -1, err
	}
	attr := &syscall.SysProcAttr{Setsid: true, Cloneflags: uintptr(b.Flags)}
	if b.Flags&cloneNewUser != 0 {
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: int(b.UID), HostID: int(b.HostUID), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: int(b.GID), HostID: int(b.HostGID), Size: 1}}
		attr.GidMappingsEnableSetgroups = b.SetGroups
	}
	if b.Become {
		attr.Credential = &syscall.Credential{Uid: uint32(b.UID), Gid: uint32(b.GID)}
	}
	if b.Caps {
		attr.AmbientCaps = viewCaps
	}
	program, argv := "/proc/self/exe", []string{"agentd-box"}
	if len(b.Argv) > 0 {
		program, argv = b.Argv[0], b.Argv
	}
	pid, err = syscall.ForkExec(program, argv, &syscall.ProcAttr{
		Dir: "/", Env: Environ(b.Role), Sys: attr,
		Files: []uintptr{uintptr(fds[0]), uintptr(fds[0]), uintptr(fds[1]), uintptr(fds[2])},
	})
	if err != nil {
		return 0, -1, err
	}
	const nonblock = syscall.O_NONBLOCK
	fd, _, errno := syscall.Syscall(sysPidfdOpen, uintptr(pid), nonblock, 0)
	if errno != 0 {
		syscall.Kill(pid, syscall.SIGKILL)
		return 0, -1, stageError("open the init's descriptor", errno)
	}
	syscall.CloseOnExec(int(fd))
	return pid, int(fd), nil
}
