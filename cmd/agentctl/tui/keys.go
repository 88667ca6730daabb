package tui

import (
	"slices"

	tea "charm.land/bubbletea/v2"
)

// press takes a key: what is in front has it first, then moving, then the actions.
func (m *Model) press(k tea.KeyPressMsg) tea.Cmd {
	if o := m.front(); o != nil {
		return o.key(m, k)
	}
	if cmd, ok := m.motion(k.String()); ok {
		return cmd
	}
	for _, a := range m.possible() {
		if slices.Contains(a.keys, k.String()) {
			return a.do(m)
		}
	}
	if m.run == nil && k.String() == "esc" {
		m.home.filter, m.home.only = "", 0
		m.home.arrange()
	}
	return nil
}

// motion moves the choice.
func (m *Model) motion(key string) (tea.Cmd, bool) {
	page := max(m.body()-2, 1)
	n := 0
	switch key {
	case "j", "down":
		n = 1
	case "k", "up":
		n = -1
	case "pgdown", "ctrl+f":
		n = page
	case "pgup", "ctrl+b":
		n = -page
	case "ctrl+d":
		n = page / 2
	case "ctrl+u":
		n = -page / 2
	}
	switch {
	case m.run == nil:
		return m.moveHome(key, n)
	case n == 0:
		if m.run.panel && (key == "g" || key == "G" || key == "home" || key == "end") {
			m.run.panelTop = map[bool]int{true: 1 << 30}[key == "G" || key == "end"]
			return nil, true
		}
		return nil, false
	case m.run.panel:
		m.run.panelTop += n
		return nil, true
	case n == 1 || n == -1:
		m.run.stream.list.choose(n)
	default:
		m.run.stream.list.scroll(n)
	}
	return m.edges(n), true
}

// edges reads what is beyond the window's ends.
func (m *Model) edges(n int) tea.Cmd {
	if n > 0 && !m.run.stream.end {
		m.run.stream.list.follow = false
		return m.newer()
	}
	return m.fill()
}

func (m *Model) moveHome(key string, n int) (tea.Cmd, bool) {
	switch key {
	case "g", "home":
		n = -1 << 30
	case "G", "end":
		n = 1 << 30
	}
	if n == 0 {
		return nil, false
	}
	h := m.home
	h.move(n)
	if h.more && !h.loading && h.index() > len(h.shown)-20 {
		all := append(slices.Clone(h.runs), h.older...)
		last := all[0].Run
		for _, r := range all { // ids sort by the start's time; live ones may be older than the page
			if len(h.older) > 0 {
				last = h.older[len(h.older)-1].Run
				break
			}
			if r.Run < last && r.Status.Ended() {
				last = r.Run
			}
		}
		h.loading = true
		return m.listMore(last), true
	}
	return nil, true
}

// wheel scrolls what is under the mouse.
func (m *Model) wheel(msg tea.MouseWheelMsg) tea.Cmd {
	n := 3
	switch msg.Button {
	case tea.MouseWheelUp:
		n = -3
	case tea.MouseWheelDown:
	default:
		return nil
	}
	switch {
	case m.front() != nil:
		if p, ok := m.front().(*pager); ok {
			p.top += n
		}
		return nil
	case m.run == nil:
		m.home.move(n / 3)
		return nil
	case m.overPanel(msg.X):
		m.run.panelTop += n
		return nil
	}
	m.run.stream.list.scroll(n)
	return m.edges(n)
}

func (m *Model) overPanel(x int) bool {
	return m.wide() && x < m.panelWidth() || !m.wide() && m.run.panel
}

// click chooses what is under the mouse; a second click opens it.
func (m *Model) click(msg tea.MouseClickMsg) tea.Cmd {
	y := msg.Y - m.headLines()
	if msg.Button != tea.MouseLeft || m.front() != nil || y < 0 || y >= m.body() {
		return nil
	}
	if m.run == nil {
		per := 1
		if m.w < 100 {
			per = 2
		}
		i := m.home.top + (y-1)/per
		if y < 1 || i >= len(m.home.shown) {
			return nil
		}
		if m.home.sel == m.home.shown[i].Run {
			return m.open(m.home.sel)
		}
		m.home.sel = m.home.shown[i].Run
		return nil
	}
	m.run.panel = m.overPanel(msg.X)
	if m.run.panel {
		return nil
	}
	l := &m.run.stream.list
	if i := l.at(y); i >= 0 {
		if i == l.sel && !l.follow {
			return toggleStep(m)
		}
		l.follow = false
		l.sel = i
	}
	return nil
}
