package tui

import (
	"context"
	"strings"

	tea "charm.land/bubbletea/v2"

	"agentd/api"
	"agentd/journal"
)

// goalBox edits the goal of a live run: a revision of it, which the plan follows.
type goalBox struct {
	run  journal.RunID
	was  string
	text field
}

func editGoal(m *Model) tea.Cmd {
	st := m.run.state
	m.push(&goalBox{run: m.run.id, was: st.Start.Goal.Text, text: newField(st.Start.Goal.Text, true)})
	return nil
}

func canEditGoal(m *Model) bool { return isLive(m) && hasState(m) }

func (b *goalBox) keys() string { return "ctrl+s revise the goal · enter new line · esc back" }

func (b *goalBox) key(m *Model, k tea.KeyPressMsg) tea.Cmd {
	switch k.String() {
	case "esc", "ctrl+c":
		m.pop()
	case "ctrl+s", "ctrl+enter":
		text := strings.TrimSpace(b.text.String())
		if text == "" {
			return nil
		}
		m.pop()
		if text == strings.TrimSpace(safe(b.was)) {
			return m.say("the goal is as it was")
		}
		return m.act("revise the goal", b.run, func(ctx context.Context, c *api.Client) error {
			return c.Patch(ctx, b.run, api.Patch{Goal: &text})
		})
	default:
		b.text.key(k)
	}
	return nil
}

func (b *goalBox) paste(_ *Model, text string) tea.Cmd {
	b.text.insert(text)
	return nil
}

func (b *goalBox) view(_ *Model, w, h int) []string {
	bw := min(w, 92)
	rows := max(h-9, 2)
	lines := b.text.view(bw-4, min(rows, 14), true)
	for len(lines) < min(rows, 5) {
		lines = append(lines, "")
	}
	about := "The plan is made anew for it. Criteria and limits stay as they are, and what was done stays done."
	lines = append(append(lines, ""), paintAll(faint, wrap(about, bw-4))...)
	return boxed("The goal of "+line(string(b.run)), append(lines, "", strong.paint(clip(b.keys(), bw-4))), bw)
}
