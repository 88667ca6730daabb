package serve

import (
	"testing"
	"time"
)

// TestPacer drives the pacer on machines that are idle, busy, or change, and looks at the time that it loses against the best fixed count.
func TestPacer(t *testing.T) {
	idle := []time.Duration{100 * time.Millisecond, 55 * time.Millisecond}
	busy := []time.Duration{110 * time.Millisecond, 900 * time.Millisecond}
	for _, c := range []struct {
		name  string
		tokns int // of a batch
		cost  func(batch int) []time.Duration
		most  float64 // times the best
	}{
		{"idle", 1, func(int) []time.Duration { return idle }, 1.06},
		{"busy", 1, func(int) []time.Duration { return busy }, 1.25},
		{"busy, prompts", 128, func(int) []time.Duration { return busy }, 1.25},
		{"busy, then idle", 1, func(i int) []time.Duration {
			if i < 300 {
				return busy
			}
			return idle
		}, 1.25},
		{"idle, then busy", 1, func(i int) []time.Duration {
			if i < 300 {
				return idle
			}
			return busy
		}, 1.35},
	} {
		t.Run(c.name, func(t *testing.T) {
			var threads int32
			p := makePacer(2, func(n int32) { threads = n })
			var took, best time.Duration
			for i := range 600 {
				cost := c.cost(i)
				p.begin(c.tokns)
				took += cost[threads-1]
				best += min(cost[0], cost[1])
				p.end(c.tokns, cost[threads-1])
			}
			if got := float64(took) / float64(best); got > c.most {
				t.Errorf("took %.2f times the best, want %.2f", got, c.most)
			}
		})
	}
}

// TestPacerTriesNeighbours: where all counts cost the same, only the neighbours of the best are tried.
func TestPacerTriesNeighbours(t *testing.T) {
	seen := make(map[int32]bool)
	p := makePacer(4, func(n int32) { seen[n] = true })
	for range 2000 {
		p.begin(1)
		p.end(1, time.Millisecond)
	}
	for n := int32(1); n <= 4; n++ {
		if want := n >= 3; seen[n] != want {
			t.Errorf("%d threads tried: %v, want %v", n, seen[n], want)
		}
	}
}
