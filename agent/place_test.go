package agent_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentd/agent"
	"agentd/goals"
	"agentd/journal"
	"agentd/llm"

	"github.com/google/go-cmp/cmp"
)

// steps is a model that runs the given commands one after the other and then finishes.
func steps(cmds ...string) *model {
	return &model{info: llm.Info{Name: "test/steps", Price: &llm.Price{}}, reply: func(n int, r *llm.Request) (*llm.Reply, error) {
		done := 0
		for _, m := range r.Messages {
			if m.Role == llm.ToolRole {
				done++
			}
		}
		if len(r.Tools) == 0 || done >= len(cmds) {
			return say("done"), nil
		}
		args, err := json.Marshal(map[string]string{"command": cmds[done]})
		if err != nil {
			return nil, err
		}
		return &llm.Reply{Stop: llm.StopCalls, Calls: []llm.Call{{ID: "c", Name: "shell", Args: string(args)}}}, nil
	}}
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			b, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			got[e.Name()] = strings.TrimSpace(string(b))
		}
	}
	return got
}

func put(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUndoStep(t *testing.T) {
	r := newRig(t, steps("echo 1 >a", "echo 2 >a; echo 2 >b", "echo 3 >a; rm old; echo 3 >c"))
	put(t, r.ws, map[string]string{"old": "old", "mine": "mine"})
	id := r.start(agent.Request{Goal: oneTask("write the files"), Model: "m"})
	if s := r.ended(id); s.Outcome.Status != journal.StatusAccepted {
		t.Fatalf("outcome %+v", s.Outcome)
	}
	r.gone(id)
	put(t, r.ws, map[string]string{"b": "a person's"})
	for _, tt := range []struct {
		step int
		want map[string]string
		kept int
	}{
		{3, map[string]string{"a": "2", "b": "a person's", "old": "old", "mine": "mine"}, 0},
		{2, map[string]string{"a": "1", "b": "a person's", "old": "old", "mine": "mine"}, 1},
		{3, map[string]string{"a": "2", "b": "a person's", "old": "old", "mine": "mine"}, 1}, // and forward again
		{1, map[string]string{"b": "a person's", "old": "old", "mine": "mine"}, 1},
	} {
		u, err := r.Undo(t.Context(), id, "test", tt.step)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, files(t, r.ws)); diff != "" {
			t.Errorf("before step %d (-want +got):\n%s\n%+v", tt.step, diff, u)
		}
		if len(u.Kept) != tt.kept {
			t.Errorf("before step %d: kept %v, want %d", tt.step, u.Kept, tt.kept)
		}
	}
}

// oneTask is a goal with a check, so that it is one task and no model is asked for more.
func oneTask(text string) goals.Goal {
	g := goal(text, "true")
	return g
}

// gone waits until a run is not driven any more: its end is in the journal a moment before.
func (r *rig) gone(id journal.RunID) {
	r.t.Helper()
	r.restart()
	if r.Live(id) {
		r.t.Fatalf("run %s is live", id)
	}
}

func TestCopyMode(t *testing.T) {
	r := newRig(t, steps("cat a >b", "echo 2 >a; rm gone"))
	put(t, r.ws, map[string]string{"a": "1", "gone": "x", "mine": "1"})
	id := r.start(agent.Request{Goal: oneTask("write the files"), Model: "m", Mode: agent.ModeCopy})
	s := r.ended(id)
	if s.Outcome.Status != journal.StatusAccepted || !strings.Contains(s.Outcome.Hint, "agentctl apply") {
		t.Fatalf("outcome %+v", s.Outcome)
	}
	before := map[string]string{"a": "1", "gone": "x", "mine": "1"}
	if diff := cmp.Diff(before, files(t, r.ws)); diff != "" {
		t.Fatalf("the workspace changed (-want +got):\n%s", diff)
	}
	r.gone(id)
	put(t, r.ws, map[string]string{"mine": "2", "gone": "edited"})
	a, err := r.Apply(t.Context(), id, "test")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"a": "2", "b": "1", "mine": "2", "gone": "edited"}, files(t, r.ws)); diff != "" || len(a.Kept) != 1 {
		t.Errorf("after apply (-want +got):\n%s\n%+v", diff, a)
	}
	if again, err := r.Apply(t.Context(), id, "test"); err != nil || len(again.Changed) != 0 {
		t.Errorf("applied again: %+v, %v", again, err)
	}
	if _, err := r.Undo(t.Context(), id, "test", 0); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"a": "1", "mine": "2", "gone": "edited"}, files(t, r.ws)); diff != "" {
		t.Errorf("after undo (-want +got):\n%s", diff)
	}
	if err := r.Purge(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(r.cfg.Copies); err != nil || len(left) > 0 {
		t.Errorf("copies left: %v, %v", left, err)
	}
}

func TestCopyModeAppliesOnAcceptance(t *testing.T) {
	for _, check := range []string{"test -f b", "false"} {
		r := newRig(t, steps("echo 1 >b"))
		id := r.start(agent.Request{Goal: goal("write b", check), Model: "m", Mode: agent.ModeCopy, Apply: true})
		s := r.ended(id)
		_, err := os.Stat(filepath.Join(r.ws, "b"))
		if accepted := s.Outcome.Status == journal.StatusAccepted; accepted != (check != "false") || accepted != (err == nil) || accepted != (s.Applied != nil) {
			t.Errorf("check %q: outcome %s, file %v, applied %+v", check, s.Outcome.Status, err, s.Applied)
		}
	}
}

func TestCopyModeLeavesTheWorkspaceToOthers(t *testing.T) {
	hold := filepath.Join(t.TempDir(), "hold")
	r := newRig(t, steps("while [ ! -f "+hold+" ]; do sleep 0.05; done"))
	copied := r.start(agent.Request{Goal: oneTask("wait for it"), Model: "m", Mode: agent.ModeCopy})
	r.until(copied, "the call", func(s *journal.State) bool { return len(s.OpenCalls()) > 0 })
	direct := r.start(agent.Request{Goal: oneTask("wait for it too"), Model: "m"})
	r.until(direct, "the call beside it", func(s *journal.State) bool { return len(s.OpenCalls()) > 0 })
	put(t, filepath.Dir(hold), map[string]string{"hold": ""})
	r.ended(copied)
	r.ended(direct)
}
