package memory

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// arena is anonymous memory in huge pages: a scan over it misses the TLB once in 2 MiB. It goes when nothing refers to it.
type arena struct {
	b    []byte
	used int
}

const hugePage = 2 << 20

func newArena(size int) *arena {
	size = (size + hugePage - 1) / hugePage * hugePage
	m, err := syscall.Mmap(-1, 0, size+hugePage, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return &arena{b: make([]byte, size)}
	}
	// Without huge pages it is memory all the same.
	_ = syscall.Madvise(m, syscall.MADV_HUGEPAGE)
	a := &arena{b: m[:size]}
	runtime.AddCleanup(a, func(m []byte) { _ = syscall.Munmap(m) }, m)
	return a
}

// take gives n bytes, aligned to a cache line, or nil if they are not there.
func (a *arena) take(n int) []byte {
	from := (a.used + 63) / 64 * 64
	if from+n > len(a.b) {
		return nil
	}
	a.used = from + n
	return a.b[from : from+n : from+n]
}

// willNeed asks for the pages of b to be read, all at once.
func willNeed(b []byte) {
	if len(b) == 0 {
		return
	}
	advise(b, syscall.MADV_WILLNEED)
}

// advise calls madvise for the whole pages that hold b.
func advise(b []byte, how int) {
	page := uintptr(syscall.Getpagesize())
	start := uintptr(unsafe.Pointer(&b[0]))
	from := start &^ (page - 1)
	_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, from, start+uintptr(len(b))-from, uintptr(how))
}

// shareLock says whether no other process has a store open on f. The lock goes with f.
func shareLock(f *os.File) bool {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == nil
}
