package tui

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"agentd/journal"
	"agentd/planner"
)

// drawnPanel is a panel as it was drawn last, and what it was drawn from.
type drawnPanel struct {
	state *journal.State
	last  journal.Seq
	w     int
	at    int64 // seconds: nothing in it shows less
	rate  int
	lines []string
}

// panelKept is panelLines, drawn anew only when something in it is another: a reply that is written changes the stream alone.
func (r *runView) panelKept(w int, now time.Time) []string {
	if r.state == nil {
		return r.panelLines(w, now)
	}
	k := drawnPanel{state: r.state, last: r.state.Last, w: w, at: now.Unix(), rate: int(r.rate(now) + 0.5)}
	if d := &r.drawn; d.state != k.state || d.last != k.last || d.w != k.w || d.at != k.at || d.rate != k.rate {
		k.lines = r.panelLines(w, now)
		r.drawn = k
	}
	return r.drawn.lines
}

// panel draws a run's state: goal, gauges, plan, acceptance, files, memories. It has as many lines as it needs.
func (r *runView) panelLines(w int, now time.Time) []string {
	var out []string
	head := func(s string) { out = append(out, "", title.paint(clip(s, w))) }
	sum := r.sum()
	out = append(out, title.paint("Goal"))
	goal := wrap(safe(strings.TrimSpace(or(sum.Goal, "…"))), w)
	out = append(out, goal[:min(len(goal), 4)]...)
	out = append(out, faint.paint(clip(line(sum.Model), w)), faint.paint(clip(line(sum.Workspace), w)))
	st := r.state
	if st == nil {
		return append(out, "", faint.paint("reading its state …"))
	}
	head("Spent")
	out = append(out, gauges(st, r.rate(now), w, now)...)
	if n := len(st.Plan.Tasks); n > 0 {
		words := fmt.Sprintf("Plan %d", max(st.Plan.Revision, 1))
		done := 0
		for _, t := range st.Tasks {
			if t.Status == journal.TaskDone {
				done++
			}
		}
		head(fmt.Sprintf("%s · %d of %d done", words, done, n))
		out = append(out, planTree(st, w, now)...)
		if k := len(st.Plans); k > 1 {
			out = append(out, paintAll(faint, clipLines(wrap("revised: "+safe(st.Plans[k-1].Reason), w), 2))...)
		}
	}
	if c := acceptance(st, w); len(c) > 0 {
		head("Acceptance")
		out = append(out, c...)
	}
	if files := changed(st); len(files) > 0 {
		head("Changed · d shows the diff")
		for _, f := range files[:min(len(files), 8)] {
			out = append(out, clip(line(f), w))
		}
		if n := len(files) - 8; n > 0 {
			out = append(out, faint.paint(fmt.Sprintf("and %d more", n)))
		}
	}
	if items := recalls(st); len(items) > 0 {
		head("Remembered")
		for _, it := range items[:min(len(items), 6)] {
			out = append(out, clip(fmt.Sprintf("%s %s", faint.paint(fmt.Sprintf("%.2f", it.Score)), line(it.Text)), w))
		}
	}
	return out
}

func clipLines(lines []string, n int) []string { return lines[:min(len(lines), n)] }

// gauges show what is spent of each limit.
func gauges(st *journal.State, rate float64, w int, now time.Time) []string {
	b, s := st.Budget, st.Spent
	active := s.Active
	if st.Status() == journal.StatusRunning && now.After(st.Updated) {
		active += now.Sub(st.Updated)
	}
	part := func(used, limit float64) float64 {
		if limit <= 0 {
			return -1
		}
		return used / limit
	}
	limit := func(none bool, s string) string {
		if none {
			return ""
		}
		return "/" + s
	}
	out := []string{
		gauge("steps", fmt.Sprint(s.Steps)+limit(b.Steps < 0, fmt.Sprint(b.Steps)), part(float64(s.Steps), float64(b.Steps)), w),
		gauge("tokens", count(s.Tokens)+limit(b.Tokens < 0, count(b.Tokens)), part(float64(s.Tokens), float64(b.Tokens)), w),
		gauge("money", dollars(s.USD)+limit(b.USD < 0, dollars(b.USD)), part(s.USD, b.USD), w),
		gauge("time", span(active)+limit(b.Wall < 0, span(b.Wall)), part(active.Seconds(), b.Wall.Seconds()), w),
	}
	if rate > 0 {
		out = append(out, fmt.Sprintf("%-6s ~%.0f tokens/s", "speed", rate))
	}
	return out
}

func gauge(name, words string, part float64, w int) string {
	left := fmt.Sprintf("%-6s ", name)
	room := w - width(left) - 17
	if part < 0 || room < 4 {
		return clip(left+words, w)
	}
	n := min(max(int(part*float64(room)+0.5), 0), room)
	col := good
	switch {
	case part >= 0.9:
		col = bad
	case part >= 0.7:
		col = alert
	}
	return left + col.paint(strings.Repeat("█", n)) + faint.paint(strings.Repeat("░", room-n)) + " " + clip(words, 16)
}

