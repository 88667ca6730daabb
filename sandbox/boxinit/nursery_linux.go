package boxinit

import (
	"runtime"
	"syscall"
	"unsafe"
)

// Birth says how the nursery starts an init. Forking copies the page tables of the process that does it: the nursery
// is small, the daemon isn't.
type Birth struct {
	Flags uint64 // of clone
	// The one user and group that exist in a new user namespace, and who they are outside. Not read without
	// CLONE_NEWUSER among the flags.
	UID, HostUID, GID, HostGID uint64
	SetGroups                  bool     // the group mapping may be written with setgroups allowed: the daemon is root
	Become                     bool     // take UID and GID over, and drop supplementary groups
	EnterNet                   bool     // the descriptor before the mounts is a network namespace to live in
	Spec                       []byte   // what the init builds; empty: it only holds its namespaces open
	Argv                       []string // the program that makes the namespaces itself and starts this one, which is told the spec then
}

// Encode returns the wire form of b.
func (b *Birth) Encode() []byte {
	e := make(encoder, 0, 512+len(b.Spec))
	for _, n := range []uint64{b.Flags, b.UID, b.HostUID, b.GID, b.HostGID, bit(b.SetGroups), bit(b.Become), bit(b.EnterNet)} {
		e.num(n)
	}
	e.str(string(b.Spec))
	e.strs(b.Argv)
	return e
}

// DecodeBirth reads what Encode wrote.
func DecodeBirth(p []byte) (*Birth, error) {
	d := decoder{b: p}
	b := &Birth{Flags: d.num(), UID: d.num(), HostUID: d.num(), GID: d.num(), HostGID: d.num(),
		SetGroups: d.num() == 1, Become: d.num() == 1, EnterNet: d.num() == 1}
	if spec := d.str(); spec != "" {
		b.Spec = []byte(spec)
	}
	b.Argv = d.strs()
	return b, d.end("birth")
}

// Environ is the environment of a process that makes boxes. It carries nothing but the role and what keeps the runtime
// small.
func Environ(role string) []string {
	return []string{Marker + "=" + role, "GOGC=off", "GOMAXPROCS=1", "GOTRACEBACK=single", "GODEBUG=containermaxprocs=0,updatemaxprocs=0"}
}

const (
	cloneNewUser = 0x10000000
	sysPidfdOpen = 434
)

// nurse starts inits for the daemon until that ends.
func nurse() {
	// It stays dumpable: an undumpable process can't write the id maps of its children.
	for n := 0; ; n++ {
		m, errno := receive()
		if errno == 0 && m.kind == FrameNet {
			m.close()
			if errno = giveNet(); errno != 0 {
				errno = send(FrameError, []byte("make a network namespace: "+errno.Error()))
			}
			if errno == 0 {
				continue
			}
		}
		if errno != 0 || m.kind != FrameBirth || m.nfds < 3 {
			awaitAll()
			return
		}
		reapNow()
		pid, pidfd, err := deliver(m)
		m.close()
		if err != nil {
			errno = send(FrameError, []byte(err.Error()))
		} else {
			errno = send(FrameBirth, nums(uint64(pid)), pidfd)
			closeFD(pidfd)
		}
		if errno != 0 {
			awaitAll()
			return
		}
		if n%64 == 63 { // what isn't collected is copied for every init, and taken down with it
			runtime.GC() // here, and never while an init is forked
		}
	}
}

// reapNow collects the inits that have ended.
func reapNow() {
	for {
		if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); err != nil && err != syscall.EINTR || pid == 0 {
			return
		}
	}
}

// awaitAll collects all inits: they end when the daemon does, or when it gives them up.
func awaitAll() {
	for {
		if _, err := syscall.Wait4(-1, nil, 0, nil); err != nil && err != syscall.EINTR {
			return
		}
	}
}

// deliver starts one init. Its descriptors are: where it reads and writes, its log, its control socket, then mounts.
func deliver(m *message) (pid, pidfd int, err error) {
	b, err := DecodeBirth(m.body)
	if err != nil {
		return 0, -1, err
	}
	if len(b.Argv) > 0 {
		pid, err = syscall.ForkExec(b.Argv[0], b.Argv, &syscall.ProcAttr{
			Dir: "/", Env: Environ(RoleBox), Sys: &syscall.SysProcAttr{Setsid: true},
			Files: []uintptr{uintptr(m.fds[0]), uintptr(m.fds[0]), uintptr(m.fds[1]), uintptr(m.fds[2])},
		})
	} else {
		pid, err = forkInit(b, m)
	}
	if err != nil {
		return 0, -1, err
	}
	const nonblock = syscall.O_NONBLOCK
	fd, _, errno := syscall.RawSyscall(sysPidfdOpen, uintptr(pid), nonblock, 0)
	if errno != 0 {
		syscall.Kill(pid, syscall.SIGKILL)
		return 0, -1, wordy{"open the init's descriptor", errno}
	}
	return pid, int(fd), nil
}

