package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"agentd/goals"
	"agentd/journal"
	"agentd/llm"
	"agentd/planner"
)

type probe = goals.Probe

// planQuestion is what the planner is asked: a pure function of the state, the try and the last unusable reply.
type planQuestion struct {
	try    int // from 1
	revise func(*journal.State) *planner.Revision
	bad    string // the last unusable reply
	wrong  error  // and what is wrong with it
}

func (q *planQuestion) input(s *journal.State, info llm.Info) planner.Input {
	in := planner.Input{
		Goal: s.Start.Goal.Words(), Lead: s.Start.Lead + serverLines(s), Given: s.Start.Goal.Probes, Small: info.Style == llm.StyleFenced,
		Recalled: recalled(s, ""), HaveChecks: len(s.Proposed) > 0,
		Seeds: s.Start.Goal.Plan.Tasks, MaxTasks: s.Start.Goal.Plan.MaxTasks,
	}
	for _, m := range s.Messages {
		in.Messages = append(in.Messages, m.Text)
	}
	if q.revise != nil {
		in.Revise = q.revise(s)
	}
	return in
}

func (q *planQuestion) request(s *journal.State, info llm.Info) *llm.Request {
	req := planner.Prompt(q.input(s, info))
	if q.try == 2 {
		req = planner.Repair(req, q.bad, q.wrong)
	}
	var temp float64
	if q.try == 3 {
		temp = 0.7
	}
	if info.Local || q.try == 3 {
		req.Temperature = &temp
	}
	if !info.Schema {
		req.Schema = nil
	}
	return req
}

// plan makes the first plan (revise nil) or the next one. An invalid reply is repaired once with the error named, then the
// question is asked anew, then a one-task plan takes over and the run says so. Replies that the journal holds already are not
// asked for again.
func (d *driver) plan(ctx context.Context, reason string, revise func(*journal.State) *planner.Revision) error {
	if err := d.recall(ctx, ""); err != nil {
		return err
	}
	const tries = 3
	q := planQuestion{revise: revise}
	var in planner.Input
	var had []string
	var of int // revisions of the goal
	info := d.planInfo()
	if err := d.led.view(ctx, func(s *journal.State) { in, had, of = q.input(s, info), earlier(s, "plan"), len(s.Goals) }); err != nil {
		return err
	}
	if planner.Trivial(in) {
		return d.adopt(ctx, in, journal.PlanMade{Plan: planner.Fallback(in).Plan, Reason: reason, Goals: of}, nil)
	}
	var settle []journal.Event
	for q.try = 1; q.try <= tries; q.try++ {
		var text string
		if len(had) >= q.try {
			text = had[q.try-1]
		} else {
			reply, asked, err := d.ask(ctx, question{
				purpose: "plan", before: settle,
				build: func(s *journal.State, info llm.Info) (*llm.Request, error) {
					in, of = q.input(s, info), len(s.Goals)
					return q.request(s, info), nil
				},
			})
			if err != nil {
				return err
			}
			text, settle = reply.Text, []journal.Event{asked.settle}
		}
		draft, err := planner.Parse(text, in)
		if err == nil {
			return d.adopt(ctx, in, journal.PlanMade{Plan: draft.Plan, Reason: reason, Checks: draft.Checks, Goals: of}, settle)
		}
		q.wrong, q.bad = err, text
		settle = append(settle, journal.Noted{Topic: "plan", Text: clip(fmt.Sprintf("the model's plan is unusable (try %d of %d): %v", q.try, tries, err), 500)})
	}
	settle = append(settle, journal.Noted{Topic: "plan", Text: "going on with a plan of one task"})
	return d.adopt(ctx, in, journal.PlanMade{Plan: planner.Fallback(in).Plan, Reason: reason, Fallback: true, Goals: of}, settle)
}

// earlier returns the replies to questions of one purpose since the last plan.
func earlier(s *journal.State, purpose string) []string {
	var out []string
	for _, turn := range s.Planning {
		if reply := turn.Reply(); reply != nil && turn.Asked.Purpose == purpose {
			out = append(out, reply.Text)
		}
	}
	return out
}

