package memory_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"agentd/memory"
	"agentd/memory/vec"
)

const benchDim = 384

// benchItems makes n items with random unit vectors and sentences of a small vocabulary.
func benchItems(n int) []memory.Item {
	r := rand.New(rand.NewPCG(1, 2))
	items := make([]memory.Item, n)
	values := make([]float32, n*benchDim)
	for i := range items {
		v := values[i*benchDim : (i+1)*benchDim]
		for j := range v {
			v[j] = float32(int32(r.Uint64())) / (1 << 31)
		}
		vec.Normalize(v)
		text := ""
		for range 12 {
			text += fmt.Sprintf("word%d ", int(r.ExpFloat64()*300))
		}
		items[i] = memory.Item{Namespace: memory.User, Text: text, Vector: v}
	}
	return items
}

// BenchmarkInsert stores items durably, with texts of 12 words and with hardly any; items/s is what counts.
func BenchmarkInsert(b *testing.B) {
	items := benchItems(32768)
	b.Run("text", func(b *testing.B) { benchInsert(b, items) })
	for i := range items {
		items[i].Text = "x"
	}
	b.Run("bare", func(b *testing.B) { benchInsert(b, items) })
}

func benchInsert(b *testing.B, items []memory.Item) {
	for _, c := range []struct {
		name           string
		callers, batch int
	}{{"callers=1", 1, 1}, {"callers=16", 16, 1}, {"batch=256", 1, 256}, {"bulk=32768", 1, 32768}} {
		b.Run(c.name, func(b *testing.B) {
			s := fresh(b, memory.Options{})
			next := make(chan int)
			var wg sync.WaitGroup
			for range c.callers {
				wg.Go(func() {
					for i := range next {
						from := i * c.batch % len(items)
						if _, err := s.Add(context.Background(), items[from:from+c.batch]...); err != nil {
							b.Error(err)
						}
					}
				})
			}
			n := 0
			for b.Loop() {
				next <- n
				n++
			}
			close(next)
			wg.Wait()
			b.ReportMetric(float64(n*c.batch)/b.Elapsed().Seconds(), "items/s")
		})
	}
}

// benchStore is a store of n items, kept for all benchmarks of a run.
func benchStore(b *testing.B, n int) (string, []memory.Item) {
	b.Helper()
	path := filepath.Join(b.TempDir(), "memory.db")
	s, err := memory.Open(path, memory.Options{})
	if err != nil {
		b.Fatal(err)
	}
	items := benchItems(n)
	if _, err := s.Add(context.Background(), items...); err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return path, items
}

func BenchmarkRecall(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		path, items := benchStore(b, n)
		s := open(b, path, memory.Options{})
		for _, c := range []struct {
			name string
			q    memory.Query
		}{{"hybrid", memory.Query{K: 10}}, {"words", memory.Query{K: 10, WordsOnly: true}}, {"namespace", memory.Query{K: 10, Namespaces: []memory.Namespace{memory.User}}}} {
			b.Run(fmt.Sprintf("%s/n=%d", c.name, n), func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					i = (i + 7919) % n
					c.q.Text, c.q.Vector = items[i].Text, items[i].Vector
					if _, _, err := s.Recall(context.Background(), c.q); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkOpen opens a store and asks once.
func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		path, items := benchStore(b, n)
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			for b.Loop() {
				s, err := memory.Open(path, memory.Options{})
				if err != nil {
					b.Fatal(err)
				}
				if _, _, err := s.Recall(context.Background(), memory.Query{Text: items[0].Text, Vector: items[0].Vector, K: 1}); err != nil {
					b.Fatal(err)
				}
				s.Close()
			}
		})
		if st, err := os.Stat(path); err == nil {
			b.Logf("%d items: %d bytes for each", n, st.Size()/int64(n))
		}
	}
}
