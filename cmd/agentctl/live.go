package main

import (
	"fmt"
	"slices"
	"time"

	"agentd/api"
	"agentd/journal"
)

// delta takes in a piece of the reply that is being written; it shows as a count in the live line.
func (p *printer) delta(d api.Delta) {
	switch {
	case d.Reset:
		p.chars, p.writing = 0, ""
	case d.Chars > 0:
		p.chars = d.Chars
	default:
		p.chars += len(d.Text)
	}
	if d.Tool != "" {
		p.writing = d.Tool
	}
}

// live redraws the line that says what goes on: only on a terminal.
func (p *printer) live(now time.Time) {
	if !p.moving || p.state.Last == 0 || p.state.Outcome != nil {
		return
	}
	s := p.state.Summary()
	doing := or(s.Now, string(s.Status))
	if s.Status != journal.StatusRunning && s.Status != journal.StatusQueued {
		doing = string(s.Status)
	}
	text := fmt.Sprintf("%s · step %d · %s · %s tokens · %s", span(now.Sub(p.state.Began)), s.Steps, doing, count(s.Tokens), dollars(s.USD))
	if p.chars > 0 {
		text += fmt.Sprintf(" · writing %s%d chars", prefix(p.writing), p.chars)
	}
	fmt.Fprint(p.w, "\r\x1b[K"+p.paint(dim, line(text, p.width-1)))
	p.drawn = true
}

// clear takes the live line away, so that the next line starts at the left.
func (p *printer) clear() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}

func prefix(tool string) string {
	if tool == "" {
		return ""
	}
	return tool + ", "
}

// sortedAsks are the ids of the open asks, oldest first.
func sortedAsks(st *journal.State) []string {
	ids := make([]string, 0, len(st.Asks))
	for id := range st.Asks {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int {
		if c := st.Asks[a].Since.Compare(st.Asks[b].Since); c != 0 {
			return c
		}
		if a < b {
			return -1
		}
		return 1
	})
	return ids
}
