package boxinit

import (
	"syscall"
	"unsafe"
)

// maxExtra is how many descriptors a payload gets beside stdin, stdout and stderr.
const maxExtra = 16

// payload is what the child of vfork needs. It shares this memory with the init until its exec.
var payload struct {
	path, argv, env, dir uintptr
	fds                  [3 + maxExtra]uintptr
	n                    uintptr
	tty                  bool
	errno                syscall.Errno
}

// run starts the payload, serves the daemon's requests and ends when the payload has and nothing else is left.
func (b *builder) run(m *message) {
	table, errno := mapMemory(8 * execPointers(len(m.body)))
	if errno != 0 {
		fail(failed(stageMessage, errno))
	}
	x, fine := parseExec(m.body, unsafe.Slice((*uintptr)(unsafe.Pointer(unsafe.SliceData(table))), len(table)/8))
	if !fine || x.extra > maxExtra || m.nfds != 3+int(x.extra) && !(x.tty && m.nfds == int(x.extra)) {
		fail(failed(stageMessage, syscall.EBADMSG))
	}
	p := &payload
	p.argv, p.env, p.dir, p.n, p.tty = addrOf(&x.argv[0]), addrOf(&x.env[0]), addr(x.dir), uintptr(3+x.extra), x.tty
	master, slave := -1, -1
	given := p.fds[:]
	if x.tty {
		if master, slave, errno = openPTY(x.rows, x.cols); errno != 0 {
			fail(failed(stageTerminal, errno))
		}
		p.fds[0], p.fds[1], p.fds[2] = uintptr(slave), uintptr(slave), uintptr(slave)
		given = p.fds[3:]
	}
	for i, fd := range m.fds[:m.nfds] {
		given[i] = uintptr(fd)
	}
	if p.path, p.errno = look(x.argv[0], x.env); p.errno == 0 {
		b.payload = spawn()
	}
	if p.errno != 0 {
		send(FrameMissing, nums(uint64(p.errno)))
		exit(1)
	}
	m.close()
	if x.tty {
		closeFD(slave)
		errno = send(FrameStarted, nil, master)
		closeFD(master)
	} else {
		errno = send(FrameStarted, nil)
	}
	if errno != 0 {
		exit(1)
	}
	b.attend()
}

func addrOf(p *uintptr) uintptr { return uintptr(unsafe.Pointer(p)) }

// spawn starts the payload. Nothing else is in this function's frame, which two processes run in one after the other.
//
//go:noinline
//go:norace
//go:nosplit
func spawn() int {
	pid, errno := vfork()
	if pid == 0 {
		become()
	}
	if errno != 0 {
		payload.errno = syscall.Errno(errno)
	}
	return int(pid)
}

// become turns the child of vfork into the payload. It checks for no preemption, which would be the parent's.
//
//go:noinline
//go:norace
//go:nosplit
func become() {
	p := &payload
	_, _, errno := syscall.RawSyscall(syscall.SYS_SETSID, 0, 0, 0)
	// First out of the way of the numbers that they will get.
	for i := uintptr(0); i < p.n && errno == 0; i++ {
		p.fds[i], _, errno = syscall.RawSyscall(syscall.SYS_FCNTL, p.fds[i], syscall.F_DUPFD_CLOEXEC, p.n)
	}
	for i := uintptr(0); i < p.n && errno == 0; i++ {
		_, _, errno = syscall.RawSyscall(syscall.SYS_DUP3, p.fds[i], i, 0)
	}
	if errno == 0 && p.tty {
		_, _, errno = syscall.RawSyscall(syscall.SYS_IOCTL, 0, syscall.TIOCSCTTY, 0)
	}
	if errno == 0 {
		_, _, errno = syscall.RawSyscall(syscall.SYS_CHDIR, p.dir, 0, 0)
	}
	if errno == 0 {
		const setMask = 2
		_, _, errno = syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&noSignal)), 0, 8, 0, 0)
	}
	if errno == 0 {
		_, _, errno = syscall.RawSyscall(syscall.SYS_EXECVE, p.path, p.argv, p.env)
	}
	p.errno = errno
	for {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 127, 0, 0)
	}
}

