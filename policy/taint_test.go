package policy_test

import (
	"strings"
	"testing"

	"agentd/policy"
	"agentd/tools/args"
)

// TestTaintAsks checks that nothing leaves the sandbox unasked once untrusted content was read, unless a rule of the most authoritative
// layer that decides has looked at that.
func TestTaintAsks(t *testing.T) {
	web := []string{"web:evil.example"}
	call := func(egress, boxed bool, effect string, origins ...string) policy.Call {
		return policy.Call{Args: args.Shell{Command: "curl x"}, Effect: effect, Egress: egress, Sandboxed: boxed, Origins: origins}
	}
	open := `- {when: 'tool == "shell"', do: allow, why: it is fine}`
	aware := `- {when: 'tool == "shell" && all(origins, # == "web:evil.example")', do: allow, why: I know}`
	for _, tc := range []struct {
		name  string
		rules []string
		call  policy.Call
		want  policy.Decision
		rule  string
	}{
		{"a rule allows it", []string{open}, call(true, true, "once"), policy.Allow, ""},
		{"the same after a page", []string{open}, call(true, true, "once", web...), policy.Ask, policy.RuleTaint},
		{"reading out of the box", []string{open}, call(true, true, "read", web...), policy.Ask, policy.RuleTaint},
		{"outside a box", []string{open}, call(false, false, "once", web...), policy.Ask, policy.RuleTaint},
		{"reading outside a box", []string{open}, call(false, false, "read", web...), policy.Allow, ""},
		{"confined", []string{open}, call(false, true, "once", web...), policy.Allow, ""},
		{"a rule that looks", []string{aware}, call(true, true, "once", web...), policy.Allow, ""},
		{"a rule that looks, another origin", []string{aware, open}, call(true, true, "once", "web:evil.example", "mcp:x"), policy.Ask, policy.RuleNone},
		{"a later layer can't lift it", []string{open, aware}, call(true, true, "once", web...), policy.Ask, policy.RuleTaint},
		{"a later layer can deny", []string{aware, `- {when: tainted, do: deny, why: never}`}, call(true, true, "once", web...), policy.Deny, "tainted"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var layers []*policy.Rules
			for _, r := range tc.rules {
				layers = append(layers, parse(t, r))
			}
			v := policy.Combine(layers...).Decide(tc.call)
			if v.Do != tc.want || tc.rule != "" && v.Rule != tc.rule {
				t.Errorf("got %+v, want %s by %q", v, tc.want, tc.rule)
			}
			if v.Rule == policy.RuleTaint && !strings.Contains(v.Why, "web:evil.example") {
				t.Errorf("it does not say what was read: %q", v.Why)
			}
		})
	}
}
