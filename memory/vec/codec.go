package vec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"unsafe"
)

// MaxDim is the largest dimension; every multiple of 8 up to it is taken.
const MaxDim = 4096

// ChunkRows is how many rows share one Chunk, but for the last of a segment. It is a multiple of 32.
const ChunkRows = 1024

// Errors of vectors and dimensions. They are returned wrapped, with the place.
var (
	ErrDim    = errors.New("wrong dimension")
	ErrValues = errors.New("not a usable vector")
)

// CheckDim says whether vectors of dimension dim can be stored.
func CheckDim(dim int) error {
	if dim < 8 || dim > MaxDim || dim%8 != 0 {
		return fmt.Errorf("%w: %d; it must be a multiple of 8, at most %d", ErrDim, dim, MaxDim)
	}
	return nil
}

// Check says whether x has the dimension dim and finite values that are not all zero (nor so large that their square
// overflows a float32).
func Check(x []float32, dim int) error {
	if len(x) != dim {
		return fmt.Errorf("%w: %d values, want %d", ErrDim, len(x), dim)
	}
	// Nearly all pass here: what is not finite makes the sum not finite.
	if dim > 0 && dim%8 == 0 {
		if n2 := k.dotF32(&x[0], &x[0], dim); n2 > 1e-30 && n2 < math.MaxFloat32/8 {
			return nil
		}
	}
	var n2 float64
	for i, v := range x {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return fmt.Errorf("%w: value %d is %v", ErrValues, i, v)
		}
		n2 += float64(v) * float64(v)
	}
	if n2 == 0 {
		return fmt.Errorf("%w: all values are 0", ErrValues)
	}
	if n2 > math.MaxFloat32/4 {
		return fmt.Errorf("%w: its norm %.3g is too large", ErrValues, math.Sqrt(n2))
	}
	return nil
}

// Unit says whether x, of a dimension that is a multiple of 8, has length 1.
func Unit(x []float32) bool {
	return len(x) > 0 && len(x)%8 == 0 && abs32(k.dotF32(&x[0], &x[0], len(x))-1) < 1e-6
}

// Normalize scales x to length 1, for cosine similarity, if it has not that length already. x must pass Check.
func Normalize(x []float32) {
	if Unit(x) {
		return
	}
	var n2 float64
	for _, v := range x {
		n2 += float64(v) * float64(v)
	}
	f := 1 / math.Sqrt(n2)
	for i, v := range x {
		x[i] = float32(float64(v) * f)
	}
}

// Dot is the inner product of two vectors of one dimension, a multiple of 8.
func Dot(a, b []float32) float32 {
	if len(a) != len(b) || len(a) == 0 || len(a)%8 != 0 {
		panic(fmt.Sprintf("vec: inner product of %d and %d values", len(a), len(b)))
	}
	return k.dotF32(&a[0], &b[0], len(a))
}

// Codec makes the codes of vectors of one dimension. It is immutable and safe for concurrent use.
type Codec struct {
	dim   int
	seed  uint64
	mean  []float32
	power int         // length of one Walsh-Hadamard transform
	flips [][]float32 // random signs, scaled to keep lengths
}

// NewCodec returns the codec of a dimension, a rotation seed and a mean (nil is zero). 1-bit codes compare only under the
// codec that made them; the other codes do not depend on seed and mean.
func NewCodec(dim int, seed uint64, mean []float32) (*Codec, error) {
	if err := CheckDim(dim); err != nil {
		return nil, err
	}
	c := &Codec{dim: dim, seed: seed, power: 8, mean: make([]float32, dim)}
	if mean != nil {
		if len(mean) != dim {
			return nil, fmt.Errorf("mean: %w: %d values, want %d", ErrDim, len(mean), dim)
		}
		copy(c.mean, mean)
	}
	for c.power*2 <= dim {
		c.power *= 2
	}
	rounds := 2
	if c.power < dim {
		rounds = 4
	}
	r := rand.New(rand.NewPCG(seed, uint64(dim)))
	scale := float32(1 / math.Sqrt(float64(c.power)))
	for range rounds {
		f := make([]float32, c.power)
		for i := range f {
			f[i] = scale
			if r.Uint64()&1 == 1 {
				f[i] = -scale
			}
		}
		c.flips = append(c.flips, f)
	}
	return c, nil
}

