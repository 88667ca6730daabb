package tui

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	tea "charm.land/bubbletea/v2"

	"agentd/api"
	"agentd/goals"
)

// form asks for a new goal.
type form struct {
	head    string
	fields  []formField
	request func() (api.StartRequest, error) // what it asks for
	at      int
	busy    bool
	err     []string
}

type formField struct {
	name, hint string
	text       field
	rows       int
}

const (
	formGoal = iota
	formWorkspace
	formModel
	formChecks
	formLimits
	formParams
)

func newGoal(m *Model) tea.Cmd {
	f := &form{head: "New goal", fields: []formField{
		formGoal:      {"Goal", "what is wanted, in plain words; or the name of a goal file in goals/", newField("", true), 6},
		formWorkspace: {"Workspace", "folder that it works in", newField(m.opt.Workspace, false), 1},
		formModel:     {"Model", "empty: " + line(or(m.info.Model, "the daemon's default")), newField("", false), 1},
		formChecks:    {"Checks", "commands that must end with 0, one a line", newField("", true), 3},
		formLimits:    {"Limits", "empty: the daemon's; for example: steps 50 usd 1 wall 30m", newField("", false), 1},
		formParams:    {"Params", "of a goal file: NAME=VALUE, one a line", newField("", true), 2},
	}}
	f.request = f.words
	m.push(f)
	return nil
}

func (f *form) keys() string { return "ctrl+s start · tab next field · esc back" }

func (f *form) fault(err error) {
	f.busy = false
	f.err = []string{line(err.Error())}
	if e, ok := errors.AsType[*api.Error](err); ok && e.Hint != "" {
		f.err = append(f.err, line(e.Hint))
	}
}

func (f *form) view(_ *Model, w, h int) []string {
	bw := min(w, 88)
	in := bw - 4
	small := h < 33
	var lines []string
	for i := range f.fields {
		x := &f.fields[i]
		name := faint.paint(x.name)
		if i == f.at {
			name = title.paint(x.name)
		}
		lines = append(lines, clip(name+"  "+faint.paint(x.hint), in))
		rows := x.rows
		if small {
			rows = min(rows, 3)
			if i != f.at {
				rows = 1
			}
		}
		got := x.text.view(in-2, rows, i == f.at)
		for len(got) < rows {
			got = append(got, "")
		}
		lines = append(lines, indent(got, "  ")...)
		if !small {
			lines = append(lines, "")
		}
	}
	for _, e := range f.err {
		lines = append(lines, paintAll(fault, wrap(e, in))...)
	}
	foot := strong.paint(f.keys())
	if f.busy {
		foot = accent.paint("starting …")
	}
	return boxed(f.head, append(lines, clip(foot, in)), bw)
}

func (f *form) paste(_ *Model, text string) tea.Cmd {
	f.fields[f.at].text.insert(text)
	return nil
}

func (f *form) key(m *Model, k tea.KeyPressMsg) tea.Cmd {
	cur := &f.fields[f.at]
	switch key := k.String(); key {
	case "esc", "ctrl+c":
		if key == "esc" && f.text(0) != "" {
			m.push(&confirm{"Drop this goal?", func(m *Model) tea.Cmd { m.pop(); return nil }})
			return nil
		}
		m.pop()
	case "tab":
		f.at = (f.at + 1) % len(f.fields)
	case "shift+tab":
		f.at = (f.at + len(f.fields) - 1) % len(f.fields)
	case "ctrl+s", "ctrl+enter":
		return f.submit(m)
	case "enter":
		if !cur.text.many {
			f.at = (f.at + 1) % len(f.fields)
			return nil
		}
		cur.text.key(k)
	case "up", "down":
		if !cur.text.key(k) {
			d := map[string]int{"up": len(f.fields) - 1, "down": 1}[key]
			f.at = (f.at + d) % len(f.fields)
		}
	default:
		cur.text.key(k)
	}
	return nil
}

func (f *form) submit(m *Model) tea.Cmd {
	if f.busy {
		return nil
	}
	r, err := f.request()
	if err != nil {
		f.fault(err)
		return nil
	}
	f.busy, f.err = true, nil
	return m.start(r)
}

// text is what was typed into a field.
func (f *form) text(i int) string { return strings.TrimSpace(f.fields[i].text.String()) }

// bounds checks the workspace and reads the limits of a request.
func (f *form) bounds(r *api.StartRequest, limits string) error {
	if !filepath.IsAbs(r.Workspace) {
		return api.Errorf(api.ErrWorkspace, "write it from / on", "the workspace %.100q is no absolute path", r.Workspace)
	}
	if limits == "" {
		return nil
	}
	b, err := parseLimits(limits)
	r.Budget = b
	return err
}

// words is what a form for a goal in words asks for.
func (f *form) words() (api.StartRequest, error) {
	r := api.StartRequest{Goal: f.text(formGoal), Workspace: f.text(formWorkspace), Model: f.text(formModel), Attended: true}
	if r.Goal == "" {
		return r, api.Errorf(api.ErrGoal, "say in a sentence what is wanted", "the goal is empty")
	}
	for l := range strings.SplitSeq(f.text(formChecks), "\n") {
		if l = strings.TrimSpace(l); l != "" {
			r.Checks = append(r.Checks, l)
		}
	}
	for l := range strings.SplitSeq(f.text(formParams), "\n") {
		name, value, ok := strings.Cut(strings.TrimSpace(l), "=")
		if name == "" && !ok {
			continue
		}
		if !ok || name == "" {
			return r, api.Errorf(api.ErrInvalid, "write NAME=VALUE", "parameter %.60q has no name or no value", l)
		}
		if r.Params == nil {
			r.Params = map[string]string{}
		}
		r.Params[name] = value
	}
	return r, f.bounds(&r, f.text(formLimits))
}

// readGoal reads a goal file, as much of it as may be one.
func readGoal(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, goals.MaxFile+1))
	if err != nil {
		return "", fmt.Errorf("read the goal file: %w", err)
	}
	_, err = goals.Parse(path, data)
	return string(data), err
}
