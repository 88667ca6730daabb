package agent_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"agentd/agent"
	"agentd/goals"
	"agentd/journal"
	"agentd/llm"
)

// Open networks make shell calls ask.
var open = []string{"127.0.0.1:9"}

func TestAsks(t *testing.T) {
	for _, tt := range []struct {
		name   string
		req    agent.Request
		answer string
		wait   journal.Status // before the answer; "" is none
		want   journal.Status
		wrote  bool
	}{
		{"yes", agent.Request{Yes: true}, "", "", journal.StatusAccepted, true},
		{"attended, allowed", agent.Request{Attended: true}, "allow", journal.StatusWaiting, journal.StatusAccepted, true},
		{"parked, allowed", agent.Request{}, "allow", journal.StatusParked, journal.StatusAccepted, true},
		{"parked, denied", agent.Request{}, "deny", journal.StatusParked, journal.StatusDenied, false},
		{"nobody can answer", agent.Request{DenyAsks: true}, "", "", journal.StatusDenied, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := scripted(sh("echo 1 > out"), call("finish", map[string]any{"result": "could not", "failed": true}))
			if tt.wrote {
				m = scripted(sh("echo 1 > out"), say("done"))
			}
			r := newRig(t, m)
			tt.req.Goal, tt.req.Net = goal("write out", "test -s out"), open
			id := r.start(tt.req)
			if tt.wait != "" {
				r.until(id, "the ask", func(s *journal.State) bool { return s.Status() == tt.wait })
				r.restart() // an open ask outlives the driver
				r.answer(id, tt.answer)
			}
			s := r.ended(id)
			if s.Outcome.Status != tt.want {
				t.Errorf("got %+v, want %s", s.Outcome, tt.want)
			}
			if _, err := os.Stat(filepath.Join(r.ws, "out")); (err == nil) != tt.wrote {
				t.Errorf("the call's effect: %v", err)
			}
		})
	}
}

func (r *rig) append(id journal.RunID, e journal.Event) {
	r.t.Helper()
	if _, err := journal.Update(r.t.Context(), r.store, id, func(*journal.State) ([]journal.Event, error) { return []journal.Event{e}, nil }); err != nil {
		r.t.Fatal(err)
	}
	r.Wake(id)
}

func TestSteering(t *testing.T) {
	told := make(chan struct{})
	m := scripted()
	m.reply = func(n int, r *llm.Request) (*llm.Reply, error) {
		last := r.Messages[len(r.Messages)-1].Text
		if strings.Contains(last, "also write b") {
			return say("done"), nil
		}
		if n == 0 {
			close(told)
		}
		return sh(fmt.Sprintf("sleep 0.05; echo %d > a", n)), nil
	}
	r := newRig(t, m)
	id := r.start(agent.Request{Goal: goal("write a", "test -s a")})
	<-told
	r.append(id, journal.Paused{By: "test"})
	s := r.until(id, "the pause", func(s *journal.State) bool { return s.Paused != nil })
	time.Sleep(150 * time.Millisecond)
	calls := m.calls()
	time.Sleep(150 * time.Millisecond)
	if m.calls() != calls {
		t.Errorf("a paused run (status %s) asked its model", s.Status())
	}
	r.append(id, journal.MessageSent{Text: "also write b", By: "test"})
	r.append(id, journal.Resumed{By: "test"})
	if s := r.ended(id); s.Outcome.Status != journal.StatusAccepted {
		t.Errorf("got %+v", s.Outcome)
	}
}

