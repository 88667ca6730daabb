package tui

import (
	"context"
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"agentd/api"
	"agentd/journal"
)

// askBox puts an open ask to the person.
type askBox struct {
	run  journal.RunID
	ask  journal.Ask
	left int // other open asks
	top  int
	text field // the answer to a question
}

func canAnswer(m *Model) bool {
	if m.run != nil {
		return len(m.run.asks()) > 0
	}
	s := m.home.current()
	if s != nil && s.Asks > 0 && !s.Status.Ended() {
		return true
	}
	_, asks := m.home.waiting()
	return asks > 0
}

// answerAsk puts the oldest open ask; from the list it opens the run that waits first.
func answerAsk(m *Model) tea.Cmd {
	if m.run == nil {
		s := m.home.current()
		if s == nil || s.Asks == 0 || s.Status.Ended() {
			for i := range m.home.runs {
				if r := &m.home.runs[i]; needsPerson(*r) {
					s = r
					break
				}
			}
		}
		if s == nil {
			return nil
		}
		cmd := m.open(s.Run)
		m.run.answerNext = true
		return cmd
	}
	m.putAsk()
	return nil
}

func (m *Model) putAsk() {
	asks := m.run.asks()
	if len(asks) == 0 {
		return
	}
	m.push(&askBox{run: m.run.id, ask: *asks[0], left: len(asks) - 1})
}

// askIfNew puts the ask for which the run was opened.
func (m *Model) askIfNew() tea.Cmd {
	if m.run.answerNext && len(m.run.asks()) > 0 && m.front() == nil {
		m.run.answerNext = false
		m.putAsk()
	}
	return nil
}

func (b *askBox) keys() string {
	switch b.ask.Ask {
	case journal.AskDoubt:
		return "d it is done · r run it again · s skip it · j k scroll · esc later"
	case journal.AskModel:
		return "enter answer · esc later"
	case journal.AskTake:
		return "d it is done · n deny · esc later"
	}
	return "y once · t for this run · A always · n deny · r deny with a reason · esc later"
}

func (b *askBox) view(_ *Model, w, h int) []string {
	bw := min(w, 92)
	in := bw - 4
	head := map[journal.AskKind]string{
		journal.AskTool:  "May this call run?",
		journal.AskDoubt: "A restart cut this call off. Did it take effect?",
		journal.AskModel: "The agent asks",
		journal.AskTake:  "The browser is a person's: agentctl browser " + string(b.run),
	}[b.ask.Ask]
	c := b.ask.Call
	var lines []string
	if named(b.ask.Verdict) || b.ask.Verdict.Why != "" {
		why := line(b.ask.Verdict.Why)
		if named(b.ask.Verdict) {
			why = strings.TrimSpace("rule " + line(b.ask.Verdict.Rule) + " · " + why)
		}
		lines = append(lines, paintAll(faint, wrap(strings.Trim(why, " ·"), in))...)
	}
	if b.ask.Ask != journal.AskModel {
		lines = append(lines, faint.paint(clip(fmt.Sprintf("task %s · effect %s", line(or(c.Task, "-")), line(or(b.ask.Effect, "unknown"))), in)), "", strong.paint(clip(line(c.Tool), in)))
	}
	if n := len(b.ask.Origins); n > 0 {
		lines = append(lines, paintAll(notice, wrap("it has read untrusted content from "+line(strings.Join(b.ask.Origins[:min(n, 8)], ", ")), in))...)
	}
	for _, hint := range b.ask.Hints[:min(len(b.ask.Hints), 4)] {
		lines = append(lines, paintAll(fault, wrap(line(hint), in))...)
	}
	body := wrap(safe(full(c)), in)
	room := max(h-len(lines)-8, 3)
	b.top = max(min(b.top, len(body)-room), 0)
	if len(body) > room {
		shown := body[b.top : b.top+room]
		lines = append(append(lines, shown...), faint.paint(fmt.Sprintf("lines %d to %d of %d", b.top+1, b.top+room, len(body))))
	} else {
		lines = append(lines, body...)
	}
	if b.ask.Ask == journal.AskModel {
		lines = append(append(lines, ""), b.text.view(in, 4, true)...)
	}
	lines = append(lines, "", strong.paint(clip(b.keys(), in)))
	if b.left > 0 {
		lines = append(lines, faint.paint(plural(b.left, "more ask")+" after this one"))
	}
	return boxed(or(head, "Ask")+" · "+line(string(b.run)), lines, bw)
}

func (b *askBox) paste(_ *Model, text string) tea.Cmd {
	if b.ask.Ask == journal.AskModel {
		b.text.insert(text)
	}
	return nil
}

func (b *askBox) key(m *Model, k tea.KeyPressMsg) tea.Cmd {
	key := k.String()
	switch key {
	case "esc", "ctrl+c":
		m.pop()
		return nil
	}
	if b.ask.Ask == journal.AskModel {
		if key == "enter" {
			if text := strings.TrimSpace(b.text.String()); text != "" {
				return b.send(m, text, "")
			}
			return nil
		}
		b.text.key(k)
		return nil
	}
	switch key {
	case "j", "down":
		b.top++
		return nil
	case "k", "up":
		b.top--
		return nil
	case "pgdown":
		b.top += 10
		return nil
	case "pgup":
		b.top -= 10
		return nil
	}
	if b.ask.Ask == journal.AskDoubt {
		if answer := map[string]string{"d": "done", "r": "again", "s": "skip"}[key]; answer != "" {
			return b.send(m, answer, "")
		}
		return nil
	}
	if b.ask.Ask == journal.AskTake {
		if answer := map[string]string{"d": "done", "n": "deny"}[key]; answer != "" {
			return b.send(m, answer, "")
		}
		return nil
	}
	switch key {
	case "y":
		return b.send(m, "allow", "")
	case "t":
		return ruleFor(m, b, journal.ScopeRun)
	case "A":
		return ruleFor(m, b, journal.ScopeAlways)
	case "n", "d":
		return b.send(m, "deny", "")
	case "r":
		m.push(&prompt{head: "Deny, because", hint: "the agent reads the reason", done: func(m *Model, s string) tea.Cmd { return b.send(m, "deny", s) }})
	}
	return nil
}

// send answers and closes the box.
func (b *askBox) send(m *Model, answer, reason string) tea.Cmd {
	return b.reply(m, api.Answer{Answer: answer, Reason: reason})
}

func (b *askBox) reply(m *Model, a api.Answer) tea.Cmd {
	m.pop()
	id, run := b.ask.Call.ID, b.run
	if m.run != nil && m.run.id == run {
		m.run.answered[id] = true
	}
	return m.act(a.Answer, run, func(ctx context.Context, c *api.Client) error { return c.Answer(ctx, run, id, a) })
}
