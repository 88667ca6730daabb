package vec

import (
	"math/bits"
	"unsafe"
)

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
	const tile = 64 // rows of each of four streams
	for at := 0; at < g.Rows; at += ChunkRows {
		ch := &g.Chunks[at/ChunkRows]
		rows := min(ChunkRows, g.Rows-at)
		stream := rows / 4
		for done := 0; done < stream; done += tile {
			n := min(tile, stream-done)
			k.scanF32(&ch.F32[done*dim], stream*dim, &s.q[0], dim, &p.f32s[0], n)
			// Memory waits for this loop, so it looks at four rows at once, and nearly always goes on.
			bound := p.near.bound()
			for i := 0; i < 4*n; i += 4 {
				v := (*[4]float32)(p.f32s[i:])
				if v[0] < bound && v[1] < bound && v[2] < bound && v[3] < bound {
					continue
				}
				for q, x := range v {
					keep(at+done+i/4+q*stream, x)
				}
				bound = p.near.bound()
			}
		}
		for r := 4 * stream; r < rows; r++ {
			keep(at+r, k.dotF32(&ch.F32[r*dim], &s.q[0], dim))
		}
		p.kept = prune(p.kept, p.near.bound())
	}
}