func TestTasksRunBesideEachOther(t *testing.T) {
	type m = map[string]any
	raw, err := json.Marshal(m{"tasks": []m{
		{"id": "a", "do": "make a", "writes": []string{"a"}}, {"id": "b", "do": "make b", "writes": []string{"b"}},
		{"id": "c", "do": "join", "needs": []string{"a", "b"}, "writes": []string{"c"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var at, most atomic.Int32
	mod := scripted()
	mod.reply = func(_ int, r *llm.Request) (*llm.Reply, error) {
		if r.Schema != nil {
			return say(string(raw)), nil
		}
		n := at.Add(1)
		for {
			if old := most.Load(); n <= old || most.CompareAndSwap(old, n) {
				break
			}
		}
		time.Sleep(100 * time.Millisecond)
		at.Add(-1)
		brief := r.Messages[1].Text
		task := brief[strings.Index(brief, "Your task now (")+len("Your task now ("):][:1]
		if r.Messages[len(r.Messages)-1].Role == llm.ToolRole {
			return say(task + " is made"), nil
		}
		return sh("touch " + task + "; cat a b >> c 2>/dev/null; ls"), nil
	}
	r := newRig(t, mod)
	s := r.ended(r.start(agent.Request{Goal: goal("make a and b,\nthen join them", "test -e c"), Parallel: 2}))
	if s.Outcome.Status != journal.StatusAccepted || s.Outcome.Result != "c is made" {
		t.Errorf("got %+v", s.Outcome)
	}
	if most.Load() != 2 {
		t.Errorf("at most %d tasks ran at once, want 2", most.Load())
	}
	if a, c := s.Tasks["a"], s.Tasks["c"]; c.Began.Before(a.Ended) {
		t.Errorf("c began before a had ended")
	}
}

// Tasks that run at once reserve from one budget: together they never go beyond it.
func TestParallelTasksShareTheBudget(t *testing.T) {
	type m = map[string]any
	var tasks []m
	for i := range 8 {
		tasks = append(tasks, m{"id": fmt.Sprint("t", i), "do": "x", "writes": []string{fmt.Sprint("f", i)}})
	}
	raw, err := json.Marshal(m{"tasks": tasks})
	if err != nil {
		t.Fatal(err)
	}
	mod := scripted()
	mod.info.Price = &llm.Price{Prompt: 10, Completion: 40}
	mod.reply = func(n int, r *llm.Request) (*llm.Reply, error) {
		reply := sh(fmt.Sprintf("echo %d", n))
		if r.Schema != nil {
			reply = say(string(raw))
		}
		time.Sleep(time.Millisecond)
		reply.Usage = llm.Usage{Prompt: 900, Completion: 1500}
		return reply, nil
	}
	r := newRig(t, mod)
	g := goal("do\nall", "test -e never")
	g.Budget = goals.Budget{USD: 1, Steps: 1000}
	id := r.start(agent.Request{Goal: g, Parallel: 8})
	s := new(journal.State)
	for rec, err := range r.store.Watch(t.Context(), id, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Apply(rec); err != nil {
			t.Fatal(err)
		}
		if s.Spent.USD > 1 {
			t.Fatalf("event %d: %.4f of 1 dollar are spent or reserved", rec.Seq, s.Spent.USD)
		}
		if s.Outcome != nil {
			break
		}
	}
	if s.Outcome.Status != journal.StatusBudget || !strings.Contains(s.Outcome.Reason, "budget.usd") {
		t.Errorf("got %+v", s.Outcome)
	}
}

func TestManyRunsEnd(t *testing.T) {
	const n = 100
	r := newRig(t, &model{info: llm.Info{Name: "test/m", Style: llm.StyleTools, Price: &llm.Price{}}, reply: func(_ int, r *llm.Request) (*llm.Reply, error) {
		if r.Messages[len(r.Messages)-1].Role == llm.ToolRole {
			return say("done"), nil
		}
		return sh("echo x > out"), nil
	}})
	ids := make([]journal.RunID, n)
	for i := range ids {
		ws := filepath.Join(r.ws, fmt.Sprint(i))
		if err := os.Mkdir(ws, 0o755); err != nil {
			t.Fatal(err)
		}
		ids[i] = r.start(agent.Request{Goal: goal("x", "test -s out"), Workspace: ws})
	}
	for _, id := range ids {
		if s := r.ended(id); s.Outcome.Status != journal.StatusAccepted {
			t.Errorf("run %s ended %+v", id, s.Outcome)
		}
	}
}

// One run at a time works in a folder, or in one above or below it; they take turns in the order of their start.
func TestOneRunAtATimeInAWorkspace(t *testing.T) {
	var at atomic.Int32
	m := scripted()
	m.reply = func(_ int, r *llm.Request) (*llm.Reply, error) {
		if at.Add(1) > 1 {
			t.Error("two runs work in one workspace")
		}
		time.Sleep(30 * time.Millisecond)
		at.Add(-1)
		return say("done"), nil
	}
	r := newRig(t, m)
	sub := filepath.Join(r.ws, "sub")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	ids := []journal.RunID{
		r.start(agent.Request{Goal: goal("x", "true")}),
		r.start(agent.Request{Goal: goal("x", "true"), Workspace: sub}),
		r.start(agent.Request{Goal: goal("x", "true")}),
	}
	r.append(ids[1], journal.CancelAsked{By: "test"}) // who waits can be cancelled
	want := []journal.Status{journal.StatusAccepted, journal.StatusCancelled, journal.StatusAccepted}
	for i, id := range ids {
		if s := r.ended(id); s.Outcome.Status != want[i] {
			t.Errorf("run %d ended %+v, want %s", i, s.Outcome, want[i])
		}
	}
}
