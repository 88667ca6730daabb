package bolt_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"agentd/journal"
	"agentd/journal/bolt"
	"agentd/journal/journaltest"
)

func runID(n int) journal.RunID { return journal.RunID(fmt.Sprintf("run%09d", n)) }

// BenchmarkAppend compares one run with 32 at once. Group commit: the latter make at least 5 times the appends per second.
func BenchmarkAppend(b *testing.B) {
	var one float64
	for _, runs := range []int{1, 32} {
		b.Run(fmt.Sprintf("runs=%d", runs), func(b *testing.B) {
			st := open(b, b.TempDir())
			for i := range runs {
				if _, _, err := st.Create(b.Context(), runID(i), "", journaltest.Started("bench")); err != nil {
					b.Fatal(err)
				}
			}
			samples := journaltest.Samples()
			b.ReportAllocs()
			b.ResetTimer()
			var left atomic.Int64
			left.Store(int64(b.N))
			var g sync.WaitGroup
			for i := range runs {
				g.Go(func() {
					for seq := journal.Seq(1); left.Add(-1) >= 0; seq++ {
						// Not the last two, which end a run.
						e := samples[1+int(seq)%(len(samples)-3)]
						if _, err := st.Append(b.Context(), runID(i), seq, e); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			g.Wait()
			rate := float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(rate, "appends/s")
			if runs == 1 {
				one = rate
			} else {
				b.ReportMetric(rate/one, "x")
			}
		})
	}
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
	fill(t, st, 10_000)
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
	for _, f := range []journal.Filter{{}, {Oldest: true}, {Live: true}, {Status: journal.StatusUnmet}, {After: runID(5000)}} {
		best(fmt.Sprintf("list %+v", f), 100*time.Millisecond, func() {
			if _, err := st.List(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		})
	}
}
