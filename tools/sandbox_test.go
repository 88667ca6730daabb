package tools_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentd/sandbox"
	"agentd/sandbox/boxtest"
	"agentd/tools"
)

// boxed is a workspace whose commands run in a real box.
func boxed(t *testing.T, files map[string]string) (tools.Env, string) {
	t.Helper()
	box, err := sandbox.Open(sandbox.Options{Init: boxtest.Init(t)})
	if errors.Is(err, sandbox.ErrUnavailable) {
		t.Skipf("no sandbox on this machine: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	})
	env, dir := workspace(t, files)
	env.Box = box
	return env, dir
}

func TestShellInABox(t *testing.T) {
	env, dir := boxed(t, map[string]string{"a.txt": "1\n"})
	r := call(t, env, "shell", map[string]any{"command": "pwd; cat a.txt; echo 2 > b.txt; ls /root 2>&1; ls /proc/self/fd | wc -l; exit 4"})
	if r.Exit != 4 || r.OK || !strings.HasPrefix(text(r), "/workspace\n1\n") {
		t.Errorf("got %+v\n%s", r, text(r))
	}
	if r.Level != "namespaces" && r.Level != "landlock" {
		t.Errorf("level %q", r.Level)
	}
	if got := slurp(t, dir, "b.txt"); got != "2\n" {
		t.Errorf("b.txt is %q", got)
	}
	// what a command made, the file tools can change, under the paths that the command saw
	if r := call(t, env, "edit", map[string]any{"path": "/workspace/b.txt", "old": "2", "new": "3"}); !r.OK {
		t.Errorf("edit: %s", text(r))
	}
	if r := call(t, env, "shell", map[string]any{"command": "echo 4 >> b.txt && cat b.txt"}); text(r) != "3\n4\n" {
		t.Errorf("got %q", text(r))
	}
}

func TestLimitsInABox(t *testing.T) {
	env, _ := boxed(t, nil)
	r := call(t, env, "shell", map[string]any{"command": "echo start; sleep 60", "timeout": 1})
	if r.OK || r.Killed == "" || !strings.HasPrefix(text(r), "start\n") {
		t.Errorf("got %+v %q", r, text(r))
	}
	t.Logf("killed: %s", r.Killed)
}

func TestCodeInABox(t *testing.T) {
	env, dir := boxed(t, map[string]string{"mod.py": "x = 7\n", "lib.js": "exports.y = 8\n"})
	for _, tc := range []struct{ lang, source, stdin, want string }{
		{"bash", "read x; echo \"$x\" $#; cat", "in\nmore\n", "in 0\nmore\n"},
		{"python", "import sys, mod\nopen('out.txt', 'w').write(str(mod.x))\nprint(sys.stdin.read())", "in", "in\n"},
		{"node", "console.log(require('./lib').y)", "", "8\n"},
	} {
		t.Run(tc.lang, func(t *testing.T) {
			r := call(t, env, "code", map[string]any{"language": tc.lang, "source": tc.source, "stdin": tc.stdin})
			if r.Exit == 127 && strings.Contains(text(r), "not installed") {
				t.Skip(text(r))
			}
			if !r.OK || text(r) != tc.want {
				t.Errorf("got %+v %q, want %q", r, text(r), tc.want)
			}
		})
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if n := e.Name(); n != "mod.py" && n != "lib.js" && n != "out.txt" {
			t.Errorf("%s is left in the workspace", filepath.Join(dir, n))
		}
	}
}
