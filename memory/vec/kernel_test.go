package vec

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// dims are lengths around every lane and unrolling of the assembly.
var dims = []int{8, 16, 24, 32, 40, 56, 64, 72, 104, 128, 136, 264, 384, 392, 768, 1000, 1536, 4088, 4096}

// fill makes n floats of a kind; the kinds from "nan" on are not finite.
func fill(r *rand.Rand, kind string, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
		switch kind {
		case "zero":
			x[i] = 0
		case "negative zero":
			x[i] = float32(math.Copysign(0, -1))
		case "denormal":
			x[i] = math.Float32frombits(r.Uint32()&0x807fffff | 1)
		case "huge":
			x[i] *= 1e17
		case "spike":
			x[i] = 0
			if i == n-1 {
				x[i] = -3e10
			}
		case "mixed":
			x[i] *= float32(math.Pow(10, float64(r.IntN(24)-12)))
		case "nan":
			if i == n/2 {
				x[i] = float32(math.NaN())
			}
		case "inf":
			if i == n/3 {
				x[i] = float32(math.Inf(1 - 2*r.IntN(2)))
			}
		}
	}
	return x
}

var kinds = []string{"normal", "zero", "negative zero", "denormal", "huge", "spike", "mixed", "nan", "inf"}

// near says whether two sums of the same terms agree: both not finite in the same way, or within rounding of the sum of
// the terms' magnitudes.
func near(a, b, magnitude float32) bool {
	x, y := float64(a), float64(b)
	if math.IsNaN(x) || math.IsNaN(y) || math.IsInf(x, 0) || math.IsInf(y, 0) {
		return math.IsNaN(x) == math.IsNaN(y) && (math.IsNaN(x) || x == y)
	}
	return math.Abs(x-y) <= 1e-5*float64(magnitude)+1e-37
}

func magnitude(a, b []float32) float32 {
	var s float32
	for i := range a {
		if p := abs32(a[i] * b[i]); p < math.MaxFloat32 {
			s += p
		}
	}
	return s
}

func TestKernelChosen(t *testing.T) {
	t.Logf("kernel %s", Kernel())
	if Kernel() == "" {
		t.Fatal("no kernel was chosen")
	}
}

func TestDotF32(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, dim := range dims {
		for _, ka := range kinds {
			for _, kb := range kinds {
				a, b := fill(r, ka, dim), fill(r, kb, dim)
				got, want := k.dotF32(&a[0], &b[0], dim), dotF32Go(&a[0], &b[0], dim)
				if !near(got, want, magnitude(a, b)) {
					t.Errorf("dim %d %s·%s: %v, want %v", dim, ka, kb, got, want)
				}
			}
		}
	}
}

func TestScanAndGather(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for _, dim := range dims {
		for _, rows := range []int{1, 2, 3, 9, 17} {
			kind := kinds[(dim/8+rows)%len(kinds)]
			stride := rows * dim
			base, q := fill(r, kind, 4*stride), fill(r, "normal", dim)
			got, want := make([]float32, 4*rows+1), make([]float32, 4*rows+1)
			got[4*rows], want[4*rows] = 42, 42 // neither writes beyond
			k.scanF32(&base[0], stride, &q[0], dim, &got[0], rows)
			scanF32Go(&base[0], stride, &q[0], dim, &want[0], rows)
			ptrs := make([]unsafe.Pointer, 0, 4*rows)
			for i := range 4 * rows {
				ptrs = append(ptrs, unsafe.Pointer(&base[i%4*stride+i/4*dim]))
			}
			gathered := make([]float32, 4*rows+1)
			k.gatherF32(&ptrs[0], len(ptrs), &q[0], dim, &gathered[0])
			gathered[4*rows] = 42
			for i := range want {
				var m float32
				if i < 4*rows {
					m = magnitude(unsafe.Slice((*float32)(ptrs[i]), dim), q)
				}
				if !near(got[i], want[i], m) || !near(gathered[i], want[i], m) {
					t.Fatalf("dim %d, %d %s rows: product %d is %v scanned, %v gathered, want %v", dim, rows, kind, i, got[i], gathered[i], want[i])
				}
			}
		}
	}
}

