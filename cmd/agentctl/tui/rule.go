package tui

import (
	"slices"

	tea "charm.land/bubbletea/v2"

	"agentd/api"
	"agentd/journal"
)

// ruleBox shows the rule that would answer an ask and others like it, before a person allows that. It can be edited.
type ruleBox struct {
	ask   *askBox
	scope journal.Scope
	offer *api.AskRules // nil: it is being read
	at    int           // of its proposals
	text  field
	fault string
}

// rulesMsg is what the daemon proposes for an ask.
type rulesMsg struct {
	ask   string
	rules api.AskRules
	err   error
}

// ruleFor opens the box for a scope.
func ruleFor(m *Model, b *askBox, scope journal.Scope) tea.Cmd {
	m.push(&ruleBox{ask: b, scope: scope})
	ctx, c, run, id := m.ctx, m.client, b.run, b.ask.Call.ID
	return func() tea.Msg {
		r, err := c.AskRules(ctx, run, id)
		return rulesMsg{ask: id, rules: r, err: err}
	}
}

// gotRules fills the box that waits for them.
func (m *Model) gotRules(msg rulesMsg) tea.Cmd {
	b, ok := m.front().(*ruleBox)
	if !ok || b.ask.ask.Call.ID != msg.ask {
		return nil
	}
	if msg.err != nil {
		m.pop()
		return m.fail("read the rules", msg.err)
	}
	b.offer = &msg.rules
	if list := b.proposals(); len(list) > 0 {
		b.text = newField(list[0], false)
	}
	return nil
}

func (b *ruleBox) proposals() []string {
	switch {
	case b.offer == nil:
		return nil
	case b.scope == journal.ScopeAlways:
		return b.offer.Always
	}
	return b.offer.Run
}

func (b *ruleBox) keys() string {
	more := ""
	if len(b.proposals()) > 1 {
		more = "tab another rule · "
	}
	if b.scope == journal.ScopeAlways {
		return "enter allow and add the rule · " + more + "esc back"
	}
	return "enter allow for this run · " + more + "esc back"
}

func (b *ruleBox) key(m *Model, k tea.KeyPressMsg) tea.Cmd {
	switch k.String() {
	case "esc", "ctrl+c":
		m.pop()
	case "tab", "shift+tab":
		if list := b.proposals(); len(list) > 1 {
			b.at = (b.at + 1) % len(list)
			b.text, b.fault = newField(list[b.at], false), ""
		}
	case "enter":
		rule := b.text.String()
		if b.offer == nil || rule == "" {
			return nil
		}
		m.pop()
		return b.ask.reply(m, api.Answer{Answer: "allow", Scope: b.scope, Rule: b.exact(rule)})
	default:
		if b.offer != nil {
			b.text.key(k)
		}
	}
	return nil
}

// exact is the proposal where it was not edited: a field shows harmless characters only.
func (b *ruleBox) exact(rule string) string {
	list := b.proposals()
	if i := slices.IndexFunc(list, func(p string) bool { f := newField(p, false); return f.String() == rule }); i >= 0 {
		return list[i]
	}
	return rule
}

func (b *ruleBox) paste(_ *Model, text string) tea.Cmd {
	if b.offer != nil {
		b.text.insert(text)
	}
	return nil
}

func (b *ruleBox) view(_ *Model, w, h int) []string {
	bw := min(w, 92)
	in := bw - 4
	head, about := "Allow it for this run", "What this rule holds of runs unasked until the run ends. What policy denies stays denied."
	if b.scope == journal.ScopeAlways {
		head = "Allow it always"
		about = "What this rule holds of runs unasked from now on, in every run. What policy denies stays denied."
	}
	if b.offer == nil {
		return boxed(head, []string{faint.paint("reading what it would take …")}, bw)
	}
	lines := []string{}
	if len(b.proposals()) == 0 && b.offer.Note != "" {
		lines = append(append(lines, paintAll(fault, wrap(line("no rule is proposed: "+b.offer.Note), in))...), "")
	}
	lines = append(lines, paintAll(strong, []string{"allow when"})...)
	lines = append(lines, b.text.view(in, max(min(h/2, 10), 2), true)...)
	lines = append(lines, "")
	if b.scope == journal.ScopeAlways {
		lines = append(lines, wrap("It is added to "+line(b.offer.File), in)...)
	}
	lines = append(lines, paintAll(faint, wrap(about, in))...)
	return boxed(head, append(lines, "", strong.paint(clip(b.keys(), in))), bw)
}