// zlen is the length of the string at p.
func zlen(p uintptr) int {
	n := 0
	for *(*byte)(pointer(p + uintptr(n))) != 0 {
		n++
	}
	return n
}

func zstring(p uintptr) string { return unsafe.String((*byte)(pointer(p)), zlen(p)) }

// found is the path of the payload's program.
var found [4097]byte

// look finds a program in the PATH of env, the way a shell would.
func look(name uintptr, env []uintptr) (uintptr, syscall.Errno) {
	if name == 0 {
		return 0, syscall.ENOENT
	}
	s := zstring(name)
	for i := range len(s) {
		if s[i] == '/' {
			return name, 0
		}
	}
	if s == "" {
		return 0, syscall.ENOENT
	}
	list := "/usr/bin:/bin"
	for _, kv := range env {
		if kv == 0 {
			break
		}
		if v := zstring(kv); len(v) > 5 && v[:5] == "PATH=" {
			list = v[5:]
		}
	}
	denied := syscall.ENOENT
	for len(list) > 0 {
		n := 0
		for n < len(list) && list[n] != ':' {
			n++
		}
		dir := list[:n]
		list = list[min(n+1, len(list)):]
		if dir == "" || dir[0] != '/' || len(dir)+len(s)+2 > len(found) {
			continue
		}
		at := copy(found[:], dir)
		found[at] = '/'
		at += 1 + copy(found[at+1:], s)
		found[at] = 0
		path := uintptr(unsafe.Pointer(&found))
		var st syscall.Stat_t
		if _, _, errno := syscall.RawSyscall6(sysNewfstatat, atCWD, path, uintptr(unsafe.Pointer(&st)), 0, 0, 0); errno != 0 || st.Mode&syscall.S_IFMT != syscall.S_IFREG {
			continue
		}
		if _, _, errno := syscall.RawSyscall(syscall.SYS_FACCESSAT, atCWD, path, 1); errno != 0 {
			denied = errno
			continue
		}
		return path, 0
	}
	return 0, denied
}

type pollFD struct {
	fd              int32
	events, revents int16
}

const pollIn = 1

// watched is what attend waits for: the control socket and the descriptor that tells of ended children.
var watched [2]pollFD

var pause syscall.Timespec

// attend serves the daemon and waits for every process of the box. The control socket is the box's lifeline: when the
// daemon's end closes, by whatever death, this process ends, and the kernel ends all others of the box. When the payload
// has ended, the others are killed and waited for too, so that the daemon's answer means that nothing is left.
func (b *builder) attend() {
	pidNamespace := getpid() == 1 // asked of the kernel and never assumed: kill(-1) would reach all processes of the user
	cut := false
	watched = [2]pollFD{{fd: control, events: pollIn}, {fd: int32(b.signals), events: pollIn}}
	for {
		if b.reap() {
			b.report()
		}
		if b.ended || cut {
			b.killAll(pidNamespace)
		}
		// Without a namespace a descendant may become a child at any time, and is killed then.
		var wait uintptr
		if (b.ended || cut) && !pidNamespace {
			pause = syscall.Timespec{Nsec: 2e6}
			wait = uintptr(unsafe.Pointer(&pause))
		} else if !forked { // a thread that the runtime started since might have taken the signal
			pause = syscall.Timespec{Nsec: 200e6}
			wait = uintptr(unsafe.Pointer(&pause))
		}
		if cut {
			watched[0].fd = -1
		}
		watched[0].revents, watched[1].revents = 0, 0
		slow(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&watched)), uintptr(len(watched)), wait, 0, 8)
		if watched[1].revents != 0 {
			syscall.RawSyscall(syscall.SYS_READ, uintptr(b.signals), addr(childList[:]), 128)
		}
		if watched[0].revents != 0 {
			if !b.obey() {
				if pidNamespace {
					exit(1)
				}
				cut = true
			}
		}
	}
}

