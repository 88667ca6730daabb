package agent

import (
	"agentd/goals"
	"agentd/policy"
)

// rulesOf are the rules that hold in a run: the engine's, narrowed by the goal's. Rules that don't compile, which a goal that was checked has not, deny everything.
func rulesOf(all *policy.Rules, g goals.Goal) *policy.Rules {
	if len(g.Policy) == 0 {
		return all
	}
	rules := make([]policy.Rule, len(g.Policy))
	for i, r := range g.Policy {
		rules[i] = policy.Rule{When: r.When, Do: policy.Decision(r.Do), Why: r.Why}
	}
	own, err := policy.Compile(g.Name, rules)
	if err != nil {
		own, err = policy.Compile(g.Name, []policy.Rule{{When: "true", Do: policy.Deny, Why: "the goal's rules can't be read: " + err.Error()}})
		if err != nil {
			panic(err) // a constant condition compiles
		}
	}
	return policy.Combine(all, own)
}

// inlets are the origins of what was put into the goal's text from files.
func inlets(g goals.Goal) []string {
	var out []string
	for _, name := range g.Inlets {
		out = append(out, "param:"+name)
	}
	return out
}
