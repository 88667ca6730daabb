package acceptance_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentd/acceptance"
	"agentd/goals"
	"agentd/sandbox"
	"agentd/sandbox/boxtest"
	"agentd/workspace"
)

// TestMeasureInBoxes measures in real boxes, as the daemon does.
func TestMeasureInBoxes(t *testing.T) {
	box, err := sandbox.Open(sandbox.Options{Init: boxtest.Init(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	ws := workdir(t)
	cache := t.TempDir()
	if err := os.WriteFile(filepath.Join(cache, "poison"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	base := sandbox.Policy{Workspace: ws, Caches: map[string]string{cache: "/cache/run"}, Protect: []string{"in.txt"}}
	m := &acceptance.Measurer{Box: box, Scratch: t.TempDir()}
	got, err := m.Measure(t.Context(), base, []goals.Probe{
		{Name: "writes", Cmd: "echo changed > in.txt && mkdir -p sub && touch sub/x && cat in.txt"},
		{Name: "fresh", Cmd: "cat in.txt; ls -A /cache/run /tmp ~; touch /cache/run/mine && echo writable"},
		{Name: "offline", Cmd: "exec 3<>/dev/tcp/127.0.0.1/1 || echo refused; ls /sys/class/net 2>/dev/null | grep -v '^lo$'; true"},
		{Name: "killed", Cmd: "sleep 60", Timeout: 1e9},
	})
	if errors.Is(err, sandbox.ErrUnavailable) {
		t.Skipf("no sandbox here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if r := got[0]; !r.OK() || r.Output != "changed\n" || r.Level < sandbox.LevelLandlock {
		t.Errorf("writes: %+v", r)
	}
	if r := got[1]; !r.OK() || !strings.HasPrefix(r.Output, "hello\n") || strings.Contains(r.Output, "poison") || !strings.HasSuffix(r.Output, "writable\n") {
		t.Errorf("fresh: %+v", r)
	}
	if r := got[2]; !strings.Contains(r.Output, "refused") || strings.Contains(r.Output, "eth") {
		t.Errorf("offline: %+v", r)
	}
	if r := got[3]; r.OK() || r.Killed == "" || r.Exit == 0 {
		t.Errorf("killed: %+v", r)
	}

	m.Copy = workspace.Options{MaxBytes: 1}
	got, err = m.Measure(t.Context(), base, []goals.Probe{{Name: "view", Cmd: "cat in.txt; touch new || echo read-only"}})
	if err != nil {
		t.Fatal(err)
	}
	if r := got[0]; !strings.HasSuffix(r.Output, "read-only\n") || r.Note == "" {
		t.Errorf("view: %+v", r)
	}
	entries, _ := os.ReadDir(ws)
	if b, _ := os.ReadFile(filepath.Join(ws, "in.txt")); string(b) != "hello\n" || len(entries) != 1 {
		t.Errorf("a probe changed the workspace: %q, %v", b, entries)
	}
	if left, _ := os.ReadDir(m.Scratch); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