// adopt makes a plan the run's. The first one carries the criteria, measured before any work, when a person gave none: later plans
// get none, since work has begun that a criterion could be made to fit.
func (d *driver) adopt(ctx context.Context, in planner.Input, e journal.PlanMade, settle []journal.Event) error {
	var base []journal.Event
	if in.Revise != nil || len(in.Given) > 0 {
		e.Checks = nil
	} else {
		var err error
		if e.Checks, base, err = d.propose(ctx, in, e, &settle); err != nil {
			return err
		}
	}
	return d.led.do(ctx, func(t *tx) error {
		t.add(settle...)
		e := e
		e.Origins = t.PlannerOrigins()
		t.add(e)
		t.add(base...)
		return nil
	})
}

// propose finds criteria that fail before the work: those that came with the plan, else up to two that the model is asked for.
// settle holds events that wait for the next commit.
func (d *driver) propose(ctx context.Context, in planner.Input, plan journal.PlanMade, settle *[]journal.Event) ([]probe, []journal.Event, error) {
	const tries = 2
	checks := plan.Checks
	var had, forms []string
	if err := d.led.view(ctx, func(s *journal.State) { had, forms = earlier(s, "check"), earlier(s, "forms") }); err != nil {
		return nil, nil, err
	}
	if in.Small && len(checks) == 0 && !plan.Fallback {
		if len(forms) == 0 {
			reply, asked, err := d.ask(ctx, question{
				purpose: "forms", before: *settle,
				build: func(s *journal.State, info llm.Info) (*llm.Request, error) {
					return checkable(planner.FormsPrompt(in), info), nil
				},
			})
			if err != nil {
				return nil, nil, err
			}
			forms, *settle = []string{reply.Text}, []journal.Event{asked.settle}
		}
		checks = planner.ParseForms(forms[0], in.Goal, d.root.FS())
	}
	var last []probe // of no use, but measured: the run says so
	var base []journal.Event
	for try := 0; ; try++ {
		if len(checks) > 0 {
			e, counts, err := d.measureBase(ctx, checks, plan.Plan.Revision)
			last, base = checks, []journal.Event{e}
			if err != nil || counts {
				return last, base, err
			}
		}
		if try == tries || plan.Fallback {
			return last, base, nil
		}
		var text string
		if len(had) > try {
			text = had[try]
		} else {
			reply, asked, err := d.ask(ctx, question{
				purpose: "check", before: *settle,
				build: func(s *journal.State, info llm.Info) (*llm.Request, error) { return checkRequest(s, info, in), nil },
			})
			if err != nil {
				return nil, nil, err
			}
			text, *settle = reply.Text, []journal.Event{asked.settle}
		}
		p, err := planner.ParseCheck(text, in.Goal, d.root.FS())
		if err != nil {
			*settle = append(*settle, journal.Noted{Topic: "plan", Text: "the model's check is unusable: " + clip(err.Error(), 300)})
			checks = nil
			continue
		}
		checks = []probe{p}
	}
}

func checkRequest(s *journal.State, info llm.Info, in planner.Input) *llm.Request {
	return checkable(planner.CheckPrompt(in, earlier(s, "check")), info)
}

// checkable fits a request for checks to a model.
func checkable(req *llm.Request, info llm.Info) *llm.Request {
	if !info.Grammar {
		req.Grammar = ""
	}
	if info.Local {
		var temp float64
		req.Temperature = &temp
	}
	return req
}

// goalRevised is the reason of a plan, and of an attempt that ends for it.
const goalRevised = "a person revised the goal"

// reviseGoal plans anew after a person revised the goal.
func (d *driver) reviseGoal(ctx context.Context) error {
	return d.plan(ctx, goalRevised, func(s *journal.State) *planner.Revision {
		return revision(s, goalRevised+". Before, it was: "+clip(s.Goals[len(s.Goals)-1], 1000))
	})
}

