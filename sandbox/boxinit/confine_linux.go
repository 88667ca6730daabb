package boxinit

import (
	"syscall"
	"unsafe"
)

var (
	capHeader = struct {
		version uint32
		pid     int32
	}{version: capabilityVersion3}
	noCaps    [6]uint32
	defaultAt [4]uint64 // a sigaction of all zeroes: the default
	program   struct {
		n      uint16
		filter unsafe.Pointer
	}
)

// confine gives up every privilege. Where there are several threads it applies to all: any of them could start the
// payload, and a payload must gain nothing by attacking one.
func (b *builder) confine() failure {
	s := b.spec
	for i := range s.Rlimits {
		l := &s.Rlimits[i]
		value := [2]uint64{l.Value, l.Value}
		if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, 0, uintptr(l.Resource), uintptr(unsafe.Pointer(&value)), 0, 0, 0); errno != 0 {
			return failed(stageLimits, errno)
		}
	}
	if s.Steps&StepCaps == 0 {
		deafen()
		return b.atEnd() // no sandbox was asked for
	}
	for c := uintptr(0); ; c++ {
		errno := prctl(prCapbsetDrop, c, 0, 0, 0)
		if errno == syscall.EINVAL || errno == syscall.EPERM && s.Steps&StepNamespaces == 0 {
			break // the last one, or a person's own process that has none to drop
		} else if errno != 0 {
			return failed(stageBounding, errno)
		}
	}
	if errno := everyThread(syscall.SYS_CAPSET, uintptr(unsafe.Pointer(&capHeader)), uintptr(unsafe.Pointer(&noCaps)), 0, 0); errno != 0 {
		return failed(stageCaps, errno)
	}
	// What follows holds for this thread, which starts the payload. The filter's installation gives no_new_privs and
	// the filter to the others too; Landlock stays here, since the others do nothing that it could refuse.
	if errno := prctl(prSetNoNewPrivs, 1, 0, 0, 0); errno != 0 {
		return failed(stageNewPrivs, errno)
	}
	if s.Steps&StepLandlock != 0 {
		if _, _, errno := syscall.RawSyscall(sysLandlockRestrict, uintptr(b.ruleset), 0, 0); errno != 0 {
			return failed(stageLandlock, errno)
		}
		closeFD(b.ruleset)
	}
	if len(s.Seccomp) > 0 {
		program.n, program.filter = uint16(len(s.Seccomp)/8), unsafe.Pointer(unsafe.SliceData(s.Seccomp))
		flags := uintptr(seccompFilterTSYNC)
		if forked {
			flags = 0
		}
		tid, _, errno := syscall.RawSyscall(sysSeccomp, seccompSetModeFilter, flags, uintptr(unsafe.Pointer(&program)))
		if errno != 0 {
			return failed(stageSeccomp, errno)
		}
		if tid != 0 {
			return failed(stageSeccomp, syscall.ESRCH) // a thread couldn't be synchronised
		}
	}
	deafen()
	return b.atEnd()
}

func (b *builder) atEnd() failure {
	if b.spec.Steps&StepFailAtEnd != 0 {
		return failed(stageAtEnd, syscall.ECANCELED)
	}
	return ok
}

// deafen takes signal handlers away. The kernel drops what the first process of a pid namespace has no handler for, so
// that a payload can't end its own init.
func deafen() {
	const sigurg = 23 // by which the runtime preempts, where there is one
	for sig := uintptr(1); sig <= 64; sig++ {
		if (sig != sigurg || forked) && sig != uintptr(syscall.SIGKILL) && sig != uintptr(syscall.SIGSTOP) {
			syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&defaultAt)), 0, 8, 0, 0)
		}
	}
}

// everyThread makes a system call on all threads. It fails in a program that was built with cgo, where the runtime
// doesn't know every thread.
func everyThread(nr, a, b, c, d uintptr) syscall.Errno {
	if forked {
		_, _, errno := syscall.RawSyscall6(nr, a, b, c, d, 0, 0)
		return errno
	}
	_, _, errno := syscall.AllThreadsSyscall6(nr, a, b, c, d, 0, 0)
	return errno
}

// warm makes the runtime start the one more thread that this process will need, before the limit on processes holds:
// this goroutine keeps its own.
func warm() {
	done := make(chan struct{})
	go func() { done <- struct{}{} }()
	<-done
}
