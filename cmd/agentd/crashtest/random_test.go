package crashtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"agentd/api"
	"agentd/journal"
)

const (
	parallelRuns = 8
	stepsOfRun   = 12
)

// kills is how many random kills there are: 200, or $CRASH_KILLS.
func kills(t *testing.T) int {
	s := os.Getenv("CRASH_KILLS")
	if s == "" {
		return 200
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("CRASH_KILLS=%q is no number of kills", s)
	}
	return n
}

// counting scripts a run that appends the number of each step to a log, once.
func counting(msgs []message, tools bool) (string, any, string) {
	if !tools {
		return "", nil, "no plan" // the one-task plan will do
	}
	n, _ := results(msgs)
	if n >= stepsOfRun {
		return "finish", map[string]any{"result": "counted"}, ""
	}
	return "shell", map[string]any{"command": fmt.Sprintf("echo %d >> log", n)}, ""
}

// TestRandomKills kills the daemon at random moments while eight runs work at once. No step's effect takes place twice, none that the
// journal calls done is missing, and every run ends.
func TestRandomKills(t *testing.T) {
	e := serve(t, counting)
	dir := home(t)
	base := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
	defer cancel()
	var runs []journal.RunID
	workspace := func(i int) string { return filepath.Join(base, strconv.Itoa(i)) }
	begin := func(c *api.Client, i int) error {
		if err := os.MkdirAll(workspace(i), 0o755); err != nil {
			return err
		}
		st, err := c.Start(ctx, api.StartRequest{Goal: fmt.Sprint("count ", i), Checks: []string{"test -s log"}, Workspace: workspace(i), Yes: true, Model: "openai/scripted"}, fmt.Sprint("run", i))
		if err == nil {
			runs = append(runs, st.Run)
		}
		return err
	}
	n, want := 0, kills(t)
	for n < want {
		d := start(t, dir, e.env()...)
		if d == nil {
			t.Fatal("the daemon ended by itself")
		}
		list, err := d.c.List(ctx, journal.Filter{Live: true})
		for live := len(list); err == nil && live < parallelRuns; live++ {
			err = begin(d.c, len(runs))
		}
		if err != nil {
			t.Fatalf("kill %d: %v", n, err)
		}
		time.Sleep(time.Duration(5+rand.IntN(150)) * time.Millisecond)
		d.kill()
		n++
	}
	d := start(t, dir, e.env()...)
	if d == nil {
		t.Fatal("the daemon ended by itself")
	}
	defer d.kill()
	doubts := 0
	for i, run := range runs {
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
		doubts += checkLog(t, workspace(i), s)
		checkReplies(t, e, records)
	}
	t.Logf("%d kills, %d runs, %d effects in doubt", n, len(runs), doubts)
}

// checkLog compares what a run did with what its journal says, and returns how many of its effects were in doubt.
func checkLog(t *testing.T, ws string, s *journal.State) (doubts int) {
	t.Helper()
	if s.Outcome == nil || s.Outcome.Status != journal.StatusAccepted {
		t.Errorf("run %s ended %+v", s.Run, s.Outcome)
		return 0
	}
	got, err := lines(filepath.Join(ws, "log"))
	if err != nil {
		t.Error(errors.Unwrap(err))
	}
	times := make(map[string]int)
	for _, l := range got {
		times[l]++
	}
	for _, task := range s.Tasks {
		for _, turn := range task.Turns {
			for _, c := range turn.Calls {
				if c.Tool != "shell" || c.Finished == nil {
					continue
				}
				_, num, _ := strings.Cut(string(c.Args), "echo ")
				num, _, _ = strings.Cut(num, " ")
				switch c.Finished.Status {
				case journal.ToolOK:
					if times[num] != 1 {
						t.Errorf("run %s: step %s is done and took effect %d times", s.Run, num, times[num])
					}
				case journal.ToolInDoubt:
					doubts++
					if times[num] > 1 {
						t.Errorf("run %s: step %s is in doubt and took effect %d times", s.Run, num, times[num])
					}
				default:
					t.Errorf("run %s: step %s ended %s: %s", s.Run, num, c.Finished.Status, c.Finished.Head)
				}
			}
		}
	}
	return doubts
}
