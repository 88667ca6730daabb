package tui

import (
	"cmp"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"
)

// palette finds an action by typing.
type palette struct {
	text field
	sel  int
}

func showPalette(m *Model) tea.Cmd {
	m.push(new(palette))
	return nil
}

// hits are the possible actions that match, best first.
func (p *palette) hits(m *Model) []action {
	type hit struct {
		a     action
		score int
	}
	var hits []hit
	for _, a := range m.possible() {
		if slices.Contains(a.keys, "ctrl+p") {
			continue
		}
		if score, ok := fuzzy(p.text.String(), a.title+" "+a.short); ok {
			hits = append(hits, hit{a, score})
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return cmp.Compare(b.score, a.score) })
	out := make([]action, len(hits))
	for i, h := range hits {
		out[i] = h.a
	}
	return out
}

func (p *palette) keys() string { return "enter do it · ↑ ↓ choose · esc back" }

func (p *palette) paste(_ *Model, text string) tea.Cmd {
	p.text.insert(text)
	p.sel = 0
	return nil
}

func (p *palette) key(m *Model, k tea.KeyPressMsg) tea.Cmd {
	hits := p.hits(m)
	switch k.String() {
	case "esc", "ctrl+c", "ctrl+p":
		m.pop()
	case "up", "ctrl+k":
		p.sel--
	case "down", "ctrl+j", "tab", "ctrl+n":
		p.sel++
	case "enter":
		m.pop()
		if p.sel < len(hits) {
			return hits[p.sel].do(m)
		}
	default:
		p.text.key(k)
		p.sel = 0
	}
	p.sel = max(min(p.sel, len(hits)-1), 0)
	return nil
}

func (p *palette) view(m *Model, w, h int) []string {
	bw := min(w, 72)
	in := bw - 4
	lines := append(p.text.view(in, 1, true), faint.paint(strings.Repeat("─", in)))
	hits := p.hits(m)
	rows := max(min(h-8, 14), 1)
	from := max(min(p.sel-rows/2, len(hits)-rows), 0)
	for i := from; i < len(hits) && i < from+rows; i++ {
		a := hits[i]
		row := sides(a.title, faint.paint(a.keys[0]), in-2)
		if i == p.sel {
			row = title.paint("▌") + " " + strong.paint(fit(a.title, in-4-width(a.keys[0]))) + "  " + a.keys[0]
		} else {
			row = "  " + row
		}
		lines = append(lines, row)
	}
	if len(hits) == 0 {
		lines = append(lines, faint.paint("no command matches"))
	}
	for len(lines) < rows+2 {
		lines = append(lines, "")
	}
	return boxed("Commands", lines, bw)
}
