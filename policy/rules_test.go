package policy_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"agentd/policy"
	"agentd/tools/args"
)

func shellCall(cmd string) policy.Call {
	return policy.Call{Args: args.Shell{Command: cmd}, Effect: "once", Sandboxed: true, Workspace: "/home/u/ws"}
}

func parse(t testing.TB, rules string) *policy.Rules {
	t.Helper()
	r, err := policy.Parse("rules.yaml", []byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDefault(t *testing.T) {
	r := policy.Default()
	for _, tc := range []struct {
		name string
		call policy.Call
		want policy.Decision
	}{
		{"confined shell", shellCall("rm -rf build"), policy.Allow},
		{"shell with a way out", policy.Call{Args: args.Shell{Command: "curl x"}, Effect: "once", Egress: true, Sandboxed: true}, policy.Ask},
		{"unconfined shell", policy.Call{Args: args.Shell{Command: "ls"}, Effect: "once"}, policy.Ask},
		{"confined code", policy.Call{Args: args.Code{Language: "python", Source: "1"}, Effect: "once", Sandboxed: true}, policy.Allow},
		{"read", policy.Call{Args: args.ReadFile{Path: "a"}, Effect: "read", Sandboxed: true}, policy.Allow},
		{"write", policy.Call{Args: args.WriteFile{Path: "a"}, Effect: "idempotent", Sandboxed: true}, policy.Allow},
		{"edit", policy.Call{Args: args.EditFile{Path: "a"}, Effect: "once", Sandboxed: true}, policy.Allow},
		{"finish", policy.Call{Args: args.Finish{Result: "x"}, Effect: "read"}, policy.Allow},
		{"nothing", policy.Call{}, policy.Deny},
		{"unknown arguments", policy.Call{Args: other{}, Effect: "read", Sandboxed: true}, policy.Deny},
	} {
		if v := r.Decide(tc.call); v.Do != tc.want || v.Rule == "" || v.Why == "" {
			t.Errorf("%s: got %+v, want %s", tc.name, v, tc.want)
		}
	}
	if v := new(policy.Rules).Decide(shellCall("ls")); v.Do != policy.Ask {
		t.Errorf("no rules at all: %+v", v)
	}
}

type other struct{}

func (other) Tool() string { return "other" }

func TestRulesSeeCommandsAndArguments(t *testing.T) {
	for _, tc := range []struct {
		when  string
		call  policy.Call
		holds bool
	}{
		{`tool == "shell" && all(cmds, .name in ["git", "go"])`, shellCall("git status && go test ./..."), true},
		{`tool == "shell" && all(cmds, .name in ["git", "go"])`, shellCall("git status; rm x"), false},
		{`tool == "shell" && all(cmds, .name in ["git", "go"])`, shellCall("git status $(rm x)"), false},
		{`any(cmds, .name == "rm")`, shellCall(`sudo env sh -c "r\m -rf /"`), true},
		{`any(cmds, .dynamic)`, shellCall("echo cm0gLXJmIC8= | base64 -d | sh"), true},
		{`any(cmds, .dynamic)`, shellCall("wc -l *.txt | sort"), false},
		{`any(cmds, any(.args, any(["-f", "--force"], # == "-f")))`, shellCall("git push -f"), true},
		{`any(cmds, "sudo" in .wrapped)`, shellCall("sudo ls"), true},
		{`any(cmds, any(.redirects, .op startsWith ">" && not under(.path, ".")))`, shellCall("echo x > /etc/y"), true},
		{`any(cmds, any(.redirects, .op startsWith ">" && not under(.path, ".")))`, shellCall("echo x > /workspace/y"), false},
		{`any(cmds, .name == "curl" && any(.args, # startsWith "http" && host(#) == "evil.example"))`, shellCall("curl https://EVIL.example:443/x"), true},
		{`any(cmds, .name == "ls")`, policy.Call{Args: args.Code{Language: "bash", Source: "ls"}}, true},
		{`any(cmds, .dynamic)`, policy.Call{Args: args.Code{Language: "python", Source: "ls"}}, true},
		{`write.path startsWith "docs/"`, policy.Call{Args: args.WriteFile{Path: "./x/../docs/y"}}, true},
		{`path == "docs/y"`, policy.Call{Args: args.EditFile{Path: "/workspace/docs/y"}}, true},
		{`under(path, "docs")`, policy.Call{Args: args.ReadFile{Path: "/ws/docs/a"}, Workspace: "/ws"}, true},
		{`under(path, "docs")`, policy.Call{Args: args.ReadFile{Path: "docs2/a"}}, false},
		{`under(path, "docs")`, policy.Call{Args: args.ReadFile{Path: "docs/../a"}}, false},
		{`glob(write.path, "**/*_test.go")`, policy.Call{Args: args.WriteFile{Path: "a/b_test.go"}}, true},
		{`goal == "g" && effect == "once" && tainted`, policy.Call{Args: args.Finish{}, Goal: "g", Effect: "once", Tainted: true}, true},
		{`search.pattern matches "secret|key"`, policy.Call{Args: args.Search{Pattern: "my key"}}, true},
		{`shell.timeout > 60`, policy.Call{Args: args.Shell{Command: "x", Timeout: 61}}, true},
	} {
		r := parse(t, fmt.Sprintf("- when: |-\n    %s\n  do: allow\n", tc.when))
		if v := r.Decide(tc.call); (v.Do == policy.Allow) != tc.holds || v.Do == policy.Deny {
			t.Errorf("%s: got %+v, want it to hold: %v", tc.when, v, tc.holds)
		}
	}
}

func TestRuleErrorsDeny(t *testing.T) {
	for _, when := range []string{
		`host(shell.command) == "x"`,
		`1 / shell.timeout > 1`,
		`1 % shell.timeout > 1`,
		`cmds[7].name == "x"`,
		`glob(shell.command, "[")`,
		`shell.command matches "(" + shell.command`,
		`int(shell.command) > 1`,
	} {
		r := parse(t, "- {when: '"+when+"', do: allow}\n- {when: true, do: allow}\n")
		if v := r.Decide(shellCall("ls")); v.Do != policy.Deny || v.Rule != policy.RuleError || !strings.Contains(v.Why, "rules.yaml:1") {
			t.Errorf("%s: got %+v", when, v)
		}
	}
}

func TestParseFaults(t *testing.T) {
	for _, tc := range []struct{ file, want string }{
		{"- when: 'shell.comand == \"x\"'\n  do: ask", `rules.yaml:1:16: unknown field "comand": did you mean "command"?`},
		{"- when: under(write.pth, \"src\")\n  do: ask", `rules.yaml:1:21: unknown field "pth": did you mean "path"?`},
		{"- when: any(cmds, glob(.nam, \"x\"))\n  do: ask", `unknown field "nam"`},
		{"- when: tol == \"shell\"\n  do: ask", `rules.yaml:1:9: unknown name "tol": did you mean "tool"?`},
		{"- when: true\n  do: ask\n- {when: 'any(cmds, .nam == \"rm\")', do: deny}", `rules.yaml:3:22: unknown field "nam": did you mean "name"?`},
		{"- when: |\n    tool == \"shell\" &&\n    efect == \"once\"\n  do: ask", `rules.yaml:3:5: unknown name "efect": did you mean "effect"?`},
		{"- wen: true\n  do: ask", `rules.yaml:1:3: unknown key "wen": did you mean "when"?`},
		{"- when: true\n  do: alow", `rules.yaml:2:7: do is "alow": did you mean "allow"?`},
		{"- when: true", `no "do"`},
		{"- do: ask", `no "when"`},
		{"- when: tool\n  do: ask", "expected bool, but got string"},
		{"- when: 1\n  do: ask", "when must be text"},
		{"- when: true\n  when: true\n  do: ask", ""},
		{"when: true\ndo: ask", "must be a list"},
		{"- just text", "must have the keys"},
		{"- when: [true]\n  do: ask", "when must be text"},
		{"- {when: 'true', do: ask", "rules.yaml:"},
		{"- {when: 'now() > now()', do: ask}", `unknown name "now"`},
		{"- {when: 'len(repeat(\"a\", 9)) > 1', do: ask}", `unknown name "repeat"`},
		{"- {when: '$env.tool == \"x\"', do: ask}", "$env"},
		{"- {when: 'cmds[shell.timeout].name == \"x\"', do: ask}", "index"},
		{"- {when: 'all(1..1000000, # > 0)', do: ask}", "range"},
		{"- {when: 'any(cmds, any(cmds, any(cmds, any(cmds, .dynamic))))', do: ask}", "more than 3 loops"},
		{"- {when: 'true', do: ask}\n---\n- {when: true, do: ask}", "more than one document"},
		{"\x00", "not text"},
		{strings.Repeat("- {when: true, do: ask}\n", 501), "more than 500"},
		{strings.Repeat("#", 300<<10), "more than 262144"},
	} {
		_, err := policy.Parse("rules.yaml", []byte(tc.file))
		var e *policy.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%.60q: got %v, want %s", tc.file, err, tc.want)
		}
	}
	for _, empty := range []string{"", "# nothing\n", "[]", "null"} {
		if v := parse(t, empty).Decide(shellCall("ls")); v.Do != policy.Ask {
			t.Errorf("%q: %+v", empty, v)
		}
	}
}

func TestCombine(t *testing.T) {
	org := parse(t, "- {when: 'any(cmds, .name == \"curl\")', do: deny, why: no curl}\n- {when: 'effect == \"once\"', do: allow}\n")
	goal := parse(t, "- {when: 'any(cmds, .name == \"git\")', do: ask}\n- {when: true, do: allow}\n")
	r := policy.Combine(org, nil, goal)
	for cmd, want := range map[string]policy.Decision{"ls": policy.Allow, "git push": policy.Ask, "curl x": policy.Deny, "git x; curl x": policy.Deny} {
		if v := r.Decide(shellCall(cmd)); v.Do != want {
			t.Errorf("%s: %+v, want %s", cmd, v, want)
		}
	}
	// what the first layer has no rule for is asked about, whatever a later one says
	if v := r.Decide(policy.Call{Args: args.ReadFile{Path: "x"}, Effect: "read"}); v.Do != policy.Ask || v.Rule != policy.RuleNone {
		t.Errorf("got %+v", v)
	}
	x := r.Explain(shellCall("git x; curl x"))
	if x.Layer != "rules.yaml" || x.Line != 1 || x.Why != "no curl" || len(x.Layers) != 2 || len(x.Commands) != 2 {
		t.Errorf("explained as %+v", x)
	}
}

// No composition allows what one layer denies, asks less than the first layer does, or depends on the order of later layers.
func TestCombineOnlyNarrows(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	conds := []string{`effect == "once"`, `tool == "shell"`, `egress`, `any(cmds, .name == "rm")`, `true`, `1 / shell.timeout > 0`, `tainted`}
	do := []string{"allow", "ask", "deny"}
	rank := map[policy.Decision]int{policy.Allow: 0, policy.Ask: 1, policy.Deny: 2}
	for range 300 {
		var layers []*policy.Rules
		for range 1 + rng.IntN(4) {
			var b strings.Builder
			for range rng.IntN(4) {
				fmt.Fprintf(&b, "- {when: '%s', do: %s}\n", conds[rng.IntN(len(conds))], do[rng.IntN(3)])
			}
			layers = append(layers, parse(t, b.String()))
		}
		call := shellCall([]string{"ls", "rm x"}[rng.IntN(2)])
		call.Egress, call.Tainted = rng.IntN(2) == 0, rng.IntN(2) == 0
		got := policy.Combine(layers...).Decide(call)
		if rank[got.Do] < rank[layers[0].Decide(call).Do] {
			t.Fatalf("a later layer widened the first: %+v", got)
		}
		for _, l := range layers {
			if l.Decide(call).Do == policy.Deny && got.Do != policy.Deny {
				t.Fatalf("a denial was lost: %+v", got)
			}
		}
		if again := policy.Combine(append([]*policy.Rules{layers[0]}, policy.Combine(layers[1:]...))...).Decide(call); again.Do != got.Do {
			t.Fatalf("nested layers say %s, flat ones %s", again.Do, got.Do)
		}
		if x := policy.Combine(layers...).Explain(call); x.Do != got.Do {
			t.Fatalf("Explain says %s, Decide %s", x.Do, got.Do)
		}
	}
}

func TestDecideConcurrently(t *testing.T) {
	r := policy.Combine(policy.Default(), parse(t, "- {when: 'any(cmds, .name == \"rm\")', do: deny}\n"))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				if v := r.Decide(shellCall("ls; rm x")); v.Do != policy.Deny {
					t.Errorf("got %+v", v)
				}
				if v := r.Decide(shellCall("ls")); v.Do != policy.Allow {
					t.Errorf("got %+v", v)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkDecide(b *testing.B) {
	goal := parse(b, `
- {when: 'tool == "shell" && any(cmds, .name in ["curl", "wget", "nc"])', do: deny}
- {when: 'tool == "write" && not under(write.path, "src")', do: ask}
- {when: 'any(cmds, .dynamic)', do: ask}
`)
	for name, r := range map[string]*policy.Rules{"default": policy.Default(), "layers": policy.Combine(policy.Default(), goal)} {
		c := shellCall("cd src && go test ./... 2>&1 | tail -n 20 > ../out.txt")
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.Decide(c)
			}
		})
	}
}
