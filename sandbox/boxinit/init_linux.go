package boxinit

import (
	"syscall"
	"unsafe"
)

const control = 3 // the descriptor of the control socket

// init takes over in a process that was started to make boxes. It is the one init in the project that has an effect:
// what runs later would cost every command the start of all linked libraries.
func init() {
	role, found := syscall.Getenv(Marker)
	if !found {
		if arg, found := syscall.Getenv(ProbeMarker); found {
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
	case RoleNursery:
		nurse()
	case RoleBox:
		serve()
	}
	exit(0)
}

// serve is the init of a box whose namespaces another program made: it was executed, and is told what to do.
func serve() {
	// During initialisation this goroutine stays on the first thread, whose attributes the payload inherits.
	m, errno := receive()
	if errno != 0 || m.kind != FrameSpec {
		exit(1)
	}
	spec, err := DecodeSpec(m.body)
	if err != nil {
		fail(failed(stageMessage, syscall.EBADMSG))
	}
	box.take(spec, m)
	box.live()
}

// fail tells the daemon why there is no box, and ends.
func fail(f failure) {
	send(FrameError, nums(uint64(f.stage), uint64(f.op), uint64(f.errno)))
	exit(1)
}

// take gives the builder its spec and the mounts that came with m.
func (b *builder) take(s *Spec, m *message) {
	b.spec, b.ruleset = s, -1
	b.nmounts = copy(b.mounts[:], m.fds[:m.nfds])
}

// live builds the box, and runs what the daemon asks for.
func (b *builder) live() {
	if f := b.build(); f != ok {
		fail(f)
	}
	if errno := send(FrameReady, nil, b.out[:b.nout]...); errno != 0 {
		exit(1)
	}
	for _, fd := range b.out[:b.nout] {
		closeFD(fd)
	}
	if b.spec.Steps&StepTemplate != 0 {
		copies()
	}
	m, errno := receive()
	if errno != 0 || m.kind != FrameExec {
		exit(1) // the daemon ended, or gave a prepared box up
	}
	b.run(m)
}

// copies hands out copies of the view until the daemon ends.
func copies() {
	for {
		m, errno := receive()
		if errno != 0 || m.kind != FrameTree {
			exit(0)
		}
		fd, errno := openTree(atFDCWD, "/", openTreeClone|openTreeCloexec|atRecursive)
		if errno != 0 {
			fail(failed(stageTemplate, errno))
		}
		if errno := send(FrameTree, nil, fd); errno != 0 {
			exit(0)
		}
		closeFD(fd)
	}
}

// build makes the view and gives up every privilege. The daemon gets descriptors of the box's /proc and scratch tmpfs.
func (b *builder) build() failure {
	s := b.spec
	umask(0)
	// Nothing that the daemon itself inherited may reach a payload.
	if _, _, errno := syscall.RawSyscall(sysCloseRange, control, ^uintptr(0)>>32, closeRangeCloexec); errno != 0 {
		return failed(stageDescriptors, errno)
	}
	// A payload must not read or write this process's memory, environment or descriptors.
	if errno := prctl(prSetDumpable, 0, 0, 0, 0); errno != 0 {
		return failed(stageDumpable, errno)
	}
	if s.Steps&StepSubreaper != 0 {
		if errno := prctl(prSetChildSubreaper, 1, 0, 0, 0); errno != 0 {
			return failed(stageSubreaper, errno)
		}
		b.openChildren()
	}
	if s.Steps&StepLandlock != 0 {
		if errno := b.createRuleset(); errno != 0 {
			return failed(stageLandlock, errno)
		}
	}
	if s.Steps&StepNamespaces != 0 {
		if f := b.enter(); f != ok {
			return f
		}
	}
	if s.Steps&(StepNamespaces|StepTemplate) == StepNamespaces {
		if s.Steps&StepKeptNet == 0 {
			if errno := loopback(); errno != 0 {
				return failed(stageLoopback, errno)
			}
		}
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETHOSTNAME, zpath(0, s.Hostname), uintptr(len(s.Hostname)), 0); errno != 0 {
			return failed(stageHostname, errno)
		}
	}
	b.nout = 2 // for /proc and the scratch space, which exist later than listeners may
	for i := range s.Ops {
		if errno := b.do(&s.Ops[i]); errno != 0 {
			return failure{stageOp, i, errno}
		}
	}
	if s.Steps&StepNamespaces != 0 {
		if f := b.leave(); f != ok {
			return f
		}
	}
	if s.Steps&StepTemplate != 0 {
		b.nout = 0
		return ok // no payload ever runs here
	}
	if s.Steps&(StepNamespaces|StepHandOut) != 0 {
		var errno syscall.Errno
		if b.out[0], errno = openat2(atFDCWD, "/proc", oPath|syscall.O_DIRECTORY, 0); errno != 0 {
			return failed(stageHandOut, errno)
		}
		scratch := "/.scratch"
		if s.Steps&StepHandOut != 0 { // several file systems: the one that fills
			scratch = "/tmp"
		}
		if b.out[1], errno = openat2(atFDCWD, scratch, oPath|syscall.O_DIRECTORY, 0); errno != 0 {
			return failed(stageHandOut, errno)
		}
	} else {
		b.nout = copy(b.out[:], b.out[2:b.nout])
	}
	umask(0o022)
	if !forked {
		warm()
	}
	if errno := b.watchSignals(); errno == syscall.ENOTSUP {
		return failed(stageStatic, errno)
	} else if errno != 0 {
		return failed(stageSignals, errno)
	}
	return b.confine()
}

func umask(mask uintptr) { syscall.RawSyscall(syscall.SYS_UMASK, mask, 0, 0) }

// everySignal and noSignal are masks.
var everySignal, noSignal = ^uint64(0), uint64(0)

// watchSignals blocks all signals on every thread. That a child ended is read from a descriptor.
func (b *builder) watchSignals() syscall.Errno {
	const setMask = 2
	if errno := everyThread(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&everySignal)), 0, 8); errno != 0 {
		return errno
	}
	mask := uint64(1) << (syscall.SIGCHLD - 1)
	fd, _, errno := syscall.RawSyscall6(syscall.SYS_SIGNALFD4, ^uintptr(0), uintptr(unsafe.Pointer(&mask)), 8, syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0, 0)
	b.signals = int(fd)
	return errno
}
