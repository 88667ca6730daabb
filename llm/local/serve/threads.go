package serve

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/hybridgroup/yzma/pkg/llama"
)

// pacer chooses how many threads compute. The library's threads wait for each other after every layer, so one that shares its core
// with another program holds up all of them: two threads on two busy cores are slower than one, and on two idle ones nearly
// twice as fast. Before each batch it looks at how many other threads want to run on this machine.
type pacer struct {
	cores  int
	others float64 // running average of the threads of others that are runnable
	last   time.Time
	now    int32
	set    func(n int32)
}

// newPacer returns the pacer of a context, or nil when the number of threads is fixed or can't be known.
func newPacer(ctx llama.Context, fixed bool) *pacer {
	if _, ok := runnable(); fixed || !ok {
		return nil
	}
	return &pacer{cores: runtime.NumCPU(), set: func(n int32) { llama.SetNThreads(ctx, n, n) }}
}

// fresh is how old the average may be to count; an older one is taken anew by a few looks.
const fresh = 2 * time.Second

// pace sets the number of threads for the next batch. No other call on the context may run.
func (p *pacer) pace(now time.Time) {
	looks := 1
	if now.Sub(p.last) > fresh {
		looks = 6
	}
	for i := range looks {
		if i > 0 {
			time.Sleep(4 * time.Millisecond)
		}
		n, ok := runnable()
		if !ok {
			return
		}
		others := float64(max(0, n-1)) // this one runs
		if i == 0 && looks > 1 {
			p.others = others
		}
		p.others += (others - p.others) / 4
	}
	p.last = now
	n := int32(min(p.cores, max(1, p.cores-int(p.others+0.15)))) // a passing wake-up is no competitor
	if n != p.now {
		p.now = n
		p.set(n)
	}
}

// runnable is how many threads on this machine run or want to.
func runnable() (int, bool) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, false
	}
	_, rest, ok := bytes.Cut(data, []byte("\nprocs_running "))
	if !ok {
		return 0, false
	}
	word, _, _ := bytes.Cut(rest, []byte("\n"))
	n, err := strconv.Atoi(string(word))
	return n, err == nil
}
