package acceptance_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"agentd/acceptance"
	"agentd/goals"
	"agentd/sandbox"
)

// plain runs commands without a box: what boxes do is the sandbox's own suite.
type plain struct{}

func (plain) Run(ctx context.Context, p sandbox.Policy, c sandbox.Command) (sandbox.Result, error) {
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = p.Workspace, c.Stdin, c.Stdout, c.Stdout
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return sandbox.Result{}, err
	}
	return sandbox.Result{Exit: cmd.ProcessState.ExitCode(), Level: sandbox.LevelNone}, nil
}

func TestTry(t *testing.T) {
	ws := t.TempDir()
	for name, text := range map[string]string{"total.txt": "42\n", "run.sh": "echo ok\n", "kept.txt": "1"} {
		if err := os.WriteFile(filepath.Join(ws, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	g, err := goals.Parse("x.goal.md", []byte(`---
scope: {protect: [kept.txt]}
accept:
  probes:
    total: {cmd: cat total.txt, parse: int}
    runs: {cmd: bash run.sh}
    there: {cmd: ls}
    done: {cmd: test -e done}
  require: [total.value == 42, runs.exit == 0, there.exit == 0, done.exit == 0]
---
x
`))
	if err != nil {
		t.Fatal(err)
	}
	m := acceptance.Measurer{Box: plain{}, Scratch: t.TempDir()}
	trials, err := m.Try(t.Context(), sandbox.Policy{Workspace: ws}, g)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		holds, blind bool
		notices      string
	}{{true, false, "delete a file total.txt"}, {true, false, "break the build run.sh"}, {true, true, ""}, {false, false, ""}} {
		tr := trials[i]
		var notices []string
		for _, d := range tr.Notices {
			notices = append(notices, d.Way+" "+d.Path)
			if d.Path == "kept.txt" {
				t.Errorf("a protected file was broken: %+v", d)
			}
		}
		if tr.Holds != want.holds || tr.Blind() != want.blind || !strings.Contains(strings.Join(notices, "; "), want.notices) {
			t.Errorf("%s: holds %v, blind %v, notices %v; want %+v", tr.Condition, tr.Holds, tr.Blind(), notices, want)
		}
	}
	if b, err := os.ReadFile(filepath.Join(ws, "total.txt")); err != nil || string(b) != "42\n" {
		t.Errorf("the workspace itself was broken: %q, %v", b, err)
	}
	if left, err := os.ReadDir(m.Scratch); err != nil || len(left) > 0 {
		t.Errorf("copies left: %v, %v", left, err)
	}
}
