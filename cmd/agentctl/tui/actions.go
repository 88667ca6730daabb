package tui

import (
	"context"
	"slices"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"

	"agentd/api"
	"agentd/goals"
	"agentd/journal"
)

// action is one thing that a person can do: by its key, from the palette, and named in the footer and in the help.
type action struct {
	keys  []string // the first is shown
	short string   // in the footer; "" is not shown there
	title string   // in the palette and the help
	where where
	can   func(m *Model) bool // nil: always
	do    func(m *Model) tea.Cmd
}

// where says on which screen an action is possible.
type where int

const (
	anywhere where = iota
	inHome
	inRun
)

// actions is the one table of them. Its order is the footer's.
func actions() []action {
	return []action{
		{[]string{"a"}, "answer", "answer the oldest open ask", anywhere, canAnswer, answerAsk},
		{[]string{"enter", "l", "right"}, "open", "open the chosen run", inHome, hasRun, openRun},
		{[]string{"n"}, "new goal", "give an agent a goal", inHome, nil, newGoal},
		{[]string{"f"}, "goal file", "start a goal file of this workspace", inHome, nil, pickGoal},
		{[]string{"M"}, "", "review what runs want remembered", anywhere, nil, reviewMemory},
		{[]string{"/"}, "filter", "filter by typing", inHome, nil, filterRuns},
		{[]string{"o", "s"}, "sort", "sort by the next column", inHome, nil, func(m *Model) tea.Cmd {
			m.home.sort = (m.home.sort + 1) % len(sorts)
			m.home.arrange()
			return nil
		}},
		{[]string{"tab"}, "show", "show all runs, live ones, those that need you, ended ones", inHome, nil, func(m *Model) tea.Cmd {
			m.home.only = (m.home.only + 1) % len(onlies)
			m.home.arrange()
			return nil
		}},

		{[]string{"enter", "space"}, "fold", "show the chosen step whole, or folded", inRun, hasStep, toggleStep},
		{[]string{"m"}, "say", "say something to the run: it reads it before its next step", anywhere, isLive, sayTo},
		{[]string{"p"}, "pause", "pause the run, or let it go on", anywhere, isLive, pauseRun},
		{[]string{"x"}, "cancel", "cancel the run", anywhere, isLive, cancelRun},
		{[]string{"e"}, "", "edit the goal: the plan is made anew for it", inRun, canEditGoal, editGoal},
		{[]string{"L"}, "", "change the run's limits", anywhere, isLive, limitRun},
		{[]string{"d"}, "diff", "what changed in the workspace", anywhere, hasRun, showDiff},
		{[]string{"u"}, "undo", "put the workspace back as it was before the run", anywhere, isEnded, undoRun},
		{[]string{"A"}, "", "bring what the run did in its copy to the workspace", anywhere, inCopy, applyRun},
		{[]string{"delete", "D"}, "", "remove the ended run with its outputs", inHome, isEnded, removeRun},
		{[]string{"tab"}, "panel", "move between the stream and the run's state", inRun, nil, func(m *Model) tea.Cmd {
			m.run.panel = !m.run.panel
			return nil
		}},
		{[]string{"/"}, "search", "search in the stream", inRun, nil, searchRun},
		{[]string{"n"}, "", "next match, upwards", inRun, nil, func(m *Model) tea.Cmd { return m.find(true) }},
		{[]string{"N"}, "", "next match, downwards", inRun, nil, func(m *Model) tea.Cmd { return m.find(false) }},
		{[]string{"#", "J"}, "", "jump to a step by its number", inRun, nil, jumpTo},
		{[]string{"G", "end"}, "", "go to the end and follow", inRun, nil, func(m *Model) tea.Cmd { return m.toEnd() }},
		{[]string{"g", "home"}, "", "go to the beginning", inRun, nil, func(m *Model) tea.Cmd { return m.goTo(1) }},
		{[]string{"v"}, "plan", "the plan in full, with results and revisions", inRun, hasState, showPlan},
		{[]string{"o"}, "", "the chosen step's whole output", inRun, hasStep, showOutput},
		{[]string{"c"}, "", "what was sent to the model at the chosen step", inRun, hasStep, showContext},
		{[]string{"i"}, "", "the browser's last picture", inRun, hasBrowser, showShot},
		{[]string{"B"}, "", "look into the run's browser, and take it over", inRun, canTakeOver, takeOver},
		{[]string{"y"}, "", "copy the chosen step", inRun, hasStep, copyStep},
		{[]string{"Y"}, "", "copy the run's id", anywhere, hasRun, func(m *Model) tea.Cmd {
			return tea.Batch(tea.SetClipboard(string(m.current().Run)), m.say("copied "+line(string(m.current().Run))))
		}},

		{[]string{"?", "f1"}, "help", "what the keys do", anywhere, nil, showHelp},
		{[]string{"ctrl+p", ":"}, "commands", "find a command by typing", anywhere, nil, showPalette},
		{[]string{"r", "ctrl+l"}, "", "read everything anew", anywhere, nil, reload},
		{[]string{"esc", "left", "h"}, "back", "back to the runs", inRun, nil, func(m *Model) tea.Cmd { m.closeRun(); return m.look() }},
		{[]string{"q", "ctrl+c"}, "quit", "leave; runs go on", anywhere, nil, func(*Model) tea.Cmd { return tea.Quit }},
	}
}

