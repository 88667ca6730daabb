package sandbox_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"agentd/sandbox"

	"golang.org/x/sys/unix"
)

// cpuTime is what this process and its ended children have used.
func cpuTime() time.Duration {
	var sum time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var ru unix.Rusage
		unix.Getrusage(who, &ru)
		sum += time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
	}
	return sum
}

// BenchmarkRun starts /bin/true in a full box, one after the other.
func BenchmarkRun(b *testing.B) {
	for _, prepared := range []bool{false, true} {
		name := "cold"
		if prepared {
			name = "prepared"
		}
		b.Run(name, func(b *testing.B) {
			box, err := sandbox.Open(options(b))
			if err != nil {
				b.Fatal(err)
			}
			defer box.Close()
			p := sandbox.Policy{Workspace: b.TempDir()}
			var all []time.Duration
			before := cpuTime()
			for b.Loop() {
				if prepared {
					b.StopTimer()
					box.Prepare(p)
					time.Sleep(20 * time.Millisecond) // a model thinks
					b.StartTimer()
				}
				from := time.Now()
				res, err := box.Run(context.Background(), p, sandbox.Command{Argv: []string{"/bin/true"}})
				if err != nil || res.Exit != 0 {
					b.Fatalf("got %+v, %v", res, err)
				}
				all = append(all, time.Since(from))
			}
			slices.Sort(all)
			b.ReportMetric(all[0].Seconds()*1000, "min-ms")
			b.ReportMetric(all[len(all)/2].Seconds()*1000, "p50-ms")
			b.ReportMetric((cpuTime()-before).Seconds()*1000/float64(len(all)), "cpu-ms/run")
		})
	}
}
