package serve

import (
	"runtime"
	"time"

	"github.com/hybridgroup/yzma/pkg/llama"
)

// pacer chooses how many threads compute. The library's threads wait for each other after every layer, so one that shares its core
// with another program holds up all of them: two threads on two busy cores can be ten times slower than one, and on two idle ones
// they are nearly twice as fast. How busy the machine is says little of what the scheduler will grant, so the pacer measures: it keeps the
// time of a token at each count, works with the best, and tries the others now and then; a try that loses doubles the time to the next.
type pacer struct {
	kinds [2]pace // one token, many tokens: what is best differs
	set   func(n int32)
	now   int32
}

// pace is what is known of one kind of batch.
type pace struct {
	cost  []float64 // seconds a token at index+1 threads, a running average; 0: not known
	best  int       // index into cost
	try   int       // index that is tried now, or -1
	left  int       // batches until this try or the time between tries ends
	pause int       // batches between tries
	turn  int       // which other count is next
	spent float64   // seconds a token of the try, a running average
}

// firstPause is how many batches of each kind pass before the first try. One batch of a prompt is long enough to tell.
var firstPause = [2]int{4, 1}

// Lengths in batches.
const (
	tryFor    = 3   // of one try
	minPause  = 12  // between two tries
	maxPause  = 400 // the same, after many that lost
	tooSlow   = 1.5 // a try that costs so many times the best ends at once
	newWeight = 0.25
)

// newPacer returns the pacer of a context, or nil when the number of threads is fixed or there is no choice.
func newPacer(ctx llama.Context, fixed bool) *pacer {
	if fixed || runtime.NumCPU() < 2 {
		return nil
	}
	return makePacer(runtime.NumCPU(), func(n int32) { llama.SetNThreads(ctx, n, n) })
}

func makePacer(cores int, set func(n int32)) *pacer {
	p := &pacer{set: set}
	for i := range p.kinds {
		// All cores, and one less: the choice that matters, since a machine that is busy beyond that wants a fixed number.
		p.kinds[i] = pace{cost: make([]float64, cores), best: cores - 1, try: -1, left: firstPause[i], pause: minPause}
	}
	return p
}

// begin sets the number of threads for a batch of n tokens, and end says how long it took. No other call on the context may run between.
func (p *pacer) begin(n int) {
	k := p.kind(n)
	if k.try < 0 && k.left <= 0 {
		k.try, k.left, k.spent = k.next(), tryFor, 0
	}
	count := k.best
	if k.try >= 0 {
		count = k.try
	}
	if want := int32(count + 1); want != p.now {
		p.now = want
		p.set(want)
	}
}

func (p *pacer) end(n int, took time.Duration) {
	k := p.kind(n)
	cost := took.Seconds() / float64(max(1, n))
	k.left--
	if k.try < 0 {
		if best := k.cost[k.best]; best > 0 && cost > tooSlow*best { // the machine has changed
			k.left = 0
		}
		k.cost[k.best] = blend(k.cost[k.best], cost)
		return
	}
	k.spent = blend(k.spent, cost)
	if best := k.cost[k.best]; k.left > 0 && k.spent < tooSlow*best {
		return
	} else if k.spent < best {
		k.cost[k.try] = k.spent
		k.best, k.pause = k.try, minPause
	} else {
		k.pause = min(maxPause, 2*k.pause)
	}
	k.try, k.left = -1, k.pause
}

func (p *pacer) kind(n int) *pace {
	if n > 8 {
		return &p.kinds[1]
	}
	return &p.kinds[0]
}

// next is the count to try: one more and one less than the best, in turn, where they exist.
func (k *pace) next() int {
	k.turn++
	if k.best == 0 || k.turn%2 == 0 && k.best+1 < len(k.cost) {
		return k.best + 1
	}
	return k.best - 1
}

func blend(avg, x float64) float64 {
	if avg == 0 {
		return x
	}
	return avg + newWeight*(x-avg)
}
