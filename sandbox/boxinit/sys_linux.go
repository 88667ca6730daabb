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

func bytePtr(s string) (*byte, error) { return syscall.BytePtrFromString(s) }

type openHow struct{ flags, mode, resolve uint64 }

func openat2(dir int, path string, flags, resolve uint64) (int, error) {
	p, err := bytePtr(path)
	if err != nil {
		return -1, err
	}
	how := openHow{flags: flags | syscall.O_CLOEXEC, resolve: resolve}
	for {
		fd, _, errno := syscall.Syscall6(sysOpenat2, uintptr(dir), uintptr(unsafe.Pointer(p)), uintptr(unsafe.Pointer(&how)), unsafe.Sizeof(how), 0, 0)
		if errno == syscall.EINTR || errno == syscall.EAGAIN {
			continue
		}
		if errno != 0 {
			return -1, errno
		}
		return int(fd), nil
	}
}

func openTree(dir int, path string, flags uintptr) (int, error) {
	p, err := bytePtr(path)
	if err != nil {
		return -1, err
	}
	fd, _, errno := syscall.Syscall(sysOpenTree, uintptr(dir), uintptr(unsafe.Pointer(p)), flags)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

type mountAttr struct{ set, clr, propagation, userns uint64 }

func mountSetattr(fd int, flags uintptr, set uint64) error {
	attr := mountAttr{set: set}
	empty := [1]byte{}
	_, _, errno := syscall.Syscall6(sysMountSetattr, uintptr(fd), uintptr(unsafe.Pointer(&empty[0])), flags|atEmptyPath, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func moveMount(from, to int) error {
	empty := [1]byte{}
	p := uintptr(unsafe.Pointer(&empty[0]))
	_, _, errno := syscall.Syscall6(sysMoveMount, uintptr(from), p, uintptr(to), p, moveMountFEmptyPath|moveMountTEmptyPath, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func ioctl(fd int, req uintptr, arg unsafe.Pointer) error {
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), req, uintptr(arg))
	if errno != 0 {
		return errno
	}
	return nil
}

func prctl(op, a, b, c, d uintptr) error {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, op, a, b, c, d, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
