package sandbox_test

import (
	"encoding/json"
	"os/exec"
	"testing"
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
