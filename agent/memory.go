package agent

import (
	"context"
	"slices"
	"sync"

	"agentd/journal"
	"agentd/llm"
	"agentd/tools"
)

// What a run does with memory, as journal.RunStarted.Memory says.
const (
	MemoryOff     = "off"     // nothing; the empty word means the same
	MemoryRead    = "read"    // it recalls
	MemoryPropose = "propose" // it recalls, and what it wants kept waits for a person
	MemoryAuto    = "auto"    // it recalls, and keeps what it wants
)

// MemoryModes are the words for what a run does with memory.
var MemoryModes = []string{MemoryOff, MemoryRead, MemoryPropose, MemoryAuto}

// toolsets are the engine's tools by what a run does with memory.
func toolsets(all *tools.Set) map[string]*tools.Set {
	none := without(all, "recall", "remember")
	return map[string]*tools.Set{"": none, MemoryOff: none, MemoryRead: without(all, "remember"), MemoryPropose: all, MemoryAuto: all}
}

// without is a set without some of its tools.
func without(all *tools.Set, names ...string) *tools.Set {
	keep := slices.DeleteFunc(all.Names(), func(n string) bool { return slices.Contains(names, n) })
	s, err := all.Only(keep...)
	if err != nil {
		panic(err) // the names are the set's own
	}
	return s
}

// recall looks up what memory knows of the goal, once before the first plan (task ""), or of a task before it is begun.
func (d *driver) recall(ctx context.Context, task string) error {
	if d.memory == nil {
		return nil
	}
	var query string
	var have []journal.Recall
	var skip bool
	err := d.led.view(ctx, func(s *journal.State) {
		_, skip = s.Recalls[task]
		query = s.Start.Goal.Text
		if task == "" {
			return
		}
		t := s.Tasks[task]
		query, have = t.Do, s.Recalls[""].Items
		skip = skip || t.Status != journal.TaskPending || query == s.Start.Goal.Words()
	})
	if err != nil || skip {
		return err
	}
	chars := recallRoom(d.models[d.current()].Info(), task)
	facts, note, err := d.memory.Find(ctx, clipHead(query, maxRecallQuery), chars)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return d.note(ctx, "memory", task, "nothing recalled: %v", err)
	}
	got := receipt(query, facts, note)
	got.Task = task
	got.Items = slices.DeleteFunc(got.Items, func(it journal.Recall) bool {
		return slices.ContainsFunc(have, func(o journal.Recall) bool { return o.ID == it.ID })
	})
	if len(got.Items) == 0 {
		return nil
	}
	return d.led.do(ctx, func(t *tx) error { t.add(got); return nil })
}

const maxRecallQuery = 2000 // bytes of a goal or task that memory is asked about

// recallRoom is how many characters a recall may bring: two thirds of a prompt's room are the plan's, the rest is a task's. Marks and
// quotes need some of it.
func recallRoom(info llm.Info, task string) int {
	r := roomFor(info).recalled * 9 / 10
	if task == "" {
		return r * 2 / 3
	}
	return r / 3
}

func receipt(query string, facts []tools.Fact, note string) journal.Recalled {
	out := journal.Recalled{Query: clip(query, 500), Note: note}
	for _, f := range facts {
		out.Items = append(out.Items, journal.Recall{
			ID: f.ID, Text: f.Text, Score: f.Score, Trust: f.Trust, Source: f.Source, WordRank: f.WordRank, VectorRank: f.VectorRank, Cosine: f.Cosine,
		})
	}
	return out
}

// receipts is a run's memory during one call: it notes what the call found.
type receipts struct {
	tools.Memory

	mu  sync.Mutex // guards got
	got []journal.Recalled
}

// Find asks the run's memory.
func (r *receipts) Find(ctx context.Context, query string, chars int) ([]tools.Fact, string, error) {
	facts, note, err := r.Memory.Find(ctx, query, chars)
	if err == nil && len(facts) > 0 {
		r.mu.Lock()
		r.got = append(r.got, receipt(query, facts, note))
		r.mu.Unlock()
	}
	return facts, note, err
}

// events are the receipts of a call.
func (r *receipts) events(call journal.Call) []journal.Event {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []journal.Event
	for _, g := range r.got {
		g.Task, g.Call = call.Task, call.ID
		out = append(out, g)
	}
	return out
}

// origins are where what the call found comes from, where nobody vouches for it.
func (r *receipts) origins() []string {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, g := range r.got {
		out = append(out, g.Origins()...)
	}
	return out
}