// planTree draws a plan, a line a task, each below what it needs.
func planTree(st *journal.State, w int, now time.Time) []string {
	depth := depths(st.Plan)
	var out []string
	for _, t := range st.Plan.Tasks {
		task := st.Tasks[t.ID]
		if task == nil {
			task = &journal.Task{Task: t, Status: journal.TaskPending}
		}
		mark, col := taskMark(task.Status)
		tail := ""
		switch {
		case task.Began.IsZero():
		case task.Ended.After(task.Began):
			tail = span(task.Ended.Sub(task.Began))
		case task.Status == journal.TaskRunning:
			tail = span(now.Sub(task.Began))
		}
		if task.USD > 0 {
			tail = strings.TrimSpace(tail + " " + dollars(task.USD))
		} else if task.Tokens > 0 {
			tail = strings.TrimSpace(tail + " " + count(task.Tokens) + " tok")
		}
		in := strings.Repeat("  ", min(depth[t.ID], 4))
		name := line(t.ID)
		if task.Attempt > 1 {
			name += fmt.Sprintf(" #%d", task.Attempt)
		}
		left := in + col.paint(mark) + " " + col.paint(name)
		if room := w - width(left) - width(tail) - 2; room > 12 {
			left += " " + clip(line(t.Do), room)
		}
		out = append(out, sides(left, faint.paint(tail), w))
	}
	return out
}

// depths are how many tasks come before each, at most.
func depths(p planner.Plan) map[string]int {
	depth := map[string]int{}
	for range p.Tasks {
		moved := false
		for _, t := range p.Tasks {
			for _, n := range t.Needs {
				if d := min(depth[n]+1, len(p.Tasks)); d > depth[t.ID] {
					depth[t.ID], moved = d, true
				}
			}
		}
		if !moved {
			break
		}
	}
	return depth
}

// acceptance shows each criterion with its last measurement.
func acceptance(st *journal.State, w int) []string {
	last, when := st.Final, "last"
	if last == nil {
		last, when = st.Base, "before"
	}
	measured := map[string]journal.Check{}
	if last != nil {
		for _, c := range last.Checks {
			measured[c.Name] = c
		}
	}
	var out []string
	show := func(name, cmd string, self bool) {
		c, ok := measured[name]
		mark, col, tail := "·", faint, ""
		switch {
		case !ok:
		case c.Vacuous:
			mark, col, tail = "~", alert, "held before"
		case c.OK:
			mark, col = "✓", good
		default:
			mark, col, tail = "✗", bad, fmt.Sprintf("exit %d", c.Exit)
			if when == "before" {
				col = faint
			}
		}
		if ok && c.Killed != "" {
			tail = "killed"
		}
		words := line(or(cmd, name))
		if self {
			words += faint.paint(" (proposed)")
		}
		out = append(out, sides(col.paint(mark)+" "+words, col.paint(tail), w))
	}
	for _, p := range st.Start.Goal.Probes {
		show(p.Name, p.Cmd, false)
	}
	for _, p := range st.Proposed {
		show(p.Name, p.Cmd, true)
	}
	if last != nil {
		for _, cond := range sortedKeys(last.Require) {
			mark, col := "✗", bad
			if last.Require[cond] {
				mark, col = "✓", good
			}
			out = append(out, clip(col.paint(mark)+" "+line(cond), w))
		}
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// changed are the files that calls of the run changed, as far as the state remembers, or those of its outcome.
func changed(st *journal.State) []string {
	if st.Outcome != nil {
		return st.Outcome.Changed
	}
	seen := map[string]bool{}
	for _, t := range st.Tasks {
		for _, turn := range t.Turns {
			for _, c := range turn.Calls {
				if c.Finished != nil {
					for _, f := range c.Finished.Changed {
						seen[f] = true
					}
				}
			}
		}
	}
	return sortedKeys(seen)
}

func recalls(st *journal.State) []journal.Recall {
	var out []journal.Recall
	seen := map[string]bool{}
	for _, task := range sortedKeys(st.Recalls) {
		for _, it := range st.Recalls[task].Items {
			if !seen[it.ID] {
				seen[it.ID] = true
				out = append(out, it)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b journal.Recall) int {
		switch {
		case a.Score > b.Score:
			return -1
		case a.Score < b.Score:
			return 1
		}
		return 0
	})
	return out
}

// planText is the plan in full, with its tasks' results and its revisions' reasons.
func planText(st *journal.State, w int) []string {
	var out []string
	put := func(st style, in, s string) {
		out = append(out, paintAll(st, indent(wrap(safe(s), max(w-len(in), 10)), in))...)
	}
	for _, t := range st.Plan.Tasks {
		mark, col := "·", faint
		task := st.Tasks[t.ID]
		if task != nil {
			mark, col = taskMark(task.Status)
		}
		put(col, "", mark+" "+t.ID)
		put(plain, "    ", t.Do)
		if len(t.Needs) > 0 {
			put(faint, "    ", "after "+strings.Join(t.Needs, ", "))
		}
		if len(t.Writes) > 0 {
			put(faint, "    ", "writes "+strings.Join(t.Writes, ", "))
		}
		if t.Done != "" {
			put(faint, "    ", "done when "+t.Done)
		}
		if task != nil {
			if task.Result != "" {
				put(good, "    ", task.Result)
			}
			for i, f := range task.Failures {
				put(bad, "    ", fmt.Sprintf("attempt %d failed: %s", i+1, f))
			}
		}
		out = append(out, "")
	}
	if len(st.Plans) > 1 {
		put(title, "", "Revisions")
		for i, p := range st.Plans {
			put(plain, "  ", fmt.Sprintf("%d: %s", p.Plan.Revision, p.Reason))
			if i == 0 {
				continue
			}
			for _, c := range planner.Diff(st.Plans[i-1].Plan, p.Plan) {
				switch {
				case c.Old == nil && c.New != nil:
					put(good, "    ", "+ "+c.ID+": "+line(c.New.Do))
				case c.New == nil && c.Old != nil:
					put(bad, "    ", "- "+c.ID+": "+line(c.Old.Do))
				default:
					put(alert, "    ", "~ "+c.ID+": "+c.What)
				}
			}
		}
	}
	if len(out) == 0 {
		out = []string{"There is no plan yet."}
	}
	return out
}
