package policy_test

import (
	"testing"

	"agentd/policy"
	"agentd/tools/args"
)

// Approvals answer asks alone, never denials, need the organisation's word for the organisation's asks, and a look at the origins after untrusted content.
func TestApproved(t *testing.T) {
	parse := func(name, text string) *policy.Rules {
		r, err := policy.Parse(name, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	user := parse("user", "- {when: 'any(cmds, .name == \"rm\")', do: deny}\n- {when: 'true', do: ask}\n")
	org := parse("org", "- {when: 'any(cmds, .name == \"git\")', do: ask}\n")
	goal, err := policy.Compile("goal", []policy.Rule{{When: `any(cmds, .name == "make")`, Do: policy.Deny}})
	if err != nil {
		t.Fatal(err)
	}
	git := `any(cmds, .name in ["git", "curl", "rm", "make"])`
	for _, c := range []struct {
		name, command  string
		user, org      []string
		egress, origin bool
		want           bool
	}{
		{"the user's ask", "curl x", []string{git}, nil, false, false, true},
		{"no condition holds", "ls", []string{git}, nil, false, false, false},
		{"no conditions", "curl x", nil, nil, false, false, false},
		{"the organisation's ask, the user's word", "git push", []string{git}, nil, false, false, false},
		{"the organisation's ask and word", "git push", nil, []string{git}, false, false, true},
		{"a denial", "rm x", []string{git}, []string{git}, false, false, false},
		{"a goal's denial", "make", []string{git}, []string{git}, false, false, false},
		{"after untrusted content", "curl x", []string{git}, nil, true, true, false},
		{"after a look at it", "curl x", []string{`all(origins, # == "web:a")`}, nil, true, true, true},
		{"a fault", "curl x", []string{`1 / shell.timeout > 1`}, nil, false, false, false},
	} {
		rules, err := policy.Combine(user, org).Approve(c.user, c.org)
		if err != nil {
			t.Fatal(err)
		}
		call := policy.Call{Args: args.Shell{Command: c.command}, Effect: "once", Egress: c.egress, Sandboxed: true}
		if c.origin {
			call.Origins = []string{"web:a"}
		}
		if by, got := policy.Combine(rules, goal).Approved(call); got != c.want {
			t.Errorf("%s: got %v by %q", c.name, got, by)
		}
	}
	if _, err := user.Approve([]string{"tol == 1"}, nil); err == nil {
		t.Error("a condition that does not compile is taken")
	}
}
