package tools_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"agentd/sandbox"
	"agentd/tools"
)

// runner is a Runner made of a function.
type runner struct {
	run func(context.Context, sandbox.Policy, sandbox.Command) (sandbox.Result, error)
}

func (r runner) Run(ctx context.Context, p sandbox.Policy, c sandbox.Command) (sandbox.Result, error) {
	return r.run(ctx, p, c)
}

// host runs commands as plain processes in the workspace, which is enough to see what a tool asks of a box.
func host(ctx context.Context, p sandbox.Policy, c sandbox.Command) (sandbox.Result, error) {
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.Dir = filepath.Join(p.Workspace, c.Dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = c.Stdin, c.Stdout, c.Stderr, c.ExtraFiles
	if c.Stderr == nil {
		cmd.Stderr = c.Stdout
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return sandbox.Result{}, err
	}
	return sandbox.Result{Exit: cmd.ProcessState.ExitCode(), Level: sandbox.LevelNone}, nil
}

// workspace makes a folder with the given files and an environment for calls in it.
func workspace(t testing.TB, files map[string]string) (tools.Env, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return tools.Env{Box: runner{host}, Policy: sandbox.Policy{Workspace: dir}, Root: root, Call: "t.0"}, dir
}

// call decodes and runs one call of a built-in tool.
func call(t testing.TB, env tools.Env, name string, a map[string]any) tools.Result {
	t.Helper()
	raw, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	tool := tools.Builtin().Lookup(name)
	decoded, err := tool.Decode(raw)
	if err != nil {
		t.Fatalf("%s %s: %v", name, raw, err)
	}
	res, err := tool.Run(t.Context(), env, decoded)
	if err != nil {
		t.Fatalf("%s %s: %v", name, raw, err)
	}
	t.Cleanup(func() { res.Output.Close() })
	return res
}

func text(r tools.Result) string { return r.Output.Head() + r.Output.Tail() }

func slurp(t testing.TB, elem ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSpecs(t *testing.T) {
	all := 0
	for _, s := range tools.Builtin().Specs() {
		all += len(s.Name) + len(s.Prompt) + len(s.Schema)
		if s.Prompt == "" || s.Summary == "" || strings.Contains(s.Summary, "\n") || !strings.HasPrefix(s.Fenced.Sample, "Action: "+s.Name) {
			t.Errorf("%s: spec is incomplete: %+v", s.Name, s)
		}
	}
	if all > 2000 {
		t.Errorf("names, descriptions and schemas take %d bytes; the first request has room for 2000", all)
	}
	t.Logf("%d bytes", all)
}
