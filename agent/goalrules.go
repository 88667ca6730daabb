package agent

import (
	"fmt"

	"agentd/goals"
	"agentd/journal"
	"agentd/policy"
	"agentd/tools"
	"agentd/tools/args"
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

// approved reports whether the user's or the organisation's approve_if answers an ask that nobody can answer. What asks for another reason than a rule
// of policy, such as a tool that has changed, waits for a person.
func (d *driver) approved(s *journal.State, c policy.Call, v policy.Verdict) bool {
	if s.Start.Attended {
		return false
	}
	if _, ok := c.Args.(args.Network); ok && len(c.Origins) > 0 {
		return false // no condition opens a host that untrusted content may have named
	}
	_, ok := d.rules.Approved(c)
	return ok && v.Do == policy.Ask && v.Rule != ruleChanged
}

// beyond says why a call may not be made whoever allows it: it would open a host beyond the organisation's ceiling.
func (d *driver) beyond(m move) string {
	a, ok := m.args.(args.Network)
	if !ok || d.cfg.Ceiling == nil {
		return ""
	}
	rule, err := tools.NetworkRule(a.Host)
	if err != nil {
		return ""
	}
	if layer := d.cfg.Ceiling(rule); layer != "" {
		return fmt.Sprintf("Denied: %s is beyond the ceiling that %s sets, and nobody can open it.", rule, layer)
	}
	return ""
}

// inlets are the origins of what was put into the goal's text from files.
func inlets(g goals.Goal) []string {
	var out []string
	for _, name := range g.Inlets {
		out = append(out, "param:"+name)
	}
	return out
}
