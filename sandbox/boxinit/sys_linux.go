package boxinit

import (
	"syscall"
	"unsafe"
)

// Numbers from 424 on are the same on every architecture.
const (
	sysOpenTree             = 428
	sysMoveMount            = 429
	sysCloseRange           = 436
	sysOpenat2              = 437
	sysMountSetattr         = 442
	sysLandlockCreate       = 444
	sysLandlockAddRule      = 445
	sysLandlockRestrict     = 446
	atFDCWD                 = -100
	atCWD                   = ^uintptr(99)
	atEmptyPath             = 0x1000
	atRecursive             = 0x8000
	atSymlinkNofollow       = 0x100
	openTreeClone           = 1
	openTreeCloexec         = syscall.O_CLOEXEC
	moveMountFEmptyPath     = 0x4
	moveMountTEmptyPath     = 0x40
	mountAttrRDONLY         = 0x1
	mountAttrNOSUID         = 0x2
	mountAttrNODEV          = 0x4
	mountAttrNOEXEC         = 0x8
	oPath                   = 0x200000
	resolveNoMagic          = 0x2
	resolveNoSymlinks       = 0x4
	resolveInRoot           = 0x10
	resolveBeneath          = 0x8
	prSetDumpable           = 4
	prSetNoNewPrivs         = 38
	prSetChildSubreaper     = 36
	prCapbsetDrop           = 24
	prCapAmbient            = 47
	prCapAmbientClearAll    = 4
	prSetName               = 15
	seccompSetModeFilter    = 1
	seccompFilterTSYNC      = 1
	capabilityVersion3      = 0x20080522
	closeRangeCloexec       = 4
	tiocsptlck              = 0x40045431
	tiocgptn                = 0x80045430
	tiocswinsz              = 0x5414
	landlockRulePathBeneath = 1
)

// paths holds the two paths that a system call takes at most, with the zero byte that the kernel wants.
var paths [2][4097]byte

// zpath returns the address of a copy of s. A path that is too long becomes one that the kernel refuses.
func zpath(slot int, s string) uintptr {
	b := &paths[slot]
	if len(s) >= len(b) {
		return 0
	}
	copy(b[:], s)
	b[len(s)] = 0
	return uintptr(unsafe.Pointer(b))
}

type openHow struct{ flags, mode, resolve uint64 }

func openat2(dir int, path string, flags, resolve uint64) (int, syscall.Errno) {
	how := openHow{flags: flags | syscall.O_CLOEXEC, resolve: resolve}
	for {
		fd, _, errno := syscall.RawSyscall6(sysOpenat2, uintptr(dir), zpath(0, path), uintptr(unsafe.Pointer(&how)), unsafe.Sizeof(how), 0, 0)
		if errno == syscall.EINTR || errno == syscall.EAGAIN {
			continue
		}
		return int(fd), errno
	}
}

func openFile(path string, flags int, mode uint32) (int, syscall.Errno) {
	fd, _, errno := syscall.RawSyscall6(syscall.SYS_OPENAT, atCWD, zpath(0, path), uintptr(flags|syscall.O_CLOEXEC), uintptr(mode), 0, 0)
	return int(fd), errno
}

func closeFD(fd int) { syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(fd), 0, 0) }

func openTree(dir int, path string, flags uintptr) (int, syscall.Errno) {
	fd, _, errno := syscall.RawSyscall(sysOpenTree, uintptr(dir), zpath(0, path), flags)
	return int(fd), errno
}

type mountAttr struct{ set, clr, propagation, userns uint64 }

func mountSetattr(fd int, flags uintptr, set uint64) syscall.Errno {
	attr := mountAttr{set: set}
	_, _, errno := syscall.RawSyscall6(sysMountSetattr, uintptr(fd), zpath(0, ""), flags|atEmptyPath, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	return errno
}

func moveMount(from, to int) syscall.Errno {
	p := zpath(0, "")
	_, _, errno := syscall.RawSyscall6(sysMoveMount, uintptr(from), p, uintptr(to), p, moveMountFEmptyPath|moveMountTEmptyPath, 0)
	return errno
}

// mountTypes are the file systems that an init mounts.
var mountTypes = [...][8]byte{{'t', 'm', 'p', 'f', 's'}, {'p', 'r', 'o', 'c'}, {'d', 'e', 'v', 'p', 't', 's'}}

const (
	typeTmpfs = iota
	typeProc
	typeDevpts
)

func mount(kind int, dst string, flags uintptr, options string) syscall.Errno {
	name := uintptr(unsafe.Pointer(&mountTypes[kind]))
	_, _, errno := syscall.RawSyscall6(syscall.SYS_MOUNT, name, zpath(0, dst), name, flags, zpath(1, options), 0)
	return errno
}

func ioctl(fd int, req uintptr, arg unsafe.Pointer) syscall.Errno {
	_, _, errno := syscall.RawSyscall(syscall.SYS_IOCTL, uintptr(fd), req, uintptr(arg))
	return errno
}

func prctl(op, a, b, c, d uintptr) syscall.Errno {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, op, a, b, c, d, 0)
	return errno
}

// exit ends this process and no deferred thing runs.
func exit(code int) {
	for {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, uintptr(code), 0, 0)
	}
}

// number writes n in decimal at the end of b and returns where it starts.
func number(b []byte, n int) int {
	i := len(b)
	for {
		i--
		b[i] = byte('0' + n%10)
		if n /= 10; n == 0 || i == 0 {
			return i
		}
	}
}