func TestInt8(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for _, dim := range dims {
		for _, extreme := range []bool{false, true} {
			const rows = 11
			limit := min(math.MaxInt16, math.MaxInt32/(127*dim))
			base, q8, q16 := make([]int8, 4*rows*dim), make([]int8, dim), make([]int16, dim)
			for i := range base {
				base[i] = int8(r.IntN(255) - 127)
				if extreme {
					base[i] = int8(127 * (1 - 2*(i%2)))
				}
			}
			for i := range q8 {
				q8[i], q16[i] = int8(r.IntN(255)-127), int16(r.IntN(2*limit+1)-limit)
				if extreme {
					q8[i], q16[i] = int8(127*(1-2*(i%2))), int16(limit*(1-2*(i%2)))
				}
			}
			got, want := make([]int32, 4*rows), make([]int32, 4*rows)
			k.scanI8(&base[0], rows*dim, &q8[0], dim, &got[0], rows)
			scanI8Go(&base[0], rows*dim, &q8[0], dim, &want[0], rows)
			if !slices.Equal(got, want) {
				t.Fatalf("dim %d extreme %v: scanned %v, want %v", dim, extreme, got, want)
			}
			var ptrs []unsafe.Pointer
			for i := range 4 * rows {
				ptrs = append(ptrs, unsafe.Pointer(&base[i*dim]))
			}
			for n := 1; n <= len(ptrs); n++ {
				k.gatherI8(&ptrs[0], n, &q16[0], dim, &got[0])
				gatherI8Go(&ptrs[0], n, &q16[0], dim, &want[0])
				if !slices.Equal(got[:n], want[:n]) {
					t.Fatalf("dim %d extreme %v: gathered %v, want %v", dim, extreme, got[:n], want[:n])
				}
			}
		}
	}
}

// compareBits runs both scanBits over random blocks and compares what they report.
func compareBits(t *testing.T, dim, n int, thr float32, live []uint32, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 4))
	size := blockBytes(dim)
	blocks, lut := make([]byte, n*size), make([]byte, dim*4)
	for i := range blocks {
		blocks[i] = byte(r.Uint32())
	}
	for i := range lut {
		lut[i] = byte(r.IntN(32))
	}
	for b := range n {
		for i := range 32 {
			f, o := float32(r.Float64()), float32(r.NormFloat64())
			if r.IntN(50) == 0 {
				o = negInf
			}
			putBfloat(blocks[b*size+dim*4+2*i:], f)
			putBfloat(blocks[b*size+dim*4+64+2*i:], o)
		}
	}
	var a, b scanArgs
	from := 0
	for from < n {
		for _, x := range []*scanArgs{&a, &b} {
			x.blocks, x.n, x.lut, x.iters, x.inv, x.lo, x.thr = &blocks[from*size], n-from, &lut[0], dim/8, 0.25, -float32(dim), thr
			x.live = nil
			if live != nil {
				x.live = &live[from]
			}
		}
		k.scanBits(&a)
		scanBitsGo(&b)
		if a.done != b.done || a.hits != b.hits || !slices.Equal(a.index[:a.hits], b.index[:b.hits]) {
			t.Fatalf("dim %d thr %v: done %d hits %d %v, want %d %d %v", dim, thr, a.done, a.hits, a.index[:a.hits], b.done, b.hits, b.index[:b.hits])
		}
		for h := range a.hits {
			for i := range 32 {
				at := h*32 + i
				if !near(a.scores[at], b.scores[at], float32(8*dim)) {
					t.Fatalf("dim %d block %d row %d: score %v, want %v", dim, a.index[h], i, a.scores[at], b.scores[at])
				}
				if a.mask[h]>>i&1 != b.mask[h]>>i&1 && !near(a.scores[at], thr, float32(8*dim)) {
					t.Fatalf("dim %d block %d row %d: score %v against %v, masks %x and %x", dim, a.index[h], i, a.scores[at], thr, a.mask[h], b.mask[h])
				}
			}
		}
		from += a.done
	}
}

func TestScanBits(t *testing.T) {
	for _, dim := range dims {
		compareBits(t, dim, 3, negInf, nil, uint64(dim))
		compareBits(t, dim, 150, negInf, nil, uint64(dim))
		live := make([]uint32, 150)
		for i := range live {
			live[i] = []uint32{0, 1, 1 << 31, ^uint32(0), 0xff00ff00}[i%5]
		}
		compareBits(t, dim, 150, negInf, live, uint64(dim))
		compareBits(t, dim, 150, negInf, make([]uint32, 150), uint64(dim))
		compareBits(t, dim, 150, float32(math.Inf(1)), nil, uint64(dim))
	}
}

func TestTransform(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for n := 8; n <= 4096; n *= 2 {
		for _, kind := range kinds[:7] {
			x, m := fill(r, kind, n), make([]float32, n)
			for i := range m {
				m[i] = float32(1 - 2*r.IntN(2))
			}
			y := slices.Clone(x)
			k.mulFHT(&x[0], &m[0], n)
			mulFHTGo(&y[0], &m[0], n)
			for i := range x {
				if x[i] != y[i] {
					t.Fatalf("n %d %s: element %d is %v, want %v", n, kind, i, x[i], y[i])
				}
			}
		}
	}
}