// reviseFailed plans anew after a task failed.
func (d *driver) reviseFailed(ctx context.Context) error {
	var reason, last string
	var plans int
	if err := d.led.view(ctx, func(s *journal.State) {
		reason = failures(s)
		for _, p := range s.Plans {
			if !strings.HasPrefix(p.Reason, fannedOut) && p.Reason != goalRevised {
				plans, last = plans+1, p.Reason
			}
		}
	}); err != nil {
		return err
	}
	if again, err := d.startAgain(ctx, reason); again || err != nil {
		return err
	}
	if strings.Contains(reason, perTask) && strings.Contains(last, perTask) {
		return end(journal.StatusBudget, "%s", reason) // a new plan did not make it cheaper
	}
	if plans > maxRevisions {
		status := journal.StatusUnmet
		if strings.Contains(reason, "stalled") {
			status = journal.StatusStalled
		}
		return end(status, "%s (after %d plans)", reason, plans)
	}
	return d.plan(ctx, reason, d.failedRevision)
}

// perTask is in the reason of a task that failed for a bound of its own.
const perTask = "budget.per_task."

// failedRevision describes a plan of which a task failed.
func (d *driver) failedRevision(s *journal.State) *planner.Revision {
	why := failures(s)
	if why == "" && s.Final != nil {
		why = unmet(*s.Final)
	}
	return revision(s, why)
}

// failures says why tasks failed.
func failures(s *journal.State) string {
	var why []string
	for _, t := range s.Plan.Tasks {
		task := s.Tasks[t.ID]
		if n := len(task.Failures); task.Status == journal.TaskFailed && n > 0 {
			why = append(why, fmt.Sprintf("task %s failed: %s", t.ID, task.Failures[n-1]))
		}
	}
	return clip(strings.Join(why, "; "), 1500)
}

// reviseUnmet adds a task that makes failing checks pass: they say what is wrong better than a model could guess.
func (d *driver) reviseUnmet(ctx context.Context, failing []journal.Check) error {
	return d.led.do(ctx, func(t *tx) error {
		var b strings.Builder
		b.WriteString("The work so far does not pass its checks. Find out why and mend the work, not the checks.\n")
		var names []string
		for _, c := range failing {
			names = append(names, c.Name)
			fmt.Fprintf(&b, "\nCheck: %s\nIt exits %d", clip(c.Cmd, 400), c.Exit)
			if out := strings.TrimSpace(c.Output); out != "" {
				fmt.Fprintf(&b, " and prints:\n%s", clipTail(out, 700))
			}
			b.WriteString("\n")
		}
		plan := planner.Plan{Revision: t.Plan.Revision + 1}
		for _, old := range t.Plan.Tasks {
			if task := t.Tasks[old.ID]; task != nil && task.Status == journal.TaskDone {
				plan.Tasks = append(plan.Tasks, old)
			}
		}
		fix := planner.Task{ID: fmt.Sprintf("fix%d", plan.Revision), Do: clip(b.String(), 1990)}
		if n := len(plan.Tasks); n > 0 {
			fix.Needs = []string{plan.Tasks[n-1].ID}
		}
		plan.Tasks = append(plan.Tasks, fix)
		// The checks' output may quote any file.
		origins := journal.Union(t.PlannerOrigins(), t.FileOrigins(journal.AllFiles))
		t.add(journal.PlanMade{Plan: plan, Reason: "unmet: " + strings.Join(names, ", "), Origins: origins})
		return nil
	})
}

// revision describes the plan so far to the planner.
func revision(s *journal.State, reason string) *planner.Revision {
	r := &planner.Revision{Reason: reason, Previous: s.Plan, Done: map[string]string{}, Failed: map[string]string{}, Origins: s.PlannerOrigins()}
	for id, t := range s.Tasks {
		switch n := len(t.Failures); {
		case t.Status == journal.TaskDone:
			r.Done[id] = t.Result
		case n > 0:
			r.Failed[id] = t.Failures[n-1]
		}
	}
	return r
}

// worthMeasuring reports whether an outcome may be better than it looks: the work may be done although the run must end.
func (d *driver) worthMeasuring(ctx context.Context, err error) bool {
	var o *outcome
	if ctx.Err() != nil || !errors.As(err, &o) {
		return false
	}
	if !slices.Contains([]journal.Status{journal.StatusBudget, journal.StatusStalled, journal.StatusUnmet}, o.status) {
		return false
	}
	var has bool
	return d.led.view(ctx, func(s *journal.State) {
		has = len(s.Plans) > 0 && len(criteria(s)) > 0 && s.Outcome == nil && d.judged != s.Spent.Steps
	}) == nil && has
}
