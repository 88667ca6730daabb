package agent

import (
	"context"
	"fmt"
	"strings"

	"agentd/journal"
	"agentd/llm"
)

// finish ends the run with an outcome that is not acceptance.
func (d *driver) finish(ctx context.Context, o *outcome) error {
	return d.finishAs(ctx, journal.RunFinished{Status: o.status, Reason: o.reason})
}

// finishAs settles what is still open, says what changed, and appends the end.
func (d *driver) finishAs(ctx context.Context, e journal.RunFinished) error {
	e.Changed, e.Tests = named(d.changes(ctx))
	var last []journal.Event
	if e.Status == journal.StatusAccepted {
		var err error
		if last, err = d.applied(ctx); err != nil {
			return err
		}
	}
	return d.led.do(ctx, func(t *tx) error {
		if t.Outcome != nil {
			return nil
		}
		e := e
		for id, asked := range t.InFlight {
			t.add(journal.ModelReplied{Call: id, Err: "given up: the run ends", Class: llm.KindCanceled, Used: asked.Reserved, USD: asked.USD})
		}
		for _, c := range t.OpenCalls() {
			t.add(journal.ToolFinished{Call: c.Call, Status: journal.ToolCanceled, Exit: -1, Head: "given up"})
		}
		for id := range t.Asks {
			t.add(journal.AskAnswered{Ask: id, Answer: "deny", By: "agentd", Reason: "the run ended"})
		}
		if s := e.Status; (s == journal.StatusUnmet || s == journal.StatusStalled) && t.Denied != "" {
			e.Status = journal.StatusDenied
			e.Reason = clip("the work may have needed what was denied: "+t.Denied+"; "+e.Reason, 1500)
		}
		t.add(last...)
		e.Result, e.Hint, e.Learn = result(t.State), hint(t.State, e), d.worthLearning(t.State, e.Status)
		t.add(e)
		return nil
	})
}

// result is the agent's own words: of the last finished task, or of all when several end the plan.
func result(s *journal.State) string {
	needed := make(map[string]bool)
	for _, t := range s.Plan.Tasks {
		for _, n := range t.Needs {
			needed[n] = true
		}
	}
	var out []string
	for _, t := range s.Plan.Tasks {
		if task := s.Tasks[t.ID]; task != nil && task.Status == journal.TaskDone && !needed[t.ID] && task.Result != "" {
			out = append(out, strings.TrimSpace(task.Result))
		}
	}
	return strings.Join(out, "\n\n")
}

// hint says what a person can type next.
func hint(s *journal.State, e journal.RunFinished) string {
	switch e.Status {
	case journal.StatusAccepted:
		if m := s.Start.Mode; m != "" && m != ModeDirect && s.Applied == nil {
			return fmt.Sprintf("look at it with: agentctl diff %s; bring it to the workspace with: agentctl apply %s", s.Run, s.Run)
		}
		return ""
	case journal.StatusUnverified:
		return fmt.Sprintf("look at it with: agentctl diff %s; next time say how to tell with --check 'COMMAND'", s.Run)
	case journal.StatusBudget:
		return "raise the limit that the reason names and run it again; what was spent on what: " + e.Status.Next(s.Run)
	case journal.StatusProvider, journal.StatusSandbox:
		return "see what is configured with: " + e.Status.Next(s.Run)
	}
	return fmt.Sprintf("see what happened with: agentctl show %s; put the workspace back with: agentctl undo %s", s.Run, s.Run)
}
