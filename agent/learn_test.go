package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"testing"

	"agentd/agent"
	"agentd/goals"
	"agentd/journal"
	"agentd/llm"
	"agentd/tools"
)

var oneCheck = goals.Goal{Text: "Say hi", Probes: []goals.Probe{{Name: "p", Cmd: "true"}}, Require: []string{"p.exit == 0"}}

// asksMemory says whether a request is the one after the run.
func asksMemory(r *llm.Request) bool { return strings.Contains(r.Messages[0].Text, "keep the memory") }

// learned waits until what a run teaches is settled.
func (r *rig) learned(id journal.RunID) *journal.State {
	r.t.Helper()
	return r.until(id, "its lessons", func(s *journal.State) bool { return s.Outcome != nil && !s.Learning() })
}

// worker is a model that makes one shell call, ends, and answers the question after the run with lessons(prompt).
func worker(info llm.Info, lessons func(prompt string) (*llm.Reply, error)) *model {
	return &model{info: info, reply: func(_ int, r *llm.Request) (*llm.Reply, error) {
		if asksMemory(r) {
			return lessons(r.Messages[1].Text)
		}
		if len(r.Messages) > 2 {
			return calling("finish", `{"result":"said hi"}`), nil
		}
		return calling("shell", `{"command":"echo needs-libfoo"}`), nil
	}}
}

// eventOf is the number that a digest gives to the first line with a text.
func eventOf(prompt, text string) int {
	for l := range strings.Lines(prompt) {
		var n int
		if _, err := fmt.Sscanf(l, "[%d]", &n); err == nil && strings.Contains(l, text) {
			return n
		}
	}
	return 0
}

func (r *rig) remembering(mem tools.Memory) {
	r.cfg.Tools = tools.Builtin().WithMemory()
	r.cfg.Memory = func(journal.RunID, journal.RunStarted) tools.Memory { return mem }
	r.restart()
}

func TestRunTeaches(t *testing.T) {
	mem := &notebook{facts: []tools.Fact{{ID: "m1", Text: "The build needs libbar.", Trust: "person"}}}
	var prompt string
	m := worker(llm.Info{Name: "test/m", Window: 100000}, func(p string) (*llm.Reply, error) {
		prompt = p
		facts := []map[string]any{
			{"text": "The build needs libfoo.", "events": []int{eventOf(p, "needs-libfoo"), 9999}, "everywhere": false, "contradicts": []string{"m1", "m77"}},
			{"text": "The person\nlikes hi.", "events": []int{1}, "everywhere": true, "contradicts": []string{}},
			{"text": "Nothing shows this.", "events": []int{4242}, "everywhere": false, "contradicts": []string{}},
			{"text": strings.Repeat("long ", 200), "events": []int{1}, "everywhere": false, "contradicts": []string{}},
		}
		b, err := json.Marshal(map[string]any{"facts": facts})
		return &llm.Reply{Text: "```json\n" + string(b) + "\n```"}, err
	})
	r := newRig(t, m)
	r.remembering(mem)
	id := r.start(agent.Request{Goal: oneCheck, Model: "test/m", Memory: agent.MemoryPropose})
	ended := r.ended(id)
	s := r.learned(id)
	if s.Learned == nil || len(s.Learned.Items) != 2 || !strings.Contains(s.Learned.Note, "2 facts were dropped") {
		t.Fatalf("learned %+v", s.Learned)
	}
	if !ended.Outcome.Learn || s.Spent.Calls != ended.Spent.Calls+1 && ended.Learned == nil || len(s.InFlight) != 0 {
		t.Errorf("calls %d, then %d", ended.Spent.Calls, s.Spent.Calls)
	}
	for _, want := range []string{`m1: "The build needs libbar."`, "goal: Say hi", `{"command":"echo needs-libfoo"} -> ok: needs-libfoo`, "the run ended: accepted"} {
		if !strings.Contains(prompt, want) {
			t.Errorf("the model is not told %q:\n%s", want, prompt)
		}
	}
	if len(mem.kept) != 2 {
		t.Fatalf("kept %+v", mem.kept)
	}
	// What a tool's result shows is untrusted; what a person's words show is the model's conclusion.
	a, b := mem.kept[0], mem.kept[1]
	if !a.Untrusted || a.User || !slices.Equal(a.Contradicts, []string{"m1"}) || len(a.Events) != 1 || a.Events[0] != int64(eventOf(prompt, "needs-libfoo")) {
		t.Errorf("of a result: %+v", a)
	}
	if b.Untrusted || !b.User || b.Text != "The person likes hi." || !slices.Equal(b.Events, []int64{1}) {
		t.Errorf("of a person: %+v", b)
	}
	// The question can be shown again, byte for byte.
	var step int
	for rec, err := range r.store.Read(t.Context(), id, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if e, err := rec.Decode(); err == nil {
			if a, ok := e.(journal.ModelAsked); ok && a.Purpose == "memory" {
				step = a.Step
			}
		}
	}
	sent, err := r.Engine.Context(t.Context(), id, step)
	if err != nil || !sent.Verified {
		t.Errorf("step %d is shown otherwise: %+v, %v", step, sent, err)
	}
}

