package vec

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"
)

const benchDim = 384

func BenchmarkKernel(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	const rows = 8192
	x := clusters(r, rows, benchDim)
	w := build(b, x, benchDim, rows)
	g := w.segs[0]
	q := x[:benchDim]
	s := new(searcher)
	s.prepare(w.c, w.segs, q, Options{Mode: Exact})
	s.tables()
	f, i32 := make([]float32, rows), make([]int32, rows)
	codes := make([]int8, 0, rows*benchDim)
	for _, ch := range g.Chunks {
		codes = append(codes, ch.I8...)
	}
	run := func(name string, bytes int, fn func()) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(bytes))
			for b.Loop() {
				fn()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
		})
	}
	for _, k := range []kernels{k, plain} {
		run("f32/"+k.name, rows*benchDim*4, func() { k.scanF32(&x[0], rows/4*benchDim, &q[0], benchDim, &f[0], rows/4) })
		run("int8/"+k.name, rows*benchDim, func() { k.scanI8(&codes[0], rows/4*benchDim, &s.z8[0], benchDim, &i32[0], rows/4) })
		ptrs := make([]unsafe.Pointer, rows)
		for i := range ptrs {
			ptrs[i] = unsafe.Pointer(&codes[r.IntN(rows)*benchDim])
		}
		run("int8gather/"+k.name, rows*benchDim, func() { k.gatherI8(&ptrs[0], rows, &s.z[0], benchDim, &i32[0]) })
		a := &scanArgs{blocks: &g.Bits[0], n: rows / 32, lut: &s.lut[0], iters: benchDim / 8, inv: s.inv, lo: s.lo, thr: 1e30}
		run("bits/"+k.name, len(g.Bits), func() { k.scanBits(a) })
		rot := make([]float32, 256)
		run("transform/"+k.name, 1024*rows, func() {
			for range rows {
				k.mulFHT(&rot[0], &w.c.flips[0][0], 256)
			}
		})
	}
}

func BenchmarkSearch(b *testing.B) {
	r := rand.New(rand.NewPCG(2, 1))
	for _, n := range []int{4_000, 40_000, 200_000} {
		x := clusters(r, n, benchDim)
		w := build(b, x, benchDim, 4096)
		for _, m := range []struct {
			name string
			o    Options
		}{{"cascade", Options{Threads: 1}}, {"exact", Options{Mode: Exact, Threads: 1}}, {"float", Options{Mode: Float, Threads: 1}}, {"threads", Options{}}} {
			b.Run(fmt.Sprintf("%s/n=%d", m.name, n), func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					i = (i + 7919) % n
					w.c.Search(w.segs, x[i*benchDim:(i+1)*benchDim], m.o)
				}
			})
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	x := clusters(rand.New(rand.NewPCG(3, 1)), 32, benchDim)
	w := build(b, x, benchDim, 32)
	ch := MakeChunk(benchDim, 32)
	copy(ch.F32, x)
	block := make([]byte, w.c.BlockBytes())
	b.SetBytes(32 * benchDim * 4)
	for b.Loop() {
		for i := range 32 {
			w.c.EncodeInt8(&ch, i)
		}
		w.c.EncodeBits(block, x)
	}
}
