package workspace_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"agentd/workspace"

	"github.com/google/go-cmp/cmp"
)

// write puts files below dir: "x/" is a folder, "-> y" a symlink.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path, text := filepath.Join(dir, name), files[name]
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		target, link := strings.CutPrefix(text, "-> ")
		switch {
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		case link:
			err = os.Symlink(target, path)
		default:
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// tree reads a folder as lines of path, mode, owner and content.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		line := fmt.Sprintf("%v %d:%d", info.Mode(), st.Uid, st.Gid)
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			line += " -> " + target
		case d.Type().IsRegular():
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %v %s", info.ModTime().UnixNano(), b)
		}
		got[rel] = line
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func take(t testing.TB, root, store string) *workspace.Snapshot {
	t.Helper()
	s, err := workspace.Take(t.Context(), root, store, workspace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

var sample = map[string]string{
	"a.txt":           "one\ntwo\nthree\n",
	"bin":             "\x00\x01\x02",
	"empty/":          "",
	"dir/b.txt":       "b\n",
	"dir/deep/c.txt":  "c\n",
	"link":            "-> a.txt",
	"outside":         "-> /etc/passwd",
	"dangling":        "-> nowhere",
	".git/objects/aa": "object",
	".git/HEAD":       "ref: refs/heads/main\n",
	"same1":           "the same",
	"same2":           "the same",
	"zero":            "",
	"bad\xffname":     "latin",
}

func TestUndoRestoresEverything(t *testing.T) {
	root, store := t.TempDir(), t.TempDir()
	write(t, root, sample)
	write(t, root, map[string]string{"big": strings.Repeat("large file ", 1<<19)})
	must(t, os.Chmod(filepath.Join(root, "dir/b.txt"), 0o750), os.Chmod(filepath.Join(root, "dir/deep"), 0o555))
	t.Cleanup(func() { os.Chmod(filepath.Join(root, "dir/deep"), 0o755) })
	before := tree(t, root)
	s := take(t, root, store)
	if s.Files != len(before)-1 || s.Bytes < 5<<20 {
		t.Errorf("snapshot has %d files, %d bytes", s.Files, s.Bytes)
	}

	at := func(p string) string { return filepath.Join(root, p) }
	must(t,
		os.WriteFile(at("a.txt"), []byte("one\n2\nthree\nfour\n"), 0o644),
		os.Remove(at("bin")),
		os.Remove(at("empty")),
		os.Chmod(at("dir/deep"), 0o700),
		os.RemoveAll(at("dir")),
		os.Symlink(store, at("dir")), // planted: a way out of the workspace
		os.Remove(at("link")),
		os.Symlink("zero", at("link")),
		os.Remove(at("dangling")),
		os.Mkdir(at("dangling"), 0o755),
		os.RemoveAll(at(".git")),
		os.Chmod(at("same1"), 0o600),
		os.Truncate(at("big"), 100),
		os.Rename(at("same2"), at("moved")),
		os.Remove(at("zero")),
		os.Mkdir(at("zero"), 0o755),
	)
	write(t, root, map[string]string{"new/x/y": "new", "zero/in": "x", "new/link": "-> /etc"})
	must(t, os.Chmod(at("new/x"), 0o555))

	s, err := workspace.Load(store, s.ID)
	must(t, err, s.Seal(t.Context(), root))
	report, err := s.Undo(t.Context(), root)
	must(t, err)
	if diff := cmp.Diff(before, tree(t, root)); diff != "" {
		t.Errorf("tree differs from the snapshot (-want +got):\n%s", diff)
	}
	if len(report.Kept) > 0 {
		t.Errorf("kept %v", report.Kept)
	}
	want := []string{"moved", "new", "new/link", "new/x", "new/x/y", "zero/in"}
	if diff := cmp.Diff(want, report.Removed); diff != "" {
		t.Errorf("removed differs:\n%s", diff)
	}
	again, err := s.Undo(t.Context(), root)
	must(t, err)
	if diff := cmp.Diff(workspace.Report{}, again); diff != "" {
		t.Errorf("a second undo did something:\n%s", diff)
	}
	if entries, _ := os.ReadDir(store); len(entries) != 3 {
		t.Errorf("store holds %v", entries)
	}
}

func TestUndoKeepsWhatAPersonEdited(t *testing.T) {
	root, store := t.TempDir(), t.TempDir()
	at := func(p string) string { return filepath.Join(root, p) }
	write(t, root, map[string]string{
		"run": "1", "both": "1", "person": "1", "deleted-by-run": "1", "deleted-by-person": "1", "dir/x": "1", "gone/x": "1", "modes": "1",
	})
	s := take(t, root, store)
	write(t, root, map[string]string{"run": "2", "both": "2", "made": "2", "made-edited": "2", "madedir/x": "2", "deleted-by-person": "2"})
	must(t, os.Remove(at("deleted-by-run")), os.RemoveAll(at("gone")), os.WriteFile(at("gone"), nil, 0o644), os.RemoveAll(at("dir")), s.Seal(t.Context(), root))
	write(t, root, map[string]string{"both": "3", "person": "3", "made-edited": "3", "madedir/y": "3", "deleted-by-run": "3", "new": "3"})
	must(t, os.Remove(at("deleted-by-person")), os.WriteFile(at("gone"), []byte("3"), 0o644), os.Symlink("/etc", at("dir")))

	report, err := s.Undo(t.Context(), root)
	must(t, err)
	var kept []string
	for _, k := range report.Kept {
		kept = append(kept, k.Path)
	}
	slices.Sort(kept)
	if diff := cmp.Diff([]string{"both", "deleted-by-person", "deleted-by-run", "dir", "dir/x", "gone", "gone/x", "made-edited"}, kept); diff != "" {
		t.Errorf("kept differs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"run"}, report.Restored); diff != "" {
		t.Errorf("restored differs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"made", "madedir/x"}, report.Removed); diff != "" {
		t.Errorf("removed differs (-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{"run": "1", "both": "3", "person": "3", "made-edited": "3", "madedir/y": "3", "new": "3", "gone": "3", "deleted-by-run": "3"} {
		if got, _ := os.ReadFile(at(name)); string(got) != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestUndoWithoutSeal(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{"a": "1", "b/c": "1"})
	before := tree(t, root)
	s := take(t, root, t.TempDir())
	write(t, root, map[string]string{"a": "2", "d/e": "2"})
	must(t, os.RemoveAll(filepath.Join(root, "b")))
	_, err := s.Undo(t.Context(), root)
	must(t, err)
	if diff := cmp.Diff(before, tree(t, root)); diff != "" {
		t.Errorf("tree differs (-want +got):\n%s", diff)
	}
}

func TestDiff(t *testing.T) {
	root := t.TempDir()
	at := func(p string) string { return filepath.Join(root, p) }
	write(t, root, sample)
	write(t, root, map[string]string{"huge": strings.Repeat("line\n", 1<<19), "old/name.go": "package x\n", "mode": "m"})
	s := take(t, root, t.TempDir())
	if changes, err := s.Diff(t.Context(), root); err != nil || len(changes) != 0 {
		t.Fatalf("unchanged: %v, %v", changes, err)
	}
	write(t, root, map[string]string{"a.txt": "one\n2\nthree\nfour\n", "bin": "\x00\x05", "new.txt": "n", "huge": "small\n", "made/": ""})
	must(t, os.Remove(at("dir/b.txt")), os.Remove(at("link")), os.Symlink("zero", at("link")), os.Mkdir(at("new"), 0o755),
		os.Rename(at("old/name.go"), at("new/name.go")), os.Chmod(at("mode"), 0o755), s.Seal(t.Context(), root))
	write(t, root, map[string]string{"new.txt": "by a person\n"})

	changes, err := s.Diff(t.Context(), root)
	must(t, err)
	var got []string
	var text strings.Builder
	for _, c := range changes {
		line := fmt.Sprintf("%s %s %d->%d +%d -%d", c.Kind, c.Path, c.OldSize, c.NewSize, c.Added, c.Removed)
		if c.From != "" {
			line += " from " + c.From
		}
		if c.Binary {
			line += " binary"
		}
		if c.Edited {
			line += " edited"
		}
		got = append(got, line)
		u, err := s.Unified(t.Context(), root, c, 0)
		must(t, err)
		text.WriteString(u)
	}
	want := []string{
		"changed a.txt 14->17 +2 -1",
		"changed bin 3->2 +-1 --1 binary",
		"deleted dir/b.txt 2->0 +0 -1",
		"changed huge 2621440->6 +-1 --1",
		"changed link 5->4 +1 -1",
		"changed mode 1->1 +0 -0",
		"created new.txt 0->12 +1 -0 edited",
		"renamed new/name.go 10->10 +0 -0 from old/name.go",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes differ (-want +got):\n%s", diff)
	}
	for _, part := range []string{
		"--- a/a.txt\n+++ b/a.txt\n@@ -1,3 +1,4 @@\n one\n-two\n+2\n three\n+four\n",
		"Binary file bin: 3 -> 2 bytes\n", "--- a/dir/b.txt\n+++ /dev/null\n", "Large file huge: 2621440 -> 6 bytes\n",
		"-a.txt\n\\ No newline at end of file\n+zero\n", "mode of mode: 0644 -> 0755\n", "rename from old/name.go\nrename to new/name.go\n", "--- /dev/null\n+++ b/new.txt\n",
	} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("diff lacks %q:\n%s", part, text.String())
		}
	}
	if paths := workspace.Paths(changes); !slices.Contains(paths, "old/name.go") || len(paths) != 9 {
		t.Errorf("paths are %v", paths)
	}
	if u, err := s.Unified(t.Context(), root, changes[0], 40); err != nil || !strings.HasSuffix(u, "more bytes of this diff\n") || len(u) > 80 {
		t.Errorf("cut diff is %q, %v", u, err)
	}
}

func TestTakeSkipsAndLimits(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{"a": "12345", "b/c": "12345"})
	must(t, syscall.Mkfifo(filepath.Join(root, "pipe"), 0o644))
	s := take(t, root, t.TempDir())
	if diff := cmp.Diff([]workspace.Skip{{Path: "pipe", Reason: "not a file: a pipe"}}, s.Skipped); diff != "" {
		t.Errorf("skipped differs:\n%s", diff)
	}
	for _, tt := range []struct {
		opts workspace.Options
		want string
	}{
		{workspace.Options{MaxFiles: 3}, "snapshot.max_files (3)"},
		{workspace.Options{MaxBytes: 9}, "snapshot.max_bytes (9)"},
	} {
		store := t.TempDir()
		_, err := workspace.Take(t.Context(), root, store, tt.opts)
		if _, ok := errors.AsType[*workspace.LimitError](err); !ok || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.opts, err, tt.want)
		}
		if err := workspace.Clone(t.Context(), root, filepath.Join(store, "copy"), tt.opts); err == nil {
			t.Errorf("%+v: clone has no error", tt.opts)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := workspace.Take(ctx, root, t.TempDir(), workspace.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := workspace.Take(t.Context(), filepath.Join(root, "none"), t.TempDir(), workspace.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

// packs lists the stored contents.
func packs(t *testing.T, store string) map[string]int64 {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(store, "packs"))
	must(t, err)
	got := map[string]int64{}
	for _, e := range entries {
		info, err := e.Info()
		must(t, err)
		got[e.Name()] = info.Size()
	}
	return got
}

func TestSecondSnapshotStoresOnlyWhatChanged(t *testing.T) {
	root, store := t.TempDir(), t.TempDir()
	write(t, root, map[string]string{"a": "aaaa", "b": "bbbb", "copy-of-a": "aaaa"})
	time.Sleep(120 * time.Millisecond) // younger files are read again
	first := take(t, root, store)
	var stored int64
	for _, n := range packs(t, store) {
		stored += n
	}
	if stored != 8 {
		t.Errorf("first snapshot stores %d bytes, want 8", stored)
	}
	// A change that keeps size and mtime is noticed by ctime.
	info, err := os.Stat(filepath.Join(root, "b"))
	must(t, err)
	write(t, root, map[string]string{"b": "BBBB", "c": "aaaa"})
	must(t, os.Chtimes(filepath.Join(root, "b"), info.ModTime(), info.ModTime()))
	second := take(t, root, store)
	added := int64(-stored)
	for _, n := range packs(t, store) {
		added += n
	}
	if added != 4 {
		t.Errorf("second snapshot stores %d bytes more, want 4", added)
	}

	must(t, workspace.Remove(store, first.ID))
	if _, err := workspace.Load(store, first.ID); !errors.Is(err, workspace.ErrNotFound) {
		t.Errorf("removed snapshot loads: %v", err)
	}
	second, err = workspace.Load(store, second.ID)
	must(t, err)
	write(t, root, map[string]string{"a": "x", "b": "x", "c": "x"})
	_, err = second.Undo(t.Context(), root)
	must(t, err)
	if got, _ := os.ReadFile(filepath.Join(root, "b")); string(got) != "BBBB" {
		t.Errorf("b is %q after the first snapshot went", got)
	}
	must(t, workspace.Remove(store, second.ID), workspace.Remove(store, second.ID))
	if left := packs(t, store); len(left) != 0 {
		t.Errorf("contents left: %v", left)
	}
	for _, id := range []string{"", "../x", "0123456789abcdef0"} {
		if _, err := workspace.Load(store, id); !errors.Is(err, workspace.ErrNotFound) {
			t.Errorf("Load(%q): %v", id, err)
		}
	}
}

func TestDamageIsNoticed(t *testing.T) {
	root, store := t.TempDir(), t.TempDir()
	write(t, root, map[string]string{"a": "aaaa", "b": "bbbb"})
	s := take(t, root, store)
	for name := range packs(t, store) {
		path := filepath.Join(store, "packs", name)
		b, err := os.ReadFile(path)
		must(t, err)
		must(t, os.WriteFile(path, []byte(strings.Replace(string(b), "bb", "bX", 1)), 0o600))
	}
	write(t, root, map[string]string{"a": "2", "b": "2"})
	report, err := s.Undo(t.Context(), root)
	must(t, err)
	if len(report.Kept) != 1 || report.Kept[0].Path != "b" || !strings.Contains(report.Kept[0].Reason, "damaged") {
		t.Errorf("kept %v", report.Kept)
	}
	if got, _ := os.ReadFile(filepath.Join(root, "b")); string(got) != "2" {
		t.Errorf("b is %q: overwritten by a damaged copy", got)
	}
	manifest := filepath.Join(store, "snaps", s.ID)
	b, err := os.ReadFile(manifest)
	must(t, err)
	for i := 0; i < len(b); i += 7 {
		flipped := slices.Clone(b)
		flipped[i] ^= 0x10
		must(t, os.WriteFile(manifest, flipped, 0o600))
		if _, err := workspace.Load(store, s.ID); err == nil {
			t.Fatalf("byte %d of the manifest is flipped and it loads", i)
		}
	}
	must(t, os.WriteFile(manifest, b[:len(b)/3], 0o600))
	if _, err := workspace.Sweep(store); err == nil || len(packs(t, store)) == 0 {
		t.Errorf("sweep with an unreadable snapshot: %v, %d packs left", err, len(packs(t, store)))
	}
}

func TestClone(t *testing.T) {
	root := t.TempDir()
	write(t, root, sample)
	must(t, os.Chmod(filepath.Join(root, "dir/deep"), 0o555))
	t.Cleanup(func() { os.Chmod(filepath.Join(root, "dir/deep"), 0o755) })
	dst := filepath.Join(t.TempDir(), "copy")
	must(t, workspace.Clone(t.Context(), root, dst, workspace.Options{}))
	want, got := tree(t, root), tree(t, dst)
	delete(want, ".")
	delete(got, ".")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("copy differs (-want +got):\n%s", diff)
	}
	must(t, os.MkdirAll(filepath.Join(dst, "locked/in"), 0o755), os.Chmod(filepath.Join(dst, "locked"), 0), workspace.Discard(dst))
	if _, err := os.Stat(dst); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("copy is still there: %v", err)
	}
	if got := tree(t, root); len(got) != len(want)+1 {
		t.Errorf("discarding the copy changed the workspace: %v", got)
	}
}

func TestLead(t *testing.T) {
	root := t.TempDir()
	if got := workspace.Lead(root); got != "The workspace is empty." {
		t.Errorf("empty: %q", got)
	}
	write(t, root, map[string]string{
		"go.mod": "", "main.go": "", "pkg/a.go": "", "README.md": "", ".git/x.go": "", "node_modules/y/z.js": "", "l": "-> /etc", "evil\n# do it": "",
	})
	want := "All files: README.md, \"evil\\n# do it\", go.mod, main.go, pkg/a.go\n" +
		"Files: 5 (2 .go, 1 .md, 1 .mod, 1 other)\n" +
		"Build and guide files: README.md, go.mod\n" +
		"Git repository: yes"
	if diff := cmp.Diff(want, workspace.Lead(root)); diff != "" {
		t.Errorf("lead differs (-want +got):\n%s", diff)
	}
	for i := range 200 {
		write(t, root, map[string]string{fmt.Sprintf("%s-%d.%dext", strings.Repeat("long", 30), i, i): ""})
	}
	if got := workspace.Lead(root); len(got) > 700 || !strings.Contains(got, "… ") {
		t.Errorf("%d bytes: %s", len(got), got)
	}
}

func TestLooksLikeTest(t *testing.T) {
	for _, p := range []string{
		"a_test.go", "pkg/x_test.py", "test_a.py", "tests/helper.py", "src/a.test.ts", "src/a.spec.jsx", "FooTest.java", "FooTests.cs", "TestFoo.kt", "spec/a.rb", "a_spec.rb",
		"src/__tests__/a.js", "testdata/x.json", "conftest.py", "tests.rs", "jest.config.js", "x/__snapshots__/a.snap", "t.bats", "MyApp.Tests/Util.cs", "test.sh", "FooIT.java", "a.feature",
	} {
		if !workspace.LooksLikeTest(p) {
			t.Errorf("%s does not look like a test", p)
		}
	}
	for _, p := range []string{
		"main.go", "latest.go", "contest.py", "src/testing.go", "attest.java", "protest/a.go", "Greatest.java", "specification.md", "a.go", "testimony.txt", "docs/tests.md", "manifest.json", "TestIng/a.go",
	} {
		if workspace.LooksLikeTest(p) {
			t.Errorf("%s looks like a test", p)
		}
	}
}

func TestResolve(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	data := filepath.Join(home, "share", "agentd")
	must(t, os.MkdirAll(filepath.Join(data, "inner"), 0o755), os.MkdirAll(filepath.Join(home, "code", "ro"), 0o755), os.Symlink(filepath.Join(home, "code"), filepath.Join(home, "link")))
	write(t, home, map[string]string{"file": ""})
	real, err := filepath.EvalSymlinks(filepath.Join(home, "code"))
	must(t, err)
	for _, dir := range []string{"code", "link", "code/../code/"} {
		if got, err := workspace.Resolve(filepath.Join(home, dir), data); err != nil || got != real {
			t.Errorf("Resolve(%s) = %q, %v; want %q", dir, got, err, real)
		}
	}
	t.Chdir(filepath.Join(home, "code"))
	if got, err := workspace.Resolve(".", data, filepath.Join(home, "not", "there", "yet")); err != nil || got != real {
		t.Errorf("Resolve(.) = %q, %v", got, err)
	}
	for _, tt := range []struct{ dir, want string }{
		{"/", "/ is the whole machine"},
		{home, "is the home folder"},
		{filepath.Dir(home), "holds the home folder"},
		{filepath.Join(home, "share"), "holds agentd's own folder"},
		{data, "is in agentd's own folder"},
		{filepath.Join(data, "inner"), "is in agentd's own folder"},
		{filepath.Join(home, "none"), "does not exist: create it"},
		{filepath.Join(home, "file"), "is a file"},
		{"", "is no folder name"},
		{"a\x00b", "is no folder name"},
	} {
		if _, err := workspace.Resolve(tt.dir, data); !errors.Is(err, workspace.ErrRefused) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Resolve(%q): %v, want %q", tt.dir, err, tt.want)
		}
	}
	if os.Geteuid() == 0 {
		t.Log("as root every folder is writable: that refusal is not tried")
		return
	}
	must(t, os.Chmod(filepath.Join(home, "code/ro"), 0o555))
	if _, err := workspace.Resolve("ro", data); !errors.Is(err, workspace.ErrRefused) {
		t.Errorf("read-only folder: %v", err)
	}
}
