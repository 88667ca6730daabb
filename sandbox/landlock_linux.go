package sandbox

import (
	"agentd/sandbox/boxinit"

	"golang.org/x/sys/unix"
)

// Rights of Landlock on files.
const (
	llExecute    = 1 << 0
	llWriteFile  = 1 << 1
	llReadFile   = 1 << 2
	llReadDir    = 1 << 3
	llMakeChar   = 1 << 6
	llMakeBlock  = 1 << 11
	llRefer      = 1 << 13 // ABI 2
	llTruncate   = 1 << 14 // ABI 3
	llIoctlDev   = 1 << 15 // ABI 5
	llScopeUnix  = 1 << 0  // ABI 6
	llScopeKill  = 1 << 1  // ABI 6
	llBindTCP    = 1 << 0  // ABI 4
	llConnectTCP = 1 << 1  // ABI 4

	llRead = llExecute | llReadFile | llReadDir
)

// landlockABI is the version that the kernel has, or 0.
func landlockABI() int {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(v)
}

// landlockRights are the rights on files that an ABI knows.
func landlockRights(abi int) uint64 {
	rights := uint64(1<<13 - 1)
	for _, r := range []struct {
		abi   int
		right uint64
	}{{2, llRefer}, {3, llTruncate}, {5, llIoctlDev}} {
		if abi >= r.abi {
			rights |= r.right
		}
	}
	return rights
}

// landlockOps adds a second fence to a box with namespaces: only what the view means to be writable is.
func landlockOps(s *boxinit.Spec, pl *plan, abi int) {
	if abi == 0 {
		return
	}
	s.Steps |= boxinit.StepLandlock
	s.LandlockFS = landlockRights(abi)
	if abi >= 6 {
		s.LandlockScope = llScopeUnix | llScopeKill
	}
	write := s.LandlockFS &^ (llMakeChar | llMakeBlock)
	allow := func(dir string, rights uint64) {
		s.Ops = append(s.Ops, boxinit.Op{Kind: boxinit.OpAllow, Dst: dir, Num: rights & s.LandlockFS, FD: -1})
	}
	allow("/", llRead)
	allow("/proc", llRead|llWriteFile|llTruncate)
	allow("/dev", llRead|llWriteFile|llTruncate|llIoctlDev)
	allow("/.scratch", write)
	for _, in := range []string{"/tmp", boxHome, "/dev/shm"} {
		allow(in, write)
	}
	for _, src := range pl.sources {
		if src.owned && src.flags&boxinit.ReadOnly == 0 {
			allow(src.in, write)
		}
	}
}
