package tools_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agentd/tools"
	"agentd/tools/args"
)

func TestList(t *testing.T) {
	env, dir := workspace(t, map[string]string{
		"a.txt": "12345", "src/main.go": strings.Repeat("x", 2048), "src/deep/er/est/x.go": "", "node_modules/m/i.js": "", ".git/HEAD": "", "z/.hidden": "",
	})
	if err := os.Symlink("a.txt", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		args map[string]any
		ok   bool
		want string
	}{
		{"tree", nil, true, ".git/  (not listed)\na.txt  5 B\nlink -> a.txt\nnode_modules/  (not listed)\nsrc/\nsrc/deep/\nsrc/deep/er/  …\nsrc/main.go  2.0 KB\nz/\nz/.hidden  0 B\n"},
		{"folder", map[string]any{"path": "src/deep"}, true, "src/deep/er/\nsrc/deep/er/est/\nsrc/deep/er/est/x.go  0 B\n"},
		{"box path", map[string]any{"path": "/workspace/z/"}, true, "z/.hidden  0 B\n"},
		{"glob of names", map[string]any{"glob": "*.go"}, true, "src/deep/er/est/x.go  0 B\nsrc/main.go  2.0 KB\n"},
		{"glob of paths", map[string]any{"glob": "src/*.go"}, true, "src/main.go  2.0 KB\n"},
		{"glob below a folder", map[string]any{"path": "src", "glob": "**/est/*"}, true, "src/deep/er/est/x.go  0 B\n"},
		{"nothing matches", map[string]any{"glob": "*.rs"}, true, "[nothing below . matches *.rs]\n"},
		{"file", map[string]any{"path": "a.txt"}, true, "a.txt  5 B\n"},
		{"missing", map[string]any{"path": "nope"}, false, "nope does not exist"},
		{"bad glob", map[string]any{"glob": "[a"}, false, "glob [a is not valid: write one such as *.go or src/**/*_test.py"},
		{"outside", map[string]any{"path": ".."}, false, ".. is outside the workspace: use a path below it"},
	} {
		if r := call(t, env, "list", tc.args); r.OK != tc.ok || text(r) != tc.want {
			t.Errorf("%s: got %v\n%s\nwant\n%s", tc.name, r.OK, text(r), tc.want)
		}
	}
}

func TestListSaysWhatIsCut(t *testing.T) {
	files := map[string]string{}
	for i := range 350 {
		files[fmt.Sprintf("f%03d", i)] = ""
	}
	env, _ := workspace(t, files)
	r := call(t, env, "list", nil)
	if n := strings.Count(text(r), "\n"); n != 301 || !strings.HasSuffix(text(r), "[50 more not shown: list a folder below, or use a narrower glob]\n") {
		t.Errorf("%d lines, ending in %q", n, text(r)[len(text(r))-80:])
	}
	empty, _ := workspace(t, nil)
	if r := call(t, empty, "list", nil); text(r) != "[. is empty]\n" {
		t.Errorf("got %q", text(r))
	}
}

func TestSearch(t *testing.T) {
	env, _ := workspace(t, map[string]string{
		"a.py": "import os\ndef load():\n    pass\n", "b/c.py": "def save(x):\r\n", "d.go": "func load() {}\n", "bin": "def load\x00", "node_modules/x.py": "def load", ".git/x": "def load",
		"many.txt": strings.Repeat("hit\n", 50), "wide.txt": strings.Repeat("x", 5000) + "needle" + strings.Repeat("y", 100_000) + "\nlast needle",
	})
	for _, tc := range []struct {
		name string
		args map[string]any
		want string
	}{
		{"two files", map[string]any{"pattern": `def (load|save)\(`}, "a.py:2: def load():\nb/c.py:1: def save(x):\n"},
		{"glob", map[string]any{"pattern": "load", "glob": "*.go"}, "d.go:1: func load() {}\n"},
		{"no match", map[string]any{"pattern": "zebra"}, "[no match in any file]\n"},
		{"no match in glob", map[string]any{"pattern": "zebra", "glob": "*.py"}, "[no match in files that match *.py]\n"},
		{"case", map[string]any{"pattern": "(?i)IMPORT"}, "a.py:1: import os\n"},
	} {
		if r := call(t, env, "search", tc.args); !r.OK || text(r) != tc.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tc.name, text(r), tc.want)
		}
	}
	r := call(t, env, "search", map[string]any{"pattern": "^hit$"})
	if strings.Count(text(r), "many.txt:") != 20 || !strings.Contains(text(r), "[30 matching lines more in 1 file not shown") {
		t.Errorf("got %q", text(r))
	}
	r = call(t, env, "search", map[string]any{"pattern": "needle"})
	if !strings.Contains(text(r), "xneedley") || !strings.Contains(text(r), "wide.txt:2: last needle") || len(text(r)) > 600 {
		t.Errorf("long lines gave %q", text(r))
	}
	for _, bad := range []string{`{"pattern":"("}`, `{"pattern":""}`, `{"pattern":"(?<=a)b"}`, `{"pattern":"` + strings.Repeat("a", 2000) + `"}`} {
		if _, err := tools.Builtin().Lookup("search").Decode([]byte(bad)); err == nil {
			t.Errorf("%.40s was accepted", bad)
		}
	}
}

func TestSearchSkipsLargeFiles(t *testing.T) {
	env, dir := workspace(t, map[string]string{"small": "needle\n"})
	if err := os.WriteFile(filepath.Join(dir, "large"), []byte(strings.Repeat("needle\n", 700_000)), 0o644); err != nil {
		t.Fatal(err)
	}
	r := call(t, env, "search", map[string]any{"pattern": "needle"})
	if text(r) != "small:1: needle\n[1 file of more than 4.0 MB skipped: use grep in the shell]\n" {
		t.Errorf("got %q", text(r))
	}
}

func TestToolsEndWithTheirContext(t *testing.T) {
	env, _ := workspace(t, map[string]string{"a": "x"})
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the run was cancelled")
	cancel(gone)
	set := tools.Builtin()
	for _, a := range []args.Args{args.Shell{Command: "sleep 60"}, args.Code{Language: "bash", Source: "sleep 60"}, args.ReadFile{Path: "a"}, args.WriteFile{Path: "b"},
		args.EditFile{Path: "a", Old: "x", New: "y"}, args.ListFiles{}, args.Search{Pattern: "x"}} {
		start := time.Now()
		if _, err := set.Lookup(a.Tool()).Run(ctx, env, a); !errors.Is(err, gone) || time.Since(start) > 5*time.Second {
			t.Errorf("%s: %v after %v", a.Tool(), err, time.Since(start))
		}
	}
}

func TestWrongArgumentsAreRefused(t *testing.T) {
	env, _ := workspace(t, nil)
	if _, err := tools.Builtin().Lookup("read").Run(t.Context(), env, args.Shell{Command: "x"}); err == nil {
		t.Error("read took the arguments of shell")
	}
	if e := tools.Builtin().Lookup("read").Effect(args.Shell{}); e != tools.Once {
		t.Errorf("effect of foreign arguments is %s", e)
	}
	env.Root = nil
	if _, err := tools.Builtin().Lookup("read").Run(t.Context(), env, args.ReadFile{Path: "x"}); err == nil {
		t.Error("read worked without a workspace")
	}
}
