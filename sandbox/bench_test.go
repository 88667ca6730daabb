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

// BenchmarkAgainstBubblewrap starts /bin/true in a box and in a view of bwrap's that is as like it as bwrap makes it,
// one after the other, so that a busy machine slows both.
func BenchmarkAgainstBubblewrap(b *testing.B) {
	bwrap, err := exec.LookPath("bwrap")
	if err != nil {
		b.Fatal("bwrap is not installed")
	}
	box, err := sandbox.Open(sandbox.Options{Init: boxtest.Tool(b)})
	if err != nil {
		b.Fatal(err)
	}
	defer box.Close()
	p := sandbox.Policy{Workspace: b.TempDir()}
	argv := []string{"--unshare-all", "--die-with-parent", "--new-session", "--as-pid-1", "--uid", "1000", "--gid", "1000", "--ro-bind", "/usr", "/usr",
		"--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--ro-bind", "/etc/ssl", "/etc/ssl", "--ro-bind", "/etc/alternatives", "/etc/alternatives",
		"--ro-bind", "/etc/ld.so.cache", "/etc/ld.so.cache", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/home/agent",
		"--bind", p.Workspace, "/workspace", "--chdir", "/workspace", "--clearenv", "--setenv", "PATH", "/usr/bin:/bin", "/bin/true"}
	var ours, theirs []time.Duration
	for b.Loop() {
		from := time.Now()
		if res, err := box.Run(context.Background(), p, sandbox.Command{Argv: []string{"/bin/true"}}); err != nil || res.Exit != 0 {
			b.Fatalf("got %+v, %v", res, err)
		}
		ours = append(ours, time.Since(from))
		from = time.Now()
		if out, err := exec.Command(bwrap, argv...).CombinedOutput(); err != nil {
			b.Fatalf("bwrap: %v: %s", err, out)
		}
		theirs = append(theirs, time.Since(from))
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	b.ReportMetric(ours[len(ours)/2].Seconds()*1000, "box-p50-ms")
	b.ReportMetric(theirs[len(theirs)/2].Seconds()*1000, "bwrap-p50-ms")
	b.ReportMetric(ours[0].Seconds()*1000, "box-min-ms")
	b.ReportMetric(theirs[0].Seconds()*1000, "bwrap-min-ms")
}

// BenchmarkManyBoxes starts boxes side by side.
func BenchmarkManyBoxes(b *testing.B) {
	box, err := sandbox.Open(sandbox.Options{Init: boxtest.Tool(b)})
	if err != nil {
		b.Fatal(err)
	}
	defer box.Close()
	p := sandbox.Policy{Workspace: b.TempDir()}
	b.SetParallelism(4)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if res, err := box.Run(context.Background(), p, sandbox.Command{Argv: []string{"/bin/true"}}); err != nil || res.Exit != 0 {
				b.Errorf("got %+v, %v", res, err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "boxes/s")
}
