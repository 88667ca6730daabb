package tui

import (
	"fmt"
	"strings"
	"time"

	"agentd/journal"
)

// How much of a text a folded entry shows.
const (
	foldText = 6
	foldHead = 4
	foldTail = 4
)

// drawStep draws an entry of the stream at a time.
func drawStep(e *entry, w int, now time.Time) []string {
	st := e.step
	switch {
	case st.asked != nil || st.replied != nil:
		return drawModel(st, e.open, w, now)
	case st.call != nil:
		return drawCall(st, e.open, w, now)
	}
	return drawNote(st.event, e.open, w)
}

func drawModel(st *step, open bool, w int, now time.Time) []string {
	head, tail := "step", ""
	if a := st.asked; a != nil {
		head = fmt.Sprintf("step %d", a.Step)
		if a.Purpose != "step" && a.Purpose != "" {
			head += " " + line(a.Purpose)
		}
		if a.Task != "" {
			head += " · " + line(a.Task)
		}
		if a.Try > 1 {
			head += fmt.Sprintf(" · try %d", a.Try)
		}
	}
	r := st.replied
	if r == nil {
		tail = "thinking " + span(now.Sub(st.at))
		if st.chars > 0 {
			tail = fmt.Sprintf("writing %s %s", count(int64(st.chars)), span(now.Sub(st.at)))
		}
		out := []string{sides(strong.paint(head), accent.paint(tail), w)}
		if st.live != "" {
			lines := wrap(safe(st.live), w-2)
			out = append(out, indent(lines[max(0, len(lines)-8):], "  ")...)
		}
		if st.writing != "" {
			out = append(out, "  "+faint.paint("calls "+line(st.writing)+" …"))
		}
		return out
	}
	if r.Used > 0 {
		tail = count(r.Used) + " tok"
	}
	if r.USD > 0 {
		tail += " " + dollars(r.USD)
	}
	if r.Ms > 0 {
		tail += " " + span(time.Duration(r.Ms)*time.Millisecond)
	}
	out := []string{sides(strong.paint(head), faint.paint(strings.TrimSpace(tail)), w)}
	switch {
	case r.Lost:
		return append(out, "  "+faint.paint("lost in a restart; it is asked again"))
	case r.Reply == nil:
		return append(out, indent(paintAll(bad, fold(wrap("failed: "+safe(r.Err), w-2), foldText, 0, open)), "  ")...)
	}
	if text := strings.TrimSpace(r.Reply.Text); text != "" {
		out = append(out, indent(fold(wrap(safe(text), w-2), foldText, 0, open), "  ")...)
	}
	return out
}

func drawCall(st *step, open bool, w int, now time.Time) []string {
	c := st.call
	mark, col, tail := callState(st, now)
	head := fmt.Sprintf("%s %s %s", col.paint(mark), strong.paint(line(c.Tool)), what(*c))
	out := []string{sides(head, col.paint(tail), w)}
	if open {
		out = append(out, indent(paintAll(faint, wrap(safe(full(*c)), w-4)), "    ")...)
	}
	out = append(out, indent(verdict(st, w-4), "    ")...)
	if f := st.finished; f != nil {
		out = append(out, indent(output(f, open, w-6), "  "+faint.paint("│")+" ")...)
		if len(f.Changed) > 0 {
			out = append(out, "    "+faint.paint(clip("changed "+line(strings.Join(f.Changed, ", ")), w-4)))
		}
	}
	return out
}

// callState is how far a call is: a mark, its colour, and words.
func callState(st *step, now time.Time) (mark string, col style, words string) {
	f := st.finished
	switch {
	case f == nil && st.ask != nil && st.answer == nil:
		return "?", notice, "waits for you"
	case f == nil && st.started == nil:
		return "·", faint, ""
	case f == nil:
		return "▶", accent, span(now.Sub(st.at))
	}
	took := ""
	if f.Ms > 0 {
		took = span(time.Duration(f.Ms) * time.Millisecond)
	}
	switch {
	case f.Status == journal.ToolRefused:
		return "✗", bad, "refused"
	case f.Status == journal.ToolInDoubt:
		return "?", notice, "in doubt"
	case f.Status == journal.ToolCanceled:
		return "✗", alert, "cancelled"
	case f.Killed != "":
		return "✗", bad, strings.TrimSpace("killed: " + line(f.Killed) + " " + took)
	case f.Exit != 0:
		return "✗", bad, strings.TrimSpace(fmt.Sprintf("exit %d %s", f.Exit, took))
	case f.Status == journal.ToolFailed:
		return "✗", bad, strings.TrimSpace("failed " + took)
	}
	return "✓", good, took
}

