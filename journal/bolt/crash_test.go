package bolt_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"agentd/journal"
	"agentd/journal/bolt"
)

// TestKill kills a writer at random moments, again and again on the same folder: what it had acknowledged is there, and
// the file is whole.
func TestKill(t *testing.T) {
	rounds := 24
	if testing.Short() {
		rounds = 5
	}
	dir := t.TempDir()
	acked := make(map[journal.RunID]journal.Seq)
	blobs := make(map[string]bool)
	for round := range rounds {
		kill(t, dir, acked, blobs)
		o := bolt.Options{Dir: dir}
		if round%6 == 0 { // bbolt's own check is a process more
			o.CheckCommand = self(t, "check")
		}
		st, err := bolt.Open(o)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for run, seq := range acked {
			if last := check(t, st, run); last < seq {
				t.Errorf("round %d: run %s has %d events, %d were acknowledged", round, run, last, seq)
			} else if (run == runID(1) || run == runID(3)) && last%2 != 1 {
				t.Errorf("round %d: run %s has %d events: half of a pair is stored", round, run, last)
			}
		}
		for hash := range blobs {
			r, err := st.Blob(t.Context(), hash)
			if err != nil {
				t.Errorf("round %d: an acknowledged blob: %v", round, err)
				continue
			}
			if _, err := io.Copy(io.Discard, r); err != nil {
				t.Errorf("round %d: an acknowledged blob: %v", round, err)
			}
			r.Close()
		}
		if left, err := filepath.Glob(filepath.Join(dir, "blobs", "tmp-*")); err != nil || len(left) > 0 {
			t.Errorf("round %d: temporary files are left: %v, %v", round, left, err)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d kills, acknowledged: %v and %d blobs", rounds, acked, len(blobs))
}

// kill runs a writer until a random moment and collects what it acknowledged.
func kill(t *testing.T, dir string, acked map[journal.RunID]journal.Seq, blobs map[string]bool) {
	t.Helper()
	argv := append(self(t, "write"), dir)
	cmd := exec.Command(argv[0], argv[1:]...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var timer *time.Timer
	n := 0
	for lines := bufio.NewScanner(out); lines.Scan(); n++ {
		if timer == nil { // it works: count from here
			timer = time.AfterFunc(rand.N(60*time.Millisecond), func() { _ = cmd.Process.Kill() })
		}
		var run, hash string
		var seq journal.Seq
		if _, err := fmt.Sscanf(lines.Text(), "event %s %d", &run, &seq); err == nil {
			acked[journal.RunID(run)] = max(acked[journal.RunID(run)], seq)
		} else if _, err := fmt.Sscanf(lines.Text(), "blob %s %s", &run, &hash); err == nil && len(hash) == 64 {
			blobs[hash] = true
		}
	}
	err = cmd.Wait()
	if n == 0 {
		t.Fatalf("the writer wrote nothing: %v", err)
	}
}
