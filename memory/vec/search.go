package vec

import (
	"fmt"
	"math/bits"
	"runtime"
	"sync"
	"unsafe"
)

// Mode is how a search looks at the vectors.
type Mode uint8

// The modes of a search.
const (
	// Cascade scans 1-bit codes and rescores the best: nearly always the exact answer (recall@10 above 0.999).
	Cascade Mode = iota
	// Exact scans int8 codes and rescores all that could belong to the answer by their error bounds: the exact answer.
	Exact
	// Float scans the vectors themselves: the reference.
	Float
)

// Options of a search. The zero value is one thread's cascade for 10 hits.
type Options struct {
	K       int  // hits wanted; 0 is 10
	Mode    Mode // how
	Threads int  // most goroutines; 0 is one for each processor, and one goroutine below 50,000 rows
	Rescore int  // candidates that the 1-bit scan aims for; 0 is a size that fits the number of rows
}

// Stats says what a search did.
type Stats struct {
	Rows    int // live rows
	Int8    int // rows scored by their int8 codes
	Float32 int // rows scored by their vectors
}

// parallelRows is the number of rows below which a second goroutine does not pay.
const parallelRows = 50_000

// exactRows is the number of live rows below which the int8 scan alone is as fast as the cascade.
const exactRows = 4096

// A 1-bit estimate is off by a normal deviate. Candidates that lie further than farSigmas of its standard deviations below
// the k-th best score are not looked at again; if even the scan's threshold lies less than nearSigmas below it, too many
// rows are nearly as good as the best (copies of each other, say), and the scan is made again with a lower threshold.
const (
	farSigmas  = 3.5
	nearSigmas = 1.5
)

// Search returns the rows of segs with the largest inner products with q, best first; equal scores in the order of rows.
// q must pass Check, and all segments must hold codes of c.
func (c *Codec) Search(segs []Segment, q []float32, o Options) ([]Hit, Stats) {
	if len(q) != c.dim {
		panic(fmt.Sprintf("vec: query of %d values, want %d", len(q), c.dim))
	}
	s := scratch.Get().(*searcher)
	defer s.release()
	s.prepare(c, segs, q, o)
	return s.run(), s.stats
}

// SearchBatch is Search for several queries: the 1-bit codes of a segment are read once for all of them.
func (c *Codec) SearchBatch(segs []Segment, qs [][]float32, o Options) ([][]Hit, []Stats) {
	all := make([]*searcher, len(qs))
	for i, q := range qs {
		if len(q) != c.dim {
			panic(fmt.Sprintf("vec: query %d of %d values, want %d", i, len(q), c.dim))
		}
		all[i] = scratch.Get().(*searcher)
		all[i].prepare(c, segs, q, o)
	}
	hits, stats := make([][]Hit, len(qs)), make([]Stats, len(qs))
	if len(all) > 0 {
		runBatch(all)
	}
	for i, s := range all {
		hits[i], stats[i] = s.finish(), s.stats
		s.release()
	}
	return hits, stats
}

var scratch = sync.Pool{New: func() any { return new(searcher) }}

// searcher is one search and its buffers.
type searcher struct {
	c     *Codec
	segs  []Segment
	o     Options
	total int // live rows
	stats Stats

	q     []float32
	norm  float32 // of q
	z     []int16 // q as int16, for rescoring
	fine  grid
	z8    []int8 // q as int8, for scanning
	rough grid

	rot       []float32 // q less the mean, rotated
	lut       []byte
	inv, lo   float32 // table sums to inner products
	base      float32 // <q, mean>
	noise     float32 // times a factor: standard deviation of an estimate
	maxFactor float32
	want      int // candidates the 1-bit scan aims for

	near floor // lower bounds of the scores
	part []*partial
	kept []cand // rows whose upper bound may reach the answer

	rows []unsafe.Pointer
	f32s []float32
	ids  []cand
}

// partial is what one goroutine found in its segments.
type partial struct {
	args  scanArgs
	c     []cand
	thr   float32 // rows at or below it are not in c
	limit int     // when c is longer, thr is raised
	full  bool    // c got too long
	near  floor
	kept  []cand
	int8  int
	ints  [512]int32
	f32s  [512]float32
	errs  [512]float32
	rows  []unsafe.Pointer
	ids   []cand
}

