package workspace_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agentd/workspace"
)

// TestChangedSince runs scripts on a tree and wants the paths that they touched, however they hide it.
func TestChangedSince(t *testing.T) {
	for _, tc := range []struct {
		name, script string
		moved        bool
		want         string
	}{
		{"nothing", "true", false, ""},
		{"a file", "echo x > a", false, "a"},
		{"times set back", "echo x > a; touch -d 2001-01-01 a", false, "a"},
		{"a mode", "chmod 600 sub/b", false, "sub/b"},
		{"a rename", "mv a z", false, "z"},
		{"a hard link", "ln a z", false, "a z"},
		{"a symlink", "ln -s /etc/passwd z", false, "z"},
		{"a new folder stands for what is in it", "mkdir -p n/m; echo x > n/m/f; echo x > n/g", false, "n"},
		{"a folder that was moved", "mv sub sub2", true, "sub2"},
		{"git counts as one", "echo x > .git/objects/o", false, ".git"},
		{"a symlink to a folder outside is not followed", "ln -s .. up", false, "up"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, f := range []string{"a", "sub/b", "sub/c", ".git/objects/old"} {
				p := filepath.Join(dir, f)
				if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(p, []byte("old"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(150 * time.Millisecond)
			start := time.Now()
			cmd := exec.Command("bash", "-c", tc.script)
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			root, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			got, err := workspace.ChangedSince(root, start, tc.moved)
			if err != nil || strings.Join(got, " ") != tc.want {
				t.Errorf("got %q, %v; want %q", got, err, tc.want)
			}
		})
	}
}
