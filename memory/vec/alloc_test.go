//go:build !race

package vec

import (
	"math/rand/v2"
	"testing"
)

// TestSearchAllocates is not for the race detector, under which a sync.Pool drops what it likes.
func TestSearchAllocates(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 2))
	x := clusters(r, 6000, 64)
	w := build(t, x, 64, 4096)
	w.c.Search(w.segs, x[:64], Options{})
	if n := testing.AllocsPerRun(50, func() { w.c.Search(w.segs, x[:64], Options{}) }); n > 4 {
		t.Errorf("a search allocates %v times", n)
	}
}
