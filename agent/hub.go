package agent

import (
	"sync"

	"agentd/journal"
	"agentd/llm"
)

// Delta is a piece of a reply that is being written, for display only.
type Delta struct {
	Call, Task string
	Text, Tool string
	Reset      bool // this try was dropped
	Chars      int  // of the reply so far
}

// hub hands a run's deltas to whoever looks; a slow reader loses some.
type hub struct {
	mu     sync.Mutex // guards the fields below
	subs   map[chan Delta]bool
	closed bool
}

func (h *hub) subscribe() (<-chan Delta, func()) {
	ch := make(chan Delta, 256)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		close(ch)
		return ch, func() {}
	}
	if h.subs == nil {
		h.subs = make(map[chan Delta]bool)
	}
	h.subs[ch] = true
	return ch, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.subs[ch] {
			delete(h.subs, ch)
			close(ch)
		}
	}
}

func (h *hub) send(d Delta) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for ch := range h.subs {
		select {
		case ch <- d:
		default:
		}
	}
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for ch := range h.subs {
		close(ch)
	}
	h.subs = nil
}

// sink returns what a stream's deltas are handed to. Values that the journal would mask are masked here too, also where
// one spans deltas; the end of a text that may be the beginning of one shows in the journaled reply alone.
func (h *hub) sink(asked journal.ModelAsked, hidden []string) func(llm.Delta) {
	chars, veil := 0, journal.NewVeil(hidden)
	var last llm.Delta
	send := func(text, tool string) {
		h.send(Delta{Call: asked.Call, Task: asked.Task, Text: text, Tool: tool, Chars: chars})
	}
	return func(d llm.Delta) {
		switch d.Kind {
		case llm.DeltaText, llm.DeltaThink, llm.DeltaCall:
			if d.Kind != last.Kind || d.Name != "" && d.Name != last.Name {
				if rest := veil.Rest(); rest != "" {
					send(rest, last.Name)
				}
				last = d
			}
			chars += len(d.Text)
			if text := veil.Next(d.Text); text != "" || d.Text == "" {
				send(text, d.Name)
			}
		}
	}
}

func (h *hub) reset(asked journal.ModelAsked) {
	h.send(Delta{Call: asked.Call, Task: asked.Task, Reset: true})
}
