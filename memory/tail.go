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
