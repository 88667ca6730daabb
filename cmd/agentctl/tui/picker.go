package tui

import (
	"cmp"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"
)

// picker chooses one of some things by typing.
type picker struct {
	id   int
	head string
	hint string // shown while there is nothing to choose
	busy bool
	text field
	sel  int
	rows []pickRow
}

// pickRow is one thing to choose.
type pickRow struct {
	name, more string
	detail     []string // shown below the list while it is chosen
	do         func(m *Model) tea.Cmd
}

// picked fills a picker.
type pickedMsg struct {
	id   int
	rows []pickRow
	err  error
}

// pick opens a picker whose rows a command reads.
func (m *Model) pick(head, hint string, read func() ([]pickRow, error)) tea.Cmd {
	m.pagers++
	id := m.pagers
	m.push(&picker{id: id, head: head, hint: hint, busy: true})
	return func() tea.Msg {
		rows, err := read()
		return pickedMsg{id, rows, err}
	}
}

func (m *Model) gotPicked(msg pickedMsg) tea.Cmd {
	for i, o := range m.overlays {
		p, ok := o.(*picker)
		if !ok || p.id != msg.id {
			continue
		}
		if msg.err != nil {
			m.overlays = slices.Delete(m.overlays, i, i+1)
			return m.fail(p.head, msg.err)
		}
		p.busy, p.rows = false, msg.rows
		return nil
	}
	return nil
}

// hits are the rows that match, best first.
func (p *picker) hits() []pickRow {
	type hit struct {
		row   pickRow
		score int
	}
	var hits []hit
	for _, r := range p.rows {
		if score, ok := fuzzy(p.text.String(), r.name+" "+r.more); ok {
			hits = append(hits, hit{r, score})
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return cmp.Compare(b.score, a.score) })
	out := make([]pickRow, len(hits))
	for i, h := range hits {
		out[i] = h.row
	}
	return out
}

func (p *picker) keys() string { return "enter choose · ↑ ↓ move · esc back" }

func (p *picker) paste(_ *Model, text string) tea.Cmd {
	p.text.insert(text)
	p.sel = 0
	return nil
}

func (p *picker) key(m *Model, k tea.KeyPressMsg) tea.Cmd {
	hits := p.hits()
	switch k.String() {
	case "esc", "ctrl+c":
		m.pop()
		return nil
	case "up", "ctrl+k", "ctrl+p":
		p.sel--
	case "down", "ctrl+j", "tab", "ctrl+n":
		p.sel++
	case "enter":
		if p.sel < len(hits) {
			m.pop()
			return hits[p.sel].do(m)
		}
	default:
		p.text.key(k)
		p.sel = 0
	}
	p.sel = max(min(p.sel, len(hits)-1), 0)
	return nil
}

func (p *picker) view(_ *Model, w, h int) []string {
	bw := min(w, 88)
	in := bw - 4
	lines := append(p.text.view(in, 1, true), faint.paint(strings.Repeat("─", in)))
	hits := p.hits()
	rows := max(min(h-12, 12), 1)
	from := max(min(p.sel-rows/2, len(hits)-rows), 0)
	for i := from; i < len(hits) && i < from+rows; i++ {
		name := strong.paint(line(hits[i].name))
		mark := "  "
		if i == p.sel {
			mark = title.paint("▌") + " "
		}
		lines = append(lines, mark+fit(name+"  "+faint.paint(line(hits[i].more)), in-2))
	}
	switch {
	case p.busy:
		lines = append(lines, faint.paint("reading …"))
	case len(hits) == 0 && p.text.String() == "":
		lines = append(lines, paintAll(faint, wrap(safe(p.hint), in))...)
	case len(hits) == 0:
		lines = append(lines, faint.paint("nothing matches"))
	}
	if p.sel < len(hits) && len(hits[p.sel].detail) > 0 {
		lines = append(lines, faint.paint(strings.Repeat("─", in)))
		var detail []string
		for _, d := range hits[p.sel].detail {
			detail = append(detail, wrap(safe(d), in)...)
		}
		lines = append(lines, clipLines(detail, max(h-len(lines)-4, 1))...)
	}
	return boxed(p.head, append(lines, "", faint.paint(clip(p.keys(), in))), bw)
}
