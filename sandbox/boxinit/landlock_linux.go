package boxinit

import (
	"syscall"
	"unsafe"
)

// createRuleset starts a Landlock ruleset that handles the rights of s.
func (b *builder) createRuleset(s *Spec) error {
	attr := struct{ fs, net, scope uint64 }{s.LandlockFS, s.LandlockNet, s.LandlockScope}
	size := unsafe.Sizeof(attr)
	if attr.scope == 0 {
		if size = 16; attr.net == 0 {
			size = 8
		}
	}
	fd, _, errno := syscall.Syscall(sysLandlockCreate, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return errno
	}
	b.ruleset = int(fd)
	return nil
}

// allow adds the rule "op.Num below op.Dst". A missing path is left out where the op is optional.
func (b *builder) allow(op Op) error {
	// Not openat2, which an outer sandbox may refuse: paths that a link leads elsewhere are as good here.
	fd, err := syscall.Open(op.Dst, oPath|syscall.O_CLOEXEC, 0)
	if op.Flags&Optional != 0 && (err == syscall.ENOENT || err == syscall.EACCES) {
		return nil
	}
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	rule := struct {
		access uint64
		parent int32
	}{op.Num, int32(fd)}
	// The kernel's struct is packed: 12 bytes, which the first 12 of this one are.
	_, _, errno := syscall.Syscall6(sysLandlockAddRule, uintptr(b.ruleset), landlockRulePathBeneath, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// killChildren ends the processes that were started from here where there is no pid namespace. This process adopts
// orphans, so every descendant becomes a child sooner or later.
func killChildren() {
	for _, pid := range children() {
		syscall.Kill(pid, syscall.SIGKILL)
	}
}

// children lists the children of this process from the kernel's own list.
func children() []int {
	var pids []int
	if tasks < 0 {
		return nil
	}
	for _, tid := range threads() {
		fd, err := syscall.Openat(tasks, itoa(tid)+"/children", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		buf := make([]byte, 64<<10)
		n, _ := syscall.Read(fd, buf)
		syscall.Close(fd)
		pid := 0
		for _, c := range buf[:max(n, 0)] {
			if c >= '0' && c <= '9' {
				pid = pid*10 + int(c-'0')
			} else if pid > 0 {
				pids, pid = append(pids, pid), 0
			}
		}
	}
	return pids
}

// tasks is a descriptor of /proc/self/task, opened before Landlock holds.
var tasks = -1

func openTasks() {
	if fd, err := syscall.Open("/proc/self/task", syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0); err == nil {
		tasks = fd
	}
}

func threads() []int {
	var tids []int
	syscall.Seek(tasks, 0, 0)
	buf := make([]byte, 8192)
	for {
		n, err := syscall.Getdents(tasks, buf)
		if n <= 0 || err != nil {
			return tids
		}
		_, _, names := syscall.ParseDirent(buf[:n], -1, nil)
		for _, name := range names {
			tid := 0
			for i := range len(name) {
				if name[i] < '0' || name[i] > '9' {
					tid = 0
					break
				}
				tid = tid*10 + int(name[i]-'0')
			}
			if tid > 0 {
				tids = append(tids, tid)
			}
		}
	}
}