// verdict says what policy and a person said of a call, where there is something to say.
func verdict(st *step, w int) []string {
	var out []string
	say := func(col style, s string) { out = append(out, col.paint(clip(s, w))) }
	if a := st.ask; a != nil {
		words := "asks"
		if a.Ask == journal.AskDoubt {
			words = "in doubt: did it take effect?"
		}
		if named(a.Verdict) {
			words += " by rule " + line(a.Verdict.Rule)
		}
		if a.Verdict.Why != "" {
			words += " — " + line(a.Verdict.Why)
		}
		if st.answer == nil && st.finished == nil {
			say(notice, words+" (a to answer)")
		} else {
			say(faint, words)
		}
	} else if f := st.finished; f != nil && f.Rule != "" {
		say(bad, "denied by rule "+line(f.Rule))
	}
	if a := st.answer; a != nil {
		words := line(a.Answer) + " by " + line(or(a.By, "somebody"))
		if a.Reason != "" {
			words += " — " + line(a.Reason)
		}
		say(alert, words)
	}
	return out
}

// named reports whether a rule decided, rather than that there is none.
func named(v journal.Verdict) bool { return v.Rule != "" && v.Rule != "no rule" }

// output is what a call printed: its head and its tail, with what is left out between.
func output(f *journal.ToolFinished, open bool, w int) []string {
	head, tail := f.Head, f.Tail
	var lines []string
	if strings.TrimSpace(head) != "" {
		lines = wrap(safeSGR(strings.TrimRight(head, "\n")), w)
	}
	missing := f.Bytes - int64(len(head)) - int64(len(tail))
	if tail == "" || missing <= 0 {
		if tail != "" {
			lines = append(lines, wrap(safeSGR(strings.TrimRight(tail, "\n")), w)...)
		}
		return fold(lines, foldHead, foldTail, open)
	}
	end := wrap(safeSGR(strings.Trim(tail, "\n")), w)
	gap := faint.paint(clip(fmt.Sprintf("… %s more, o shows all …", bytesOf(missing)), w))
	if !open {
		lines, end = lines[:min(len(lines), foldHead)], end[max(0, len(end)-foldTail):]
	}
	return append(append(lines, gap), end...)
}

// fold keeps the first and the last lines and says what is between, unless the entry is open.
func fold(lines []string, head, tail int, open bool) []string {
	if open || len(lines) <= head+tail+1 {
		return lines
	}
	out := append([]string{}, lines[:head]...)
	out = append(out, faint.paint(fmt.Sprintf("… %d more lines …", len(lines)-head-tail)))
	return append(out, lines[len(lines)-tail:]...)
}

func indent(lines []string, by string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = by + l
	}
	return out
}

func paintAll(st style, lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = st.paint(l)
	}
	return out
}

// drawNote draws an event that is neither a model's nor a tool's.
func drawNote(ev journal.Event, open bool, w int) []string {
	col := faint
	switch ev := ev.(type) {
	case journal.RunStarted, journal.MessageSent, journal.GoalRevised:
		col = strong
	case journal.PlanMade:
		col = accent
	case journal.TaskStarted:
		col = title
	case journal.TaskFinished:
		if col = good; !ev.OK {
			col = bad
		}
	case journal.CheckFinished:
		if col = good; !ev.OK {
			col = alert
		}
	case journal.Paused, journal.CancelAsked, journal.LimitChanged, journal.Resumed, journal.AskAnswered:
		col = alert
	case journal.RunFinished:
		if col = notice; ev.Status == journal.StatusAccepted {
			col = good
		}
	}
	return paintAll(col, fold(wrap(safe(noteText(ev)), w), foldText, 2, open))
}
