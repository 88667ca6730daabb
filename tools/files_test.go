package tools_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"agentd/tools"
	"agentd/tools/args"
)

// numbered is lines "line 1" to "line n".
func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "line %d\n", i+1)
	}
	return b.String()
}

func TestRead(t *testing.T) {
	env, dir := workspace(t, map[string]string{
		"short.txt": "a\nb\n", "noend.txt": "a\nb", "long.txt": numbered(1000), "empty": "", "bin": "\x7fELF\x00\x01",
		"wide.txt": strings.Repeat("x", 50_000) + "\nsecond\n", "sub/README.md": "# hi\n",
	})
	for _, tc := range []struct {
		name     string
		args     map[string]any
		ok       bool
		want     string // all of the output, or with … at an end the other end of it
		contains string
	}{
		{"whole", map[string]any{"path": "short.txt"}, true, "a\nb\n", ""},
		{"no newline at the end", map[string]any{"path": "noend.txt"}, true, "a\nb", ""},
		{"first window", map[string]any{"path": "long.txt"}, true, "[lines 1-200 of 1000 in long.txt, 8.7 KB; read on with from=201]\n" + numbered(200), ""},
		{"range", map[string]any{"path": "long.txt", "from": 3, "to": "4"}, true, "[lines 3-4 of 1000 in long.txt, 8.7 KB]\nline 3\nline 4\n", ""},
		{"wide range", map[string]any{"path": "long.txt", "from": 1, "to": 900}, true, "", "lines 1-200 of 1000 in long.txt, 8.7 KB; read on with from=201]"},
		{"last lines", map[string]any{"path": "long.txt", "from": 999}, true, "[lines 999-1000 of 1000 in long.txt, 8.7 KB]\nline 999\nline 1000\n", ""},
		{"behind the end", map[string]any{"path": "long.txt", "from": 2000}, false, "[long.txt has 1000 lines: there is no line 2000]", ""},
		{"empty", map[string]any{"path": "empty"}, true, "[empty is empty]", ""},
		{"binary", map[string]any{"path": "bin"}, false, "", "binary file of 6 B"},
		{"long line", map[string]any{"path": "wide.txt"}, true, "", "line 1 is too long and cut; read on with from=2]"},
		{"second of long", map[string]any{"path": "wide.txt", "from": 2}, true, "", "\nsecond\n"},
		{"missing", map[string]any{"path": "shrt.txt"}, false, "shrt.txt does not exist", ""},
		{"missing, another case", map[string]any{"path": "sub/readme.md"}, false, "sub/readme.md does not exist. There is sub/README.md", ""},
		{"missing folder", map[string]any{"path": "nope/x"}, false, "nope/x does not exist: there is no folder nope", ""},
		{"folder", map[string]any{"path": "sub"}, false, "", "is a folder"},
		{"box path", map[string]any{"path": "/workspace/short.txt"}, true, "a\nb\n", ""},
		{"host path", map[string]any{"path": dir + "/short.txt"}, true, "a\nb\n", ""},
		{"outside", map[string]any{"path": "/etc/passwd"}, false, "", "outside the workspace"},
		{"above", map[string]any{"path": "sub/../../x"}, false, "", "outside the workspace"},
		{"workspace's neighbour", map[string]any{"path": "/workspace2/x"}, false, "", "outside the workspace"},
		{"file as folder", map[string]any{"path": "short.txt/x"}, false, "", "is a file"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := call(t, env, "read", tc.args)
			if r.OK != tc.ok || tc.want != "" && text(r) != tc.want || !strings.Contains(text(r), tc.contains) {
				t.Errorf("got %v, %.300q", r.OK, text(r))
			}
		})
	}
}

