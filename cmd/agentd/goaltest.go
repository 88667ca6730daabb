package main

import (
	"context"

	"agentd/acceptance"
	"agentd/api"
	"agentd/goals"
	"agentd/sandbox"
	"agentd/workspace"
)

// goalTester tries goals' criteria in boxes of this daemon.
type goalTester struct {
	d *daemon
	m *acceptance.Measurer
}

// TestGoal implements api.GoalTester.
func (t *goalTester) TestGoal(ctx context.Context, r api.GoalTest) (api.GoalTested, error) {
	ws, err := workspace.Resolve(r.Workspace, t.d.folders()...)
	if err != nil {
		return api.GoalTested{}, api.Errorf(api.ErrWorkspace, "name another folder with -C", "%v", err)
	}
	g, err := goals.Parse(r.File.Name, []byte(r.File.Text))
	if err == nil && len(g.Params) > 0 {
		g, err = g.Fill(r.Params)
	}
	if err != nil {
		return api.GoalTested{}, api.Errorf(api.ErrGoal, "", "%v", err)
	}
	if len(g.Require) == 0 {
		return api.GoalTested{}, api.Errorf(api.ErrGoal, "give it accept.require", "the goal has no criteria to try")
	}
	env := map[string]string{}
	for name, value := range g.Values {
		env[goals.EnvParam(name)] = value
	}
	trials, err := t.m.Try(ctx, sandbox.Policy{Workspace: ws, Env: env, Require: t.d.require}, g)
	if err != nil {
		return api.GoalTested{}, err
	}
	var out api.GoalTested
	for _, tr := range trials {
		v := api.GoalTrial{Condition: tr.Condition, Holds: tr.Holds, Why: tr.Why, Blind: tr.Blind()}
		for _, d := range tr.Notices {
			v.Notices = append(v.Notices, d.Way+" "+d.Path)
		}
		for _, d := range tr.Misses {
			v.Misses = append(v.Misses, d.Way+" "+d.Path)
		}
		out.Trials = append(out.Trials, v)
	}
	return out, nil
}
