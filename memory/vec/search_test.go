package vec

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// world is a set of segments and the vectors in them.
type world struct {
	c    *Codec
	segs []Segment
}

// clusters draws n unit vectors around a few centres, as texts' embeddings are.
func clusters(r *rand.Rand, n, dim int) []float32 {
	const centres = 50
	mid := make([]float32, centres*dim)
	for i := range mid {
		mid[i] = float32(r.NormFloat64())
	}
	x := make([]float32, n*dim)
	for i := range n {
		c := r.IntN(centres)
		row := x[i*dim : (i+1)*dim]
		for j := range row {
			row[j] = 0.3 + mid[c*dim+j] + float32(r.NormFloat64())*0.9
		}
		Normalize(row)
	}
	return x
}

// build cuts x into segments of size rows; the last one has 1-bit codes for whole blocks only, as a tail has.
func build(t testing.TB, x []float32, dim, size int) world {
	t.Helper()
	n := len(x) / dim
	c, err := NewCodec(dim, 7, Mean(slices.Chunk(x[:min(n, 1000)*dim], dim), dim))
	if err != nil {
		t.Fatal(err)
	}
	w := world{c: c}
	for at := 0; at < n; at += size {
		rows := min(size, n-at)
		g := Segment{Rows: rows}
		for o := 0; o < rows; o += ChunkRows {
			m := min(ChunkRows, rows-o)
			ch := MakeChunk(dim, m)
			copy(ch.F32, x[(at+o)*dim:])
			for i := range m {
				c.EncodeInt8(&ch, i)
			}
			g.Chunks = append(g.Chunks, ch)
		}
		blocks := rows / 32
		if at+rows < n {
			blocks = (rows + 31) / 32
		}
		g.Bits = make([]byte, blocks*c.BlockBytes())
		for b := range blocks {
			c.EncodeBits(g.Bits[b*c.BlockBytes():(b+1)*c.BlockBytes()], x[(at+b*32)*dim:(at+min(rows, b*32+32))*dim])
		}
		g.MaxFactor = c.MaxFactor(g.Bits)
		w.segs = append(w.segs, g)
	}
	return w
}

// brute ranks the live rows in float64.
func (w world) brute(q []float32, n int) []Hit {
	var all []Hit
	for i, g := range w.segs {
		for r := range g.Rows {
			if !g.live(r) {
				continue
			}
			row := g.Chunks[r/ChunkRows].F32[r%ChunkRows*w.c.dim:][:w.c.dim]
			var s float64
			for j, v := range row {
				s += float64(v) * float64(q[j])
			}
			all = append(all, Hit{i, r, float32(s)})
		}
	}
	order(all)
	return all[:min(n, len(all))]
}

// agree compares a found answer with the true one; rows whose scores differ by rounding may change places.
func agree(t *testing.T, name string, got, want []Hit) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d hits, want %d", name, len(got), len(want))
	}
	for i := range got {
		if math.Abs(float64(got[i].Score-want[i].Score)) > 2e-6 {
			t.Fatalf("%s: hit %d is %+v, want %+v", name, i, got[i], want[i])
		}
	}
}

func TestExactAgrees(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, dim := range []int{8, 40, 104, 384} {
		for _, n := range []int{1, 3, 31, 32, 33, 1000, 1025, 9000} {
			x := clusters(r, n, dim)
			w := build(t, x, dim, 4096)
			for _, o := range []Options{{}, {Mode: Exact}, {Mode: Float}, {Mode: Exact, K: 1}, {Mode: Exact, K: 200}, {Mode: Exact, K: math.MaxInt}} {
				q := x[r.IntN(n)*dim:][:dim]
				got, st := w.c.Search(w.segs, q, o)
				want := min(o.K, n)
				if o.K == 0 {
					want = min(10, n)
				}
				if o.Mode == Cascade && n > exactRows {
					continue // TestCascadeRecall
				}
				agree(t, fmt.Sprintf("dim %d n %d %+v", dim, n, o), got, w.brute(q, want))
				if st.Rows != n {
					t.Fatalf("dim %d n %d: %d rows in the stats", dim, n, st.Rows)
				}
			}
		}
	}
}

func TestExactOnHardVectors(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 2))
	const dim, n = 64, 3000
	x := make([]float32, n*dim)
	for i := range n {
		row := x[i*dim : (i+1)*dim]
		copy(row, fill(r, []string{"normal", "spike", "mixed", "denormal", "huge"}[i%5], dim))
		if i%7 == 0 && i > 0 {
			copy(row, x[(i-1)*dim:i*dim]) // ties
		}
	}
	w := build(t, x, dim, 1000)
	for _, kind := range []string{"normal", "spike", "mixed", "denormal"} {
		q := fill(r, kind, dim)
		got, _ := w.c.Search(w.segs, q, Options{Mode: Exact})
		want, _ := w.c.Search(w.segs, q, Options{Mode: Float})
		for i := range want {
			if got[i].Score != want[i].Score && math.Abs(float64(got[i].Score/want[i].Score-1)) > 1e-5 {
				t.Fatalf("%s query: hit %d is %+v, want %+v", kind, i, got[i], want[i])
			}
		}
	}
}

