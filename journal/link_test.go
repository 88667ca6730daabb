package journal_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"agentd/goals"
	"agentd/journal"
	"agentd/llm"
	"agentd/planner"
)

// working is a run of two tasks with asks, failures and a revision, that is cut off in the middle of a call.
func working(t *testing.T) []journal.Record {
	t.Helper()
	events := []journal.Event{
		journal.RunStarted{Goal: goals.Goal{Text: "g"}, Workspace: "/w", Model: "m"},
		journal.DriverClaimed{Epoch: 1},
		journal.ModelAsked{Call: "p1", Purpose: "plan", Step: 1, Reserved: 100, USD: 1},
		journal.ModelReplied{Call: "p1", Reply: &llm.Reply{Text: "plan"}, Used: 10, USD: 0.25},
		journal.PlanMade{Plan: planner.Plan{Revision: 1, Tasks: []planner.Task{{ID: "a", Do: "a"}, {ID: "b", Do: "b"}}}},
		journal.TaskStarted{Task: "a", Attempt: 1},
	}
	for i := range 6 {
		m, c := fmt.Sprintf("m%d", i), journal.Call{ID: fmt.Sprintf("c%d", i), Task: "a", Tool: "shell", Args: json.RawMessage(`{"command":"x"}`), From: fmt.Sprintf("m%d", i)}
		events = append(events,
			journal.ModelAsked{Call: m, Task: "a", Purpose: "step", Step: 2 + i, Reserved: 100, USD: 1},
			journal.ModelReplied{Call: m, Reply: &llm.Reply{Text: "do"}, Used: 50, USD: 0.5},
			journal.ToolAsked{Call: c, Ask: journal.AskTool},
			journal.AskAnswered{Ask: c.ID, Answer: "allow", By: "me"},
			journal.ToolStarted{Call: c, Effect: "once"},
			journal.ToolFinished{Call: c, Status: journal.ToolOK, Head: "out"},
		)
	}
	events = append(events,
		journal.TaskFinished{Task: "a", Reason: "no"},
		journal.ModelAsked{Call: "lost", Task: "b", Purpose: "step", Step: 9, Reserved: 100},
		journal.PlanMade{Plan: planner.Plan{Revision: 2, Tasks: []planner.Task{{ID: "a", Do: "a"}}}, Reason: "b is not needed"},
		journal.ModelReplied{Call: "lost", Err: "x", Used: 100},
		journal.TaskStarted{Task: "a", Attempt: 2},
		journal.ModelAsked{Call: "z", Task: "a", Purpose: "step", Step: 10, Reserved: 100},
		journal.ModelReplied{Call: "z", Reply: &llm.Reply{Text: "do"}, Used: 50},
		journal.ToolAsked{Call: journal.Call{ID: "cz", Task: "a", Tool: "shell", From: "z"}, Ask: journal.AskTool},
		journal.AskAnswered{Ask: "cz", Answer: "deny", By: "me"},
		journal.ToolFinished{Call: journal.Call{ID: "cz", Task: "a", Tool: "shell", From: "z"}, Status: journal.ToolRefused},
	)
	var out []journal.Record
	for i, e := range events {
		r, err := journal.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		r.Run, r.Seq, r.Time = "r", journal.Seq(i+1), time.Unix(int64(i), 0).UTC()
		out = append(out, r)
	}
	return out
}

func encode(t *testing.T, s *journal.State) string {
	t.Helper()
	data, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestStateGoesOnAfterJSON cuts a run at every event, sends the state as JSON, whole and trimmed, and folds the rest.
func TestStateGoesOnAfterJSON(t *testing.T) {
	recs := working(t)
	want, err := journal.Fold(recs)
	if err != nil {
		t.Fatal(err)
	}
	for cut := 1; cut <= len(recs); cut++ {
		for _, trim := range []bool{false, true} {
			half, err := journal.Fold(recs[:cut])
			if err != nil {
				t.Fatal(err)
			}
			if trim {
				half.Trim(2)
			}
			var got journal.State
			if err := json.Unmarshal([]byte(encode(t, half)), &got); err != nil {
				t.Fatal(err)
			}
			for _, r := range recs[cut:] {
				if err := got.Apply(r); err != nil {
					t.Fatalf("cut at %d: %v", cut, err)
				}
			}
			whole := *want
			if trim {
				got.Trim(2)
				copied := new(journal.State)
				if err := json.Unmarshal([]byte(encode(t, want)), copied); err != nil {
					t.Fatal(err)
				}
				copied.Trim(2)
				whole = *copied
			}
			if diff := cmp.Diff(encode(t, &whole), encode(t, &got)); diff != "" {
				t.Fatalf("cut at %d, trimmed %v (-want +got):\n%s", cut, trim, diff)
			}
		}
	}
}

func TestTrimKeepsWhatIsOpen(t *testing.T) {
	recs := working(t)
	s, err := journal.Fold(recs[:9]) // up to the first ask
	if err != nil {
		t.Fatal(err)
	}
	s.Trim(0)
	if s.ToolCall("c0") == nil || s.ToolCall("c0").Asked == nil || len(s.Asks) != 1 {
		t.Errorf("the open ask is gone: %s", encode(t, s))
	}
	done, err := journal.Fold(recs)
	if err != nil {
		t.Fatal(err)
	}
	a := done.Tasks["a"]
	if a.Steps != 7 || a.Tokens != 350 || a.USD != 3 {
		t.Errorf("task a used %d steps, %d tokens, $%v; want 7, 350, 3", a.Steps, a.Tokens, a.USD)
	}
	done.Trim(0)
	if done.ToolCall("c5") != nil || len(done.Tasks["a"].Turns) != 0 || done.Spent.Steps != 10 {
		t.Errorf("trimmed to nothing, but kept: %s", encode(t, done))
	}
}
