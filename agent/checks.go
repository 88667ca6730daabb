package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"agentd/acceptance"
	"agentd/goals"
	"agentd/journal"
	"agentd/policy"
	"agentd/workspace"
)

// measureBase measures proposed criteria before the first tool call: one that holds already proves nothing, and neither does a
// script that bash can't read. counts: at least one is left.
func (d *driver) measureBase(ctx context.Context, probes []goals.Probe, revision int) (e journal.CheckFinished, counts bool, err error) {
	results, err := d.measure(ctx, probes)
	if err != nil {
		return e, false, fmt.Errorf("measure criteria: %w", err)
	}
	checks := journaled(results)
	for i, c := range checks {
		checks[i].Vacuous = c.OK || c.Exit == 2 && strings.Contains(c.Output, "syntax error")
		counts = counts || !checks[i].Vacuous
	}
	return journal.CheckFinished{Phase: "base", Checks: checks, OK: counts, Revision: revision}, counts, nil
}

// measureFinal measures the criteria when all tasks are done and all boxes dead, and ends or revises the run.
func (d *driver) measureFinal(ctx context.Context) error {
	if d.servers != nil {
		d.servers.Stop()
	}
	e, measured, err := d.stands(ctx)
	if err != nil {
		return err
	}
	self := len(d.start.Goal.Probes) == 0
	if e == nil {
		if e, _, err = d.judgeWork(ctx); err != nil {
			return err
		}
		var outdated bool
		if err := d.led.view(ctx, func(s *journal.State) { outdated = s.Outdated() }); err != nil || outdated {
			return err // what was measured is not what is wanted any more
		}
		if e == nil {
			return end(journal.StatusUnverified, "the work is finished; nothing measured it: no check was given, and the planner proposed none that could fail")
		}
		if err := d.led.do(ctx, func(t *tx) error { t.add(*e); measured = t.Measured; return nil }); err != nil {
			return err
		}
	}
	if e.OK {
		return d.accept(ctx, self)
	}
	if again, err := d.startAgain(ctx, unmet(*e)); again || err != nil {
		return err
	}
	most := maxMeasures
	if self {
		most = maxSelfMeasures // the check itself may be wrong
	}
	fail := d.start.Goal.OnFail
	if fail.Retries != nil {
		most = *fail.Retries + 1
	}
	if fail.Then == "replan" {
		if measured == most {
			return d.plan(ctx, "replan: "+unmet(*e), d.failedRevision)
		}
		most *= 2
	}
	var failing []journal.Check
	for _, c := range e.Checks {
		if !c.OK {
			failing = append(failing, c)
		}
	}
	if len(failing) == 0 { // every probe ran well, but what they gave is not what is wanted
		for _, cond := range sortedKeys(e.Require) {
			if !e.Require[cond] {
				failing = append(failing, journal.Check{Name: cond, Cmd: "condition: " + cond, Exit: 1, Output: e.Reasons[cond]})
			}
		}
	}
	if measured >= most {
		return end(journal.StatusUnmet, "%s (measured %d times)", unmet(*e), measured)
	}
	return d.reviseUnmet(ctx, failing)
}

// stands is what was measured of this plan before a crash, and not met; nil for none. It is not measured again: a daemon that dies before it has
// revised the plan costs the run none of its retries.
func (d *driver) stands(ctx context.Context) (e *journal.CheckFinished, measured int, err error) {
	err = d.led.view(ctx, func(s *journal.State) {
		if f := s.Final; f != nil && !f.OK && f.Revision == s.Plan.Revision {
			again := *f
			e, measured = &again, s.Measured
		}
	})
	return e, measured, err
}

// measureLast measures once more when the run must end for another reason; met criteria win over it.
func (d *driver) measureLast(ctx context.Context, cause error) error {
	e, self, err := d.judgeWork(ctx)
	if err != nil || e == nil {
		return errors.Join(cause, err)
	}
	if err := d.led.do(ctx, func(t *tx) error { t.add(*e); return nil }); err != nil {
		return err
	}
	if e.OK {
		return d.accept(ctx, self)
	}
	return cause
}

