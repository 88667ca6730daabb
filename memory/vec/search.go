package vec

import (
	"fmt"
	"math"
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

// length is the norm of x, rounded up.
func length(x []float32) float32 {
	var n2 float64
	for _, v := range x {
		n2 += float64(v) * float64(v)
	}
	return float32(math.Sqrt(n2) * (1 + 0x1p-23))
}

// grid says what an integer copy of the query stands for: q is about step*z, and slack times a row's scale bounds what the
// copy and rounding may put an estimate wrong by.
type grid struct{ step, slack float32 }

// quantize makes the integer copies of the query.
func (s *searcher) quantize() {
	s.z, s.fine = toGrid(s.z[:0], s.q, min(math.MaxInt16, math.MaxInt32/(127*s.c.dim)), s.norm)
	s.z8, s.rough = toGrid(s.z8[:0], s.q, 127, s.norm)
}

func toGrid[T int8 | int16](z []T, q []float32, limit int, norm float32) ([]T, grid) {
	largest := k.maxAbs(&q[0], len(q))
	root := math.Sqrt(float64(len(q)))
	if largest < tiny { // nothing is known, and everything is looked at again
		return append(z, make([]T, len(q))...), grid{0, float32(float64(norm) * 130 * root)}
	}
	step := largest / float32(limit)
	inv := 1 / step
	var e float32
	for _, v := range q {
		f := v*inv + 0x1.8p23 // rounds to an integer
		f -= 0x1.8p23
		f = max(-float32(limit), min(float32(limit), f))
		z = append(z, T(f))
		d := v - f*step
		e += d * d
	}
	// |x| <= 127*scale*sqrt(dim) by the choice of scale; float32 sums of dim/32 terms and a few more are off by one ulp each.
	wrong := math.Sqrt(float64(e))*1.001 + float64(step)*float64(limit)*root*0x1p-22 + float64(len(q)/32+24)*0x1p-23*float64(norm)
	return z, grid{step, float32(wrong * 127 * root)}
}

// tables makes the lookup tables of the 1-bit scan. A table entry counts, in steps of inv, twice the magnitudes of those of
// its four dimensions whose sign agrees with the code's bit.
func (s *searcher) tables() {
	c := s.c
	s.rot = append(s.rot[:0], s.q...)
	s.base = k.dotF32(&s.q[0], &c.mean[0], c.dim)
	for i, m := range c.mean {
		s.rot[i] -= m
	}
	s.noise = float32(math.Sqrt(float64(k.dotF32(&s.rot[0], &s.rot[0], c.dim)) * (1 - 2/math.Pi)))
	c.rotate(s.rot)
	var most, sum float32
	for i := 0; i < c.dim; i += 4 {
		r := (*[4]float32)(s.rot[i:])
		t := abs32(r[0]) + abs32(r[1]) + abs32(r[2]) + abs32(r[3])
		sum += t
		most = max(most, t)
	}
	s.lo = -sum
	s.inv = 2 * most / 29 // four roundings up stay below 32
	scale := float32(0)
	if most > 0 {
		scale = 29 / most
	}
	if cap(s.lut) < c.dim*4 {
		s.lut = make([]byte, c.dim*4)
	}
	s.lut = s.lut[:c.dim*4]
	const ones = 0x0101010101010101
	pattern := [3]uint64{0xff00ff00ff00ff00, 0xffff0000ffff0000, 0xffffffff00000000}
	for i := 0; i < c.dim; i += 4 {
		r := (*[4]float32)(s.rot[i:])
		var t uint64
		for j, p := range pattern {
			u := uint64(abs32(r[j])*scale+0.5) * ones
			if r[j] > 0 {
				t += u & p
			} else {
				t += u &^ p
			}
		}
		a, b := t, t
		u := uint64(abs32(r[3])*scale+0.5) * ones
		if r[3] > 0 {
			b += u
		} else {
			a += u
		}
		out := (*[16]byte)(s.lut[i*4:])
		le64(out[:8], a)
		le64(out[8:], b)
	}
}

func le64(b []byte, v uint64) {
	_ = b[7]
	b[0], b[1], b[2], b[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
	b[4], b[5], b[6], b[7] = byte(v>>32), byte(v>>40), byte(v>>48), byte(v>>56)
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

// scan looks at one segment.
func (s *searcher) scan(p *partial, seg int) {
	g := &s.segs[seg]
	if g.Rows == 0 {
		return
	}
	switch s.o.Mode {
	case Float:
		s.scanFloat(p, seg)
	case Exact:
		s.scanInt8(p, seg, 0)
	default:
		blocks := len(g.Bits) / s.c.BlockBytes()
		s.scanBits(p, seg, 0, blocks)
		s.scanInt8(p, seg, blocks*32)
	}
}

// scanBits adds the rows of blocks from..to whose estimate is above the threshold to p.c, and raises the threshold when
// they get too many.
func (s *searcher) scanBits(p *partial, seg, from, to int) {
	g := &s.segs[seg]
	a := &p.args
	size := s.c.BlockBytes()
	a.lut, a.iters, a.inv, a.lo = &s.lut[0], s.c.dim/8, s.inv, s.lo
	for from < to {
		a.blocks, a.n, a.thr = &g.Bits[from*size], to-from, p.thr
		a.live = nil
		if g.Live != nil {
			a.live = &g.Live[from]
		}
		k.scanBits(a)
		for h := range a.hits {
			row := (uint32(from) + a.index[h]) * 32
			scores := (*[32]float32)(a.scores[h*32:])
			for m := a.mask[h]; m != 0; m &= m - 1 {
				i := bits.TrailingZeros32(m) & 31
				p.c = append(p.c, cand{uint32(seg), row + uint32(i), scores[i]})
			}
		}
		from += a.done
		if len(p.c) > p.limit {
			p.full = true
			selectTop(p.c, s.want)
			p.c = p.c[:s.want]
			p.thr = p.c[0].s
			for _, c := range p.c {
				p.thr = min(p.thr, c.s)
			}
		}
	}
}

// sample scans a few blocks from everywhere and returns a threshold that about want rows of all should pass.
func (s *searcher) sample(p *partial) float32 {
	size := s.c.BlockBytes()
	total := 0
	for i := range s.segs {
		total += len(s.segs[i].Bits) / size
	}
	n := min(max(total/16, 32), 128, total)
	if n == 0 {
		return negInf
	}
	rate := 1.3 * float64(s.want) / float64(s.total)
	live := float64(n*32) * float64(s.total) / float64(total*32)
	s.near.reset(int(rate*live) + 3)
	a := &p.args
	a.lut, a.iters, a.inv, a.lo = &s.lut[0], s.c.dim/8, s.inv, s.lo
	seg, before := 0, 0
	for i := range n {
		b := total * i / n
		for b-before >= len(s.segs[seg].Bits)/size {
			before += len(s.segs[seg].Bits) / size
			seg++
		}
		g := &s.segs[seg]
		a.blocks, a.n, a.thr, a.live = &g.Bits[(b-before)*size], 1, s.near.bound(), nil
		if g.Live != nil {
			a.live = &g.Live[b-before]
		}
		k.scanBits(a)
		if a.hits == 1 {
			for m := a.mask[0]; m != 0; m &= m - 1 {
				s.near.add(a.scores[bits.TrailingZeros32(m)&31])
			}
		}
	}
	thr := s.near.bound()
	s.near.reset(s.o.K)
	return thr
}

// scanInt8 bounds the scores of the rows from..end by their int8 codes and keeps those that may be near.
func (s *searcher) scanInt8(p *partial, seg, from int) {
	g := &s.segs[seg]
	if from >= g.Rows {
		return
	}
	dim := s.c.dim
	dense := g.Live == nil
	if !dense {
		n := 0
		for _, m := range g.Live[from/32:] {
			n += bits.OnesCount32(m)
		}
		if n == 0 {
			return
		}
		dense = n > (g.Rows-from)/4
	}
	if !dense {
		s.gatherInt8(p, seg, from, g.Rows)
		return
	}
	const tile = 128 // rows of each of four streams
	for at := from; at < g.Rows; {
		ch := &g.Chunks[at/ChunkRows]
		lo, hi := at%ChunkRows, min(ChunkRows, g.Rows-at/ChunkRows*ChunkRows)
		stream := (hi - lo) / 4
		for done := 0; done < stream; done += tile {
			n := min(tile, stream-done)
			k.scanI8(&ch.I8[(lo+done)*dim], stream*dim, &s.z8[0], dim, &p.ints[0], n)
			p.int8 += 4 * n
			// Most rows fall at this comparison, so it is not a call.
			step, slack, bound := s.rough.step, s.rough.slack, p.near.bound()
			for q := range 4 {
				first := lo + done + q*stream
				scale, err := ch.Scale[first:][:n], ch.Err[first:][:n]
				for i, x := range scale {
					v := p.ints[(4*i+q)&511]
					if x*(float32(v)*step+slack)+s.norm*err[i] < bound {
						continue
					}
					s.bound(p, g, seg, at-lo+first+i, v, x, err[i], s.rough)
					bound = p.near.bound()
				}
			}
		}
		if left := lo + 4*stream; left < hi {
			s.gatherInt8(p, seg, at-lo+left, at-lo+hi)
		}
		at += hi - lo
	}
}

// bound keeps a row whose int8 product is v if its upper bound reaches the k-th lower bound.
func (s *searcher) bound(p *partial, g *Segment, seg, row int, v int32, scale, err float32, z grid) {
	est := float32(v) * z.step * scale
	e := s.norm*err + z.slack*scale
	if est+e < p.near.bound() || !g.live(row) {
		return
	}
	p.kept = append(p.kept, cand{uint32(seg), uint32(row), est + e})
	p.near.add(est - e)
}

// gatherInt8 is scanInt8 for rows of which few are live. They wait for flush, as fetching ahead pays in long runs only.
func (s *searcher) gatherInt8(p *partial, seg, from, to int) {
	g := &s.segs[seg]
	for row := from; row < to; {
		if g.Live == nil {
			p.ids = append(p.ids, cand{seg: uint32(seg), row: uint32(row)})
			row++
			continue
		}
		m := g.Live[row/32] >> (row % 32)
		if m == 0 {
			row = row/32*32 + 32
			continue
		}
		if row += bits.TrailingZeros32(m); row < to {
			p.ids = append(p.ids, cand{seg: uint32(seg), row: uint32(row)})
		}
		row++
	}
	if len(p.ids) >= len(p.ints) {
		s.flush(p)
	}
}

// flush rescores the rows that wait.
func (s *searcher) flush(p *partial) {
	s.rescore(p, p.ids)
	p.ids = p.ids[:0]
}

// rescore bounds the scores of rows by their int8 codes.
func (s *searcher) rescore(p *partial, ids []cand) {
	dim := s.c.dim
	if cap(p.rows) < len(p.ints) {
		p.rows = make([]unsafe.Pointer, len(p.ints))
	}
	for len(ids) > 0 {
		n := min(len(ids), len(p.ints))
		rows := p.rows[:n]
		// The scales and errors are read here, in a loop so short that the processor waits for many of them at once.
		var ch *Chunk
		var seg, chunk uint32
		for i := range rows {
			c := &ids[i]
			if ch == nil || c.seg != seg || c.row/ChunkRows != chunk {
				seg, chunk = c.seg, c.row/ChunkRows
				ch = &s.segs[seg].Chunks[chunk]
			}
			r := int(c.row % ChunkRows)
			rows[i] = unsafe.Pointer(&ch.I8[r*dim])
			p.f32s[i&511], p.errs[i&511] = ch.Scale[r], ch.Err[r]
		}
		k.gatherI8(&rows[0], n, &s.z[0], dim, &p.ints[0])
		p.int8 += n
		bound, step, slack := p.near.bound(), s.fine.step, s.fine.slack
		for i, c := range ids[:n] {
			j := i & 511
			if p.f32s[j]*(float32(p.ints[j])*step+slack)+s.norm*p.errs[j] < bound {
				continue
			}
			s.bound(p, &s.segs[c.seg], int(c.seg), int(c.row), p.ints[j], p.f32s[j], p.errs[j], s.fine)
			bound = p.near.bound()
		}
		ids = ids[n:]
	}
}

// scanFloat keeps the best rows of one segment by their vectors.
func (s *searcher) scanFloat(p *partial, seg int) {
	g := &s.segs[seg]
	dim := s.c.dim
	keep := func(row int, v float32) {
		if v < p.near.bound() || !g.live(row) {
			return
		}
		p.near.add(v)
		p.kept = append(p.kept, cand{uint32(seg), uint32(row), v})
	}
	const tile = 64
	for at := 0; at < g.Rows; at += ChunkRows {
		ch := &g.Chunks[at/ChunkRows]
		rows := min(ChunkRows, g.Rows-at)
		stream := rows / 4
		for done := 0; done < stream; done += tile {
			n := min(tile, stream-done)
			k.scanF32(&ch.F32[done*dim], stream*dim, &s.q[0], dim, &p.f32s[0], n)
			for i, v := range p.f32s[:4*n] {
				keep(at+done+i>>2+i&3*stream, v)
			}
		}
		for r := 4 * stream; r < rows; r++ {
			keep(at+r, k.dotF32(&ch.F32[r*dim], &s.q[0], dim))
		}
		p.kept = prune(p.kept, p.near.bound())
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
