package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"agentd/api"
	"agentd/api/apitest"
	"agentd/journal"
	"agentd/llm"
	"agentd/planner"
)

// work is what a run of two tasks does: n steps with a call each, of which some ask, wait or fail.
func work(n int) []journal.Event {
	events := []journal.Event{
		journal.DriverClaimed{Epoch: 1},
		journal.PlanMade{Plan: planner.Plan{Revision: 1, Tasks: []planner.Task{{ID: "a", Do: "one"}, {ID: "b", Do: "two"}}}},
		journal.TaskStarted{Task: "a", Attempt: 1}, journal.TaskStarted{Task: "b", Attempt: 1},
	}
	for i := range n {
		task := []string{"a", "b"}[i%2]
		m := fmt.Sprint("m", i)
		call := journal.Call{ID: fmt.Sprint("c", i), Task: task, Tool: "shell", From: m, Args: json.RawMessage(`{"command":"ls"}`)}
		events = append(events, journal.ModelAsked{Call: m, Task: task, Purpose: "step", Step: i + 1, Reserved: 100})
		if i%7 == 3 {
			events = append(events, journal.ModelReplied{Call: m, Err: "overloaded"})
			continue
		}
		events = append(events, journal.ModelReplied{Call: m, Reply: &llm.Reply{Text: "I look."}, Used: 50})
		if i%5 == 0 {
			events = append(events, journal.ToolAsked{Call: call, Ask: journal.AskTool}, journal.AskAnswered{Ask: call.ID, Answer: "allow", By: "ann"})
		}
		events = append(events, journal.ToolStarted{Call: call, Effect: "once"})
		if i%11 != 5 {
			events = append(events, journal.ToolFinished{Call: call, Status: journal.ToolOK, Head: "ok"})
		}
		if i%50 == 49 {
			events = append(events, journal.TaskFinished{Task: "b", Reason: "stalled"}, journal.TaskStarted{Task: "b", Attempt: i})
		}
	}
	return events
}

// counting counts the records that are read in order.
type counting struct {
	journal.Store
	read atomic.Int64
}

func (c *counting) Read(ctx context.Context, run journal.RunID, after journal.Seq) iter.Seq2[journal.Record, error] {
	return func(yield func(journal.Record, error) bool) {
		for r, err := range c.Store.Read(ctx, run, after) {
			c.read.Add(1)
			if !yield(r, err) {
				return
			}
		}
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// A view is what folding the whole journal and trimming it gives, after any number of events and of restarts.
func TestViewIsTheFold(t *testing.T) {
	dir := t.TempDir()
	count := new(counting)
	s := serve(t, func(_ *apitest.Engine, o *api.Options) {
		count.Store = o.Store
		o.Store, o.Views = count, dir
	})
	run := s.begin(t)
	events := work(700)
	check := func() {
		t.Helper()
		var want journal.State
		if err := journal.CatchUp(t.Context(), s.Store, run, &want); err != nil {
			t.Fatal(err)
		}
		for _, turns := range []int{1, 3} {
			got, err := s.client.Recent(t.Context(), run, turns)
			if err != nil {
				t.Fatal(err)
			}
			want.Trim(max(turns, 3))
			full := asJSON(t, &want)
			if turns < 3 {
				var less journal.State
				if err := json.Unmarshal([]byte(full), &less); err != nil {
					t.Fatal(err)
				}
				less.Trim(turns)
				full = asJSON(t, &less)
			}
			if d := cmp.Diff(full, asJSON(t, got.State)); d != "" {
				t.Fatalf("after %d events, %d turns (-fold +view):\n%s", want.Last, turns, d)
			}
			if got.Summary.Last != want.Last {
				t.Fatalf("summary at %d, want %d", got.Summary.Last, want.Last)
			}
		}
	}
	for len(events) > 0 {
		n := min(len(events), 713)
		s.add(t, run, events[:n]...)
		events = events[n:]
		check()
	}
	if files, err := filepath.Glob(filepath.Join(dir, "*.json")); err != nil || len(files) != 1 {
		t.Fatalf("views on disk: %v, %v; want one", files, err)
	}

	// Another server goes on from the file, and takes a client's words by it.
	again := serve(t, func(e *apitest.Engine, o *api.Options) { e.Store, o.Store, o.Views = count, count, dir })
	count.read.Store(0)
	if err := again.client.Say(t.Context(), run, "also this"); err != nil {
		t.Fatal(err)
	}
	if n := count.read.Load(); n >= 1000 {
		t.Errorf("a message to a run of more than 2000 events read %d of them", n)
	}
	check()

	// What is no view of this journal is not believed.
	file := filepath.Join(dir, string(run)+".json")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"cut":     good[:len(good)/2],
		"empty":   nil,
		"damaged": []byte(string(good[:len(good)/2]) + "x" + string(good[len(good)/2+1:])),
	} {
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		other := serve(t, func(e *apitest.Engine, o *api.Options) { e.Store, o.Store, o.Views = count, count, dir })
		got, err := other.client.Recent(t.Context(), run, 3)
		if err != nil || got.State == nil || len(got.State.Messages) != 1 || got.State.Epoch != 1 {
			t.Errorf("%s file: %v, %v", name, got.State, err)
		}
	}

	// It goes with its run.
	if err := again.client.Cancel(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	s.add(t, run, journal.RunFinished{Status: journal.StatusCancelled})
	if err := again.client.Purge(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the view of a removed run: %v", err)
	}
}

// The server keeps the views of long runs by itself, and sweeps those of runs that are no more.
func TestViewsAreKept(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"gonegonegone.json", "new-1"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var store journal.Store
	s := serve(t, func(_ *apitest.Engine, o *api.Options) { store = o.Store })
	run := s.begin(t)
	s.add(t, run, work(600)...)
	serve(t, func(_ *apitest.Engine, o *api.Options) { o.Store, o.Views = store, dir })
	want := []string{filepath.Join(dir, string(run)+".json")}
	var got []string
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if got, _ = filepath.Glob(filepath.Join(dir, "*")); cmp.Equal(got, want) {
			return
		}
	}
	t.Errorf("files %v, want %v", got, want)
}
