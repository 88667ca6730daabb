package sandbox

import (
	"fmt"
	"sync/atomic"
	"time"
)

// outputCount counts what a box writes and what its supervisor has seen it use.
type outputCount struct {
	limit int64
	bytes atomic.Int64
	rss   atomic.Int64
	nanos atomic.Int64
}

// add counts n more bytes. It returns how many of them are within the limit, and whether the limit was passed.
func (c *outputCount) add(n int) (int, bool) {
	total := c.bytes.Add(int64(n))
	if total <= c.limit {
		return n, false
	}
	return int(max(0, int64(n)-(total-c.limit))), true
}

func (c *outputCount) saw(memory int64, cpu time.Duration) {
	if memory > c.rss.Load() {
		c.rss.Store(memory)
	}
	c.nanos.Store(int64(cpu))
}

func (c *outputCount) memory() int64      { return c.rss.Load() }
func (c *outputCount) cpu() time.Duration { return time.Duration(c.nanos.Load()) }

// Bytes writes a size as a person reads it: 2.0 GiB, 512 MiB, 100 bytes.
func Bytes(n int64) string {
	units := []string{"KiB", "MiB", "GiB", "TiB"}
	if n < 1024 {
		return fmt.Sprintf("%d bytes", n)
	}
	v, unit := float64(n)/1024, 0
	for v >= 1024 && unit < len(units)-1 {
		v, unit = v/1024, unit+1
	}
	if v >= 100 || v == float64(int64(v)) && unit < 2 {
		return fmt.Sprintf("%.0f %s", v, units[unit])
	}
	return fmt.Sprintf("%.1f %s", v, units[unit])
}