func TestReadLargeFileByRangeOnly(t *testing.T) {
	env, dir := workspace(t, nil)
	f, err := os.Create(filepath.Join(dir, "big.log"))
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("y", 99) + "\n"
	for range 120 {
		if _, err := f.WriteString(strings.Repeat(line, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	f.Close()
	if r := call(t, env, "read", map[string]any{"path": "big.log"}); r.OK || !strings.Contains(text(r), "read a range") {
		t.Errorf("got %q", text(r))
	}
	r := call(t, env, "read", map[string]any{"path": "big.log", "from": 119999, "to": 120000})
	if !r.OK || !strings.HasSuffix(text(r), "]\n"+line+line) {
		t.Errorf("got %.200q", text(r))
	}
}

func TestWrite(t *testing.T) {
	env, dir := workspace(t, map[string]string{"old.sh": "old\n", "AGENTS.md": "x", ".git/config": "x", "sub/f": ""})
	if err := os.Chmod(filepath.Join(dir, "old.sh"), 0o750); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		path, content string
		ok            bool
		want          string
	}{
		{"new.txt", "a\nb\n", true, "created new.txt (2 lines, 4 B)"},
		{"new.txt", "a\nb\n", true, "holds exactly this already"},
		{"old.sh", "new\n", true, "replaced old.sh (1 line, 4 B; before: 4 B)"},
		{"deep/er/x.txt", "", true, "created deep/er/x.txt (0 lines, 0 B)"},
		{"/workspace/y.txt", "y", true, "created y.txt (1 line, 1 B)"},
		{"sub", "x", false, "is a folder"},
		{"dir/", "x", false, "is a folder"},
		{".", "x", false, "is a folder"},
		{"old.sh/x", "x", false, "is a file"},
		{"../x", "x", false, "outside"},
		{".git/config", "x", false, "protected"},
		{".git/hooks/pre-commit", "x", false, "protected"},
		{"vendor/lib/.git/hooks/post-checkout", "x", false, "protected"},
		{"lib/.git", "gitdir: /evil", false, "protected"},
		{"./sub/../.git//hooks/x", "x", false, "protected"},
		{"goals/x.goal.md", "x", false, "protected"},
		{".agentd/policy.yaml", "x", false, "protected"},
		{"AGENTS.md", "y", false, "protected"},
		{"docs/AGENTS.md", "y", true, "created"},
		{strings.Repeat("d/", 3000) + "x", "y", false, "more than"},
		{strings.Repeat("n", 300), "y", false, "name too long"},
	} {
		r := call(t, env, "write", map[string]any{"path": tc.path, "content": tc.content})
		if r.OK != tc.ok || !strings.Contains(text(r), tc.want) {
			t.Errorf("%.60s: got %v %.200q, want %q", tc.path, r.OK, text(r), tc.want)
		}
	}
	if got := slurp(t, dir, "old.sh"); got != "new\n" {
		t.Errorf("old.sh is %q", got)
	}
	if info, err := os.Stat(filepath.Join(dir, "old.sh")); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("mode of old.sh: %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".agentd-*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

func TestProtectIsTheRunsOwn(t *testing.T) {
	env, _ := workspace(t, nil)
	env.Protect = func(p string) bool { return strings.HasSuffix(p, "_test.go") }
	for path, ok := range map[string]bool{"a_test.go": false, "AGENTS.md": true, "goals/x.goal.md": true, ".git/hooks/x": false, ".agentd/x": false, "a.go": true} {
		if r := call(t, env, "write", map[string]any{"path": path, "content": "x"}); r.OK != ok {
			t.Errorf("%s: got %v %q", path, r.OK, text(r))
		}
	}
}

func TestThePolicyOfTheBoxHoldsForFiles(t *testing.T) {
	env, dir := workspace(t, map[string]string{"tests/a": "x\n", "b": "x\n"})
	env.Policy.Protect = []string{"tests", "**/*.lock"}
	for path, ok := range map[string]bool{"tests/a": false, "tests/new/b": false, "tests": false, "x/go.lock": false, "b": true, "tests2": true} {
		if r := call(t, env, "write", map[string]any{"path": path, "content": "y\n"}); r.OK != ok {
			t.Errorf("%s: got %v %q", path, r.OK, text(r))
		}
	}
	env.Policy.Protect = []string{"[bad"}
	if r := call(t, env, "write", map[string]any{"path": "b", "content": "z\n"}); r.OK {
		t.Error("a glob that can't be read protects nothing")
	}
	env.Policy.Protect, env.Policy.ReadOnlyWS = nil, true
	for _, tool := range []string{"write", "edit"} {
		r := call(t, env, tool, map[string]any{"write": map[string]any{"path": "b", "content": "z"}, "edit": map[string]any{"path": "b", "old": "y", "new": "z"}}[tool].(map[string]any))
		if r.OK || !strings.Contains(text(r), "read-only") {
			t.Errorf("%s: got %v %q", tool, r.OK, text(r))
		}
	}
	if got := slurp(t, dir, "b"); got != "y\n" {
		t.Errorf("b is now %q", got)
	}
}

func TestOwnersAreKept(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	env, dir := workspace(t, map[string]string{"theirs.txt": "x = 1\n", "mine.txt": "x\n"})
	for _, p := range []string{".", "theirs.txt"} {
		if err := os.Chown(filepath.Join(dir, p), 4321, 8765); err != nil {
			t.Skipf("can't give a file away here: %v", err)
		}
	}
	call(t, env, "edit", map[string]any{"path": "theirs.txt", "old": "1", "new": "2"})
	call(t, env, "write", map[string]any{"path": "mine.txt", "content": "y\n"})
	call(t, env, "write", map[string]any{"path": "a/b/new.txt", "content": "y\n"})
	for p, want := range map[string]uint32{"theirs.txt": 4321, "mine.txt": 0, "a": 4321, "a/b": 4321, "a/b/new.txt": 4321} {
		info, err := os.Stat(filepath.Join(dir, p))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Sys().(*syscall.Stat_t).Uid; got != want {
			t.Errorf("%s belongs to %d, want %d", p, got, want)
		}
	}
}

func TestEdit(t *testing.T) {
	const prog = "def f(a):\n    return a - 1\n\n\ndef g(a):\n    return a - 2\n\n# end\n"
	for _, tc := range []struct {
		name, text string
		args       map[string]any
		ok         bool
		after      string // "" is unchanged
		want       string
	}{
		{"once", prog, map[string]any{"old": "a - 1", "new": "a + 1"}, true, strings.Replace(prog, "a - 1", "a + 1", 1),
			"edited f.py:\n    1  def f(a):\n    2      return a + 1\n    3  \n"},
		{"several", prog, map[string]any{"old": "return a", "new": "yield a"}, false, "", "2 times, at lines 2, 6"},
		{"all", prog, map[string]any{"old": "return a", "new": "yield a", "all": true}, true, strings.ReplaceAll(prog, "return a", "yield a"), "at 2 places"},
		{"closest", prog, map[string]any{"old": "    return a - 3", "new": "x"}, false, "", "The closest lines are:\n    2      return a - 1\n    6      return a - 2"},
		{"spaces", prog, map[string]any{"old": "def g(a):\n\treturn a - 2", "new": "x"}, false, "", "differs in spaces or tabs from lines 5-6, which are exactly:\ndef g(a):\n    return a - 2"},
		{"nothing alike", prog, map[string]any{"old": "SELECT * FROM customers", "new": "x"}, false, "", "nothing like it"},
		{"done already", prog, map[string]any{"old": "return b - 7;", "new": "# end"}, true, "", "nothing to do"},
		{"crlf", "a\r\nb\r\nc\r\n", map[string]any{"old": "a\nb", "new": "x\ny"}, true, "x\r\ny\r\nc\r\n", "edited"},
		{"delete", "a\nb\nc\n", map[string]any{"old": "b\n", "new": ""}, true, "a\nc\n", "    1  a\n    2  c\n"},
		{"unicode", "grüße\n", map[string]any{"old": "ü", "new": "ue"}, true, "grueße\n", "grueße"},
		{"binary", "a\x00b", map[string]any{"old": "a", "new": "c"}, false, "", "binary"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			env, dir := workspace(t, map[string]string{"f.py": tc.text})
			tc.args["path"] = "f.py"
			r := call(t, env, "edit", tc.args)
			if r.OK != tc.ok || !strings.Contains(text(r), tc.want) {
				t.Errorf("got %v\n%s\nwant\n%s", r.OK, text(r), tc.want)
			}
			after := tc.after
			if after == "" {
				after = tc.text
			}
			if got := slurp(t, dir, "f.py"); got != after {
				t.Errorf("file is now %q, want %q", got, after)
			}
			if (tc.after != "") != (len(r.Changed) == 1) {
				t.Errorf("changed %v", r.Changed)
			}
		})
	}
	env, _ := workspace(t, nil)
	if r := call(t, env, "edit", map[string]any{"path": "no.py", "old": "a", "new": "b"}); r.OK || !strings.Contains(text(r), "does not exist") {
		t.Errorf("got %q", text(r))
	}
}

// Nothing that a command leaves in the workspace makes a file tool wait, follow a way out, or write what is protected.
func TestFileToolsAndPlantedFiles(t *testing.T) {
	secret := t.TempDir()
	if err := os.WriteFile(filepath.Join(secret, "key"), []byte("canary\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env, dir := workspace(t, map[string]string{"in.txt": "inside canary-free\n", ".git/hooks/README": "x"})
	for name, target := range map[string]string{
		"out": secret + "/key", "outdir": secret, "up": "../" + filepath.Base(secret) + "/key", "loop": "loop", "link": "in.txt", "gitlink": ".git",
		"dev": "/dev/zero", "proc": "/proc/self/environ",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o666); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, p := range []string{"out", "outdir/key", "up", "loop", "dev", "proc", "fifo", "outdir"} {
			if r := call(t, env, "read", map[string]any{"path": p}); r.OK || strings.Contains(text(r), "canary") {
				t.Errorf("read %s gave %q", p, text(r))
			}
			if r := call(t, env, "write", map[string]any{"path": p, "content": "gone"}); r.OK {
				t.Errorf("write %s gave %q", p, text(r))
			}
			if r := call(t, env, "edit", map[string]any{"path": p, "old": "canary", "new": "gone"}); r.OK {
				t.Errorf("edit %s gave %q", p, text(r))
			}
		}
		if r := call(t, env, "read", map[string]any{"path": "link"}); !r.OK {
			t.Errorf("a link that stays inside can't be read: %q", text(r))
		}
		for _, p := range []string{"link", "outdir/new", "gitlink/hooks/pre-commit"} {
			if r := call(t, env, "write", map[string]any{"path": p, "content": "x"}); r.OK || !strings.Contains(text(r), "symbolic link") {
				t.Errorf("write through %s: %q", p, text(r))
			}
		}
		if r := call(t, env, "search", map[string]any{"pattern": "canary"}); text(r) != "in.txt:1: inside canary-free\n" {
			t.Errorf("search gave %q", text(r))
		}
		if r := call(t, env, "list", map[string]any{}); strings.Contains(text(r), "key\n") && strings.Contains(text(r), "outdir/key") {
			t.Errorf("list followed a link: %q", text(r))
		}
		if r := call(t, env, "list", map[string]any{"path": "outdir"}); r.OK {
			t.Errorf("list of a link out gave %q", text(r))
		}
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("a file tool waits for ever")
	}
	if got := slurp(t, secret, "key"); got != "canary\n" {
		t.Errorf("the file outside is now %q", got)
	}
}

// A folder that is swapped for a link to the outside, over and over, never makes a tool read or write there.
func TestFileToolsAndSwappedFolders(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "f"), []byte("canary\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	env, dir := workspace(t, map[string]string{"real/f": "inside\n"})
	if err := os.Symlink(outside, filepath.Join(dir, "evil")); err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	swapped := make(chan int)
	go func() {
		n := 0
		d := filepath.Join(dir, "d")
		for ; !stop.Load(); n++ {
			os.Rename(filepath.Join(dir, "real"), d)
			os.Rename(d, filepath.Join(dir, "real"))
			os.Rename(filepath.Join(dir, "evil"), d)
			os.Rename(d, filepath.Join(dir, "evil"))
		}
		swapped <- n
	}()
	set := tools.Builtin()
	won := 0
	for i := range 2000 {
		if i%10 == 0 { // each that succeeds waits for the disk
			r, err := set.Lookup("write").Run(context.Background(), env, args.WriteFile{Path: "d/g", Content: fmt.Sprint(i)})
			if err != nil {
				t.Fatal(err)
			}
			if r.OK {
				won++
			}
		}
		r, err := set.Lookup("read").Run(context.Background(), env, args.ReadFile{Path: "d/f"})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text(r), "canary") {
			t.Fatal("read the file outside")
		}
	}
	stop.Store(true)
	t.Logf("%d swaps, %d writes succeeded inside", <-swapped, won)
	if left, err := os.ReadDir(outside); err != nil || len(left) != 1 {
		t.Fatalf("the folder outside holds %v, %v", left, err)
	}
}
