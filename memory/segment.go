package memory

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"

	bolt "go.etcd.io/bbolt"

	"agentd/memory/vec"
)

// segmentRows is how many rows are sealed together.
const segmentRows = 4096

// Values of a segment are keyed by its number and, for vectors and int8 codes, the number of the chunk. Each begins with a
// head: a checksum of the rest, then the number of rows, the dimension, and 4 bytes of zero.
const headBytes = 16

// copyBelow is the size below which a value is copied out of the map: bbolt keeps small buckets within their parent's page,
// which moves with every write.
const copyBelow = 4096

func segKey(seg uint32, chunk int) []byte {
	k := binary.BigEndian.AppendUint32(make([]byte, 0, 8), seg)
	return binary.BigEndian.AppendUint32(k, uint32(chunk))
}

func putHead(b []byte, rows, dim int) {
	binary.LittleEndian.PutUint32(b[4:], uint32(rows))
	binary.LittleEndian.PutUint32(b[8:], uint32(dim))
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
}

func wholeValue(b []byte) bool {
	return len(b) >= headBytes && binary.LittleEndian.Uint32(b) == crc32.Checksum(b[4:], castagnoli)
}

// body checks a value's head and length and returns what follows.
func body(b []byte, rows, dim, size int) ([]byte, bool) {
	if len(b) != headBytes+size || binary.LittleEndian.Uint32(b[4:]) != uint32(rows) || binary.LittleEndian.Uint32(b[8:]) != uint32(dim) {
		return nil, false
	}
	if len(b) < copyBelow {
		b = slices.Clone(b)
	}
	return b[headBytes:], true
}

// segment is a sealed run of rows as a snapshot sees it. Its slices are mapped memory and hold while the snapshot does.
type segment struct {
	no    uint32
	rows  int
	ids   []byte // 8 bytes each, ascending
	live  bitmap // rows that searches may see; copied on write
	index index
	vec   *vectors // nil: the segment has none
	words int      // in all rows
}

// vectors are a segment's vectors and codes.
type vectors struct {
	have   bitmap // rows that have a vector; nil is all
	view   vec.Segment
	sums   [][]byte // checksum of each row's vector, by chunk
	arena  *arena   // holds view.Bits
	broken bool     // a value had the wrong size: searches go without this segment's vectors
}

func (s *segment) id(row int) ID { return ID(binary.LittleEndian.Uint64(s.ids[8*row:])) }

