package tui

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"agentd/api"
)

// pager shows a text on the whole screen. Its lines are harmless when they come.
type pager struct {
	id     int
	head   string
	lines  []string
	busy   bool
	top    int
	search string
	hit    int // line that the search found last

	wrapped []string
	from    []int // the line of each wrapped one
	w       int
	h       int
}

// maxPager bounds how many lines are shown: more is for a real pager.
const maxPager = 50_000

// openPager shows a text that a command reads.
func (m *Model) openPager(head string, f func(ctx context.Context, c *api.Client) ([]string, error)) tea.Cmd {
	m.pagers++
	m.push(&pager{id: m.pagers, head: head, busy: true, hit: -1})
	return m.text(m.pagers, f)
}

func (p *pager) fill(msg textMsg) {
	p.busy, p.w = false, 0
	p.lines = msg.lines
	if n := len(p.lines) - maxPager; n > 0 {
		p.lines = append(p.lines[:maxPager:maxPager], fmt.Sprintf("… %d more lines are not shown", n))
	}
	if msg.err != nil {
		p.lines = []string{fault.paint(line(msg.err.Error()))}
		if e := api.ErrorOf(msg.err); e.Hint != "" {
			p.lines = append(p.lines, line(e.Hint))
		}
	}
}

func (p *pager) layout(w int) {
	if p.w == w {
		return
	}
	p.w, p.wrapped, p.from = w, p.wrapped[:0], p.from[:0]
	for i, l := range p.lines {
		for _, s := range wrap(l, w) {
			p.wrapped = append(p.wrapped, s)
			p.from = append(p.from, i)
		}
	}
}

func (p *pager) view(_ *Model, w, h int) []string {
	p.layout(w)
	p.h = h - 1
	p.top = max(min(p.top, len(p.wrapped)-p.h), 0)
	where := ""
	if len(p.wrapped) > p.h {
		where = fmt.Sprintf("%d%%", min(100, (p.top+p.h)*100/max(len(p.wrapped), 1)))
	}
	out := []string{sides(title.paint(p.head), faint.paint(where), w)}
	if p.busy {
		out = append(out, fit(faint.paint("reading …"), w))
	} else if len(p.lines) == 0 {
		out = append(out, fit(faint.paint("nothing"), w))
	}
	for i := p.top; i < len(p.wrapped) && len(out) < h; i++ {
		l := p.wrapped[i]
		if p.from[i] == p.hit {
			l = chosen.paint(stripSGR(l))
		}
		out = append(out, fit(l, w))
	}
	for len(out) < h {
		out = append(out, fit("", w))
	}
	return out
}

func (p *pager) keys() string { return "esc back · / search · n next · y copy · g top · G end" }

func (p *pager) paste(*Model, string) tea.Cmd { return nil }

func (p *pager) key(m *Model, k tea.KeyPressMsg) tea.Cmd {
	page := max(p.h-1, 1)
	switch k.String() {
	case "esc", "q", "ctrl+c", "left", "h":
		m.pop()
	case "j", "down", "enter":
		p.top++
	case "k", "up":
		p.top--
	case "pgdown", "space", "ctrl+f":
		p.top += page
	case "pgup", "ctrl+b":
		p.top -= page
	case "ctrl+d":
		p.top += page / 2
	case "ctrl+u":
		p.top -= page / 2
	case "g", "home":
		p.top = 0
	case "G", "end":
		p.top = len(p.wrapped)
	case "/":
		m.push(&prompt{head: "Search", text: newField(p.search, false), done: func(m *Model, s string) tea.Cmd {
			p.search = s
			return p.next(m, 1)
		}})
	case "n":
		return p.next(m, 1)
	case "N":
		return p.next(m, -1)
	case "y":
		text := stripSGR(strings.Join(p.lines, "\n"))
		return tea.Batch(tea.SetClipboard(text), m.say("copied "+bytesOf(int64(len(text)))))
	}
	p.top = max(min(p.top, len(p.wrapped)-p.h), 0)
	return nil
}

// next goes to the next line with the searched words, around the end.
func (p *pager) next(m *Model, d int) tea.Cmd {
	if p.search == "" || len(p.lines) == 0 {
		return nil
	}
	want := strings.ToLower(p.search)
	n := len(p.lines)
	for i := 1; i <= n; i++ {
		at := ((p.hit+d*i)%n + n) % n
		if strings.Contains(strings.ToLower(stripSGR(p.lines[at])), want) {
			p.hit = at
			for j, from := range p.from {
				if from == at {
					p.top = max(j-p.h/2, 0)
					break
				}
			}
			return nil
		}
	}
	return m.say("not found: " + line(p.search))
}

func showDiff(m *Model) tea.Cmd {
	run := m.current().Run
	return m.openPager("Changes of "+line(string(run)), func(ctx context.Context, c *api.Client) ([]string, error) {
		d, err := c.Diff(ctx, run)
		if err != nil {
			return nil, err
		}
		return diffLines(d), nil
	})
}

// diffLines draws a diff in colours.
func diffLines(d api.Diff) []string {
	if len(d.Files) == 0 {
		return []string{"Nothing in the workspace changed."}
	}
	out := []string{strong.paint(plural(len(d.Files), "file") + " changed"), ""}
	for _, f := range d.Files {
		out = append(out, fmt.Sprintf("  %s %s", faint.paint(line(f.Change)), line(f.Path)))
	}
	for _, f := range d.Files {
		head := line(f.Path) + " · " + line(f.Change)
		if f.Mode != "" {
			head += " · mode " + line(f.Mode)
		}
		out = append(out, "", title.paint(head))
		if f.Binary {
			out = append(out, faint.paint("binary, or too large to compare"))
		}
		if f.Patch != "" {
			out = append(out, patchLines(f.Path, f.Patch)...)
		}
	}
	return out
}

