package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"agentd/api"
	"agentd/cmd/agentctl/words"
	"agentd/journal"
	"agentd/planner"
)

// printer writes what happens in a run, a line a step. Everything that comes from a model, a tool or a file passes clean.
type printer struct {
	w, result io.Writer
	moving    bool // a live line, redrawn
	color     bool
	here      bool // asks are answered at this terminal
	private   bool // the daemon ends with the run: nothing can be asked of it afterwards
	width     int
	info      *api.Info // nil: the header says less
	state     *journal.State

	why     map[string]string // by ModelAsked.Call: what the model said when it asked for calls
	steps   map[string]int    // by ModelAsked.Call
	drawn   bool              // the live line is on the screen
	chars   int               // of the reply that is being written
	writing string            // the tool whose call is being written
	told    []string          // asks whose answer line was printed since the run was parked last
}

func newPrinter(w, result io.Writer, moving, color bool, width int) *printer {
	return &printer{w: w, result: result, moving: moving, color: color, width: width, state: new(journal.State), why: map[string]string{}, steps: map[string]int{}}
}

// Colours, by their use.
const (
	dim   = "2"
	good  = "32"
	bad   = "31"
	alert = "33"
	bold  = "1"
)

func (p *printer) paint(style, s string) string {
	if !p.color || s == "" {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

// say prints a line of our own words.
func (p *printer) say(format string, args ...any) {
	p.clear()
	fmt.Fprintf(p.w, format+"\n", args...)
}

// record takes in the next event and prints what a person wants to know of it.
func (p *printer) record(r journal.Record) error {
	e, err := r.Decode()
	if err != nil {
		return err
	}
	if err := p.state.Apply(r); err != nil {
		return err
	}
	switch e := e.(type) {
	case journal.RunStarted:
		p.started(r.Run, e)
	case journal.DriverClaimed:
		if e.Epoch > 1 {
			p.say("%s", p.paint(dim, "the daemon was restarted; the run goes on"))
		}
	case journal.Recalled:
		if n := len(e.Items); n > 0 {
			p.say("%s", p.paint(dim, fmt.Sprintf("recalled %s", plural(n, "fact"))))
		}
	case journal.PlanMade:
		p.plan(e)
	case journal.TaskStarted:
		if len(p.state.Plan.Tasks) > 1 || e.Attempt > 1 {
			p.task(e)
		}
	case journal.ModelAsked:
		p.steps[e.Call], p.chars, p.writing = e.Step, 0, ""
	case journal.ModelReplied:
		p.replied(e)
	case journal.ToolAsked:
		p.asked(r.Run, e)
	case journal.AskAnswered:
		if c := p.state.ToolCall(e.Ask); p.state.Start.Yes && c != nil && c.Asked != nil && c.Asked.Ask == journal.AskTool {
			break // as asked
		}
		p.say("  answered: %s, by %s%s", line(e.Answer, 60), line(e.By, 40), dash(line(e.Reason, 80)))
		if e.Scope != journal.ScopeOnce {
			p.say("%s", p.paint(dim, fmt.Sprintf("  allowed %s when %s", scopeWords(e.Scope), line(e.Rule, 2*p.width))))
		}
	case journal.ToolFinished:
		p.finished(e)
	case journal.TaskFinished:
		if !e.OK {
			p.say("%s", p.paint(alert, fmt.Sprintf("task %s failed%s", line(e.Task, 40), dash(line(e.Reason, p.width)))))
		}
	case journal.CheckFinished:
		p.checks(e)
	case journal.MessageSent:
		p.say("%s: %s", line(or(e.By, "somebody"), 40), line(e.Text, p.width))
	case journal.GoalRevised:
		p.say("%s revised the goal: %s", line(or(e.By, "somebody"), 40), line(e.Text, 2*p.width))
	case journal.LimitChanged:
		p.say("limits are now %s", limits(p.state.Budget))
	case journal.Paused:
		p.paused(r.Run, e)
	case journal.Resumed:
		p.say("resumed by %s", line(or(e.By, "somebody"), 40))
	case journal.CancelAsked:
		p.say("cancel was asked by %s", line(or(e.By, "somebody"), 40))
	case journal.Noted:
		p.say("%s", p.paint(dim, "note: "+line(e.Text, 2*p.width)))
	case journal.RunFinished:
		return p.outcome(r.Run, e)
	case journal.Undone:
		p.say("undone by %s: %s restored, %d kept", line(or(e.By, "somebody"), 40), plural(len(e.Restored), "file"), len(e.Kept))
	case journal.Applied:
		if e.Branch != "" {
			p.say("the work is in the branch %s", line(e.Branch, 80))
			break
		}
		p.say("applied to the workspace: %s changed, %d kept", plural(len(e.Changed), "file"), len(e.Kept))
	case journal.Learned:
		p.learned(e)
	case journal.SnapshotMade, journal.ToolStarted: // the live line shows it
	}
	return nil
}

// learned says what a run wants remembered.
func (p *printer) learned(e journal.Learned) {
	for _, it := range e.Items {
		state := or(it.State, "kept")
		if it.Known {
			state = "known already, " + state
		}
		p.say("%s", p.paint(dim, fmt.Sprintf("to remember (%s %s): %s", line(it.ID, 20), state, line(it.Text, p.width))))
	}
	if e.Note != "" {
		p.say("%s", p.paint(dim, "to remember: "+line(e.Note, 2*p.width)))
	}
}

func (p *printer) started(run journal.RunID, e journal.RunStarted) {
	level := ""
	if p.info != nil && p.info.Sandbox.Level != "" {
		level = " · sandbox " + p.info.Sandbox.Level
	}
	p.say("%s · %s · %s%s", p.paint(bold, "run "+string(run)), line(e.Model, 60), line(e.Workspace, 80), clean(level))
	p.say("%s", p.paint(dim, "limits: "+limits(p.state.Budget)))
	if len(e.Net) > 0 {
		p.say("%s", p.paint(alert, "network: "+line(strings.Join(e.Net, ", "), p.width)))
	}
}

// plan prints a plan as a short tree; the first plan of a trivial goal needs none.
func (p *printer) plan(e journal.PlanMade) {
	if e.Plan.Revision > 1 {
		p.say("plan revised (%d)%s", e.Plan.Revision, dash(line(e.Reason, p.width)))
	}
	if e.Fallback {
		p.say("%s", p.paint(dim, "the model made no valid plan; the goal is one task"))
	}
	if len(e.Plan.Tasks) < 2 && e.Plan.Revision < 2 {
		return
	}
	if e.Plan.Revision < 2 {
		p.say("plan:")
	}
	for _, l := range tree(e.Plan, p.state, p.width) {
		p.say("%s", l)
	}
}

// tree is a plan, a line a task, each with its state and below what it needs.
func tree(plan planner.Plan, st *journal.State, width int) []string {
	depth := map[string]int{}
	for range plan.Tasks { // a task is one deeper than the deepest that it needs; a chain has as many levels as tasks
		for _, t := range plan.Tasks {
			for _, n := range t.Needs {
				depth[t.ID] = max(depth[t.ID], min(depth[n]+1, len(plan.Tasks)))
			}
		}
	}
	mark := map[journal.TaskStatus]string{journal.TaskDone: "x", journal.TaskRunning: ">", journal.TaskFailed: "!"}
	var out []string
	for _, t := range plan.Tasks {
		m := " "
		if st != nil && st.Tasks[t.ID] != nil && mark[st.Tasks[t.ID].Status] != "" {
			m = mark[st.Tasks[t.ID].Status]
		}
		needs := ""
		if len(t.Needs) > 0 {
			needs = "  (after " + line(strings.Join(t.Needs, ", "), 60) + ")"
		}
		in := strings.Repeat("  ", 1+min(depth[t.ID], 8))
		out = append(out, in+line(fmt.Sprintf("[%s] %s: %s%s", m, t.ID, line(t.Do, 100), needs), max(width, 60)-len(in)))
	}
	return out
}

func (p *printer) task(e journal.TaskStarted) {
	do := ""
	if t := p.state.Tasks[e.Task]; t != nil {
		do = ": " + line(t.Do, p.width)
	}
	again := ""
	if e.Attempt > 1 {
		again = fmt.Sprintf(" (attempt %d)", e.Attempt)
	}
	p.say("%s", p.paint(bold, "task "+line(e.Task, 40)+again+do))
}

func (p *printer) replied(e journal.ModelReplied) {
	p.chars, p.writing = 0, ""
	switch {
	case e.Reply != nil:
		p.why[e.Call] = e.Reply.Text
	case e.Lost:
		p.say("%s", p.paint(dim, "a model call was lost in a restart and is made again"))
	default:
		p.say("%s", p.paint(alert, "the model call failed: "+line(e.Err, 2*p.width)))
	}
}

// finished prints a call: step, tool, what, how it went, why.
func (p *printer) finished(e journal.ToolFinished) {
	style, how := good, ""
	switch {
	case e.Status == journal.ToolRefused:
		style, how = bad, "refused"
		if e.Rule != "" {
			how = "denied by " + line(e.Rule, 60)
		}
	case e.Status == journal.ToolRejected:
		style, how = alert, "not run: "+or(line(e.Rule, 60), "rejected")
	case e.Status == journal.ToolInDoubt:
		style, how = alert, "in doubt"
	case e.Status == journal.ToolCanceled:
		style, how = alert, "cancelled"
	case e.Killed != "":
		style, how = bad, "killed: "+line(e.Killed, 40)
	case e.Exit != 0:
		style, how = bad, fmt.Sprintf("exit %d", e.Exit)
	case e.Status == journal.ToolFailed:
		style, how = bad, "failed"
	}
	parts := []string{}
	if e.Ms > 0 || how == "" {
		parts = append(parts, span(time.Duration(e.Ms)*time.Millisecond))
	}
	if how != "" {
		parts = append(parts, how)
	}
	if c := p.state.ToolCall(e.Call.ID); c != nil && c.Answer != nil {
		parts = append(parts, line(c.Answer.Answer, 20)+" by "+line(c.Answer.By, 30))
	}
	how = strings.Join(parts, " · ")
	step := "   "
	if n := p.steps[e.Call.From]; n > 0 {
		step = fmt.Sprintf("%3d", n)
	}
	why := line(reason(p.why[e.Call.From]), 90)
	if why != "" {
		why = p.paint(dim, " — "+why)
	}
	p.say("%s %-6s %s  %s%s", p.paint(dim, step), line(e.Call.Tool, 12), what(e.Call, max(p.width-20, 40)), p.paint(style, "("+how+")"), why)
	p.connections(e.Egress)
}

// connections prints what a call connected to, and what was refused.
func (p *printer) connections(list []journal.Egress) {
	const most = 5
	for _, h := range list[:min(most, len(list))] {
		style := dim
		if !h.Allowed {
			style = alert
		}
		p.say("    %s", p.paint(style, "net: "+line(connection(h), 2*p.width)))
	}
	if n := len(list) - most; n > 0 {
		p.say("    %s", p.paint(dim, fmt.Sprintf("net: %d more", n)))
	}
}

// connection is what was decided about a host, in a line.
func connection(h journal.Egress) string {
	to := h.Host
	if h.Port != 0 {
		to = net.JoinHostPort(h.Host, strconv.Itoa(h.Port))
	}
	if !h.Allowed {
		return fmt.Sprintf("%s refused %d×: %s", to, h.Count, h.Reason)
	}
	return fmt.Sprintf("%s %d×, %s sent, %s received (by %s)", to, h.Count, size(h.Sent), size(h.Received), h.Rule)
}

// reason is what a reply says before it acts: its first line that is no fence and no action.
func reason(text string) string {
	for l := range strings.Lines(text) {
		l = strings.TrimSpace(l)
		if strings.HasPrefix(l, "```") || strings.HasPrefix(l, "Action:") || strings.HasPrefix(l, "{") {
			return ""
		}
		if l = strings.TrimSpace(strings.TrimPrefix(l, "Thought:")); l != "" {
			return l
		}
	}
	return ""
}

// what is a call in a few words: the first line of its command, its path, or its arguments.
func what(c journal.Call, n int) string {
	var args map[string]any
	if json.Unmarshal(c.Args, &args) != nil {
		return line(string(c.Args), n)
	}
	text := func(key string) string {
		s, _ := args[key].(string)
		return s
	}
	for _, key := range []string{"command", "source", "path", "pattern", "glob", "url", "query", "result", "question"} {
		s := text(key)
		if s == "" {
			continue
		}
		if key == "source" {
			s = text("language") + ": " + strings.TrimSpace(s)
		}
		if key == "pattern" && text("glob") != "" {
			s += " in " + text("glob")
		}
		return line(s, n)
	}
	if len(args) == 0 {
		return ""
	}
	return line(string(c.Args), n)
}

// asked prints an ask and how to answer it.
func (p *printer) asked(run journal.RunID, e journal.ToolAsked) {
	if p.state.Start.Yes && e.Ask == journal.AskTool && !(e.Call.Tool == "network" && len(e.Origins) > 0) {
		return // it is approved at once, and the call's own line says so
	}
	head := "asks: may it run?"
	switch e.Ask {
	case journal.AskDoubt:
		head = "in doubt: a restart cut it off. Did it take effect?"
	case journal.AskModel:
		head = "the agent asks:"
	case journal.AskTake:
		head = "the browser is a person's until it is given back"
		if !strings.HasPrefix(e.Call.ID, "takeover.") {
			head = fmt.Sprintf("wants you in its browser: agentctl browser %s", run)
		}
	}
	p.say("%s%s", p.paint(alert, head), p.paint(dim, dash(line(e.Verdict.Why, p.width))))
	p.say("    %s %s", line(e.Call.Tool, 20), what(e.Call, 2*p.width))
	if e.Verdict.Rule != "" {
		p.say("%s", p.paint(dim, "    rule: "+line(e.Verdict.Rule, p.width)))
	}
	if len(e.Origins) > 0 {
		p.say("    it has read untrusted content from %s", line(strings.Join(e.Origins, ", "), p.width))
	}
	for _, h := range e.Hints {
		p.say("    %s", p.paint(alert, line(h, 2*p.width)))
	}
	if !p.here {
		p.say("    %s", howToAnswer(run, e))
		p.told = append(p.told, e.Call.ID)
	}
}

func scopeWords(s journal.Scope) string {
	if s == journal.ScopeAlways {
		return "always"
	}
	return "for this run"
}

// howToAnswer is what to type to answer an ask.
func howToAnswer(run journal.RunID, e journal.ToolAsked) string {
	words := api.Answers(e.Ask)
	if words == nil {
		words = []string{`"your answer"`}
	}
	return fmt.Sprintf("agentctl answer %s %s %s", run, clean(e.Call.ID), strings.Join(words, "|"))
}

func (p *printer) checks(e journal.CheckFinished) {
	when := "checks"
	switch e.Phase {
	case "base":
		when = "checks before the run"
	case "progress":
		when = "checks so far"
	}
	for _, c := range e.Checks {
		style, word := good, "ok"
		switch {
		case c.Vacuous && e.Phase == "damage":
			style, word = alert, "passes on spoilt changes too, so it shows nothing"
		case c.Vacuous:
			style, word = alert, "holds already, so it counts for nothing"
		case e.Phase == "damage":
			word = "notices spoilt changes"
		case c.Killed != "":
			style, word = bad, "killed: "+line(c.Killed, 40)
		case !c.OK:
			style, word = bad, fmt.Sprintf("exit %d", c.Exit)
		}
		if e.Phase != "final" && !c.Vacuous {
			style = dim
		}
		p.say("%s: %s  %s", when, line(c.Cmd, p.width), p.paint(style, "("+word+", "+span(time.Duration(c.Ms)*time.Millisecond)+")"))
		if !c.OK && e.Phase == "final" && c.Output != "" {
			p.say("%s", p.paint(dim, tail(c.Output, 5, p.width)))
		}
	}
}

// tail is the last n lines of a text, indented.
func tail(s string, n, width int) string {
	lines := strings.Split(strings.TrimRight(clean(s), "\n"), "\n")
	lines = lines[max(0, len(lines)-n):]
	for i, l := range lines {
		lines[i] = "    | " + words.Clip(l, 2*width)
	}
	return strings.Join(lines, "\n")
}

func (p *printer) paused(run journal.RunID, e journal.Paused) {
	if !e.Parked {
		p.say("paused by %s%s; go on: agentctl resume %s", line(or(e.By, "somebody"), 40), dash(line(e.Reason, p.width)), run)
		return
	}
	p.say("%s", p.paint(alert, "parked: it needs a person"+dash(line(e.Reason, p.width))))
	if len(p.state.Asks) == 0 {
		p.say("    agentctl resume %s", run)
	}
	for _, id := range sortedAsks(p.state) {
		if !slices.Contains(p.told, id) { // what was just asked said how
			p.say("    %s", howToAnswer(run, p.state.Asks[id].ToolAsked))
		}
	}
	p.told = nil
}

// outcome prints how the run ended: its result alone goes to the result writer.
func (p *printer) outcome(run journal.RunID, e journal.RunFinished) error {
	p.clear()
	style := good
	if e.Status != journal.StatusAccepted {
		style = alert
	}
	word := outcomeWord(e.Status, e.Self)
	s := p.state
	p.say("%s%s", p.paint(style, word), dash(line(e.Reason, 2*p.width)))
	p.say("%s", p.paint(dim, fmt.Sprintf("%s · %s tokens · %s · %s", plural(s.Spent.Steps, "step"), count(s.Spent.Tokens), dollars(s.Spent.USD), span(s.Ended.Sub(s.Began)))))
	if n := len(e.Changed); n > 0 {
		next := fmt.Sprintf("; look: agentctl diff %s, take back: agentctl undo %s", run, run)
		if p.private {
			next = ""
		}
		p.say("changed: %s%s%s", line(strings.Join(e.Changed[:min(n, 8)], ", "), 2*p.width), more(n-8), next)
	}
	if len(e.Tests) > 0 {
		p.say("%s", p.paint(alert, "it changed files that look like tests: "+line(strings.Join(e.Tests, ", "), 2*p.width)))
	}
	if e.Hint != "" {
		p.say("next: %s", line(e.Hint, 2*p.width))
	}
	if e.Result != "" {
		if _, err := fmt.Fprintln(p.result, clean(strings.TrimRight(e.Result, "\n"))); err != nil {
			return fmt.Errorf("write the result: %w", err)
		}
	}
	return nil
}

// outcomeWord is an outcome for people.
func outcomeWord(s journal.Status, self bool) string {
	switch s {
	case journal.StatusAccepted:
		if self {
			return "accepted, self-checked"
		}
	case journal.StatusUnmet:
		return "finished, criteria unmet"
	case journal.StatusBudget:
		return "budget exhausted"
	case journal.StatusDenied:
		return "denied by policy"
	case journal.StatusSandbox:
		return "the required sandbox level is unavailable"
	case journal.StatusProvider:
		return "no model answers"
	case journal.StatusInDoubt:
		return "an effect is in doubt"
	case journal.StatusUnverified:
		return "finished, unverified"
	case journal.StatusTime:
		return "time limit reached"
	case journal.StatusInternalErr:
		return "internal error"
	}
	return clean(string(s))
}

func dash(s string) string {
	if s == "" {
		return ""
	}
	return " — " + s
}

func more(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}
