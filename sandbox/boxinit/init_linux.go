package boxinit

import (
	"syscall"
	"unsafe"
)

const control = 3 // the descriptor of the control socket

// init takes over in a process that was started to be a box's first program. It is the one init in the project that
// has an effect: what runs later would cost every command the start of all linked libraries.
func init() {
	role, ok := syscall.Getenv(Marker)
	if !ok {
		if arg, ok := syscall.Getenv(ProbeMarker); ok {
			probe(arg)
		}
		return
	}
	// A person who exports the variable by accident still gets the program that was asked for.
	if _, err := syscall.GetsockoptInt(control, syscall.SOL_SOCKET, syscall.SO_TYPE); err != nil {
		return
	}
	syscall.CloseOnExec(control)
	// What the daemon itself inherited must not stay open here, let alone reach a payload.
	syscall.RawSyscall(sysCloseRange, control+1, ^uintptr(0)>>32, 0)
	switch role {
	case RoleHold:
		var b [1]byte
		syscall.Read(control, b[:])
	case RoleNursery:
		nurse()
	case RoleBox:
		serve()
	}
	syscall.Exit(0)
}

type stage struct {
	what string
	err  error
}

func (e stage) Error() string { return e.what + ": " + e.err.Error() }

func stageError(what string, err error) error { return stage{what, err} }

// fail tells the daemon why there is no box, and ends.
func fail(err error) {
	Send(control, FrameError, []byte(err.Error()))
	syscall.Exit(1)
}

func serve() {
	// During initialisation this goroutine stays on the first thread, whose attributes the payload inherits.
	kind, body, fds, err := Receive(control)
	if err != nil || kind != FrameSpec {
		syscall.Exit(1)
	}
	spec, err := DecodeSpec(body)
	if err != nil {
		fail(err)
	}
	b := &builder{fds: fds, ruleset: -1}
	out, err := b.build(spec)
	if err != nil {
		fail(err)
	}
	if err := Send(control, FrameReady, nil, append(out, b.listeners...)...); err != nil {
		syscall.Exit(1)
	}
	for _, fd := range append(out, b.listeners...) {
		syscall.Close(fd)
	}
	if spec.Steps&StepTemplate != 0 {
		b.copies()
	}
	kind, body, fds, err = Receive(control)
	if err != nil || kind != FrameExec {
		syscall.Exit(1) // the daemon ended, or gave a prepared box up
	}
	x, err := DecodeExec(body)
	if err != nil {
		fail(err)
	}
	run(spec, x, fds)
}

// copies hands out copies of the view until the daemon ends.
func (b *builder) copies() {
	for {
		kind, _, _, err := Receive(control)
		if err != nil || kind != FrameTree {
			syscall.Exit(0)
		}
		fd, err := openTree(atFDCWD, "/", openTreeClone|openTreeCloexec|atRecursive)
		if err != nil {
			fail(stageError("copy the template", err))
		}
		if err := Send(control, FrameTree, nil, fd); err != nil {
			syscall.Exit(0)
		}
		syscall.Close(fd)
	}
}

// build makes the view and gives up every privilege. It returns descriptors of the box's /proc and scratch tmpfs.
func (b *builder) build(s *Spec) ([]int, error) {
	syscall.Umask(0)
	// Nothing that the daemon itself inherited may reach a payload.
	if _, _, errno := syscall.RawSyscall(sysCloseRange, control, ^uintptr(0)>>32, closeRangeCloexec); errno != 0 {
		return nil, stageError("close inherited descriptors", errno)
	}
	// A payload must not read or write this process's memory, environment or descriptors.
	if err := prctl(prSetDumpable, 0, 0, 0, 0); err != nil {
		return nil, stageError("become undumpable", err)
	}
	if s.Steps&StepSubreaper != 0 {
		if err := prctl(prSetChildSubreaper, 1, 0, 0, 0); err != nil {
			return nil, stageError("become subreaper", err)
		}
		openTasks()
	}
	if s.Steps&StepLandlock != 0 {
		if err := b.createRuleset(s); err != nil {
			return nil, stageError("landlock", err)
		}
	}
	var out []int
	if s.Steps&StepNamespaces != 0 {
		if err := b.enter(s.Steps&StepTree != 0); err != nil {
			return nil, err
		}
	}
	if s.Steps&(StepNamespaces|StepTemplate) == StepNamespaces {
		if err := loopback(); err != nil {
			return nil, stageError("bring loopback up", err)
		}
		if err := syscall.Sethostname([]byte(s.Hostname)); err != nil {
			return nil, stageError("set host name", err)
		}
	}
	for _, op := range s.Ops {
		if err := b.do(op); err != nil {
			return nil, opError{op, err}
		}
	}
	if s.Steps&StepNamespaces != 0 {
		if err := b.leave(s.Steps&StepTree != 0); err != nil {
			return nil, err
		}
		if s.Steps&StepTemplate != 0 {
			return nil, nil // no payload ever runs here
		}
	}
	if s.Steps&(StepNamespaces|StepHandOut) != 0 {
		for _, p := range []string{"/proc", "/.scratch"} {
			fd, err := openat2(atFDCWD, p, oPath|syscall.O_DIRECTORY, 0)
			if err != nil {
				return nil, stageError("open "+p, err)
			}
			out = append(out, fd)
		}
	}
	syscall.Umask(0o022)
	return out, b.confine(s)
}

