//go:build linux

package sandbox_test

import (
	"encoding/json"
	"errors"
	"os/exec"
	"testing"

	"agentd/sandbox"
)

func TestReport(t *testing.T) {
	r := open(t).Report()
	if r.Backend == "" || r.Kernel == "" || r.Level == 0 {
		t.Errorf("got %+v", r)
	}
	if err := exec.Command("unshare", "-U", "-r", "true").Run(); err == nil && r.Backend != "native" {
		t.Errorf("user namespaces can be made, but the backend is %s: %s", r.Backend, r.Fix)
	}
	seen := map[string]bool{}
	for _, g := range r.Guarantees {
		if seen[g.Name] {
			t.Errorf("%s is named twice", g.Name)
		}
		seen[g.Name] = true
		if g.State == "enforced" && g.By == "" || g.State != "enforced" && g.Reason == "" {
			t.Errorf("%+v: want what enforces it, or why nothing does", g)
		}
	}
	for _, name := range []string{"fs", "net", "pid", "memory", "procs", "cpu", "disk", "output", "syscalls", "ids"} {
		if !seen[name] {
			t.Errorf("nothing is said about %s", name)
		}
	}
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", text)
}

// TestBackground opens a Box without waiting for what the machine can do.
func TestBackground(t *testing.T) {
	o := options(t)
	o.Background = true
	b, err := sandbox.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	p := sandbox.Policy{Workspace: t.TempDir()}
	b.Prepare(p)
	if out, res := run(t, b, p, "echo ran"); out != "ran\n" || res.Level != b.Report().Level {
		t.Errorf("got %q %+v", out, res)
	}
	o.Backend = "none"
	refused, err := sandbox.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer refused.Close()
	if _, err := refused.Run(t.Context(), p, sandbox.Command{Argv: []string{"true"}}); !errors.Is(err, sandbox.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
	if r := refused.Report(); r.Level != sandbox.LevelNone || r.Fix == "" {
		t.Errorf("got %+v", r)
	}
}
