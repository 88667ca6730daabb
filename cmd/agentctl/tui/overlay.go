package tui

import (
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

// overlay is something in front of the screen that has the keys. The last of the model's overlays is in front.
type overlay interface {
	// key takes a key press. Closing is m.pop.
	key(m *Model, k tea.KeyPressMsg) tea.Cmd
	// paste takes pasted text.
	paste(m *Model, text string) tea.Cmd
	// view draws at most w columns and h lines. What has the size of the screen covers it.
	view(m *Model, w, h int) []string
	// keys says in a line what can be pressed.
	keys() string
}

func (m *Model) push(o overlay) { m.overlays = append(m.overlays, o) }

func (m *Model) pop() {
	if n := len(m.overlays); n > 0 {
		m.overlays = m.overlays[:n-1]
	}
}

func (m *Model) front() overlay {
	if n := len(m.overlays); n > 0 {
		return m.overlays[n-1]
	}
	return nil
}

// boxed puts a frame around lines of w columns.
func boxed(head string, lines []string, w int) []string {
	inner := w - 4
	top := "╭─ " + clip(head, inner-1) + " "
	out := []string{accent.paint(top + strings.Repeat("─", max(w-1-width(top), 0)) + "╮")}
	for _, l := range lines {
		out = append(out, accent.paint("│")+" "+fit(l, inner)+" "+accent.paint("│"))
	}
	return append(out, accent.paint("╰"+strings.Repeat("─", max(w-2, 0))+"╯"))
}

// place lays a box over a screen of w columns.
func place(screen, box []string, x, y, w int) []string {
	if len(box) == 0 {
		return screen
	}
	bw := width(box[0])
	for i, l := range box {
		if y+i >= len(screen) {
			break
		}
		under := screen[y+i]
		left := fit(ansi.Truncate(under, x, ""), x)
		right := ""
		if rest := w - x - bw; rest > 0 {
			right = fit(ansi.Cut(under, x+bw, w), rest)
		}
		screen[y+i] = left + "\x1b[0m" + l + "\x1b[0m" + right
	}
	return screen
}

// confirm asks before something that can't be taken back.
type confirm struct {
	question string
	yes      func(m *Model) tea.Cmd
}

func (c *confirm) key(m *Model, k tea.KeyPressMsg) tea.Cmd {
	switch k.String() {
	case "y", "Y", "enter":
		m.pop()
		return c.yes(m)
	case "n", "N", "esc", "q", "ctrl+c":
		m.pop()
	}
	return nil
}

func (c *confirm) paste(*Model, string) tea.Cmd { return nil }
func (c *confirm) keys() string                 { return "y yes · n no" }

func (c *confirm) view(_ *Model, w, _ int) []string {
	bw := min(w, 64)
	return boxed("Sure?", append(wrap(safe(c.question), bw-4), "", "y yes   n no"), bw)
}

// prompt reads a line of text.
type prompt struct {
	head  string
	hint  string
	text  field
	empty bool // an empty answer is one
	done  func(m *Model, text string) tea.Cmd
	typed func(m *Model, text string) // while it is being typed
	back  func(m *Model)              // it was given up
}

func (p *prompt) key(m *Model, k tea.KeyPressMsg) tea.Cmd {
	switch k.String() {
	case "esc", "ctrl+c":
		m.pop()
		if p.back != nil {
			p.back(m)
		}
		return nil
	case "enter":
		text := strings.TrimSpace(p.text.String())
		if text == "" && !p.empty {
			return nil
		}
		m.pop()
		return p.done(m, text)
	}
	p.text.key(k)
	if p.typed != nil {
		p.typed(m, p.text.String())
	}
	return nil
}

func (p *prompt) paste(m *Model, text string) tea.Cmd {
	p.text.insert(text)
	if p.typed != nil {
		p.typed(m, p.text.String())
	}
	return nil
}

func (p *prompt) keys() string { return "enter done · esc back" }

func (p *prompt) view(_ *Model, w, h int) []string {
	bw := min(w, 76)
	lines := p.text.view(bw-4, min(h/2, 8), true)
	if p.hint != "" {
		lines = append(append(lines, ""), paintAll(faint, wrap(safe(p.hint), bw-4))...)
	}
	return boxed(p.head, lines, bw)
}
