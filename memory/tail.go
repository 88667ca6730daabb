package memory

import (
	"slices"

	"agentd/memory/vec"
)

// tail holds the rows that are not sealed yet, in memory as in the file. Rows are only added; live and have are copied when
// they change, so that a view of it stays as it is.
type tail struct {
	gen   *generation
	ids   []ID
	live  bitmap
	have  bitmap // rows that have a vector
	index *tailIndex
	words int
	torn  bool // a row was forgotten: a segment is to be made without it

	chunks []vec.Chunk // full size; rows beyond len(ids) are free
	bits   []byte
	factor float32
}

func newTail(g *generation) *tail { return &tail{gen: g, index: newTailIndex()} }

// setGeneration gives a tail without vectors a generation.
func (t *tail) setGeneration(g *generation) {
	t.gen = g
	for row := range t.ids {
		t.store(row, nil)
	}
}

func (t *tail) add(r row) {
	i := len(t.ids)
	t.ids = append(t.ids, r.item.ID)
	grow := func(b bitmap) bitmap {
		b = slices.Clone(b)
		if i%32 == 0 {
			b = append(b, 0)
		}
		return b
	}
	t.live, t.have = grow(t.live), grow(t.have)
	if r.item.recalled() {
		t.live.set(i)
	}
	t.index.add(r.item)
	t.words += int(t.index.lens[i])
	if t.gen != nil {
		t.store(i, r.vec)
	}
}

// store keeps a row's vector and codes; nil is no vector.
func (t *tail) store(i int, v []float32) {
	c := t.gen.codec
	dim := c.Dim()
	if i/vec.ChunkRows == len(t.chunks) {
		t.chunks = append(t.chunks, vec.MakeChunk(dim, vec.ChunkRows))
	}
	ch := &t.chunks[i/vec.ChunkRows]
	if v != nil {
		t.have.set(i)
		copy(ch.F32[i%vec.ChunkRows*dim:], v)
		c.EncodeInt8(ch, i%vec.ChunkRows)
	}
	if t.gen.fixed && i%32 == 31 {
		from := i/32*32 - i/vec.ChunkRows*vec.ChunkRows
		block := make([]byte, c.BlockBytes())
		c.EncodeBits(block, ch.F32[from*dim:(from+32)*dim])
		t.bits = append(t.bits, block...)
		t.factor = max(t.factor, c.MaxFactor(block))
	}
}

// seal makes the values of a segment of the first rows from what is in memory. g has the codec of the tail's generation, and its
// mean.
func (t *tail) seal(rows int, g *generation, buffer func(int) []byte) []value {
	live := slices.Clone(t.live[:(rows+31)/32])
	values := makeRows(t.ids[:rows], live, t.index)
	if g == nil {
		return values
	}
	dim := g.codec.Dim()
	blocks := t.bits[:min(len(t.bits), rows/32*g.codec.BlockBytes())]
	return append(values, makeCodes(t.have[:(rows+31)/32], rows, blocks, g, buffer, func(from, n int, ch vec.Chunk) {
		c, at := &t.chunks[from/vec.ChunkRows], from%vec.ChunkRows
		copy(ch.F32[:n*dim], c.F32[at*dim:])
		copy(ch.I8[:n*dim], c.I8[at*dim:])
		copy(ch.Scale[:n], c.Scale[at:])
		copy(ch.Err[:n], c.Err[at:])
	})...)
}

// vector is a row's vector; nil if it has none.
func (t *tail) vector(row int) []float32 {
	if t.gen == nil || !t.have.has(row) {
		return nil
	}
	dim := t.gen.codec.Dim()
	return t.chunks[row/vec.ChunkRows].F32[row%vec.ChunkRows*dim:][:dim:dim]
}

// tailView is a tail at one moment.
type tailView struct {
	rows  int
	words int
	ids   []ID
	live  bitmap
	have  bitmap
	index *tailIndex
	vecs  vec.Segment
}

func (t *tail) view() tailView {
	n := len(t.ids)
	v := tailView{rows: n, words: t.words, ids: t.ids[:n:n], live: t.live, have: t.have, index: t.index}
	if t.gen == nil || n == 0 {
		return v
	}
	dim := t.gen.codec.Dim()
	v.vecs = vec.Segment{Rows: n, Bits: t.bits, MaxFactor: t.factor}
	for from := 0; from < n; from += vec.ChunkRows {
		m := min(vec.ChunkRows, n-from)
		c := t.chunks[from/vec.ChunkRows]
		v.vecs.Chunks = append(v.vecs.Chunks, vec.Chunk{F32: c.F32[:m*dim], I8: c.I8[:m*dim], Scale: c.Scale[:m], Err: c.Err[:m]})
	}
	m := slices.Clone(t.live)
	m.and(t.have)
	if m.count() < n {
		v.vecs.Live = m
	}
	return v
}

// find is the row of an id.
func (t *tail) find(id ID) (int, bool) { return slices.BinarySearch(t.ids, id) }
