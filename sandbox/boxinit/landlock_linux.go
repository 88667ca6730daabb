package boxinit

import (
	"syscall"
	"unsafe"
)

// createRuleset starts a Landlock ruleset that handles the rights of the spec.
func (b *builder) createRuleset() syscall.Errno {
	s := b.spec
	attr := struct{ fs, net, scope uint64 }{s.LandlockFS, s.LandlockNet, s.LandlockScope}
	size := unsafe.Sizeof(attr)
	if attr.scope == 0 {
		if size = 16; attr.net == 0 {
			size = 8
		}
	}
	fd, _, errno := syscall.RawSyscall(sysLandlockCreate, uintptr(unsafe.Pointer(&attr)), size, 0)
	b.ruleset = int(fd)
	return errno
}

// allow adds the rule "op.Num below op.Dst". A missing path is left out where the op is optional.
func (b *builder) allow(op *Op) syscall.Errno {
	// Not openat2, which an outer sandbox may refuse: paths that a link leads elsewhere are as good here.
	fd, errno := openFile(op.Dst, oPath, 0)
	if op.Flags&Optional != 0 && (errno == syscall.ENOENT || errno == syscall.EACCES) {
		return 0
	}
	if errno != 0 {
		return errno
	}
	rule := struct {
		access uint64
		parent int32
	}{op.Num, int32(fd)}
	// The kernel's struct is packed: 12 bytes, which the first 12 of this one are.
	_, _, errno = syscall.RawSyscall6(sysLandlockAddRule, uintptr(b.ruleset), landlockRulePathBeneath, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	closeFD(fd)
	return errno
}

// openChildren opens the kernel's own list of the children of this process, before Landlock holds.
func (b *builder) openChildren() {
	var path [64]byte
	n := copy(path[:], "/proc/self/task/")
	var digits [12]byte
	n += copy(path[n:], digits[number(digits[:], getpid()):])
	n += copy(path[n:], "/children")
	if fd, errno := openFile(unsafe.String(&path[0], n), syscall.O_RDONLY, 0); errno == 0 {
		b.children = fd
	}
}

// childList is room for one look at the children. Those that don't fit are seen when these have ended.
var childList [8192]byte

// killChildren ends the processes that were started from here where there is no pid namespace. This process adopts
// orphans, so every descendant becomes a child sooner or later.
func (b *builder) killChildren() {
	if b.children <= 0 {
		return
	}
	n, _, errno := syscall.RawSyscall6(syscall.SYS_PREAD64, uintptr(b.children), addr(childList[:]), uintptr(len(childList)), 0, 0, 0)
	if errno != 0 {
		return
	}
	pid := 0
	for _, c := range childList[:n] {
		if c >= '0' && c <= '9' {
			pid = pid*10 + int(c-'0')
		} else {
			if pid > 1 {
				syscall.RawSyscall(syscall.SYS_KILL, uintptr(pid), uintptr(syscall.SIGKILL), 0)
			}
			pid = 0
		}
	}
}

func getpid() int {
	pid, _, _ := syscall.RawSyscall(syscall.SYS_GETPID, 0, 0, 0)
	return int(pid)
}