func showPlan(m *Model) tea.Cmd {
	m.pagers++
	p := &pager{id: m.pagers, head: "Plan of " + line(string(m.run.id)), hit: -1}
	p.fill(textMsg{lines: planText(m.run.state, max(m.w-2, 20))})
	m.push(p)
	return nil
}

// showOutput shows all that the chosen step printed or said.
func showOutput(m *Model) tea.Cmd {
	st := m.step().step
	f := st.finished
	if st.call == nil || f == nil {
		text := st.text()
		return m.openPager("Step", func(context.Context, *api.Client) ([]string, error) { return strings.Split(text, "\n"), nil })
	}
	head := line(st.call.Tool) + " " + what(*st.call)
	args := paintAll(faint, strings.Split(safe(full(*st.call)), "\n"))
	return m.openPager(head, func(ctx context.Context, c *api.Client) ([]string, error) {
		text := f.Head + f.Tail
		if f.Blob != "" {
			whole, err := blob(ctx, c, f.Blob)
			if err != nil {
				return nil, err
			}
			text = whole
		}
		return append(append(args, ""), strings.Split(safeSGR(strings.TrimRight(text, "\n")), "\n")...), nil
	})
}

// showContext shows exactly what the model was sent at the chosen step.
func showContext(m *Model) tea.Cmd {
	step := m.stepNumber()
	if step == 0 {
		return m.say("no model was asked at this step")
	}
	run := m.run.id
	return m.openPager(fmt.Sprintf("Sent at step %d", step), func(ctx context.Context, c *api.Client) ([]string, error) {
		x, err := c.Context(ctx, run, step)
		if err != nil {
			return nil, err
		}
		verified := good.paint("the bytes match the journal's hash")
		if !x.Verified {
			verified = bad.paint("the bytes do not match the journal's hash")
		}
		out := []string{faint.paint(fmt.Sprintf("%s · %d bytes · %d tokens · %s", line(x.Model), len(x.Bytes), x.Tokens, line(x.Hash))), verified, ""}
		return append(out, messages(x.Bytes)...), nil
	})
}

// stepNumber is the step that the chosen entry belongs to, 0 if it is not known.
func (m *Model) stepNumber() int {
	l := m.run.stream.list
	for i := l.sel; i >= 0; i-- {
		if a := l.items[i].step.asked; a != nil {
			if c := l.items[l.sel].step.call; c == nil || c.From == "" || c.From == a.Call {
				return a.Step
			}
		}
	}
	return 0
}

// messages draws the body of a model call: its messages as texts where it has some, and as it is otherwise.
func messages(body []byte) []string {
	var v struct {
		Messages []struct {
			Role    string          `json:"role"`
			Content json.RawMessage `json:"content"`
			Calls   json.RawMessage `json:"tool_calls"`
		} `json:"messages"`
	}
	if json.Unmarshal(body, &v) != nil || len(v.Messages) == 0 {
		return strings.Split(safe(string(body)), "\n")
	}
	var out []string
	for _, x := range v.Messages {
		out = append(out, title.paint("── "+line(or(x.Role, "?"))))
		var text string
		if json.Unmarshal(x.Content, &text) != nil {
			text = string(x.Content)
		}
		out = append(out, strings.Split(safe(text), "\n")...)
		if len(x.Calls) > 0 && string(x.Calls) != "null" {
			out = append(out, paintAll(accent, strings.Split(safe(string(x.Calls)), "\n"))...)
		}
		out = append(out, "")
	}
	return append(append(out, title.paint("── as sent")), strings.Split(safe(string(body)), "\n")...)
}

// showHelp explains the keys.
func showHelp(m *Model) tea.Cmd {
	var lines []string
	section := func(head string, at where) {
		lines = append(lines, "", title.paint(head))
		for _, a := range actions() {
			if a.where == at {
				lines = append(lines, "  "+fit(strong.paint(strings.Join(a.keys, " ")), 16)+" "+a.title)
			}
		}
	}
	lines = append(lines,
		"Runs belong to the daemon: leaving this screen ends none. What is shown comes from the run's journal, and every "+
			"key makes the same API call as a command of agentctl.",
		"", title.paint("Moving"),
		"  "+fit(strong.paint("j k ↓ ↑"), 16)+" next, previous",
		"  "+fit(strong.paint("pgdn pgup"), 16)+" a page; ctrl+d and ctrl+u half of one",
		"  "+fit(strong.paint("g G"), 16)+" beginning, end",
	)
	section("Everywhere", anywhere)
	section("Runs", inHome)
	section("One run", inRun)
	lines = append(lines, "", title.paint("Marks"),
		"  ▶ running   ? needs you   ‖ paused   · queued or pending",
		"  ✓ accepted or done   ✗ failed or ended otherwise",
		"  ~ a check that held before the run and so counts for nothing",
		"", faint.paint("agentctl "+line(m.opt.Version)+" · daemon "+line(m.info.Version)+" · "+line(m.info.Socket)),
	)
	m.pagers++
	p := &pager{id: m.pagers, head: "Help", hit: -1}
	p.fill(textMsg{lines: lines})
	m.push(p)
	return nil
}

// KeysText is the interface's keys as plain text, made of the table that the interface works by.
func KeysText() string {
	var b strings.Builder
	for _, s := range []struct {
		head string
		at   where
	}{{"Everywhere", anywhere}, {"Runs", inHome}, {"One run", inRun}} {
		b.WriteString(s.head + "\n")
		for _, a := range actions() {
			if a.where == s.at {
				fmt.Fprintf(&b, "  %-16s %s\n", strings.Join(a.keys, " "), a.title)
			}
		}
	}
	return strings.TrimRight(b.String(), "\n")
}