// confine applies to every thread: any thread could start the payload, and a payload must gain nothing by attacking one.
func (b *builder) confine(s *Spec) error {
	warm()
	for _, l := range s.Rlimits {
		// Setrlimit, not prlimit: the syscall package then forgets the limit on files that it would restore.
		if err := syscall.Setrlimit(int(l.Resource), &syscall.Rlimit{Cur: l.Value, Max: l.Value}); err != nil {
			return stageError("set limit "+itoa(int(l.Resource)), err)
		}
	}
	if s.Steps&StepCaps == 0 {
		deafen()
		return b.failAtEnd(s) // no sandbox was asked for
	}
	{
		for c := uintptr(0); ; c++ {
			err := prctl(prCapbsetDrop, c, 0, 0, 0)
			if err == syscall.EINVAL || err == syscall.EPERM && s.Steps&StepNamespaces == 0 {
				break // the last one, or a person's own process that has none to drop
			} else if err != nil {
				return stageError("drop bounding set", err)
			}
		}
		head := struct {
			version uint32
			pid     int32
		}{version: capabilityVersion3}
		var none [6]uint32
		if err := everyThread(syscall.SYS_CAPSET, uintptr(unsafe.Pointer(&head)), uintptr(unsafe.Pointer(&none)), 0); err != nil {
			return stageError("drop capabilities", err)
		}
	}
	// What follows holds for this thread, which starts the payload. The filter's installation gives no_new_privs and
	// the filter to the others too; Landlock stays here, since asking every thread once more costs as much as a mount
	// namespace, and the others do nothing that it could refuse.
	if err := prctl(prSetNoNewPrivs, 1, 0, 0, 0); err != nil {
		return stageError("no_new_privs", err)
	}
	if s.Steps&StepLandlock != 0 {
		if _, _, errno := syscall.RawSyscall(sysLandlockRestrict, uintptr(b.ruleset), 0, 0); errno != 0 {
			return stageError("landlock", errno)
		}
		syscall.Close(b.ruleset)
	}
	if len(s.Seccomp) > 0 {
		prog := struct {
			n      uint16
			filter unsafe.Pointer
		}{uint16(len(s.Seccomp) / 8), unsafe.Pointer(&s.Seccomp[0])}
		tid, _, errno := syscall.Syscall(sysSeccomp, seccompSetModeFilter, seccompFilterTSYNC, uintptr(unsafe.Pointer(&prog)))
		if errno != 0 {
			return stageError("seccomp", errno)
		}
		if tid != 0 {
			return stageError("seccomp", syscall.ESRCH) // a thread couldn't be synchronised
		}
	}
	deafen()
	return b.failAtEnd(s)
}

func (b *builder) failAtEnd(s *Spec) error {
	if s.Steps&StepFailAtEnd != 0 {
		return stageError("set-up", syscall.ECANCELED)
	}
	return nil
}

// deafen takes the runtime's signal handlers away. The kernel drops what the first process of a pid namespace has no
// handler for, so that a payload can't end its own init. The syscall package still gives a payload the default actions.
func deafen() {
	const sigurg = 23 // by which the runtime preempts
	var action [4]uint64
	for sig := uintptr(1); sig <= 64; sig++ {
		if sig != sigurg && sig != uintptr(syscall.SIGKILL) && sig != uintptr(syscall.SIGSTOP) {
			syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
		}
	}
}

// everyThread makes a system call on all threads. It fails in a program that was built with cgo, where the runtime
// doesn't know every thread.
func everyThread(nr, a, b, c uintptr) error {
	_, _, errno := syscall.AllThreadsSyscall6(nr, a, b, c, 0, 0, 0)
	if errno == syscall.ENOTSUP {
		return needStatic{}
	}
	if errno != 0 {
		return errno
	}
	return nil
}

type needStatic struct{}

func (needStatic) Error() string {
	return "this program was built with cgo and can't confine all its threads: build it with CGO_ENABLED=0"
}

// warm makes the runtime start the one more thread that this process will need, before the limit on processes holds:
// this goroutine keeps its own.
func warm() {
	done := make(chan struct{})
	go func() { done <- struct{}{} }()
	<-done
}
