package words

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"agentd/journal"
)

// Note is such an event in words; callers make it harmless.
func Note(ev journal.Event) string {
	by := func(s string) string { return Or(s, "somebody") }
	dash := func(s string) string {
		if s == "" {
			return ""
		}
		return " — " + s
	}
	switch ev := ev.(type) {
	case journal.RunStarted:
		return "goal: " + ev.Goal.Text
	case journal.DriverClaimed:
		return "the daemon was restarted; the run goes on"
	case journal.SnapshotMade:
		return fmt.Sprintf("workspace snapshotted: %s", Plural(ev.Files, "file"))
	case journal.Recalled:
		s := "remembered " + Plural(len(ev.Items), "fact")
		for _, it := range ev.Items {
			s += fmt.Sprintf("\n  %.2f %s", it.Score, Line(it.Text))
		}
		return s
	case journal.PlanMade:
		s := fmt.Sprintf("plan %d%s", ev.Plan.Revision, dash(ev.Reason))
		if ev.Fallback {
			s += " (the model made no valid plan; the goal is one task)"
		}
		for _, t := range ev.Plan.Tasks {
			s += "\n  " + t.ID + ": " + Line(t.Do)
		}
		return s
	case journal.TaskStarted:
		if ev.Attempt > 1 {
			return fmt.Sprintf("task %s, attempt %d", ev.Task, ev.Attempt)
		}
		return "task " + ev.Task
	case journal.TaskFinished:
		if ev.OK {
			return "task " + ev.Task + " done" + dash(ev.Result)
		}
		return "task " + ev.Task + " failed" + dash(ev.Reason)
	case journal.CheckFinished:
		s := "checks: "
		if ev.Phase == "base" {
			s = "checks before the run: "
		}
		var parts []string
		for _, c := range ev.Checks {
			parts = append(parts, CheckMark(c)+" "+Line(Or(c.Name, c.Cmd)))
		}
		return s + strings.Join(parts, ", ")
	case journal.GoalRevised:
		return by(ev.By) + " revised the goal: " + ev.Text
	case journal.MessageSent:
		return by(ev.By) + ": " + ev.Text
	case journal.AskAnswered:
		return "answered " + ev.Answer + " by " + by(ev.By) + dash(ev.Reason)
	case journal.LimitChanged:
		return "limits changed by " + by(ev.By)
	case journal.Paused:
		if ev.Parked {
			return "parked: it needs a person" + dash(ev.Reason)
		}
		return "paused by " + by(ev.By) + dash(ev.Reason)
	case journal.Resumed:
		return "resumed by " + by(ev.By)
	case journal.CancelAsked:
		return "cancel was asked by " + by(ev.By)
	case journal.Noted:
		return "note: " + ev.Text
	case journal.RunFinished:
		s := Status(ev.Status, ev.Self) + dash(ev.Reason)
		if ev.Result != "" {
			s += "\n" + strings.TrimSpace(ev.Result)
		}
		if ev.Hint != "" {
			s += "\nnext: " + ev.Hint
		}
		return s
	case journal.Undone:
		return fmt.Sprintf("undone by %s: %s restored, %d kept", by(ev.By), Plural(len(ev.Restored), "file"), len(ev.Kept))
	case journal.Applied:
		return fmt.Sprintf("applied by %s: %s changed, %d kept %s", by(ev.By), Plural(len(ev.Changed), "file"), len(ev.Kept), ev.Branch)
	case journal.Learned:
		s := "to remember: " + Plural(len(ev.Items), "fact") + dash(ev.Note)
		for _, it := range ev.Items {
			s += "\n  " + Line(it.ID) + " (" + Line(it.State) + ") " + Line(it.Text)
		}
		return s
	}
	return string(ev.Kind())
}

// CheckMark is one column that says how a check went.
func CheckMark(c journal.Check) string {
	switch {
	case c.Vacuous:
		return "~"
	case c.OK:
		return "✓"
	}
	return "✗"
}

// Call says in a line what a call does.
func Call(c journal.Call) string {
	var args map[string]any
	if json.Unmarshal(c.Args, &args) != nil {
		return Line(string(c.Args))
	}
	for _, key := range []string{"command", "source", "path", "pattern", "glob", "url", "query", "result", "question"} {
		s, _ := args[key].(string)
		if s == "" {
			continue
		}
		switch {
		case key == "source":
			lang, _ := args["language"].(string)
			s = lang + ": " + strings.TrimSpace(s)
		case key == "pattern":
			if g, _ := args["glob"].(string); g != "" {
				s += " in " + g
			}
		}
		return Line(s)
	}
	if len(args) == 0 {
		return ""
	}
	return Line(string(c.Args))
}

// CallFull is a call's arguments in full, a name a line.
func CallFull(c journal.Call) string {
	var args map[string]any
	if json.Unmarshal(c.Args, &args) != nil {
		return string(c.Args)
	}
	names := make([]string, 0, len(args))
	for name := range args {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	for i, name := range names {
		if i > 0 {
			b.WriteByte('\n')
		}
		v, ok := args[name].(string)
		if !ok {
			data, err := json.Marshal(args[name])
			if err != nil {
				continue
			}
			v = string(data)
		}
		sep := " "
		if strings.Contains(v, "\n") {
			sep = "\n"
		}
		b.WriteString(name + ":" + sep + v)
	}
	return b.String()
}

// Mark is one column that says a run's state without colour.
func Mark(s journal.Status) string {
	switch s {
	case journal.StatusRunning:
		return "▶"
	case journal.StatusWaiting, journal.StatusParked, journal.StatusInDoubt:
		return "?"
	case journal.StatusPaused:
		return "‖"
	case journal.StatusQueued, "":
		return "·"
	case journal.StatusAccepted:
		return "✓"
	}
	return "✗"
}

// Status is a state for people.
func Status(s journal.Status, self bool) string {
	switch s {
	case journal.StatusAccepted:
		if self {
			return "self-checked"
		}
	case journal.StatusInDoubt:
		return "in doubt"
	case journal.StatusSandbox:
		return "no sandbox"
	case journal.StatusProvider:
		return "no provider"
	}
	return Line(string(s))
}