func (s *searcher) release() {
	s.c, s.segs, s.q = nil, nil, nil
	clear(s.rows[:cap(s.rows)])
	for _, p := range s.part {
		clear(p.rows[:cap(p.rows)])
		p.args.blocks, p.args.lut, p.args.live = nil, nil, nil
	}
	scratch.Put(s)
}

func (s *searcher) prepare(c *Codec, segs []Segment, q []float32, o Options) {
	s.c, s.segs, s.q, s.o = c, segs, q, o
	s.total, s.maxFactor = 0, 0
	blocks := 0 // of 1-bit codes with live rows
	for i := range segs {
		g := &segs[i]
		n := g.Rows
		used := len(g.Bits) / c.BlockBytes()
		if g.Live != nil {
			n = 0
			for i, m := range g.Live {
				n += bits.OnesCount32(m)
				if m == 0 && i < len(g.Bits)/c.BlockBytes() {
					used--
				}
			}
		}
		s.total += n
		blocks += used
		s.maxFactor = max(s.maxFactor, g.MaxFactor)
	}
	s.stats = Stats{Rows: s.total}
	if s.o.K <= 0 {
		s.o.K = 10
	}
	s.o.K = min(s.o.K, s.total)
	if s.o.Threads <= 0 {
		s.o.Threads = runtime.GOMAXPROCS(0)
	}
	if s.total < parallelRows {
		s.o.Threads = 1
	}
	s.want = s.o.Rescore
	if s.want <= 0 {
		s.want = max(512, s.total/500) * max(10, s.o.K) / 10
	}
	// Where there are few rows, or nearly all would be rescored, the int8 codes alone are faster. So they are for live rows
	// that lie far apart: a block of 1-bit codes costs about two rows' int8 codes, whether one of its rows is live or all.
	if s.o.Mode == Cascade && (s.total < exactRows || s.want > s.total/4 || s.total < 2*blocks) {
		s.o.Mode = Exact
	}
	s.near.reset(s.o.K)
	s.kept = s.kept[:0]
	s.norm = length(q)
	if s.o.Mode != Float {
		s.quantize()
	}
	if s.o.Mode == Cascade {
		s.tables()
	}
}

// run searches alone.
func (s *searcher) run() []Hit {
	if s.o.K == 0 {
		return nil
	}
	runBatch([]*searcher{s})
	return s.finish()
}

// runBatch scans the segments for all searchers, which share segments and options, in up to Threads goroutines.
func runBatch(all []*searcher) {
	first := all[0]
	if first.o.K == 0 {
		return
	}
	threads := min(first.o.Threads, len(first.segs))
	var thr []float32
	if first.o.Mode == Cascade {
		for _, s := range all {
			s.parts(1)
			thr = append(thr, s.sample(s.part[0]))
		}
	}
	for i, s := range all {
		s.parts(threads)
		for _, p := range s.part[:threads] {
			p.near.reset(s.o.K)
			p.c, p.kept, p.ids, p.int8, p.full, p.limit = p.c[:0], p.kept[:0], p.ids[:0], 0, false, 4*s.want
			if thr != nil {
				p.thr = thr[i]
			}
		}
	}
	part := func(t int) {
		// The first segments are cut into equal shares of rows by whole segments.
		lo, hi := len(first.segs)*t/threads, len(first.segs)*(t+1)/threads
		for g := lo; g < hi; g++ {
			for _, s := range all {
				s.scan(s.part[t], g)
			}
		}
		for _, s := range all {
			s.flush(s.part[t])
		}
	}
	if threads == 1 {
		part(0)
	} else {
		var wg sync.WaitGroup
		for t := range threads {
			wg.Go(func() { part(t) })
		}
		wg.Wait()
	}
	for _, s := range all {
		s.merge(threads)
	}
}

func (s *searcher) parts(n int) {
	for len(s.part) < n {
		s.part = append(s.part, new(partial))
	}
}

// prune drops what is below the bound.
func prune(c []cand, bound float32) []cand {
	n := 0
	for _, x := range c {
		if x.s >= bound {
			c[n] = x
			n++
		}
	}
	return c[:n]
}

