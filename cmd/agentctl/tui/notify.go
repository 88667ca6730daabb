package tui

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"agentd/journal"
)

// Notify says how a person is called when a run needs one or has ended.
type Notify struct {
	Ways    []string // of NotifyWays
	Command []string // is started with the words as one more argument
}

// NotifyWays are what a terminal can be asked to do: ring, or show a notification by one of two sequences.
func NotifyWays() []string { return []string{"bell", "osc9", "osc777"} }

// call says by all ways that something happened.
func (m *Model) call(words string) tea.Cmd {
	n := m.opt.Notify
	if n.Ways == nil && len(n.Command) == 0 {
		n.Ways = []string{"bell"}
	}
	// A notification's text ends at control characters and, in OSC 777, at semicolons.
	text := strings.ReplaceAll(clip(line(words), 200), ";", ",")
	var seq strings.Builder
	for _, w := range n.Ways {
		switch w {
		case "bell":
			seq.WriteByte('\a')
		case "osc9":
			seq.WriteString(m.through("\x1b]9;" + text + "\x1b\\"))
		case "osc777":
			seq.WriteString(m.through("\x1b]777;notify;agentctl;" + text + "\x1b\\"))
		}
	}
	var cmds []tea.Cmd
	if seq.Len() > 0 {
		cmds = append(cmds, tea.Raw(seq.String()))
	}
	if len(n.Command) > 0 {
		cmds = append(cmds, m.summon(n.Command, text))
	}
	return tea.Batch(cmds...)
}

// through wraps a sequence for the terminal around tmux, which passes on what it is told to.
func (m *Model) through(seq string) string {
	if !slices.ContainsFunc(m.opt.Environ, func(e string) bool { return strings.HasPrefix(e, "TMUX=") && e != "TMUX=" }) {
		return seq
	}
	return "\x1bPtmux;" + strings.ReplaceAll(seq, "\x1b", "\x1b\x1b") + "\x1b\\"
}

// summon starts the configured command; what it prints is not shown.
func (m *Model) summon(command []string, text string) tea.Cmd {
	ctx := m.ctx
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, command[0], append(slices.Clone(command[1:]), text)...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, io.Discard, io.Discard
		if err := cmd.Run(); err != nil && ctx.Err() == nil {
			return doneMsg{words: "notify", err: fmt.Errorf("%s: %w", command[0], err)}
		}
		return nil
	}
}

// news in words: what a run needs, or how it ended.
func callWords(s journal.Summary) string {
	name := or(s.Name, s.Goal)
	if s.Status.Ended() {
		return fmt.Sprintf("%s: %s (%s)", s.Run, statusWord(s.Status, s.Self), name)
	}
	return fmt.Sprintf("%s needs you: %s (%s)", s.Run, statusWord(s.Status, false), name)
}
