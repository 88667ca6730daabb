package tui

import "agentd/journal"

// style is SGR parameters. Only the terminal's own 16 colours are used: they fit its theme, light or dark, and what the
// terminal can't do is taken out where the screen is drawn.
type style string

const (
	plain  style = ""
	faint  style = "90"
	strong style = "1"
	accent style = "36"
	good   style = "32"
	bad    style = "31"
	alert  style = "33"
	title  style = "1;36"
	notice style = "1;33"
	fault  style = "1;31"
	chosen style = "7"
)

func (st style) paint(s string) string {
	if st == plain || s == "" {
		return s
	}
	return "\x1b[" + string(st) + "m" + s + "\x1b[0m"
}

// statusStyle is the colour of a run's state.
func statusStyle(s journal.Status) style {
	switch s {
	case journal.StatusRunning:
		return accent
	case journal.StatusWaiting, journal.StatusParked, journal.StatusInDoubt:
		return notice
	case journal.StatusPaused, journal.StatusQueued:
		return alert
	case journal.StatusAccepted:
		return good
	case journal.StatusUnverified, journal.StatusCancelled, "":
		return faint
	}
	return bad
}

// taskMark shows how far a task is.
func taskMark(s journal.TaskStatus) (string, style) {
	switch s {
	case journal.TaskRunning:
		return "▶", accent
	case journal.TaskDone:
		return "✓", good
	case journal.TaskFailed:
		return "✗", bad
	}
	return "·", faint
}