type wordy struct {
	what string
	err  error
}

func (e wordy) Error() string { return e.what + ": " + e.err.Error() }

// forkInit forks an init and writes its id maps. The init waits for them.
func forkInit(b *Birth, m *message) (int, error) {
	var spec *Spec
	if len(b.Spec) > 0 {
		var err error
		if spec, err = DecodeSpec(b.Spec); err != nil {
			return 0, err
		}
	}
	own := 3 // descriptors before the mounts
	if b.EnterNet {
		if own++; m.nfds < own || homeNet < 0 {
			return 0, wordy{"enter the network namespace", syscall.EBADF}
		}
	}
	var gate [2]int
	if err := syscall.Pipe2(gate[:], syscall.O_CLOEXEC); err != nil {
		return 0, wordy{"make pipe", err}
	}
	grow(1)
	var errno syscall.Errno
	if b.EnterNet {
		errno = enterNet(m.fds[3])
	}
	if errno != 0 {
		closeFD(gate[0])
		closeFD(gate[1])
		return 0, wordy{"enter the network namespace", errno}
	}
	pid, errno := fork(uintptr(b.Flags))
	if pid == 0 && errno == 0 {
		b.begin(spec, m, own, gate[0], gate[1])
	}
	if b.EnterNet {
		leaveNet()
	}
	closeFD(gate[0])
	defer closeFD(gate[1])
	if errno != 0 {
		return 0, wordy{"make namespaces", errno}
	}
	if b.Flags&cloneNewUser != 0 {
		if err := b.writeMaps(pid); err != nil {
			syscall.Kill(pid, syscall.SIGKILL)
			return 0, err
		}
	}
	if _, err := syscall.Write(gate[1], []byte{1}); err != nil {
		return 0, wordy{"let the init go on", err}
	}
	return pid, nil
}

// begin is where the child of a fork starts. It doesn't return.
func (b *Birth) begin(spec *Spec, m *message, own, gate, other int) {
	closeFD(other)
	if homeNet >= 0 {
		closeFD(homeNet)
	}
	box.take(spec, m)
	for i, fd := range [4]int{m.fds[0], m.fds[0], m.fds[1], m.fds[2]} {
		if _, _, errno := syscall.RawSyscall(syscall.SYS_DUP3, uintptr(fd), uintptr(i), closeOnExec(i)); errno != 0 {
			exit(1)
		}
	}
	for _, fd := range m.fds[:own] {
		closeFD(fd)
	}
	box.nmounts = copy(box.mounts[:], box.mounts[own:box.nmounts])
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETSID, 0, 0, 0); errno != 0 {
		fail(failed(stageSession, errno))
	}
	var word [1]byte
	if n, _, _ := syscall.RawSyscall(syscall.SYS_READ, uintptr(gate), uintptr(unsafe.Pointer(&word)), 1); n != 1 {
		exit(1) // the nursery ended, or refused
	}
	closeFD(gate)
	if spec == nil {
		receive() // nothing comes: the daemon closes the socket
		exit(0)
	}
	if b.Become {
		_, _, errno := syscall.RawSyscall(syscall.SYS_SETGROUPS, 0, 0, 0)
		if errno == 0 {
			_, _, errno = syscall.RawSyscall(syscall.SYS_SETRESGID, uintptr(b.GID), uintptr(b.GID), uintptr(b.GID))
		}
		if errno == 0 {
			_, _, errno = syscall.RawSyscall(syscall.SYS_SETRESUID, uintptr(b.UID), uintptr(b.UID), uintptr(b.UID))
		}
		if errno != 0 {
			fail(failed(stageIDs, errno))
		}
	}
	box.live()
}

// closeOnExec are the flags of descriptor i.
func closeOnExec(i int) uintptr {
	if i == control {
		return syscall.O_CLOEXEC
	}
	return 0
}

func (b *Birth) writeMaps(pid int) error {
	dir := "/proc/" + itoa(pid) + "/"
	put := func(file, text string) error {
		fd, err := syscall.Open(dir+file, syscall.O_WRONLY|syscall.O_CLOEXEC, 0)
		if err == nil {
			_, err = syscall.Write(fd, []byte(text))
			syscall.Close(fd)
		}
		if err != nil {
			return wordy{"write " + file, err}
		}
		return nil
	}
	if !b.SetGroups {
		if err := put("setgroups", "deny"); err != nil {
			return err
		}
	}
	if err := put("gid_map", itoa(int(b.GID))+" "+itoa(int(b.HostGID))+" 1\n"); err != nil {
		return err
	}
	return put("uid_map", itoa(int(b.UID))+" "+itoa(int(b.HostUID))+" 1\n")
}
