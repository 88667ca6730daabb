package crashtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"agentd/api"
	"agentd/journal"
)

// TestHundredRuns starts a hundred runs at once, which all end well. Afterwards the daemon has about as many open files as before.
func TestHundredRuns(t *testing.T) {
	const (
		runs = 100
		kept = 64 // files of control groups and networks that wait for the next box
	)
	e := serve(t, counting)
	d := start(t, home(t), e.env()...)
	if d == nil {
		t.Fatal("the daemon ended by itself")
	}
	defer d.kill()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	base := t.TempDir()
	one := func(i int) journal.RunID {
		ws := filepath.Join(base, strconv.Itoa(i))
		if err := os.Mkdir(ws, 0o755); err != nil {
			t.Fatal(err)
		}
		st, err := d.c.Start(ctx, api.StartRequest{Goal: fmt.Sprint("count ", i), Checks: []string{"test -s log"}, Workspace: ws, Yes: true, Model: "openai/scripted"}, "")
		if err != nil {
			t.Fatal(err)
		}
		return st.Run
	}
	ends := func(i int, run journal.RunID) {
		for r, err := range d.c.Events(ctx, run, 0) {
			if err != nil {
				t.Fatalf("run %s: %v", run, err)
			}
			if r.Kind == journal.KindRunFinished {
				break
			}
		}
		s, records, err := fold(ctx, d.c, run)
		if err != nil {
			t.Fatal(err)
		}
		if s.Outcome == nil || s.Outcome.Status != journal.StatusAccepted {
			t.Errorf("run %d ended with %+v", i, s.Outcome)
		}
		checkLog(t, filepath.Join(base, strconv.Itoa(i)), s)
		checkReplies(t, e, records)
	}
	together := func(from, to int) {
		ids := map[int]journal.RunID{}
		for i := from; i < to; i++ {
			ids[i] = one(i)
		}
		for i, id := range ids {
			ends(i, id)
		}
	}
	together(runs, runs+20) // what is opened once and kept is open now
	before := d.files(t)
	together(0, runs)
	deadline := time.Now().Add(30 * time.Second)
	for after := d.files(t); len(after) > len(before)+kept; after = d.files(t) {
		if time.Now().After(deadline) {
			t.Fatalf("open after the runs: %q\nbefore: %q", after, before)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// files lists what the daemon has open.
func (d *daemon) files(t *testing.T) []string {
	t.Helper()
	dir := filepath.Join("/proc", strconv.Itoa(d.cmd.Process.Pid), "fd")
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil {
			out = append(out, to)
		}
	}
	slices.Sort(out)
	return out
}
