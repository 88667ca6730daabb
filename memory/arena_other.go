//go:build !linux

package memory

import "os"

// arena is memory for codes.
type arena struct {
	b    []byte
	used int
}

func newArena(size int) *arena { return &arena{b: make([]byte, size)} }

func (a *arena) take(n int) []byte {
	if a.used+n > len(a.b) {
		return nil
	}
	a.used += n
	return a.b[a.used-n : a.used : a.used]
}

func willNeed([]byte) {}

// shareLock leaves it to bbolt to find out.
func shareLock(*os.File) bool { return true }