// possible are the actions that mean something now.
func (m *Model) possible() []action {
	return slices.DeleteFunc(actions(), func(a action) bool {
		return a.where == inHome && m.run != nil || a.where == inRun && m.run == nil || a.can != nil && !a.can(m)
	})
}

func (m *Model) footKeys() string {
	var parts []string
	for _, a := range m.possible() {
		if a.short != "" {
			short := a.short
			if short == "pause" && m.current() != nil && resumable(m.current().Status) {
				short = "resume"
			}
			parts = append(parts, a.keys[0]+" "+short)
		}
	}
	if len(parts) > 3 && width(strings.Join(parts, " · ")) > m.w { // help and quit stay in sight
		keep := parts[len(parts)-4:]
		if m.run == nil {
			keep = parts[len(parts)-3:]
		}
		parts = parts[:len(parts)-len(keep)]
		for len(parts) > 0 && width(strings.Join(append(slices.Clone(parts), keep...), " · ")) > m.w {
			parts = parts[:len(parts)-1]
		}
		parts = append(parts, keep...)
	}
	return strings.Join(parts, " · ")
}

// current is the run that actions are about: the open one, else the chosen one.
func (m *Model) current() *journal.Summary {
	if m.run != nil {
		s := m.run.sum()
		s.Run = m.run.id
		return &s
	}
	return m.home.current()
}

func hasRun(m *Model) bool   { return m.current() != nil }
func isLive(m *Model) bool   { s := m.current(); return s != nil && s.Status != "" && !s.Status.Ended() }
func isEnded(m *Model) bool  { s := m.current(); return s != nil && s.Status != "" && s.Status.Ended() }
func hasState(m *Model) bool { return m.run != nil && m.run.state != nil }
func hasStep(m *Model) bool  { return m.step() != nil }

func resumable(s journal.Status) bool {
	return s == journal.StatusPaused || s == journal.StatusParked || s == journal.StatusInDoubt
}

// step is the chosen entry of the stream.
func (m *Model) step() *entry {
	if m.run == nil || len(m.run.stream.list.items) == 0 {
		return nil
	}
	return m.run.stream.list.items[m.run.stream.list.sel]
}

func openRun(m *Model) tea.Cmd { return m.open(m.current().Run) }

func filterRuns(m *Model) tea.Cmd {
	old := m.home.filter
	m.push(&prompt{
		head: "Filter runs", hint: "words of the goal, id, state, workspace or model", text: newField(old, false), empty: true,
		typed: func(m *Model, s string) { m.home.filter = s; m.home.arrange() },
		done:  func(m *Model, s string) tea.Cmd { m.home.filter = s; m.home.arrange(); return nil },
		back:  func(m *Model) { m.home.filter = ""; m.home.arrange() },
	})
	return nil
}

func toggleStep(m *Model) tea.Cmd {
	e := m.step()
	e.open = !e.open
	l := &m.run.stream.list
	l.follow = false
	l.show()
	return nil
}

func sayTo(m *Model) tea.Cmd {
	run := m.current().Run
	m.push(&prompt{head: "Say to " + line(string(run)), hint: "It reads this before its next step. It is part of the run from now on.", done: func(m *Model, s string) tea.Cmd {
		return m.act("say", run, func(ctx context.Context, c *api.Client) error { return c.Say(ctx, run, s) })
	}})
	return nil
}

func pauseRun(m *Model) tea.Cmd {
	s := m.current()
	run := s.Run
	if resumable(s.Status) {
		return m.act("resume", run, func(ctx context.Context, c *api.Client) error {
			return c.Patch(ctx, run, api.Patch{Paused: new(false)})
		})
	}
	return m.act("pause", run, func(ctx context.Context, c *api.Client) error {
		return c.Patch(ctx, run, api.Patch{Paused: new(true)})
	})
}

func cancelRun(m *Model) tea.Cmd {
	run := m.current().Run
	m.push(&confirm{"Cancel run " + string(run) + "? It ends; what it changed stays, and undo takes it back.", func(m *Model) tea.Cmd {
		return m.act("cancel", run, func(ctx context.Context, c *api.Client) error { return c.Cancel(ctx, run) })
	}})
	return nil
}