// merge joins what the goroutines found.
func (s *searcher) merge(threads int) {
	p := s.part[0]
	for _, o := range s.part[1:threads] {
		p.c = append(p.c, o.c...)
		p.kept = append(p.kept, o.kept...)
		p.int8 += o.int8
		p.thr = max(p.thr, o.thr)
		for _, v := range o.near.h {
			p.near.add(v)
		}
	}
	if s.o.Mode != Float {
		// What the coarse query left is bounded again by the finer one, together with the 1-bit scan's candidates.
		s.ids = append(s.ids[:0], prune(p.kept, p.near.bound())...)
		p.kept = p.kept[:0]
		p.near.reset(s.o.K)
		s.rescore(p, s.ids)
	}
	if s.o.Mode == Cascade {
		s.narrow(p)
		s.rescan(p)
	}
	s.stats.Int8 = p.int8
	s.kept = append(s.kept, prune(p.kept, p.near.bound())...)
	for _, v := range p.near.h {
		s.near.add(v)
	}
}

// rescan looks at the 1-bit codes again if the threshold was too high for what the candidates turned out to be, and at all
// int8 codes if that leaves too many.
func (s *searcher) rescan(p *partial) {
	sigma := s.noise * s.maxFactor
	if p.thr+s.base <= p.near.bound()-nearSigmas*sigma {
		return
	}
	p.c, p.thr, p.limit, p.full = p.c[:0], p.near.bound()-farSigmas*sigma-s.base, s.total/8, false
	for g := 0; g < len(s.segs) && !p.full; g++ {
		s.scanBits(p, g, 0, len(s.segs[g].Bits)/s.c.BlockBytes())
	}
	s.kept, p.kept = s.kept[:0], p.kept[:0]
	p.near.reset(s.o.K)
	for g := range s.segs {
		from := 0
		if !p.full {
			from = len(s.segs[g].Bits) / s.c.BlockBytes() * 32
		}
		s.scanInt8(p, g, from)
	}
	s.flush(p)
	if !p.full {
		s.narrow(p)
	}
}

// narrow rescores the candidates of the 1-bit scan by their int8 codes: the best first, then those whose estimate could be
// that wrong.
func (s *searcher) narrow(p *partial) {
	best := min(len(p.c), max(64, 6*s.o.K))
	if best == 0 {
		return
	}
	selectTop(p.c, best)
	s.rescore(p, p.c[:best])
	margin := farSigmas * s.noise * s.maxFactor
	rest := p.c[best:]
	for len(rest) > 0 {
		n := min(256, len(rest))
		need := p.near.bound() - margin - s.base
		p.ids = p.ids[:0]
		for _, c := range rest[:n] {
			if c.s >= need {
				p.ids = append(p.ids, c)
			}
		}
		s.rescore(p, p.ids)
		rest = rest[n:]
	}
	p.ids = p.ids[:0] // nothing waits: a row that is scored twice would count twice
}

// finish scores what is left by the vectors.
func (s *searcher) finish() []Hit {
	if s.o.K == 0 {
		return nil
	}
	dim := s.c.dim
	n := len(s.kept)
	if cap(s.f32s) < n {
		s.f32s = make([]float32, n)
	}
	s.f32s = s.f32s[:n]
	s.near.reset(s.o.K)
	if s.o.Mode == Float {
		for i, c := range s.kept {
			s.f32s[i] = c.s
		}
	} else if n > 0 {
		s.rows = s.rows[:0]
		for _, c := range s.kept {
			s.rows = append(s.rows, s.segs[c.seg].f32(dim, int(c.row)))
		}
		k.gatherF32(&s.rows[0], n, &s.q[0], dim, &s.f32s[0])
		s.stats.Float32 = n
	}
	for _, v := range s.f32s {
		s.near.add(v)
	}
	bound := s.near.bound()
	hits := make([]Hit, 0, s.o.K+4)
	for i, v := range s.f32s {
		if v >= bound {
			hits = append(hits, Hit{int(s.kept[i].seg), int(s.kept[i].row), v})
		}
	}
	order(hits)
	return hits[:min(len(hits), s.o.K)]
}
