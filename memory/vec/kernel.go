package vec

import (
	"math"
	"unsafe"
)

// kernels are the inner loops. Lengths n are dimensions: multiples of 8, at least 8. None of them keeps a pointer.
type kernels struct {
	name string
	// dotF32 is the inner product of two vectors.
	dotF32 func(a, b *float32, n int) float32
	// scanF32 writes the inner products of q with rows that lie one after another in four streams: out[4*i+s] is that of
	// row i of stream s, which starts at base + s*stride floats.
	scanF32 func(base *float32, stride int, q *float32, n int, out *float32, rows int)
	// scanI8 is scanF32 over int8 rows and an int8 query; neither has a value of -128.
	scanI8 func(base *int8, stride int, q *int8, n int, out *int32, rows int)
	// gatherF32 and gatherI8 do so for rows anywhere, fetching ahead; gatherI8 takes a finer query.
	gatherF32 func(rows *unsafe.Pointer, count int, q *float32, n int, out *float32)
	gatherI8  func(rows *unsafe.Pointer, count int, q *int16, n int, out *int32)
	// scanBits looks up blocks of 32 codes; see scanArgs.
	scanBits func(a *scanArgs)
	// mulFHT multiplies x by m element by element, then replaces it by its Walsh-Hadamard transform. n is a power of two.
	mulFHT func(x, m *float32, n int)
	// maxAbs is the largest magnitude; a NaN may or may not be seen.
	maxAbs func(x *float32, n int) float32
	// quantize writes c = round(x*inv) and returns the sum of (x - c*scale)^2.
	quantize func(x *float32, n int, inv, scale float32, c *int8) float32
	// centre writes d = x - m and returns the inner product of d and m.
	centre func(x, m, d *float32, n int) float32
	// signs writes bit j%8 of byte j/8 for x[j] > 0, and returns the sums of |x| and x^2.
	signs func(x *float32, n int, bits *byte) (l1, l2 float32)
}

// hitCap is how many blocks with hits one scanBits call may report.
const hitCap = 64

// scanArgs is the call of scanBits; the assembly knows its layout (offsets in the comments).
//
// A block is iters*32 bytes of codes, then 32 bfloat16 factors and 32 bfloat16 offsets. Row i of a block scores
// factor[i] * (lo + inv*sum[i]) + offset[i], where sum[i] adds one table entry for each four dimensions. Table entries are
// below 32, so eight of them fit a byte. Rows that score above thr and are live are reported: scores, block number, mask.
type scanArgs struct {
	blocks *byte                // 0
	n      int                  // 8
	lut    *byte                // 16
	iters  int                  // 24: dimension / 8
	live   *uint32              // 32: one mask for each block; nil is all
	inv    float32              // 40
	lo     float32              // 44
	thr    float32              // 48
	_      float32              // 52
	done   int                  // 56: blocks finished
	hits   int                  // 64: blocks reported
	index  [hitCap]uint32       // 72
	mask   [hitCap]uint32       // 72 + 256
	scores [hitCap * 32]float32 // 72 + 512
}

// blockBytes is the size of a block of 32 codes.
func blockBytes(dim int) int { return dim*4 + 128 }

// plain are the reference loops.
var plain = kernels{
	name: "go", dotF32: dotF32Go, scanF32: scanF32Go, scanI8: scanI8Go, gatherF32: gatherF32Go, gatherI8: gatherI8Go,
	scanBits: scanBitsGo, mulFHT: mulFHTGo, maxAbs: maxAbsGo, quantize: quantizeGo, signs: signsGo, centre: centreGo,
}

// Kernel names the inner loops in use: "avx2", "neon" or "go".
func Kernel() string { return k.name }

func dotF32Go(a, b *float32, n int) float32 {
	x, y := unsafe.Slice(a, n), unsafe.Slice(b, n)
	var s [8]float32
	for i := 0; i < n; i += 8 {
		p, q := (*[8]float32)(x[i:]), (*[8]float32)(y[i:])
		for j := range s {
			s[j] += p[j] * q[j]
		}
	}
	return ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]))
}

func dotI8[T int8 | int16](a *int8, b *T, n int) int32 {
	x, y := unsafe.Slice(a, n), unsafe.Slice(b, n)
	var s int32
	for i, v := range x {
		s += int32(v) * int32(y[i])
	}
	return s
}

func scanF32Go(base *float32, stride int, q *float32, n int, out *float32, rows int) {
	o := unsafe.Slice(out, 4*rows)
	for i := range rows {
		for s := range 4 {
			row := (*float32)(unsafe.Add(unsafe.Pointer(base), 4*(s*stride+i*n)))
			o[4*i+s] = dotF32Go(row, q, n)
		}
	}
}

