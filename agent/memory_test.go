package agent_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"

	"agentd/agent"
	"agentd/goals"
	"agentd/journal"
	"agentd/llm"
	"agentd/tools"
)

// notebook is a tools.Memory that notes what it is asked.
type notebook struct {
	facts []tools.Fact

	mu      sync.Mutex // guards the fields below
	queries []string
	chars   []int
	kept    []tools.Note
}

func (n *notebook) Find(_ context.Context, query string, chars int) ([]tools.Fact, string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.queries, n.chars = append(n.queries, query), append(n.chars, chars)
	return n.facts, "", nil
}

func (n *notebook) Keep(_ context.Context, note tools.Note) (tools.Kept, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kept = append(n.kept, note)
	return tools.Kept{ID: "m9", State: "proposed"}, nil
}

// planTwo answers a plan of two tasks, then what act says.
func planTwo(act func(n int, r *llm.Request) *llm.Reply) func(int, *llm.Request) (*llm.Reply, error) {
	return func(n int, r *llm.Request) (*llm.Reply, error) {
		if len(r.Tools) == 0 {
			return &llm.Reply{Text: `{"tasks":[{"id":"t1","do":"Write the parser of dates"},{"id":"t2","do":"Write the printer of dates","needs":["t1"]}],"checks":[]}`}, nil
		}
		return act(n, r), nil
	}
}

func calling(name, args string) *llm.Reply {
	return &llm.Reply{Calls: []llm.Call{{ID: "x", Name: name, Args: args}}}
}

func TestRunRecalls(t *testing.T) {
	mem := &notebook{facts: []tools.Fact{{ID: "m1", Text: "Dates are ISO 8601 here.", Trust: "person", Source: "said by a person", Score: 0.5, WordRank: 1}}}
	var prompts, offered []string
	m := &model{info: llm.Info{Name: "test/m", Window: 100000}, reply: planTwo(func(_ int, r *llm.Request) *llm.Reply {
		prompts = append(prompts, r.Messages[1].Text)
		for _, s := range r.Tools {
			offered = append(offered, s.Name)
		}
		return calling("finish", `{"result":"done"}`)
	})}
	r := newRig(t, m)
	r.cfg.Tools = tools.Builtin().WithMemory()
	r.cfg.Memory = func(journal.RunID, journal.RunStarted) tools.Memory { return mem }
	r.restart()
	goal := goals.Goal{Text: "Parse and print dates,\nwith one module for each", Probes: []goals.Probe{{Name: "p", Cmd: "true"}}, Require: []string{"p.exit == 0"}}
	s := r.ended(r.start(agent.Request{Goal: goal, Model: "test/m", Memory: agent.MemoryPropose}))
	if want := []string{goal.Text, "Write the parser of dates", "Write the printer of dates"}; !slices.Equal(mem.queries, want) {
		t.Errorf("asked %q, want %q", mem.queries, want)
	}
	if mem.chars[0] <= mem.chars[1] || mem.chars[0]+mem.chars[1] > 3000 {
		t.Errorf("room of %v characters", mem.chars)
	}
	got := s.Recalls[""].Items
	if len(s.Recalls) != 1 || len(got) != 1 || got[0].ID != "m1" || got[0].WordRank != 1 {
		t.Errorf("receipts: %+v, want m1 once, for the plan", s.Recalls)
	}
	for _, p := range prompts {
		if !strings.Contains(p, `- "Dates are ISO 8601 here."`) {
			t.Errorf("a task is not told the fact:\n%s", p)
		}
	}
	if !slices.Contains(offered, "recall") || !slices.Contains(offered, "remember") {
		t.Errorf("offered %q", offered)
	}
}

func TestMemoryModes(t *testing.T) {
	for _, tt := range []struct {
		mode             string
		asked            bool
		recall, remember bool
	}{
		{"", false, false, false},
		{agent.MemoryOff, false, false, false},
		{agent.MemoryRead, true, true, false},
		{agent.MemoryPropose, true, true, true},
		{agent.MemoryAuto, true, true, true},
		{"of a later version", true, false, false},
	} {
		t.Run(tt.mode, func(t *testing.T) {
			mem := &notebook{}
			var offered []string
			m := &model{info: llm.Info{Name: "test/m", Window: 100000}, reply: func(_ int, r *llm.Request) (*llm.Reply, error) {
				for _, s := range r.Tools {
					offered = append(offered, s.Name)
				}
				return calling("finish", `{"result":"done"}`), nil
			}}
			r := newRig(t, m)
			r.cfg.Tools = tools.Builtin().WithMemory()
			r.cfg.Memory = func(journal.RunID, journal.RunStarted) tools.Memory { return mem }
			r.restart()
			goal := goals.Goal{Text: "Say hi", Probes: []goals.Probe{{Name: "p", Cmd: "true"}}, Require: []string{"p.exit == 0"}}
			s := r.ended(r.start(agent.Request{Goal: goal, Model: "test/m", Memory: tt.mode}))
			if s.Start.Memory != tt.mode || (len(mem.queries) > 0) != tt.asked {
				t.Errorf("mode %q, asked %q", s.Start.Memory, mem.queries)
			}
			if slices.Contains(offered, "recall") != tt.recall || slices.Contains(offered, "remember") != tt.remember {
				t.Errorf("offered %q", offered)
			}
		})
	}
}

func TestMemoryCallsLeaveReceipts(t *testing.T) {
	mem := &notebook{}
	m := &model{info: llm.Info{Name: "test/m", Window: 100000}, reply: func(n int, r *llm.Request) (*llm.Reply, error) {
		switch last := r.Messages[len(r.Messages)-1].Text; {
		case strings.Contains(last, "proposed as m9"):
			return calling("finish", `{"result":"done"}`), nil
		case strings.Contains(last, "m2 (untrusted, a web page)"):
			return calling("remember", `{"text":"The port is 8080."}`), nil
		}
		mem.mu.Lock()
		mem.facts = []tools.Fact{{ID: "m2", Text: "The port is 8080.", Trust: "untrusted", Source: "untrusted, a web page"}}
		mem.mu.Unlock()
		return calling("recall", `{"query":"port"}`), nil
	}}
	r := newRig(t, m)
	r.cfg.Tools = tools.Builtin().WithMemory()
	r.cfg.Memory = func(journal.RunID, journal.RunStarted) tools.Memory { return mem }
	r.restart()
	goal := goals.Goal{Text: "Find the port", Probes: []goals.Probe{{Name: "p", Cmd: "true"}}, Require: []string{"p.exit == 0"}}
	s := r.ended(r.start(agent.Request{Goal: goal, Model: "test/m", Memory: agent.MemoryPropose}))
	var got []string
	for key, rec := range s.Recalls {
		if rec.Call != key || len(rec.Items) != 1 {
			t.Errorf("receipt %q: %+v", key, rec)
			continue
		}
		got = append(got, rec.Query+": "+rec.Items[0].ID)
	}
	if !slices.Equal(got, []string{"port: m2"}) {
		t.Errorf("receipts %q", got)
	}
	// What is kept after untrusted content was recalled is untrusted too, and says which step it is of.
	if len(mem.kept) != 1 || !mem.kept[0].Untrusted || mem.kept[0].Step != 2 {
		b, _ := json.Marshal(mem.kept)
		t.Errorf("kept %s", b)
	}
}
