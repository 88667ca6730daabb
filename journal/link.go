package journal

import (
	"encoding/json"
	"fmt"
	"slices"
)

// UnmarshalJSON reads a state so that later events can be folded into it, as into the one that was written.
func (s *State) UnmarshalJSON(data []byte) error {
	type plain State
	var p plain
	if err := json.Unmarshal(data, &p); err != nil {
		return fmt.Errorf("read a run's state: %w", err)
	}
	*s = State(p)
	s.link()
	return nil
}

// Trim forgets all but the last turns of each task and of the planning, and the calls that belong to what is forgotten.
// Spent, asks, calls in flight and whatever is not finished stay. It is for readers that keep a state for long or send it
// far: an engine needs all turns.
func (s *State) Trim(turns int) {
	keep := func(all []*Turn) []*Turn {
		from := max(0, len(all)-turns)
		for i, t := range all[:from] {
			if t == nil || t.Replied == nil || slices.ContainsFunc(t.Calls, func(c *ToolCall) bool { return c == nil || c.Finished == nil }) {
				from = i // what is open stays, and all after it
				break
			}
		}
		return slices.Clone(all[from:])
	}
	for _, t := range s.Tasks {
		if t != nil {
			t.Turns = keep(t.Turns)
		}
	}
	s.Planning = keep(s.Planning)
	s.link()
}

// link makes the indexes anew from what the state holds.
func (s *State) link() {
	s.calls, s.turns = nil, nil
	index := func(turns []*Turn) {
		for _, t := range turns {
			if t == nil {
				continue
			}
			put(&s.turns, t.Asked.Call, t)
			for _, c := range t.Calls {
				if c != nil {
					put(&s.calls, c.ID, c)
				}
			}
		}
	}
	for _, t := range s.Tasks {
		if t != nil {
			index(t.Turns)
		}
	}
	index(s.Planning)
	for call, asked := range s.InFlight { // of a task that a revision dropped
		if s.turns[call] == nil {
			put(&s.turns, call, &Turn{Asked: asked})
		}
	}
	for id, a := range s.Asks {
		if c := s.calls[id]; a != nil && (c == nil || c.Asked == nil) {
			asked := a.ToolAsked
			if c == nil {
				c = &ToolCall{Call: asked.Call}
				put(&s.calls, id, c)
			}
			c.Asked = &asked
		}
	}
}