func TestCascadeRecall(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 2))
	const dim, n, queries = 128, 40_000, 100
	x := clusters(r, n, dim)
	w := build(t, x, dim, 4096)
	hit, total, rescored := 0, 0, 0
	for range queries {
		q := slices.Clone(x[r.IntN(n)*dim:][:dim])
		for j := range q {
			q[j] += float32(r.NormFloat64()) * 0.05
		}
		Normalize(q)
		got, st := w.c.Search(w.segs, q, Options{})
		rescored += st.Int8
		for _, h := range w.brute(q, 10) {
			total++
			if slices.ContainsFunc(got, func(g Hit) bool { return g.Seg == h.Seg && g.Row == h.Row }) {
				hit++
			}
		}
	}
	if recall := float64(hit) / float64(total); recall < 0.999 {
		t.Errorf("recall@10 %v, want 0.999", recall)
	}
	if rescored/queries > n/20 {
		t.Errorf("%d of %d rows rescored by int8: not a cascade", rescored/queries, n)
	}
}

func TestLiveRows(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 2))
	const dim, n = 64, 12_345
	x := clusters(r, n, dim)
	w := build(t, x, dim, 4096)
	for _, keep := range []float64{0, 0.0005, 0.01, 0.1, 0.5, 0.999} {
		for i := range w.segs {
			g := &w.segs[i]
			g.Live = make([]uint32, (g.Rows+31)/32)
			for row := range g.Rows {
				if r.Float64() < keep {
					g.Live[row/32] |= 1 << (row % 32)
				}
			}
		}
		w.segs[1].Live = make([]uint32, len(w.segs[1].Live)) // all deleted
		for _, m := range []Mode{Cascade, Exact, Float} {
			for range 10 {
				q := x[r.IntN(n)*dim:][:dim]
				got, _ := w.c.Search(w.segs, q, Options{Mode: m, K: 5})
				agree(t, fmt.Sprintf("keep %v mode %d", keep, m), got, w.brute(q, 5))
			}
		}
	}
}

func TestBatchAndThreadsAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 2))
	const dim, n = 32, 60_000
	x := clusters(r, n, dim)
	w := build(t, x, dim, 4096)
	var qs [][]float32
	for range 9 {
		qs = append(qs, x[r.IntN(n)*dim:][:dim])
	}
	for _, m := range []Mode{Cascade, Exact, Float} {
		one := make([][]Hit, len(qs))
		for i, q := range qs {
			one[i], _ = w.c.Search(w.segs, q, Options{Mode: m, Threads: 1})
			many, _ := w.c.Search(w.segs, q, Options{Mode: m, Threads: 4})
			if !slices.Equal(one[i], many) {
				t.Errorf("mode %d query %d: four threads found %v, one %v", m, i, many, one[i])
			}
		}
		batch, _ := w.c.SearchBatch(w.segs, qs, Options{Mode: m, Threads: 2})
		for i := range qs {
			if !slices.Equal(one[i], batch[i]) {
				t.Errorf("mode %d query %d: the batch found %v, one %v", m, i, batch[i], one[i])
			}
		}
	}
	if hits, _ := w.c.SearchBatch(w.segs, nil, Options{}); len(hits) != 0 {
		t.Errorf("an empty batch found %v", hits)
	}
	if hits, _ := w.c.Search(nil, qs[0], Options{}); len(hits) != 0 {
		t.Errorf("no segments gave %v", hits)
	}
}

// TestRescan gives the sample a skewed view: the rows it looks at score far better than the rest.
func TestRescan(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 2))
	const dim, n = 64, 40_000
	x := clusters(r, n, dim)
	q := slices.Clone(x[:dim])
	for b := 0; b < n/32; b++ {
		if b%16 == 0 {
			for i := range 32 {
				row := x[(b*32+i)*dim:][:dim]
				for j := range row {
					row[j] = q[j] + float32(r.NormFloat64())*0.01
				}
				Normalize(row)
			}
		}
	}
	w := build(t, x, dim, 4096)
	got, _ := w.c.Search(w.segs, q, Options{K: 10})
	agree(t, "skewed", got, w.brute(q, 10))
}

func TestBadVectors(t *testing.T) {
	one := func(i int, v float32) []float32 {
		x := make([]float32, 16)
		x[3], x[i] = 1, v
		return x
	}
	for _, c := range []struct {
		name string
		x    []float32
		want error
	}{
		{"good", one(0, 2), nil},
		{"short", make([]float32, 15), ErrDim},
		{"nil", nil, ErrDim},
		{"zero", make([]float32, 16), ErrValues},
		{"nan", one(7, float32(math.NaN())), ErrValues},
		{"inf", one(7, float32(math.Inf(-1))), ErrValues},
		{"too long", one(7, 3e19), ErrValues},
		{"denormal", one(3, math.SmallestNonzeroFloat32), nil},
	} {
		if err := Check(c.x, 16); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	for _, dim := range []int{0, -8, 4, 12, 4104} {
		if _, err := NewCodec(dim, 1, nil); !errors.Is(err, ErrDim) {
			t.Errorf("dimension %d: %v, want %v", dim, err, ErrDim)
		}
	}
	if _, err := NewCodec(16, 1, make([]float32, 8)); !errors.Is(err, ErrDim) {
		t.Errorf("a mean of another dimension: %v", err)
	}
}

func TestSelectTop(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 2))
	for range 200 {
		n := 1 + r.IntN(300)
		c := make([]cand, n)
		for i := range c {
			c[i].s = float32(r.IntN(40))
		}
		want := slices.Clone(c)
		slices.SortFunc(want, func(a, b cand) int { return int(b.s - a.s) })
		m := 1 + r.IntN(n)
		selectTop(c, m)
		slices.SortFunc(c[:m], func(a, b cand) int { return int(b.s - a.s) })
		for i := range m {
			if c[i].s != want[i].s {
				t.Fatalf("top %d of %d: %v at %d, want %v", m, n, c[i].s, i, want[i].s)
			}
		}
	}
}
