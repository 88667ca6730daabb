package policy_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"agentd/policy"
	"agentd/tools/args"
)

// No composition of layers allows what one of them denies, none turns an organisation's ask, and a goal's rules, granted or not, only ever answer what the
// user's layer would have asked.
func TestLayersOnlyNarrow(t *testing.T) {
	conds := []string{`true`, `tool == "shell"`, `egress`, `tainted`, `any(cmds, .name == "git")`, `any(cmds, .name == "rm")`, `effect == "once"`, `1 / shell.timeout > 1`, `glob(shell.command, "[")`}
	calls := []policy.Call{}
	for _, line := range []string{"git push", "rm -rf x", "ls", "sudo git pull"} {
		for _, b := range []bool{false, true} {
			calls = append(calls, policy.Call{Args: args.Shell{Command: line}, Effect: "once", Egress: b, Tainted: !b, Sandboxed: true},
				policy.Call{Args: args.Shell{Command: line}, Effect: "once", Egress: b, Tainted: b, Sandboxed: true})
		}
	}
	r := rand.New(rand.NewPCG(3, 7))
	dos := []policy.Decision{policy.Allow, policy.Ask, policy.Deny}
	random := func() []policy.Rule {
		rules := make([]policy.Rule, 1+r.IntN(4))
		for i := range rules {
			rules[i] = policy.Rule{When: conds[r.IntN(len(conds))], Do: dos[r.IntN(3)]}
		}
		return rules
	}
	file := func(name string, rules []policy.Rule) *policy.Rules {
		var b strings.Builder
		for _, x := range rules {
			fmt.Fprintf(&b, "- {when: '%s', do: %s}\n", x.When, x.Do)
		}
		p, err := policy.Parse(name, []byte(b.String()))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	alone := func(p *policy.Rules, c policy.Call) policy.LayerVerdict { return p.Explain(c).Layers[0] }
	for range 200 {
		user, org, goalRules := file("user", random()), file("org", random()), random()
		goal, err := policy.Compile("goal", goalRules)
		if err != nil {
			t.Fatal(err)
		}
		all := policy.Combine(user, org, goal)
		for _, c := range calls {
			got := all.Decide(c).Do
			u, o, g := alone(user, c), alone(org, c), alone(goal, c)
			switch {
			case (u.Do == policy.Deny || o.Do == policy.Deny || g.Do == policy.Deny) && got != policy.Deny:
				t.Fatalf("%+v: user %v, org %v, goal %v: got %v", c, u.Do, o.Do, g.Do, got)
			case (o.Do == policy.Ask || g.Do == policy.Ask) && got == policy.Allow:
				t.Fatalf("%+v: org %v, goal %v: got %v", c, o.Do, g.Do, got)
			case got == policy.Allow && u.Do != policy.Allow && g.Do != policy.Allow:
				t.Fatalf("%+v: user %v, goal %v: got %v", c, u.Do, g.Do, got)
			}
			if without := policy.Combine(user, org).Decide(c).Do; without == policy.Deny && got != policy.Deny {
				t.Fatalf("%+v: a goal turned a denial into %v", c, got)
			}
			if x := all.Explain(c); x.Do != got {
				t.Fatalf("explain says %v, decide %v", x.Do, got)
			}
		}
	}
}

func TestParseCases(t *testing.T) {
	got, err := policy.ParseCases("c.yaml", []byte("- {call: {tool: shell, command: 'rm x'}, want: allow}\n- name: leaves\n  call: {tool: write, path: a, content: b}\n  egress: true\n  want: ask\n"))
	if err != nil || len(got) != 2 || got[0].Call.Effect != "once" || got[1].Name != "leaves" || !got[1].Call.Egress || got[1].Line != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	for src, want := range map[string]string{
		"- {call: {tool: shell, comand: 'rm x'}, want: allow}": `no argument "comand"`,
		"- {call: {tool: shel, command: 'rm x'}, want: allow}": `did you mean "shell"?`,
		"- {call: {tool: shell, command: x}, want: alow}":      `did you mean "allow"?`,
		"- {call: {tool: shell, command: x}, wnat: allow}":     `unknown field "wnat"`,
		"a: 1": "must be a list",
		"- 1":  "c.yaml:1",
	} {
		if _, err := policy.ParseCases("c.yaml", []byte(src)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", src, err, want)
		}
	}
}
