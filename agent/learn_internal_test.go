package agent

import (
	"testing"

	"agentd/journal"
	"agentd/llm"
	"agentd/tools"
)

type styled struct {
	llm.Model
	style llm.Style
}

func (s styled) Info() llm.Info { return llm.Info{Style: s.style} }

type anyMemory struct{ tools.Memory }

func TestWorthLearning(t *testing.T) {
	for _, tt := range []struct {
		name   string
		style  llm.Style
		memory string
		status journal.Status
		said   bool
		want   bool
	}{
		{"a person said something", "", MemoryPropose, journal.StatusAccepted, true, true},
		{"nothing was done", "", MemoryPropose, journal.StatusAccepted, false, false},
		{"cancelled", "", MemoryAuto, journal.StatusCancelled, true, false},
		{"no provider", "", MemoryAuto, journal.StatusProvider, true, false},
		{"a small model", llm.StyleFenced, MemoryAuto, journal.StatusAccepted, true, false},
		{"nothing is kept", "", MemoryRead, journal.StatusAccepted, true, false},
	} {
		d := &driver{memory: anyMemory{}, models: []llm.Model{styled{style: tt.style}}}
		s := &journal.State{Start: journal.RunStarted{Memory: tt.memory}}
		if tt.said {
			s.Messages = []journal.MessageSent{{Text: "use tabs"}}
		}
		if got := d.worthLearning(s, tt.status); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
