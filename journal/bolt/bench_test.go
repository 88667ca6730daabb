package bolt_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"agentd/journal"
	"agentd/journal/bolt"
	"agentd/journal/journaltest"
)

func runID(n int) journal.RunID { return journal.RunID(fmt.Sprintf("run%09d", n)) }

// BenchmarkAppend measures the appends per second of one run and of 32 at once, in turns, so that a noisy machine is noisy
// for both. Group commit: x, the median of their ratios, is at least 5.
func BenchmarkAppend(b *testing.B) {
	const runs, each = 32, 40
	st := open(b, b.TempDir())
	var seqs [runs]journal.Seq
	for i := range runs {
		if _, _, err := st.Create(b.Context(), runID(i), "", journaltest.Started("bench")); err != nil {
			b.Fatal(err)
		}
		seqs[i] = 1
	}
	samples := journaltest.Samples()
	samples = samples[1 : len(samples)-2] // without the start and the end of a run
	// turn appends to n runs at once and returns the appends per second.
	turn := func(n int) float64 {
		begin := time.Now()
		var g sync.WaitGroup
		for i := range n {
			g.Go(func() {
				for range each {
					var err error
					if seqs[i], err = st.Append(b.Context(), runID(i), seqs[i], samples[int(seqs[i])%len(samples)]); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		g.Wait()
		return float64(n*each) / time.Since(begin).Seconds()
	}
	var one, many, ratio []float64
	b.ReportAllocs()
	for b.Loop() {
		o, m := turn(1), turn(runs)
		one, many, ratio = append(one, o), append(many, m), append(ratio, m/o)
	}
	median := func(v []float64) float64 {
		slices.Sort(v)
		return v[len(v)/2]
	}
	b.ReportMetric(median(one), "one/s")
	b.ReportMetric(median(many), "many/s")
	b.ReportMetric(median(ratio), "x")
	b.ReportMetric(0, "ns/op")
}

// fill makes n finished runs.
func fill(t testing.TB, st *bolt.Store, n int) {
	t.Helper()
	var next atomic.Int64
	var g sync.WaitGroup
	for range 64 {
		g.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if _, _, err := st.Create(t.Context(), runID(i), fmt.Sprint("key", i), journaltest.Started("a goal of a run that has ended")); err != nil {
					t.Error(err)
					return
				}
				if _, err := st.Append(t.Context(), runID(i), 1, journaltest.Note(1), journaltest.Note(2), journal.RunFinished{Status: journal.StatusAccepted, Result: "done"}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	g.Wait()
}

// BenchmarkManyRuns opens and lists a store of 10,000 ended runs.
func BenchmarkManyRuns(b *testing.B) {
	dir := b.TempDir()
	st := open(b, dir)
	fill(b, st, 10_000)
	if _, _, err := st.Create(b.Context(), runID(20_000), "", journaltest.Started("live")); err != nil {
		b.Fatal(err)
	}
	if err := st.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			st, err := bolt.Open(bolt.Options{Dir: dir})
			if err != nil {
				b.Fatal(err)
			}
			if err := st.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	st = open(b, dir)
	for name, f := range map[string]journal.Filter{
		"newest":    {},
		"oldest":    {Oldest: true},
		"middle":    {After: runID(5000)},
		"live":      {Live: true},
		"status":    {Status: journal.StatusUnmet},
		"workspace": {Workspace: "/nowhere"},
	} {
		b.Run("list="+name, func(b *testing.B) {
			for b.Loop() {
				if _, err := st.List(b.Context(), f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestManyRuns holds bounds that a person would notice, several times what BenchmarkManyRuns measures: a search through
// all events would break them.
func TestManyRuns(t *testing.T) {
	dir := t.TempDir()
	st := open(t, dir)
	fill(t, st, 3000)
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	best := func(what string, limit time.Duration, fn func()) {
		t.Helper()
		least := time.Hour
		for range 5 {
			begin := time.Now()
			fn()
			least = min(least, time.Since(begin))
		}
		t.Logf("%s: %v", what, least)
		if least > limit {
			t.Errorf("%s took %v at best, want at most %v", what, least, limit)
		}
	}
	best("open", 400*time.Millisecond, func() {
		st, err := bolt.Open(bolt.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	})
	st = open(t, dir)
	for _, f := range []journal.Filter{{}, {Oldest: true}, {Live: true}, {Status: journal.StatusUnmet}, {After: runID(1500)}} {
		best(fmt.Sprintf("list %+v", f), 100*time.Millisecond, func() {
			if _, err := st.List(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		})
	}
}
