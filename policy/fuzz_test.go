package policy_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"agentd/policy"
	"agentd/tools/args"
)

func FuzzCommands(f *testing.F) {
	data, err := os.ReadFile("testdata/commands.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if s, ok := strings.CutPrefix(strings.TrimSpace(line), "$ "); ok {
			f.Add(strings.ReplaceAll(s, `\n`, "\n"))
		}
	}
	for _, s := range []string{strings.Repeat("(", 5000), strings.Repeat("$(", 2000), strings.Repeat("{a,b}", 30), strings.Repeat("sudo ", 500), strings.Repeat("eval 'x' ", 400), "alias a=a; a", "alias a='a a' b='a b'; b"} {
		f.Add(s)
	}
	r, err := policy.Parse("r", []byte("- {when: 'any(cmds, .dynamic)', do: ask}\n- {when: 'true', do: allow}\n"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line string) {
		start := time.Now()
		cmds := policy.Commands(line)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%d bytes took %v", len(line), took)
		}
		if len(cmds) > 300 {
			t.Errorf("%d commands", len(cmds))
		}
		for _, c := range cmds {
			if len(c.Wrapped) > 20 {
				t.Errorf("nested %d deep", len(c.Wrapped))
			}
		}
		if v := r.Decide(policy.Call{Args: args.Shell{Command: line}}); v.Do == policy.Deny {
			t.Errorf("%q: %+v", line, v)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"- {when: 'tool == \"shell\"', do: ask, why: x}", "- when: |\n    true\n  do: deny", "- when: &a true\n  do: *a", "[{when: true, do: ask}]", "? a\n: b", "- {when: 'all(cmds, {.name == \"x\"}) && 1/2 > 3', do: allow}"} {
		f.Add(s)
	}
	call := policy.Call{Args: args.Shell{Command: "ls | sort"}, Effect: "once", Sandboxed: true}
	f.Fuzz(func(t *testing.T, file string) {
		start := time.Now()
		r, err := policy.Parse("f", []byte(file))
		if err != nil {
			return
		}
		v := r.Decide(call)
		if v.Do != policy.Allow && v.Do != policy.Ask && v.Do != policy.Deny {
			t.Errorf("%q: %+v", file, v)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func FuzzCompileRequire(f *testing.F) {
	for _, s := range []string{"a.exit == 0", "a.value / b.value > 1 && b.output matches 'x'", "all(1..9999999, # > 0) && a.ok", "let x = a; x.ok"} {
		f.Add(s)
	}
	l, err := policy.NewLanguage(policy.Names{Probes: []policy.Probe{{Name: "a", Number: true}, {Name: "b", Tests: true, Number: true}}})
	if err != nil {
		f.Fatal(err)
	}
	results := map[string]policy.ProbeResult{"a": {OK: true, Read: true}, "b": {Exit: 1, Read: true, Output: "xyz"}}
	facts := policy.Facts{Results: results, Base: results, Diff: &policy.Diff{}}
	f.Fuzz(func(t *testing.T, src string) {
		start := time.Now()
		c, err := l.Require(src)
		if err != nil {
			return
		}
		if _, err := c.Eval(facts); err == nil && len(c.Uses()) == 0 && !c.Reads("diff") {
			t.Errorf("%q uses nothing", src)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
	})
}
