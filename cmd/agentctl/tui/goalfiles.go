package tui

import (
	"path/filepath"
	"strings"

	tea "charm.land/bubbletea/v2"

	"agentd/api"
	"agentd/goals"
)

// pickGoal chooses a goal file of the workspace and asks for its params.
func pickGoal(m *Model) tea.Cmd {
	ws := m.opt.Workspace
	hint := "There is no goal file in " + filepath.Join(ws, goals.Dir) + ". agentctl init writes an example; n starts a goal in words."
	return m.pick("Goal files of "+line(ws), hint, func() ([]pickRow, error) { return goalRows(ws) })
}

// goalRows are the goal files of a workspace. One that can't be parsed says why instead of being left out.
func goalRows(ws string) ([]pickRow, error) {
	files, err := goals.List(ws)
	if err != nil {
		return nil, err
	}
	rows := make([]pickRow, 0, len(files))
	for _, path := range files {
		g, err := goals.ReadFile(path)
		text, readErr := readGoal(path)
		row := pickRow{name: filepath.Base(path)}
		if err == nil {
			err = readErr
		}
		if err != nil {
			row.more, row.detail = "can't be used", []string{err.Error()}
			row.do = func(m *Model) tea.Cmd { return m.fail("read "+line(path), err) }
			rows = append(rows, row)
			continue
		}
		row.more = or(g.Description, g.Text)
		row.detail = []string{g.Text}
		for _, p := range g.Params {
			row.detail = append(row.detail, "param "+p.Name+": "+paramHint(p))
		}
		row.do = func(m *Model) tea.Cmd { m.push(goalForm(m, ws, path, text, g)); return nil }
		rows = append(rows, row)
	}
	return rows, nil
}

// paramHint says what a param takes.
func paramHint(p goals.Param) string {
	words := string(p.Type)
	if len(p.Options) > 0 {
		words = "one of " + strings.Join(p.Options, ", ")
	}
	parts := []string{or(p.Description, ""), words}
	switch {
	case p.Default != "":
		parts = append(parts, "empty: "+p.Default)
	case p.Required:
		parts = append(parts, "needed")
	}
	var out []string
	for _, s := range parts {
		if s != "" {
			out = append(out, s)
		}
	}
	return strings.Join(out, " · ")
}

// goalForm asks for what a goal file leaves open.
func goalForm(m *Model, ws, path, text string, g goals.Goal) *form {
	f := &form{head: "Start " + line(filepath.Base(path))}
	for _, p := range g.Params {
		f.fields = append(f.fields, formField{name: p.Name, hint: line(paramHint(p)), rows: 1})
	}
	n := len(f.fields)
	f.fields = append(f.fields,
		formField{"Workspace", "folder that it works in", newField(ws, false), 1},
		formField{"Model", "empty: " + line(or(m.info.Model, "the goal's, or the daemon's default")), newField("", false), 1},
		formField{"Limits", "empty: the goal's; for example: steps 50 usd 1 wall 30m", newField("", false), 1},
	)
	f.request = func() (api.StartRequest, error) {
		r := api.StartRequest{
			File: &api.GoalFile{Name: path, Text: text}, Workspace: f.text(n), Model: f.text(n + 1), Attended: true,
		}
		for i, p := range g.Params {
			v := f.text(i)
			if v == "" {
				if p.Required && p.Default == "" {
					f.at = i
					return r, api.Errorf(api.ErrInvalid, paramHint(p), "parameter %s is empty", p.Name)
				}
				continue
			}
			if p.Type != goals.ParamFile {
				if _, err := p.Check(v); err != nil {
					f.at = i
					return r, api.Errorf(api.ErrInvalid, paramHint(p), "parameter %s: %v", p.Name, err)
				}
			}
			if r.Params == nil {
				r.Params = map[string]string{}
			}
			r.Params[p.Name] = v
		}
		return r, f.bounds(&r, f.text(n+2))
	}
	return f
}