// judgeWork measures the criteria that count; nil when there is none.
func (d *driver) judgeWork(ctx context.Context) (e *journal.CheckFinished, self bool, err error) {
	var probes []goals.Probe
	var require []string
	var rev int
	if err := d.led.view(ctx, func(s *journal.State) {
		probes, require, rev = criteria(s), s.Start.Goal.Require, s.Plan.Revision
		d.judged = s.Spent.Steps
		self = len(s.Start.Goal.Probes) == 0
	}); err != nil || len(probes) == 0 {
		return nil, false, err
	}
	if self {
		require = nil
		for _, p := range probes {
			require = append(require, p.Name+".exit == 0")
		}
	}
	facts, err := d.facts(ctx)
	if err != nil {
		return nil, false, err
	}
	results, err := d.measure(ctx, probes)
	if err != nil {
		return nil, false, fmt.Errorf("measure criteria: %w", err)
	}
	var proposed []goals.Probe
	if self {
		proposed = probes
	}
	v, err := acceptance.Decide(d.start.Goal, require, results, facts, proposed...)
	if err != nil {
		return nil, false, fmt.Errorf("decide acceptance: %w", err)
	}
	for cond, why := range v.Reasons {
		d.log.Info("condition can't be evaluated", "run", d.run, "condition", cond, "reason", why)
	}
	maps.Copy(v.Reasons, v.Left)
	return &journal.CheckFinished{Phase: "final", Checks: journaled(results), Require: v.Require, Reasons: v.Reasons, OK: v.OK, Revision: rev}, self, nil
}

// facts are what conditions of acceptance know beside the results: how the same probes came out before the run, what changed since, and what it
// has used.
func (d *driver) facts(ctx context.Context) (policy.Facts, error) {
	var f policy.Facts
	err := d.led.view(ctx, func(s *journal.State) {
		if s.Base != nil {
			f.Base = acceptance.Facts(measured(s.Base.Checks))
		}
		f.Progress = progress(s)
	})
	if err == nil && d.start.Goal.Reads("diff") {
		f.Diff, err = d.diff(ctx)
	}
	return f, err
}

// progress is how far a run has come, as conditions see it.
func progress(s *journal.State) *policy.Progress {
	p := &policy.Progress{
		Cost: s.Spent.USD, Tokens: int(s.Spent.Tokens), Steps: s.Spent.Steps, Minutes: s.Spent.Active.Minutes(),
		Plan:  policy.PlanProgress{Tasks: len(s.Tasks), Revision: s.Plan.Revision},
		Stall: policy.Stall{Steps: stall(s)},
	}
	for _, t := range s.Tasks {
		switch t.Status {
		case journal.TaskDone:
			p.Plan.Done++
		case journal.TaskFailed:
			p.Plan.Failed++
		}
	}
	return p
}

// diff is what changed in the workspace since the run began, nil where that can't be known.
func (d *driver) diff(ctx context.Context) (*policy.Diff, error) {
	changes, err := d.compare(ctx)
	if err != nil {
		d.log.Warn("changes not listed", "run", d.run, "err", err)
		return nil, ctx.Err() // a condition that reads it does not hold, and says why
	}
	out := &policy.Diff{}
	for _, c := range changes {
		out.Files = append(out.Files, c.Path)
		switch c.Kind {
		case workspace.Created:
			out.Created = append(out.Created, c.Path)
		case workspace.Deleted:
			out.Deleted = append(out.Deleted, c.Path)
		case workspace.Renamed:
			out.Renamed = append(out.Renamed, c.Path)
			out.Files = append(out.Files, c.From) // it is gone from there
		default:
			out.Changed = append(out.Changed, c.Path)
		}
		out.Added += max(0, c.Added)
		out.Removed += max(0, c.Removed)
	}
	slices.Sort(out.Files)
	out.Files = slices.Compact(out.Files)
	out.Lines = out.Added + out.Removed
	return out, nil
}

// baseline measures, before anything else happens, the probes whose results before the run a condition reads.
func (d *driver) baseline(ctx context.Context) error {
	results, err := d.measure(ctx, d.start.Goal.BaseProbes())
	if err != nil {
		return fmt.Errorf("measure before the run: %w", err)
	}
	return d.led.do(ctx, func(t *tx) error {
		t.add(journal.CheckFinished{Phase: "base", Checks: journaled(results), OK: true})
		return nil
	})
}

// measure runs probes when no box of the run is alive.
func (d *driver) measure(ctx context.Context, probes []goals.Probe) ([]acceptance.Result, error) {
	d.discardBoxes()
	pol := d.boxPolicy()
	for name, value := range d.start.Goal.Values {
		if pol.Env == nil {
			pol.Env = map[string]string{}
		}
		pol.Env[goals.EnvParam(name)] = value
	}
	return d.cfg.Measure(ctx, pol, probes)
}

