package crashtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"agentd/goals"
	"agentd/journal"
	"agentd/journal/bolt"
)

// BenchmarkReady is the time from the start of agentd to its listening socket, on an empty store and on one with many ended runs.
func BenchmarkReady(b *testing.B) {
	for _, runs := range []int{0, 10_000} {
		b.Run(fmt.Sprintf("runs=%d", runs), func(b *testing.B) {
			dir := filled(b, runs)
			for b.Loop() {
				d := start(b, dir)
				if d == nil {
					b.Fatal("the daemon ended by itself")
				}
				b.StopTimer()
				d.kill()
				if err := os.Truncate(filepath.Join(dir, "runs.lock"), 0); err != nil { // as a clean stop leaves it
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

// BenchmarkList is `agentctl ls`, a process each time, with many ended runs.
func BenchmarkList(b *testing.B) {
	ctl := filepath.Join(b.TempDir(), "agentctl")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", ctl, "agentd/cmd/agentctl")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build agentctl: %v\n%s", err, out)
	}
	dir := filled(b, 10_000)
	d := start(b, dir)
	if d == nil {
		b.Fatal("the daemon ended by itself")
	}
	defer d.kill()
	for b.Loop() {
		cmd := exec.Command(ctl, "ls")
		cmd.Env = append(os.Environ(), "AGENTD_HOME="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("agentctl ls: %v\n%s", err, out)
		}
	}
}

// filled makes a data folder with ended runs.
func filled(b *testing.B, runs int) string {
	dir := home(b)
	store, err := bolt.Open(bolt.Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	ctx := context.Background()
	const writers = 64 // share commits
	errs := make(chan error)
	for w := range writers {
		go func() {
			for i := w; i < runs; i += writers {
				id := journal.RunID(fmt.Sprintf("%012d", i))
				_, _, err := store.Create(ctx, id, "", journal.RunStarted{Goal: goals.Goal{Text: "a goal of a few words"}, Workspace: "/tmp/x", Model: "local"})
				if err == nil {
					_, err = store.Append(ctx, id, 1, journal.DriverClaimed{Epoch: 1}, journal.RunFinished{Status: journal.StatusAccepted, Result: "done"})
				}
				if err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range writers {
		if err := <-errs; err != nil {
			b.Fatal(err)
		}
	}
	return dir
}
