//go:build linux

package sandbox_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentd/sandbox"
)

// TestHide shows that a box can neither read nor list nor write what is hidden, nor get at it under another name.
func TestHide(t *testing.T) {
	box := open(t)
	if box.Report().Level < sandbox.LevelNamespaces {
		t.Skipf("this machine has the level %s", box.Report().Level)
	}
	ws := t.TempDir()
	for p, text := range map[string]string{"dir/key": "topsecret", "file": "topsecret", "open": "fine"} {
		if err := os.MkdirAll(filepath.Join(ws, filepath.Dir(p)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(ws, p), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("dir/key", filepath.Join(ws, "link")); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	_, err := box.Run(context.Background(), sandbox.Policy{Workspace: ws, Hide: []string{"dir", "file", "gone"}}, sandbox.Command{
		Argv: []string{"bash", "-c", "cat open dir/key file link; ls -A dir; echo x > dir/new; echo x > file; rm -rf dir file; mv dir other; cp -r . /tmp/c; grep -r top /tmp/c; echo end"}, Stdout: &out,
	})
	if err != nil {
		t.Fatal(err)
	}
	if s := out.String(); strings.Contains(s, "topsecret") || !strings.Contains(s, "fine") || !strings.Contains(s, "end") {
		t.Errorf("the box shows:\n%s", s)
	}
	for _, p := range []string{"dir/key", "file"} {
		if data, err := os.ReadFile(filepath.Join(ws, p)); err != nil || string(data) != "topsecret" {
			t.Errorf("%s: %q, %v", p, data, err)
		}
	}
	if _, err := box.Run(context.Background(), sandbox.Policy{Workspace: ws, Hide: []string{"../x"}}, sandbox.Command{Argv: []string{"true"}}); err == nil {
		t.Error("a path outside of the workspace is taken")
	}
}