// measured is a journaled measurement as acceptance knows it.
func measured(checks []journal.Check) []acceptance.Result {
	out := make([]acceptance.Result, len(checks))
	for i, c := range checks {
		out[i] = acceptance.Result{Name: c.Name, Exit: c.Exit, Killed: c.Killed, Text: c.Output, Output: c.Output, Status: c.Status, Parsed: c.Parsed}
		if c.Reading != nil && json.Unmarshal(c.Reading, &out[i].Read) != nil {
			out[i].Parsed = false
		}
	}
	return out
}

// journaled is a measurement as the journal keeps it.
func journaled(results []acceptance.Result) []journal.Check {
	out := make([]journal.Check, len(results))
	for i, r := range results {
		killed := r.Killed
		if killed == "" && r.Signal != "" {
			killed = r.Signal
		}
		out[i] = journal.Check{
			Name: r.Name, Cmd: r.Cmd, Exit: r.Exit, OK: r.OK(), Killed: killed, Output: valid(r.Output), Note: r.Note, Ms: r.Took.Milliseconds(),
			Status: r.Status, Parsed: r.Parsed,
		}
		if reading, err := json.Marshal(r.Read); err == nil && len(reading) > len("{}") {
			out[i].Reading = reading
		}
	}
	return out
}

// accept ends the run well. Criteria that the planner proposed must also notice damage: a check that still passes when the run's
// changes are spoilt does not look at them, and a run that only such checks accept is unverified.
func (d *driver) accept(ctx context.Context, self bool) error {
	if err := d.giveOpinion(ctx); err != nil {
		return err
	}
	if !self {
		return d.finishAs(ctx, journal.RunFinished{Status: journal.StatusAccepted})
	}
	changed := d.changes(ctx)
	var probes []goals.Probe
	if err := d.led.view(ctx, func(s *journal.State) { probes = criteria(s) }); err != nil {
		return err
	}
	damaged := make([]goals.Probe, len(probes))
	for i, p := range probes {
		p.Cmd = spoil(changed) + p.Cmd
		damaged[i] = p
	}
	results, err := d.measure(ctx, damaged)
	if err != nil {
		return fmt.Errorf("measure criteria on damaged copies: %w", err)
	}
	checks := journaled(results)
	notices := false
	for i := range checks {
		checks[i].Cmd, checks[i].Vacuous = probes[i].Cmd, checks[i].OK
		notices = notices || !checks[i].OK
	}
	if err := d.led.do(ctx, func(t *tx) error {
		t.add(journal.CheckFinished{Phase: "damage", Checks: checks, OK: notices, Revision: t.Plan.Revision})
		return nil
	}); err != nil {
		return err
	}
	if !notices {
		return end(journal.StatusUnverified, "the proposed checks pass, but they pass as well on a copy in which the run's changes are spoilt, so they show nothing")
	}
	return d.finishAs(ctx, journal.RunFinished{Status: journal.StatusAccepted, Self: true})
}

// spoil is a script that spoils changes, in a probe's throw-away copy: in written files it replaces letters and digits by others, moved files
// it moves back, and deleted ones it makes again.
func spoil(changes []workspace.Change) string {
	const most = 50
	quote := func(p string) string { return "'" + strings.ReplaceAll("./"+p, "'", `'\''`) + "'" }
	var b strings.Builder
	for _, c := range changes[:min(most, len(changes))] {
		p := quote(c.Path)
		switch c.Kind {
		case workspace.Renamed:
			from := quote(c.From)
			fmt.Fprintf(&b, "mkdir -p \"$(dirname %s)\" && mv %s %s\n", from, p, from)
		case workspace.Deleted:
			fmt.Fprintf(&b, "mkdir -p \"$(dirname %s)\" && touch %s\n", p, p)
		default:
			fmt.Fprintf(&b, "[ -f %s ] && sed -i 'y/0123456789abcdefghijklmnopqrstuvwxyz/1234567890bcdefghijklmnopqrstuvwxyza/' %s\n", p, p)
		}
	}
	return b.String()
}

func unmet(e journal.CheckFinished) string {
	var out string
	for _, name := range sortedKeys(e.Require) {
		if !e.Require[name] {
			out += "; " + name
			if why := strings.TrimPrefix(e.Reasons[name], name+": "); why != "" {
				out += " (" + why + ")"
			}
		}
	}
	return "not met" + out
}