func TestRunsThatTeachNothing(t *testing.T) {
	for _, tt := range []struct {
		name   string
		memory string
		budget goals.Budget
		reply  string
		asked  bool
		note   string
	}{
		{name: "off", memory: agent.MemoryOff},
		{name: "read", memory: agent.MemoryRead},
		{name: "nothing to say", memory: agent.MemoryAuto, reply: `{"facts":[]}`, asked: true},
		{name: "nonsense", memory: agent.MemoryAuto, reply: "I think that", asked: true, note: "no JSON object"},
		{name: "another form", memory: agent.MemoryAuto, reply: `{"facts":"many"}`, asked: true, note: "form"},
		{name: "no tokens left", memory: agent.MemoryPropose, budget: goals.Budget{Tokens: 5200}, note: "budget.tokens"},
		{name: "no steps left", memory: agent.MemoryPropose, budget: goals.Budget{Steps: 2}, note: "budget.steps"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := false
			mem := &notebook{}
			m := worker(llm.Info{Name: "test/m", Window: 100000, MaxOut: 500}, func(string) (*llm.Reply, error) {
				asked = true
				return &llm.Reply{Text: tt.reply}, nil
			})
			plain := m.reply
			m.reply = func(n int, r *llm.Request) (*llm.Reply, error) {
				reply, err := plain(n, r)
				if err == nil && tt.budget.Tokens > 0 {
					reply.Usage = llm.Usage{Prompt: 2400, Completion: 100}
				}
				return reply, err
			}
			r := newRig(t, m)
			r.remembering(mem)
			goal := oneCheck
			goal.Budget = tt.budget
			id := r.start(agent.Request{Goal: goal, Model: "test/m", Memory: tt.memory})
			s := r.learned(id)
			if s.Outcome.Status != journal.StatusAccepted {
				t.Fatalf("ended %+v", s.Outcome)
			}
			if s.Outcome.Learn != (tt.memory == agent.MemoryAuto || tt.memory == agent.MemoryPropose) || asked != tt.asked || len(mem.kept) != 0 {
				t.Errorf("learn %v, asked %v, kept %+v", s.Outcome.Learn, asked, mem.kept)
			}
			note := ""
			if s.Learned != nil {
				note = s.Learned.Note
			}
			if note == "" && tt.note != "" || !strings.Contains(note, tt.note) {
				t.Errorf("note %q, want %q", note, tt.note)
			}
		})
	}
}

// hanging is a model that never answers the question after a run until free is closed.
type hanging struct {
	*model
	asked chan bool
	free  chan struct{}
}

func (h *hanging) Stream(ctx context.Context, r *llm.Request) iter.Seq2[llm.Delta, error] {
	if !asksMemory(r) {
		return h.model.Stream(ctx, r)
	}
	return func(yield func(llm.Delta, error) bool) {
		h.asked <- true
		select {
		case <-ctx.Done():
			yield(llm.Delta{}, ctx.Err())
		case <-h.free:
			yield(llm.Delta{Kind: llm.DeltaDone, Reply: &llm.Reply{Stop: llm.StopEnd, Text: `{"facts":[{"text":"Hi is said by echo.","events":[1],"everywhere":false,"contradicts":[]}]}`}}, nil)
		}
	}
}

func newHanging(info llm.Info) *hanging {
	return &hanging{model: worker(info, nil), asked: make(chan bool, 10), free: make(chan struct{})}
}

func lost(s *journal.State) (n int) {
	for _, turn := range s.Planning {
		if turn.Replied != nil && turn.Replied.Lost {
			n++
		}
	}
	return n
}

// TestLearningOutlivesTheDaemon stops the engine while a model is asked what a run teaches: the run had ended before, and the next
// engine asks again.
func TestLearningOutlivesTheDaemon(t *testing.T) {
	m, mem := newHanging(llm.Info{Name: "test/m", Window: 100000}), &notebook{}
	r := newRig(t, m)
	r.remembering(mem)
	id := r.start(agent.Request{Goal: oneCheck, Model: "test/m", Memory: agent.MemoryAuto})
	if s := r.ended(id); s.Learned != nil {
		t.Fatalf("learned %+v", s.Learned)
	}
	<-m.asked
	r.restart() // it returns when the first engine has stopped
	close(m.free)
	s := r.learned(id)
	if s.Learned == nil || len(s.Learned.Items) != 1 || len(mem.kept) != 1 {
		t.Fatalf("learned %+v, kept %+v", s.Learned, mem.kept)
	}
	if n := lost(s); n != 1 || len(s.InFlight) != 0 {
		t.Errorf("%d calls were settled as lost, %d are in flight", n, len(s.InFlight))
	}
}

// TestLessonsMakeWay starts a run while a local model is asked what the last one taught: the run gets the model, and the question
// is asked again when it has ended.
func TestLessonsMakeWay(t *testing.T) {
	m, mem := newHanging(llm.Info{Name: "test/m", Window: 100000, Local: true}), &notebook{}
	r := newRig(t, m)
	r.remembering(mem)
	first := r.start(agent.Request{Goal: oneCheck, Model: "test/m", Memory: agent.MemoryAuto})
	<-m.asked
	second := r.start(agent.Request{Goal: oneCheck, Model: "test/m", Memory: agent.MemoryRead})
	r.ended(second)
	close(m.free)
	if s := r.learned(first); lost(s) != 1 || s.Learned == nil || len(s.Learned.Items) != 1 {
		t.Errorf("learned %+v, %d calls lost", s.Learned, lost(s))
	}
}

// TestPurgeEndsLessons removes a run while a model is asked about it: nothing of it is kept.
func TestPurgeEndsLessons(t *testing.T) {
	m, mem := newHanging(llm.Info{Name: "test/m", Window: 100000}), &notebook{}
	r := newRig(t, m)
	r.remembering(mem)
	id := r.start(agent.Request{Goal: oneCheck, Model: "test/m", Memory: agent.MemoryAuto})
	<-m.asked
	for r.Live(id) {
		runtime.Gosched()
	}
	if err := r.Purge(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	close(m.free)
	if _, err := r.store.Get(t.Context(), id); !errors.Is(err, journal.ErrNotFound) || len(mem.kept) != 0 {
		t.Errorf("%v, kept %+v", err, mem.kept)
	}
}