func TestEncodeKernels(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	for _, dim := range dims {
		for _, kind := range kinds[:7] {
			x := fill(r, kind, dim)
			m, want := k.maxAbs(&x[0], dim), maxAbsGo(&x[0], dim)
			if m != want {
				t.Fatalf("dim %d %s: largest %v, want %v", dim, kind, m, want)
			}
			if m > 1e-30 {
				a, b := make([]int8, dim), make([]int8, dim)
				e, f := k.quantize(&x[0], dim, 127/m, m/127, &a[0]), quantizeGo(&x[0], dim, 127/m, m/127, &b[0])
				if !slices.Equal(a, b) || !near(e, f, f+m*m*1e-6) {
					t.Fatalf("dim %d %s: codes %v error %v, want %v %v", dim, kind, a, e, b, f)
				}
			}
			mean := fill(r, "normal", dim)
			d1, d2 := make([]float32, dim), make([]float32, dim)
			c1, c2 := k.centre(&x[0], &mean[0], &d1[0], dim), centreGo(&x[0], &mean[0], &d2[0], dim)
			if !slices.Equal(d1, d2) || !near(c1, c2, Dot(absAll(d2), absAll(mean))) {
				t.Fatalf("dim %d %s: centred %v product %v, want %v %v", dim, kind, d1, c1, d2, c2)
			}
			a, b := make([]byte, dim/8), make([]byte, dim/8)
			a1, a2 := k.signs(&x[0], dim, &a[0])
			b1, b2 := signsGo(&x[0], dim, &b[0])
			if !slices.Equal(a, b) || !near(a1, b1, b1) || !near(a2, b2, b2) {
				t.Fatalf("dim %d %s: signs %x %v %v, want %x %v %v", dim, kind, a, a1, a2, b, b1, b2)
			}
		}
	}
}

func absAll(x []float32) []float32 {
	y := slices.Clone(x)
	for i, v := range y {
		y[i] = abs32(v)
	}
	return y
}

func TestRotationKeepsLengths(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for _, dim := range dims {
		c, err := NewCodec(dim, 99, nil)
		if err != nil {
			t.Fatal(err)
		}
		a, b := fill(r, "normal", dim), fill(r, "normal", dim)
		want := Dot(a, b)
		c.rotate(a)
		c.rotate(b)
		if got := Dot(a, b); math.Abs(float64(got-want)) > 1e-3*math.Sqrt(float64(dim)) {
			t.Errorf("dim %d: inner product %v after the rotation, %v before", dim, got, want)
		}
		// A spike is spread over the dimensions.
		s := fill(r, "zero", dim)
		s[0] = 1
		c.rotate(s)
		if m := maxAbsGo(&s[0], dim); dim >= 64 && m > 0.8 {
			t.Errorf("dim %d: a spike of 1 still has an element of %v", dim, m)
		}
	}
}

func TestBfloat(t *testing.T) {
	for _, c := range []struct{ in, want float32 }{
		{0, 0}, {1, 1}, {-2.5, -2.5}, {1.00390625, 1}, {1.01, 1.0078125}, {negInf, negInf}, {3e38, 3e38}, {math.MaxFloat32, float32(math.Inf(1))},
	} {
		var b [2]byte
		putBfloat(b[:], c.in)
		if got := bfloat(b[:]); got != c.want && math.Abs(float64(got/c.want-1)) > 0.004 {
			t.Errorf("%v becomes %v, want %v", c.in, got, c.want)
		}
	}
}

func FuzzKernels(f *testing.F) {
	f.Add([]byte("some floats: \x00\x00\x80\x3f\x00\x00\x80\x7f\x00\x00\xc0\x7f\x01\x00\x00\x00"), uint16(1))
	f.Fuzz(func(t *testing.T, raw []byte, d uint16) {
		dim := (int(d)%512 + 1) * 8
		x, y := make([]float32, dim), make([]float32, dim)
		for i := range x {
			if len(raw) >= 4 {
				at := i * 4 % (len(raw) - 3)
				x[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[at:]))
			}
			y[i] = float32(i%7) - 3
		}
		if got, want := k.dotF32(&x[0], &y[0], dim), dotF32Go(&x[0], &y[0], dim); !near(got, want, magnitude(x, y)) {
			t.Fatalf("dim %d: product %v, want %v", dim, got, want)
		}
		if Check(x, dim) == nil {
			c, err := NewCodec(dim, uint64(d), nil)
			if err != nil {
				t.Fatal(err)
			}
			ch := Chunk{F32: x, I8: make([]int8, dim), Scale: make([]float32, 1), Err: make([]float32, 1)}
			c.EncodeInt8(&ch, 0)
			var e float64
			for i, v := range x {
				d := float64(v) - float64(ch.Scale[0])*float64(ch.I8[i])
				e += d * d
			}
			if math.Sqrt(e) > float64(ch.Err[0]) {
				t.Fatalf("dim %d: the code is off by %v, more than its bound %v", dim, math.Sqrt(e), ch.Err[0])
			}
		}
		compareBits(t, dim, 1+int(d)%90, float32(int(d)%64-32), nil, uint64(d))
	})
}