// Dim is the dimension.
func (c *Codec) Dim() int { return c.dim }

// Seed is the rotation's seed.
func (c *Codec) Seed() uint64 { return c.seed }

// Mean is the vector that 1-bit codes are centred on; it must not be changed.
func (c *Codec) Mean() []float32 { return c.mean }

// rotate turns x by the codec's rotation: transforms of the first and of the last power values in turn, each after random
// flips of sign.
func (c *Codec) rotate(x []float32) {
	for i, f := range c.flips {
		from := 0
		if i%2 == 1 {
			from = c.dim - c.power
		}
		k.mulFHT(&x[from], &f[0], c.power)
	}
}

// Chunk is up to ChunkRows rows: their vectors, int8 codes, and each code's scale and error norm. The slices may be mapped
// read-only memory.
type Chunk struct {
	F32   []float32
	I8    []int8
	Scale []float32
	Err   []float32
}

// MakeChunk returns a chunk with room for rows, for EncodeInt8.
func MakeChunk(dim, rows int) Chunk {
	return Chunk{F32: make([]float32, rows*dim), I8: make([]int8, rows*dim), Scale: make([]float32, rows), Err: make([]float32, rows)}
}

// EncodeInt8 writes the int8 code of ch.F32's row. Err is rounded up: |x - Scale*code| <= Err.
func (c *Codec) EncodeInt8(ch *Chunk, row int) {
	x, code := &ch.F32[row*c.dim], &ch.I8[row*c.dim]
	m := k.maxAbs(x, c.dim)
	if m < tiny { // its squares are no float32: the code is 0, and the error is the vector's own length
		clear(ch.I8[row*c.dim : (row+1)*c.dim])
		ch.Scale[row], ch.Err[row] = 0, length(ch.F32[row*c.dim:(row+1)*c.dim])+math.SmallestNonzeroFloat32
		return
	}
	scale := m / 127
	e := k.quantize(x, c.dim, 127/m, scale, code)
	ch.Scale[row] = scale
	// The sum is of rounded differences: each is off by at most 2^-23 of m.
	ch.Err[row] = float32(math.Sqrt(float64(e))*(1+1e-4) + math.Sqrt(float64(c.dim))*float64(m)*0x1p-22)
}

// tiny is the largest value of a vector below which the squares of its int8 errors would be lost.
const tiny = 1e-12

// BlockBytes is the size of the 1-bit codes of 32 vectors.
func (c *Codec) BlockBytes() int { return blockBytes(c.dim) }

// EncodeBits writes the block of 1-bit codes of up to 32 rows of f32, which may not be all there.
func (c *Codec) EncodeBits(block []byte, f32 []float32) {
	rows := len(f32) / c.dim
	if rows > 32 || len(block) != c.BlockBytes() {
		panic(fmt.Sprintf("vec: %d rows in a block of %d bytes", rows, len(block)))
	}
	clear(block)
	tail := block[c.dim*4:]
	r := make([]float32, c.dim)
	bits := make([]byte, 32*c.dim/8) // one row's after another
	for i := range 32 {
		if i >= rows {
			putBfloat(tail[64+2*i:], float32(math.Inf(-1)))
			continue
		}
		x := f32[i*c.dim : (i+1)*c.dim]
		offset := k.centre(&x[0], &c.mean[0], &r[0], c.dim)
		c.rotate(r)
		l1, l2 := k.signs(&r[0], c.dim, &bits[i*c.dim/8])
		var factor float32
		if l1 > 0 {
			factor = l2 / l1
		}
		putBfloat(tail[2*i:], factor)
		putBfloat(tail[64+2*i:], offset)
	}
	interleave(block, bits, c.dim/8)
}

