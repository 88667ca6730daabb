package agent

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"agentd/journal"
	"agentd/policy"
	"agentd/tools/args"
)

// ErrNoGrant is returned where a person's rule would not answer an ask.
var ErrNoGrant = errors.New("the rule would not answer this ask")

// rulesNow are the run's rules with those that people added since it began.
func (d *driver) rulesNow() *policy.Rules {
	if d.cfg.Granted == nil {
		return d.rules
	}
	return policy.Combine(d.rules, d.cfg.Granted())
}

// granted is the allowance of a person, for the whole run, that answers the ask of a call; nil if there is none. It is looked for only where policy asks, so it turns no
// denial.
func granted(s *journal.State, c policy.Call, v journal.Verdict) *journal.AskAnswered {
	if v.Do != string(policy.Ask) || v.Rule == ruleChanged {
		return nil
	}
	for i := range s.Granted {
		if policy.Covers(s.Granted[i].Rule, c) == nil {
			return &s.Granted[i]
		}
	}
	return nil
}

// grantedBy says who gave an allowance that answers a later ask.
func grantedBy(g *journal.AskAnswered) string { return clip(g.By, 60) + ", for this run" }

// answeredSince answers an open ask by an allowance that came for another one meanwhile.
func (d *driver) answeredSince(t *tx, m move, a *journal.ToolAsked) bool {
	if a.Ask != journal.AskTool || len(t.Granted) == 0 {
		return false
	}
	given := granted(t.State, policy.Call{
		Args: m.args, Effect: a.Effect, Egress: a.Egress, Sandboxed: true, Origins: a.Origins, Workspace: t.Start.Workspace, Goal: t.Start.Goal.Name,
	}, a.Verdict)
	if given == nil {
		return false
	}
	t.add(journal.AskAnswered{Ask: m.call.ID, Answer: "allow", By: grantedBy(given)})
	return true
}

// asked is what rules see of the call of an ask.
func (e *Engine) asked(s *journal.State, a journal.ToolAsked) (policy.Call, error) {
	c := policy.Call{
		Effect: a.Effect, Egress: a.Egress, Sandboxed: true, Origins: a.Origins, Workspace: s.Start.Workspace, Goal: s.Start.Goal.Name,
	}
	if t := e.cfg.Tools.Lookup(a.Call.Tool); t != nil {
		got, err := t.Decode(a.Call.Args)
		if err != nil {
			return c, fmt.Errorf("the call of ask %s: %w", a.Call.ID, err)
		}
		c.Args = got
		return c, nil
	}
	server, name, ok := strings.Cut(a.Call.Tool, ".")
	if !ok {
		return c, fmt.Errorf("there is no tool %.60q any more", a.Call.Tool)
	}
	got, err := args.DecodeMCP(server, name, a.Call.Args)
	c.Args = got
	return c, err
}

// Proposals are the conditions of rules that would answer an ask and others like it, the narrowest first: those for its run, and those for every run. note says why
// there are none for every run.
func (e *Engine) Proposals(s *journal.State, a journal.ToolAsked) (run, always []string, note string, err error) {
	if a.Ask != journal.AskTool {
		return nil, nil, "only the ask of a call can be answered by a rule", nil
	}
	c, err := e.asked(s, a)
	if err != nil {
		return nil, nil, "", err
	}
	works := func(scope journal.Scope) func(string) bool {
		return func(when string) bool {
			why := e.Covers(s, a, scope, when)
			if why != nil && note == "" {
				note = strings.TrimPrefix(why.Error(), ErrNoGrant.Error()+": ")
			}
			return why != nil
		}
	}
	run = slices.DeleteFunc(policy.Proposals(c, false), works(journal.ScopeRun))
	always = slices.DeleteFunc(policy.Proposals(c, true), works(journal.ScopeAlways))
	if len(always) > 0 {
		note = ""
	}
	return run, always, note, nil
}

// Covers reports whether a person's rule would have answered an ask, and why not: a denial, and what the organisation or the goal wants to be asked each time,
// are no rule's to answer.
func (e *Engine) Covers(s *journal.State, a journal.ToolAsked, scope journal.Scope, when string) error {
	c, err := e.asked(s, a)
	if err != nil {
		return err
	}
	if a.Verdict.Rule == ruleChanged {
		return fmt.Errorf("%w: %s", ErrNoGrant, a.Verdict.Why)
	}
	if err := policy.Covers(when, c); err != nil {
		return fmt.Errorf("%w: %w", ErrNoGrant, err)
	}
	if scope != journal.ScopeAlways {
		return nil
	}
	rule, err := policy.Compile("the rule", []policy.Rule{{When: when, Do: policy.Allow}})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoGrant, err)
	}
	if v := policy.Combine(rulesOf(e.cfg.Policy, s.Start.Goal), rule).Decide(c); v.Do != policy.Allow {
		return fmt.Errorf("%w: a layer that no rule of yours turns says %s (%s)", ErrNoGrant, v.Do, clip(v.Rule, 200))
	}
	return nil
}