// find is the row of an id.
func (s *segment) find(id ID) (int, bool) {
	lo, hi := 0, s.rows
	for lo < hi {
		mid := (lo + hi) / 2
		if s.id(mid) < id {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < s.rows && s.id(lo) == id
}

// row is an item on its way into a segment.
type row struct {
	item *Item
	vec  []float32 // nil: none
}

// value is one that a segment is made of.
type value struct {
	bucket []byte // of the generation for vectors and their codes, else of the file
	chunk  int
	v      []byte
}

// putSegment writes the values of segment no.
func putSegment(tx *bolt.Tx, no uint32, g *generation, values []value) error {
	for _, v := range values {
		var b *bolt.Bucket
		if slices.ContainsFunc(topBuckets, func(n []byte) bool { return string(n) == string(v.bucket) }) {
			b = tx.Bucket(v.bucket)
		} else {
			b = g.bucket(tx).Bucket(v.bucket)
		}
		b.FillPercent = 0.95
		if err := b.Put(segKey(no, v.chunk), v.v); err != nil {
			return fmt.Errorf("segment %d: %w", no, err)
		}
	}
	return nil
}

// writeSegment seals rows (at most segmentRows, ids ascending) as segment no.
func writeSegment(tx *bolt.Tx, no uint32, rows []row, g *generation) error {
	return putSegment(tx, no, g, makeSegment(rows, g, newBuffer))
}

// makeSegment makes the values of a segment, and the vectors' codes. buffer gives memory that is the transaction's until it
// has ended.
func makeSegment(rows []row, g *generation, buffer func(int) []byte) []value {
	ids := make([]ID, len(rows))
	live := newBitmap(len(rows))
	x := newTailIndex()
	for i, r := range rows {
		ids[i] = r.item.ID
		if r.item.recalled() {
			live.set(i)
		}
		x.add(r.item)
	}
	values := makeRows(ids, live, x)
	if g == nil {
		return values
	}
	list := make([][]float32, len(rows))
	for i, r := range rows {
		list[i] = r.vec
	}
	return append(values, makeVectors(list, g, buffer)...)
}

// makeRows makes the values of a segment but for its vectors.
func makeRows(ids []ID, live bitmap, x *tailIndex) []value {
	b := make([]byte, headBytes+8*len(ids))
	for i, id := range ids {
		binary.LittleEndian.PutUint64(b[headBytes+8*i:], uint64(id))
	}
	putHead(b, len(ids), 0)
	return []value{{bucketRows, 0, b}, {bucketLive, 0, encodeBitmap(live, len(ids))}, {bucketIndex, 0, x.encode(len(ids))}}
}

func encodeBitmap(m bitmap, rows int) []byte {
	b := make([]byte, headBytes+4*len(m))
	for i, w := range m {
		binary.LittleEndian.PutUint32(b[headBytes+4*i:], w)
	}
	putHead(b, rows, 0)
	return b
}

func decodeBitmap(b []byte, rows int) (bitmap, bool) {
	m := newBitmap(rows)
	if len(b) != headBytes+4*len(m) || !wholeValue(b) {
		return nil, false
	}
	for i := range m {
		m[i] = binary.LittleEndian.Uint32(b[headBytes+4*i:])
	}
	return m, true
}

// makeVectors makes the values of the vectors and codes of a segment's rows under a generation. Rows without a vector get zeros.
func makeVectors(rows [][]float32, g *generation, buffer func(int) []byte) []value {
	have := newBitmap(len(rows))
	for i, v := range rows {
		if v != nil {
			have.set(i)
		}
	}
	dim := g.codec.Dim()
	return makeCodes(have, len(rows), nil, g, buffer, func(from, n int, ch vec.Chunk) {
		for i := range n {
			v := rows[from+i]
			if v == nil {
				clear(ch.F32[i*dim : (i+1)*dim])
				clear(ch.I8[i*dim : (i+1)*dim])
				ch.Scale[i], ch.Err[i] = 0, 0
				continue
			}
			copy(ch.F32[i*dim:(i+1)*dim], v)
			g.codec.EncodeInt8(&ch, i)
		}
	})
}

// makeCodes makes the values of vectors and codes. fill writes the vectors and int8 codes of n rows from one on; blocks are the
// 1-bit codes of the first rows, those that are made already.
func makeCodes(have bitmap, rows int, blocks []byte, g *generation, buffer func(int) []byte, fill func(from, n int, ch vec.Chunk)) []value {
	var values []value
	dim, block := g.codec.Dim(), g.codec.BlockBytes()
	bits := buffer(headBytes + (rows+31)/32*block)
	clear(bits[:headBytes])
	copy(bits[headBytes:], blocks)
	done := len(blocks) / block * 32
	for from := 0; from < rows; from += vec.ChunkRows {
		n := min(vec.ChunkRows, rows-from)
		// One buffer for each value, so that the codes are made in place.
		f := buffer(headBytes + 4*n + 4*n*dim)
		c := buffer(headBytes + 8*n + n*dim)
		clear(f[:headBytes])
		clear(c[:headBytes])
		ch := vec.Chunk{
			F32: vec.FloatsOf(f[headBytes+4*n:]), I8: vec.Int8sOf(c[headBytes+8*n:]),
			Scale: vec.FloatsOf(c[headBytes : headBytes+4*n]), Err: vec.FloatsOf(c[headBytes+4*n : headBytes+8*n]),
		}
		// By 32 rows, which stay in the cache until all is made of them.
		for b := 0; b < n; b += 32 {
			m := min(32, n-b)
			fill(from+b, m, vec.Chunk{F32: ch.F32[b*dim:], I8: ch.I8[b*dim:], Scale: ch.Scale[b:], Err: ch.Err[b:]})
			for i := b; i < b+m; i++ {
				var sum uint32
				if have.has(from + i) {
					sum = crc32.Checksum(f[headBytes+4*n+4*i*dim:headBytes+4*n+4*(i+1)*dim], castagnoli)
				}
				binary.LittleEndian.PutUint32(f[headBytes+4*i:], sum)
			}
			if from+b >= done {
				at := headBytes + (from+b)/32*block
				g.codec.EncodeBits(bits[at:at+block], ch.F32[b*dim:(b+m)*dim])
			}
		}
		putHead(f, n, dim)
		putHead(c, n, dim)
		values = append(values, value{bucketF32, from / vec.ChunkRows, f}, value{bucketI8, from / vec.ChunkRows, c})
	}
	putHead(bits, rows, dim)
	if have.count() < rows {
		values = append(values, value{bucketHave, 0, encodeBitmap(have, rows)})
	}
	return append(values, value{bucketBits, 0, bits})
}

// readSegment views segment no of a transaction. old, if not nil, is the same segment in an earlier snapshot, whose copy of
// the 1-bit codes is taken over.
func readSegment(tx *bolt.Tx, no uint32, g *generation, old *segment, codes *arena) (*segment, error) {
	bad := func(what string) error { return fmt.Errorf("%w: %s of segment %d", ErrDamaged, what, no) }
	key := segKey(no, 0)
	ids := tx.Bucket(bucketRows).Get(key)
	if len(ids) < headBytes+8 || len(ids)%8 != 0 || len(ids) > headBytes+8*segmentRows || !wholeValue(ids) {
		return nil, bad("the rows")
	}
	s := &segment{no: no, rows: (len(ids) - headBytes) / 8}
	var ok bool
	if s.ids, ok = body(ids, s.rows, 0, 8*s.rows); !ok {
		return nil, bad("the rows")
	}
	if old != nil && old.rows == s.rows {
		s.live = old.live
	} else if s.live, ok = decodeBitmap(tx.Bucket(bucketLive).Get(key), s.rows); !ok {
		return nil, bad("the live rows")
	}
	raw := tx.Bucket(bucketIndex).Get(key)
	if len(raw) < copyBelow {
		raw = slices.Clone(raw)
	}
	if s.index, ok = openIndex(raw); !ok || s.index.rows != s.rows {
		return nil, bad("the index")
	}
	if old != nil {
		s.words = old.words
	} else {
		for r := range s.rows {
			s.words += s.index.rowLen(r)
		}
	}
	if g != nil {
		var prev *vectors
		if old != nil {
			prev = old.vec
		}
		s.vec = readVectors(tx, no, s.rows, g, prev, codes)
		s.mask()
	}
	return s, nil
}

// mask sets which rows a search of the vectors may see.
func (s *segment) mask() {
	if s.vec == nil {
		return
	}
	v := *s.vec
	m := slices.Clone(s.live)
	if v.have != nil {
		m.and(v.have)
	}
	v.view.Live = nil
	if m.count() < s.rows {
		v.view.Live = m
	}
	s.vec = &v
}

// withLive is the segment with other live rows.
func (s *segment) withLive(live bitmap) *segment {
	c := *s
	c.live = live
	c.mask()
	return &c
}

// readVectors views a segment's vectors; nil if it has none.
func readVectors(tx *bolt.Tx, no uint32, rows int, g *generation, old *vectors, codes *arena) *vectors {
	dim := g.codec.Dim()
	b := g.bucket(tx)
	raw := b.Bucket(bucketBits).Get(segKey(no, 0))
	if raw == nil {
		return nil
	}
	v := &vectors{view: vec.Segment{Rows: rows}}
	block := g.codec.BlockBytes()
	if old != nil && !old.broken && len(old.view.Bits) == (rows+31)/32*block {
		v.view.Bits, v.view.MaxFactor, v.arena = old.view.Bits, old.view.MaxFactor, old.arena
	} else {
		bits, ok := body(raw, rows, dim, (rows+31)/32*block)
		if !ok || !wholeValue(raw) {
			v.broken = true
			return v
		}
		if v.view.Bits = codes.take(len(bits)); v.view.Bits == nil {
			codes = newArena(len(bits))
			v.view.Bits = codes.take(len(bits))
		}
		copy(v.view.Bits, bits)
		v.arena = codes
		v.view.MaxFactor = g.codec.MaxFactor(v.view.Bits)
	}
	if h := b.Bucket(bucketHave).Get(segKey(no, 0)); h != nil {
		var ok bool
		if v.have, ok = decodeBitmap(h, rows); !ok {
			v.broken = true
			return v
		}
	}
	for from := 0; from < rows; from += vec.ChunkRows {
		n := min(vec.ChunkRows, rows-from)
		key := segKey(no, from/vec.ChunkRows)
		f, ok := body(b.Bucket(bucketF32).Get(key), n, dim, 4*n+4*n*dim)
		c, ok2 := body(b.Bucket(bucketI8).Get(key), n, dim, 8*n+n*dim)
		if !ok || !ok2 {
			v.broken = true
			return v
		}
		v.sums = append(v.sums, f[:4*n])
		v.view.Chunks = append(v.view.Chunks, vec.Chunk{
			F32: vec.FloatsOf(f[4*n:]), I8: vec.Int8sOf(c[8*n:]), Scale: vec.FloatsOf(c[:4*n]), Err: vec.FloatsOf(c[4*n : 8*n]),
		})
	}
	return v
}

// vector is a row's vector, checked against its checksum.
func (v *vectors) vector(row, dim int) ([]float32, error) {
	c, r := row/vec.ChunkRows, row%vec.ChunkRows
	f := v.view.Chunks[c].F32[r*dim : (r+1)*dim]
	if crc32.Checksum(vec.BytesOf(f), castagnoli) != binary.LittleEndian.Uint32(v.sums[c][4*r:]) {
		return nil, errRecord
	}
	return f, nil
}