// interleave writes the codes of 32 rows of n bytes as a block has them: for each byte of a code 32, whose first 16 hold the lower
// four bits of rows 0 to 15 and, above them, of rows 16 to 31; the others the upper ones.
func interleave(block, bits []byte, n int) {
	const low = 0x0f0f0f0f0f0f0f0f
	j := 0
	for ; j+8 <= n; j += 8 {
		var y [4][8]uint64
		for g := range y {
			for i := range y[g] {
				y[g][i] = binary.LittleEndian.Uint64(bits[(8*g+i)*n+j:])
			}
			transpose8(&y[g])
		}
		for i := range 8 {
			out := (*[32]byte)(block[(j+i)*32:])
			a, b, c, d := y[0][i], y[1][i], y[2][i], y[3][i]
			binary.LittleEndian.PutUint64(out[:], a&low|c&low<<4)
			binary.LittleEndian.PutUint64(out[8:], b&low|d&low<<4)
			binary.LittleEndian.PutUint64(out[16:], a>>4&low|c&^low)
			binary.LittleEndian.PutUint64(out[24:], b>>4&low|d&^low)
		}
	}
	for ; j < n; j++ {
		for i := range 16 {
			a, b := bits[i*n+j], bits[(i+16)*n+j]
			block[j*32+i] = a&15 | b<<4
			block[j*32+16+i] = a>>4 | b&^15
		}
	}
}

// transpose8 turns a square of 8 by 8 bytes over: byte i of word k becomes byte k of word i.
func transpose8(x *[8]uint64) {
	for _, s := range [...]struct {
		step  int
		shift uint
		mask  uint64
	}{{4, 32, 0x00000000ffffffff}, {2, 16, 0x0000ffff0000ffff}, {1, 8, 0x00ff00ff00ff00ff}} {
		for i := range 8 {
			if i&s.step == 0 {
				t := (x[i]>>s.shift ^ x[i+s.step]) & s.mask
				x[i] ^= t << s.shift
				x[i+s.step] ^= t
			}
		}
	}
}

// Mean is the mean of vectors of dimension dim, taken in order; nil if there is none.
func Mean(vectors iter.Seq[[]float32], dim int) []float32 {
	sum := make([]float64, dim)
	n := 0
	for x := range vectors {
		for j, v := range x[:dim] {
			sum[j] += float64(v)
		}
		n++
	}
	if n == 0 {
		return nil
	}
	mean := make([]float32, dim)
	for j := range mean {
		mean[j] = float32(sum[j] / float64(n))
	}
	return mean
}

// Segment is a run of rows that are searched together. Its slices are only read.
type Segment struct {
	Rows   int
	Chunks []Chunk  // ChunkRows rows each, the last one fewer
	Bits   []byte   // blocks of 1-bit codes of the first rows; rows beyond are searched by their int8 codes
	Live   []uint32 // one mask for each 32 rows; nil is all rows
	// MaxFactor is the largest factor of Bits (see MaxFactor).
	MaxFactor float32
}

// MaxFactor is the largest factor in blocks of 1-bit codes: it bounds what an estimate can be wrong by.
func (c *Codec) MaxFactor(bits []byte) float32 {
	var m float32
	size := c.BlockBytes()
	for ; len(bits) >= size; bits = bits[size:] {
		tail := bits[c.dim*4:]
		for i := range 32 {
			m = max(m, bfloat(tail[2*i:]))
		}
	}
	return m
}

func (s *Segment) f32(dim, row int) unsafe.Pointer {
	return unsafe.Pointer(&s.Chunks[row/ChunkRows].F32[row%ChunkRows*dim])
}

func (s *Segment) live(row int) bool {
	return s.Live == nil || s.Live[row/32]>>(row%32)&1 == 1
}

// FloatsOf views little-endian bytes as floats without copying; b must be aligned to 4 bytes.
func FloatsOf(b []byte) []float32 {
	if len(b) < 4 {
		return nil
	}
	if uintptr(unsafe.Pointer(&b[0]))%4 != 0 || !littleEndian {
		f := make([]float32, len(b)/4)
		for i := range f {
			f[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		return f
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&b[0])), len(b)/4)
}

// BytesOf views floats as little-endian bytes.
func BytesOf(f []float32) []byte {
	if len(f) == 0 {
		return nil
	}
	if !littleEndian {
		b := make([]byte, 0, 4*len(f))
		for _, v := range f {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
		return b
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&f[0])), 4*len(f))
}

// Int8sOf views bytes as int8 codes.
func Int8sOf(b []byte) []int8 {
	if len(b) == 0 {
		return nil
	}
	return unsafe.Slice((*int8)(unsafe.Pointer(&b[0])), len(b))
}

// BytesOfInt8s views int8 codes as bytes.
func BytesOfInt8s(c []int8) []byte {
	if len(c) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&c[0])), len(c))
}

var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1