func scanI8Go(base *int8, stride int, q *int8, n int, out *int32, rows int) {
	o := unsafe.Slice(out, 4*rows)
	for i := range rows {
		for s := range 4 {
			o[4*i+s] = dotI8((*int8)(unsafe.Add(unsafe.Pointer(base), s*stride+i*n)), q, n)
		}
	}
}

func gatherF32Go(rows *unsafe.Pointer, count int, q *float32, n int, out *float32) {
	o := unsafe.Slice(out, count)
	for i, p := range unsafe.Slice(rows, count) {
		o[i] = dotF32Go((*float32)(p), q, n)
	}
}

func gatherI8Go(rows *unsafe.Pointer, count int, q *int16, n int, out *int32) {
	o := unsafe.Slice(out, count)
	for i, p := range unsafe.Slice(rows, count) {
		o[i] = dotI8((*int8)(p), q, n)
	}
}

func scanBitsGo(a *scanArgs) {
	dim := a.iters * 8
	size := blockBytes(dim)
	blocks := unsafe.Slice(a.blocks, a.n*size)
	lut := unsafe.Slice(a.lut, a.iters*32)
	a.done, a.hits = 0, 0
	var live []uint32
	if a.live != nil {
		live = unsafe.Slice(a.live, a.n)
	}
	for b := range a.n {
		a.done = b + 1
		want := ^uint32(0)
		if live != nil {
			want = live[b]
		}
		if want == 0 {
			continue
		}
		block := blocks[b*size : (b+1)*size]
		var sum [32]uint16
		for g := range a.iters * 2 {
			codes, table := (*[16]byte)(block[g*16:]), (*[16]byte)(lut[g*16:])
			for i, c := range codes {
				sum[i] += uint16(table[c&15])
				sum[i+16] += uint16(table[c>>4])
			}
		}
		scores := (*[32]float32)(a.scores[a.hits*32:])
		tail := block[dim*4:]
		var mask uint32
		for i, s := range sum {
			factor := bfloat(tail[2*i:])
			offset := bfloat(tail[64+2*i:])
			scores[i] = factor*(a.lo+a.inv*float32(s)) + offset
			if scores[i] > a.thr {
				mask |= 1 << i
			}
		}
		if mask &= want; mask != 0 {
			a.index[a.hits], a.mask[a.hits] = uint32(b), mask
			if a.hits++; a.hits == hitCap {
				return
			}
		}
	}
}

func mulFHTGo(p, m *float32, n int) {
	x, y := unsafe.Slice(p, n), unsafe.Slice(m, n)
	for i := range x {
		x[i] *= y[i]
	}
	for h := 1; h < n; h *= 2 {
		for i := 0; i < n; i += 2 * h {
			for j := i; j < i+h; j++ {
				a, b := x[j], x[j+h]
				x[j], x[j+h] = a+b, a-b
			}
		}
	}
}

func maxAbsGo(p *float32, n int) float32 {
	var m float32
	for _, v := range unsafe.Slice(p, n) {
		if v = abs32(v); v > m {
			m = v
		}
	}
	return m
}

func quantizeGo(p *float32, n int, inv, scale float32, out *int8) float32 {
	c := unsafe.Slice(out, n)
	var e float32
	for i, v := range unsafe.Slice(p, n) {
		r := float32(math.RoundToEven(float64(v * inv)))
		c[i] = int8(r)
		d := v - r*scale
		e += d * d
	}
	return e
}

func centreGo(x, m, d *float32, n int) float32 {
	out, mean := unsafe.Slice(d, n), unsafe.Slice(m, n)
	for i, v := range unsafe.Slice(x, n) {
		out[i] = v - mean[i]
	}
	return dotF32Go(d, m, n)
}

func signsGo(p *float32, n int, out *byte) (l1, l2 float32) {
	bits := unsafe.Slice(out, n/8)
	clear(bits)
	for i, v := range unsafe.Slice(p, n) {
		if v > 0 {
			bits[i/8] |= 1 << (i % 8)
		}
		l1 += abs32(v)
		l2 += v * v
	}
	return l1, l2
}

func abs32(v float32) float32 { return math.Float32frombits(math.Float32bits(v) &^ (1 << 31)) }

// bfloat reads a bfloat16, the upper half of a float32.
func bfloat(b []byte) float32 {
	return math.Float32frombits(uint32(b[0])<<16 | uint32(b[1])<<24)
}

// putBfloat writes f rounded to bfloat16. f is finite or an infinity.
func putBfloat(b []byte, f float32) {
	u := math.Float32bits(f)
	if u&0x7f800000 != 0x7f800000 {
		u += 0x7fff + u>>16&1
	}
	b[0], b[1] = byte(u>>16), byte(u>>24)
}
