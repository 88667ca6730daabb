package tools_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agentd/sandbox"
	"agentd/tools"
	"agentd/tools/args"
)

func TestShell(t *testing.T) {
	env, _ := workspace(t, map[string]string{"a.txt": "one\n"})
	var live bytes.Buffer
	env.Out = &live
	r := call(t, env, "shell", map[string]any{"command": "cat a.txt; echo two >&2; exit 3"})
	if r.OK || r.Exit != 3 || text(r) != "one\ntwo\n" || live.String() != "one\ntwo\n" || r.Level != "none" {
		t.Errorf("got %+v, output %q, live %q", r, text(r), live.String())
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("the terminal is gone") }

func TestShellOutlivesItsViewer(t *testing.T) {
	env, _ := workspace(t, nil)
	env.Out = broken{}
	r := call(t, env, "shell", map[string]any{"command": "for i in 1 2 3; do echo $i; done"})
	if !r.OK || text(r) != "1\n2\n3\n" {
		t.Errorf("got %+v %q", r, text(r))
	}
}

func TestShellBounds(t *testing.T) {
	env, _ := workspace(t, nil)
	var got sandbox.Policy
	env.Box = runner{func(_ context.Context, p sandbox.Policy, c sandbox.Command) (sandbox.Result, error) {
		got = p
		return sandbox.Result{Exit: 137, Killed: sandbox.KilledWall, Usage: sandbox.Usage{Wall: 5 * time.Second}, Level: sandbox.LevelNamespaces}, nil
	}}
	for _, tc := range []struct {
		have time.Duration
		ask  int
		want time.Duration
	}{
		{0, 0, 0}, {0, 30, 30 * time.Second}, {time.Minute, 30, 30 * time.Second}, {time.Minute, 300, time.Minute}, {time.Minute, 0, time.Minute},
	} {
		env.Policy.Limits.Wall = tc.have
		r := call(t, env, "shell", map[string]any{"command": "x", "timeout": tc.ask})
		if got.Limits.Wall != tc.want {
			t.Errorf("policy %v, asked %d s: the box got %v, want %v", tc.have, tc.ask, got.Limits.Wall, tc.want)
		}
		if r.OK || r.Killed != "time limit, after 5s" || r.Level != "namespaces" {
			t.Errorf("got %+v", r)
		}
	}
	for _, bad := range []string{`{"command":"x","timeout":-1}`, `{"command":"x","timeout":4000}`, `{"command":" \n"}`, `{"command":"a\u0000b"}`,
		`{"command":"` + strings.Repeat("x", 130<<10) + `"}`} {
		if _, err := tools.Builtin().Lookup("shell").Decode([]byte(bad)); err == nil {
			t.Errorf("%.40s was accepted", bad)
		}
	}
}

func TestBoxFailureIsAnError(t *testing.T) {
	env, _ := workspace(t, nil)
	boom := errors.New("no user namespaces")
	env.Box = runner{func(context.Context, sandbox.Policy, sandbox.Command) (sandbox.Result, error) {
		return sandbox.Result{}, boom
	}}
	_, err := tools.Builtin().Lookup("shell").Run(t.Context(), env, args.Shell{Command: "ls"})
	if !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	env.Box = nil
	if _, err := tools.Builtin().Lookup("code").Run(t.Context(), env, args.Code{Language: "bash", Source: "ls"}); err == nil {
		t.Error("code ran without a box")
	}
}

func TestCode(t *testing.T) {
	for _, tc := range []struct {
		lang, prog, source, stdin, want string
		exit                            int
	}{
		{"python", "python3", "import sys, mod\nprint(mod.x, sys.stdin.read())", "in", "7 in\n", 0},
		{"python", "python3", "raise SystemExit(4)", "", "", 4},
		{"node", "node", "console.log(require('./m.js').y + require('fs').readFileSync(0))", "in", "8in\n", 0},
		{"bash", "bash", "read x; echo \"$x\" | tr a-z A-Z; ls", "in\n", "IN\nm.js\nmod.py\n", 0},
		{"bash", "bash", "echo 'a\"b' > out.txt; exit 5", "", "", 5},
		{"go", "go", "package main\nimport \"os\"\nfunc main() { println(len(os.Args)); os.Exit(3) }", "", "1\nexit status 3\n", 1},
	} {
		t.Run(tc.lang, func(t *testing.T) {
			if _, err := exec.LookPath(tc.prog); err != nil {
				t.Skipf("%s is not installed", tc.prog)
			}
			env, dir := workspace(t, map[string]string{"mod.py": "x = 7\n", "m.js": "exports.y = 8\n"})
			t.Setenv("TMPDIR", t.TempDir())
			r := call(t, env, "code", map[string]any{"language": tc.lang, "source": tc.source, "stdin": tc.stdin})
			if text(r) != tc.want || r.Exit != tc.exit || r.OK != (tc.exit == 0) {
				t.Errorf("got exit %d, %q; want %d, %q", r.Exit, text(r), tc.exit, tc.want)
			}
			for _, where := range []string{os.Getenv("TMPDIR"), dir} {
				left, err := os.ReadDir(where)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range left {
					switch e.Name() {
					case "mod.py", "m.js", "out.txt":
					default:
						t.Errorf("%s is left behind in %s", e.Name(), where)
					}
				}
			}
		})
	}
}

func TestCodeSaysWhatIsMissing(t *testing.T) {
	env, _ := workspace(t, nil)
	bin := t.TempDir()
	for _, p := range []string{"bash", "mktemp", "cat", "rm"} {
		full, err := exec.LookPath(p)
		if err != nil {
			t.Skipf("%s is not installed", p)
		}
		if err := os.Symlink(full, bin+"/"+p); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	r := call(t, env, "code", map[string]any{"language": "node", "source": "1"})
	if r.Exit != 127 || !strings.Contains(text(r), "node is not installed") {
		t.Errorf("got %d %q", r.Exit, text(r))
	}
}

func TestOutputKeepsHeadTailAndHash(t *testing.T) {
	env, _ := workspace(t, nil)
	r := call(t, env, "shell", map[string]any{"command": "seq 1 100000"})
	if n := r.Output.Len(); n != 588895 {
		t.Errorf("length %d", n)
	}
	if h := r.Output.Head(); !strings.HasPrefix(h, "1\n2\n") || len(h) != tools.DefaultKeep {
		t.Errorf("head has %d bytes", len(h))
	}
	if e := r.Output.Tail(); !strings.HasSuffix(e, "\n100000\n") || len(e) != tools.DefaultKeep {
		t.Errorf("tail has %d bytes", len(e))
	}
	f, err := r.Output.Spilled()
	if err != nil || f == nil {
		t.Fatal(f, err)
	}
	var whole bytes.Buffer
	if _, err := whole.ReadFrom(f); err != nil || whole.Len() != 588895 {
		t.Errorf("spilled %d bytes, %v", whole.Len(), err)
	}
}

func TestOutputSurvivesAFullDisk(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "none"))
	o := tools.NewOutput(10)
	for range 100 {
		if n, err := o.Write([]byte("0123456789")); n != 10 || err != nil {
			t.Fatal(n, err)
		}
	}
	if f, err := o.Spilled(); f != nil || err == nil {
		t.Errorf("spilled: %v, %v; want the reason why not", f, err)
	}
	if o.Len() != 1000 || o.Head() != "0123456789" || o.Tail() != "0123456789" {
		t.Errorf("got %d %q %q", o.Len(), o.Head(), o.Tail())
	}
}
