//go:build linux

package sandbox_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"agentd/sandbox"
	"agentd/sandbox/boxtest"

	"golang.org/x/sys/unix"
)

// cpuTime is what this process, or its ended children, have used.
func cpuTime(who int) time.Duration {
	var ru unix.Rusage
	unix.Getrusage(who, &ru)
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// BenchmarkRun starts /bin/true in a full box, one after the other. The init is the daemon's own program, with all that
// links; a small one shows what that costs.
func BenchmarkRun(b *testing.B) {
	b.Run("small", func(b *testing.B) { runTrue(b, boxtest.Tool(b), false) })
	b.Run("small/prepared", func(b *testing.B) { runTrue(b, boxtest.Tool(b), true) })
	daemon := filepath.Join(b.TempDir(), "agentd")
	build := exec.Command("go", "build", "-o", daemon, "agentd/cmd/agentd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	b.Run("agentd", func(b *testing.B) { runTrue(b, daemon, false) })
	b.Run("agentd/prepared", func(b *testing.B) { runTrue(b, daemon, true) })
}

func runTrue(b *testing.B, init string, prepared bool) {
	box, err := sandbox.Open(sandbox.Options{Init: init})
	if err != nil {
		b.Fatal(err)
	}
	defer box.Close()
	p := sandbox.Policy{Workspace: b.TempDir()}
	if _, err := box.Run(context.Background(), p, sandbox.Command{Argv: []string{"/bin/true"}}); err != nil {
		b.Fatal(err)
	}
	var all []time.Duration
	self, boxes := cpuTime(unix.RUSAGE_SELF), cpuTime(unix.RUSAGE_CHILDREN)
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
	perRun := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(len(all)) }
	b.ReportMetric(perRun(cpuTime(unix.RUSAGE_SELF)-self), "daemon-cpu-ms/run")
	box.Close() // waits for the process that started the boxes: their time shows then
	b.ReportMetric(perRun(cpuTime(unix.RUSAGE_CHILDREN)-boxes), "box-cpu-ms/run")
}