func undoRun(m *Model) tea.Cmd {
	run := m.current().Run
	m.push(&confirm{"Undo run " + string(run) + "? Its workspace is put back as it was before; files that somebody edited since are kept.", func(m *Model) tea.Cmd {
		return m.act("undo", run, func(ctx context.Context, c *api.Client) error {
			_, err := c.Undo(ctx, run, 0)
			return err
		})
	}})
	return nil
}

// inCopy reports whether the chosen run has ended and worked in a copy of its workspace.
func inCopy(m *Model) bool {
	if !isEnded(m) || m.run == nil || m.run.state == nil {
		return false
	}
	mode := m.run.state.Start.Mode
	return mode == "copy" || mode == "worktree"
}

func applyRun(m *Model) tea.Cmd {
	run := m.current().Run
	m.push(&confirm{"Apply run " + string(run) + "? What it did in its copy goes to the workspace; files that somebody edited since are kept.", func(m *Model) tea.Cmd {
		return m.act("apply", run, func(ctx context.Context, c *api.Client) error {
			_, err := c.Apply(ctx, run)
			return err
		})
	}})
	return nil
}

func removeRun(m *Model) tea.Cmd {
	run := m.current().Run
	m.push(&confirm{"Remove run " + string(run) + " with its events, outputs and snapshot? Nothing of it can be read or undone afterwards.", func(m *Model) tea.Cmd {
		m.home.older = slices.DeleteFunc(m.home.older, func(s journal.Summary) bool { return s.Run == run })
		return m.act("remove", run, func(ctx context.Context, c *api.Client) error { return c.Purge(ctx, run) })
	}})
	return nil
}

func limitRun(m *Model) tea.Cmd {
	run := m.current().Run
	hint := "for example: steps 200 tokens 2M usd 5 wall 2h · -1 is no limit"
	m.push(&prompt{head: "Limits of " + line(string(run)), hint: hint, done: func(m *Model, s string) tea.Cmd {
		b, err := parseLimits(s)
		if err != nil {
			return m.fail("limits", err)
		}
		return m.act("limits", run, func(ctx context.Context, c *api.Client) error { return c.Patch(ctx, run, api.Patch{Limits: &b}) })
	}})
	return nil
}

func searchRun(m *Model) tea.Cmd {
	m.push(&prompt{head: "Search", hint: "upwards from here, older events too · then n and N", text: newField(m.run.search, false), done: func(m *Model, s string) tea.Cmd {
		if m.run == nil {
			return nil
		}
		m.run.search = s
		return m.find(true)
	}})
	return nil
}

func jumpTo(m *Model) tea.Cmd {
	m.push(&prompt{head: "Jump", hint: "a step's number, or e and an event's: e1200", done: func(m *Model, s string) tea.Cmd {
		if m.run == nil {
			return nil
		}
		event := strings.HasPrefix(s, "e")
		n, err := strconv.Atoi(strings.TrimPrefix(s, "e"))
		if err != nil || n < 1 {
			return m.say(strconv.Quote(line(s)) + " is no number")
		}
		if event {
			return m.goTo(min(journal.Seq(n), m.run.last))
		}
		for _, e := range m.run.stream.list.items {
			if e.step.asked != nil && e.step.asked.Step == n {
				return m.goTo(e.step.seq)
			}
		}
		return m.findStep(m.run.id, m.run.last, n)
	}})
	return nil
}

func copyStep(m *Model) tea.Cmd {
	text := m.step().step.text()
	return tea.Batch(tea.SetClipboard(text), m.say("copied "+bytesOf(int64(len(text)))))
}

// reload reads everything anew.
func reload(m *Model) tea.Cmd {
	cmds := []tea.Cmd{tea.ClearScreen, m.look(), m.describe()}
	m.home.older = nil
	if m.run != nil {
		cmds = append(cmds, m.open(m.run.id))
	}
	return tea.Batch(cmds...)
}

// parseLimits reads pairs of a limit's name and its value.
func parseLimits(s string) (goals.Budget, error) {
	var b goals.Budget
	words := strings.Fields(strings.NewReplacer("=", " ", ",", " ").Replace(s))
	bad := func(format string, args ...any) (goals.Budget, error) {
		return goals.Budget{}, api.Errorf(api.ErrInvalid, "write for example: steps 200 tokens 2M", format, args...)
	}
	if len(words) == 0 || len(words)%2 != 0 {
		return bad("every limit needs a name and a value")
	}
	for i := 0; i < len(words); i += 2 {
		name, value := strings.ToLower(words[i]), words[i+1]
		if !setLimit(&b, name, value) {
			return bad("%.40q is no value of %.40q", value, name)
		}
	}
	return b, nil
}