// obey carries out one request, and says whether the daemon is still there.
func (b *builder) obey() bool {
	m, errno := receive()
	if errno != 0 {
		return false
	}
	m.close()
	switch m.kind {
	case FrameSignal:
		if n, fine := twoNums(m.body); fine && n[0] > 0 && n[0] < 65 && !b.ended {
			syscall.RawSyscall(syscall.SYS_KILL, uintptr(-b.payload), uintptr(n[0]), 0)
		}
	case FrameDial:
		if n, fine := twoNums(m.body); fine {
			dial(n[0], int(n[1]&0xffff))
		}
	}
	return true
}

// twoNums reads up to two numbers.
func twoNums(body []byte) (n [2]uint64, fine bool) {
	d := decoder{b: body}
	n[0] = d.num()
	if len(d.b) > 0 {
		n[1] = d.num()
	}
	return n, !d.bad
}

// reap collects children that have ended. It says whether none is left.
func (b *builder) reap() bool {
	const noHang = 1
	for {
		var status int32
		pid, _, errno := syscall.RawSyscall6(syscall.SYS_WAIT4, ^uintptr(0), uintptr(unsafe.Pointer(&status)), noHang, 0, 0, 0)
		switch {
		case errno == syscall.EINTR:
		case errno != 0:
			return true
		case pid == 0:
			return false
		case int(pid) == b.payload:
			b.status, b.ended = uint32(status), true
		}
	}
}

// report tells how the payload ended, and ends this process.
func (b *builder) report() {
	var ru syscall.Rusage
	const children = ^uintptr(0)
	syscall.RawSyscall(syscall.SYS_GETRUSAGE, children, uintptr(unsafe.Pointer(&ru)), 0)
	var quiet uint64
	if b.spec.Steps&StepKeptNet != 0 && quietNet() {
		quiet = 1
	}
	send(FrameExit, nums(uint64(b.status), micros(&ru.Utime), micros(&ru.Stime), uint64(ru.Maxrss), quiet))
	exit(0)
}

func micros(t *syscall.Timeval) uint64 { return uint64(t.Sec)*1e6 + uint64(t.Usec) }

func (b *builder) killAll(pidNamespace bool) {
	if pidNamespace {
		syscall.RawSyscall(syscall.SYS_KILL, ^uintptr(0), uintptr(syscall.SIGKILL), 0)
		return
	}
	b.killChildren()
}

// openPTY opens a terminal of the box's private devpts.
func openPTY(rows, cols uint32) (master, slave int, errno syscall.Errno) {
	if master, errno = openFile("/dev/pts/ptmx", syscall.O_RDWR|syscall.O_NOCTTY, 0); errno != 0 {
		return -1, -1, errno
	}
	var unlock, n int32
	if errno = ioctl(master, tiocsptlck, unsafe.Pointer(&unlock)); errno != 0 {
		return -1, -1, errno
	}
	if errno = ioctl(master, tiocgptn, unsafe.Pointer(&n)); errno != 0 {
		return -1, -1, errno
	}
	path := [32]byte{'/', 'd', 'e', 'v', '/', 'p', 't', 's', '/'}
	var digits [12]byte
	end := 9 + copy(path[9:], digits[number(digits[:], int(n)):])
	if slave, errno = openFile(unsafe.String(&path[0], end), syscall.O_RDWR|syscall.O_NOCTTY, 0); errno != 0 {
		return -1, -1, errno
	}
	if rows > 0 && cols > 0 {
		size := [4]uint16{uint16(rows), uint16(cols)}
		errno = ioctl(master, tiocswinsz, unsafe.Pointer(&size))
	}
	return master, slave, errno
}
