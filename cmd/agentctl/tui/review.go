package tui

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"agentd/api"
)

// review goes through what runs want remembered, one by one.
type review struct {
	items   []api.MemoryItem
	against map[string]api.MemoryItem // what they contradict
	at, top int
	busy    bool
}

type (
	proposedMsg struct {
		items   []api.MemoryItem
		against map[string]api.MemoryItem
		err     error
	}
	reviewedMsg struct {
		id    string
		words string
		err   error
	}
)

// maxAgainst bounds how many contradicted items are read for one review.
const maxAgainst = 200

func reviewMemory(m *Model) tea.Cmd {
	m.push(&review{busy: true})
	ctx, c := m.ctx, m.client
	return func() tea.Msg {
		items, err := c.ListMemory(ctx, api.MemoryFilter{State: "proposed", Limit: 1000})
		against := map[string]api.MemoryItem{}
		for _, it := range items {
			for _, id := range it.Contradicts {
				if _, have := against[id]; have || len(against) >= maxAgainst {
					continue
				}
				// One that is forgotten by now is named by its ID alone.
				if o, err := c.Memory(ctx, id); err == nil {
					against[id] = o
				}
			}
		}
		return proposedMsg{items, against, err}
	}
}

func (m *Model) gotProposed(msg proposedMsg) tea.Cmd {
	for _, o := range m.overlays {
		if r, ok := o.(*review); ok {
			r.busy, r.items, r.against, r.at = false, msg.items, msg.against, 0
			if msg.err != nil {
				m.pop()
				return m.fail("read the proposals", msg.err)
			}
		}
	}
	return nil
}

func (m *Model) gotReviewed(msg reviewedMsg) tea.Cmd {
	for _, o := range m.overlays {
		r, ok := o.(*review)
		if !ok {
			continue
		}
		r.busy = false
		for i, it := range r.items {
			if msg.err == nil && it.ID == msg.id {
				r.items = append(r.items[:i], r.items[i+1:]...)
				r.at, r.top = max(min(r.at, len(r.items)-1), 0), 0
				break
			}
		}
	}
	if msg.err != nil {
		return m.fail("review", msg.err)
	}
	return m.say(msg.words)
}

func (r *review) keys() string { return "a accept · r reject · j k next, previous · esc back" }

func (r *review) paste(*Model, string) tea.Cmd { return nil }

func (r *review) key(m *Model, k tea.KeyPressMsg) tea.Cmd {
	switch k.String() {
	case "esc", "q", "ctrl+c":
		m.pop()
	case "j", "down", "tab", "s":
		r.at, r.top = min(r.at+1, max(len(r.items)-1, 0)), 0
	case "k", "up":
		r.at, r.top = max(r.at-1, 0), 0
	case "pgdown":
		r.top += 5
	case "pgup":
		r.top = max(r.top-5, 0)
	case "a", "y":
		return r.decide(m, true)
	case "r", "n":
		return r.decide(m, false)
	}
	return nil
}

func (r *review) decide(m *Model, accept bool) tea.Cmd {
	if r.busy || r.at >= len(r.items) {
		return nil
	}
	r.busy = true
	id := r.items[r.at].ID
	what, words := api.MemoryReview{Reject: []string{id}}, "rejected "+line(id)
	if accept {
		what, words = api.MemoryReview{Accept: []string{id}}, "accepted "+line(id)
	}
	ctx, c := m.ctx, m.client
	return func() tea.Msg {
		return reviewedMsg{id, words, c.ReviewMemory(ctx, what)}
	}
}

func (r *review) view(_ *Model, w, h int) []string {
	bw := min(w, 88)
	in := bw - 4
	var lines []string
	switch {
	case r.busy && len(r.items) == 0:
		lines = append(lines, faint.paint("reading …"))
	case len(r.items) == 0:
		lines = append(lines, "Nothing waits for a decision.")
	default:
		it := r.items[r.at]
		from := it.Source.Kind
		for _, s := range []string{it.Source.Run, it.Source.File, it.Source.URL} {
			if s != "" {
				from += " " + s
			}
		}
		lines = append(lines,
			faint.paint(clip(fmt.Sprintf("%d of %d · %s · trust %s · %s", r.at+1, len(r.items), line(it.ID), line(it.Trust), line(it.Namespace)), in)),
			faint.paint(clip("from "+line(strings.TrimSpace(from)), in)), "")
		body := wrap(safe(it.Text), in)
		var against []string
		for i, id := range it.Contradicts {
			if i == 3 {
				against = append(against, fmt.Sprintf("and %d more", len(it.Contradicts)-i))
				break
			}
			said := "contradicts " + line(id)
			if o, ok := r.against[id]; ok {
				said += " (" + line(o.State) + ", trust " + line(o.Trust) + "): " + line(o.Text)
			}
			l := wrap(said, in)
			against = append(against, l[:min(len(l), 3)]...)
		}
		room := max(h-9-max(len(against), 1), 3)
		r.top = max(min(r.top, len(body)-room), 0)
		lines = append(lines, body[r.top:min(r.top+room, len(body))]...)
		for _, l := range against {
			lines = append(lines, alert.paint(clip(l, in)))
		}
		for _, id := range it.Supersedes {
			lines = append(lines, faint.paint(clip("takes the place of "+line(id), in)))
		}
	}
	return boxed("Memory: what runs want remembered", append(lines, "", strong.paint(clip(r.keys(), in))), bw)
}
