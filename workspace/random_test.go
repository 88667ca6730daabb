package workspace_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"agentd/workspace"

	"github.com/google/go-cmp/cmp"
)

// vandal does random things to a folder, and through os.Root to nothing else: the links it plants lead outside.
type vandal struct {
	t    *testing.T
	r    *rand.Rand
	root string
	in   *os.Root
}

func newVandal(t *testing.T, seed, stream uint64) *vandal {
	v := &vandal{t: t, r: rand.New(rand.NewPCG(seed, stream)), root: filepath.Join(t.TempDir(), "ws")}
	must(t, os.Mkdir(v.root, 0o755))
	in, err := os.OpenRoot(v.root)
	must(t, err)
	v.in = in
	return v
}

func (v *vandal) path() string {
	p := v.name()
	for v.r.IntN(3) > 0 && len(p) < 8 {
		p = path.Join(p, v.name())
	}
	return p
}

func (v *vandal) name() string { return string(rune('a' + v.r.IntN(4))) }

// act does one thing. Many fail, as when a folder is in the way of a file; that is part of the game.
func (v *vandal) act() {
	p := v.path()
	switch v.r.IntN(10) {
	case 0, 1, 2:
		v.in.MkdirAll(path.Dir(p), 0o755)
		v.in.WriteFile(p, fmt.Appendf(nil, "content %d\n", v.r.IntN(5)), 0o644)
	case 3:
		v.in.MkdirAll(p, 0o755)
	case 4:
		v.in.MkdirAll(path.Dir(p), 0o755)
		v.in.Symlink([]string{"a", "b/c", "../..", "/nowhere/at/all", "d"}[v.r.IntN(5)], p)
	case 5:
		v.in.RemoveAll(p)
	case 6:
		v.in.Remove(p)
	case 7, 8:
		v.in.Rename(p, v.path())
	case 9:
		if info, err := v.in.Lstat(p); err == nil && info.Mode()&os.ModeSymlink == 0 {
			v.in.Chmod(p, []os.FileMode{0o755, 0o700, 0o640, 0o555, 0}[v.r.IntN(5)])
		}
	}
}

// tree reads the folder without times, and with all that is shut opened first.
func (v *vandal) tree(t *testing.T) map[string]string {
	modes := map[string]string{}
	var open func(p string)
	open = func(p string) {
		info, err := os.Lstat(p)
		must(t, err)
		rel, _ := filepath.Rel(v.root, p)
		modes[rel] = info.Mode().String()
		if info.Mode()&os.ModeSymlink != 0 {
			return
		}
		must(t, os.Chmod(p, info.Mode()|0o700))
		if info.IsDir() {
			entries, err := os.ReadDir(p)
			must(t, err)
			for _, e := range entries {
				open(filepath.Join(p, e.Name()))
			}
		}
		if !info.IsDir() {
			b, err := os.ReadFile(p)
			must(t, err)
			modes[rel] += " " + string(b)
		}
		must(t, os.Chmod(p, info.Mode()))
	}
	open(v.root)
	return modes
}

// discard removes the folder, whatever the modes in it.
func (v *vandal) discard() {
	v.in.Close()
	must(v.t, workspace.Discard(v.root))
}

func TestUndoAfterRandomChanges(t *testing.T) {
	for seed := range uint64(25) {
		v := newVandal(t, seed, 7)
		store := t.TempDir()
		for range 40 {
			v.act()
		}
		before := v.tree(t)
		s := take(t, v.root, store)
		for range 1 + v.r.IntN(40) {
			v.act()
		}
		if v.r.IntN(2) == 0 {
			must(t, s.Seal(t.Context(), v.root))
		}
		changes, err := s.Diff(t.Context(), v.root)
		must(t, err)
		report, err := s.Undo(t.Context(), v.root)
		must(t, err)
		if len(report.Kept) > 0 {
			t.Errorf("seed %d: kept %v", seed, report.Kept)
		}
		after := v.tree(t)
		for _, m := range []map[string]string{before, after} { // what the snapshot could not see is left alone
			maps.DeleteFunc(m, func(p, _ string) bool {
				return slices.ContainsFunc(s.Skipped, func(k workspace.Skip) bool { return p == k.Path || strings.HasPrefix(p, k.Path+"/") })
			})
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Fatalf("seed %d: tree differs from the snapshot (-want +got):\n%s\nreport %+v", seed, diff, report)
		}
		if len(changes) == 0 && len(report.Restored) > 0 {
			for _, p := range report.Restored {
				if info, err := os.Lstat(filepath.Join(v.root, p)); err != nil || !info.IsDir() {
					t.Errorf("seed %d: %s was restored and the diff was empty", seed, p)
				}
			}
		}
		v.discard()
	}
}

// TestUndoNeverTouchesAPersonsWork lets a run and then a person do random things: what is there and differs from the end of the
// run must still be there after the undo.
func TestUndoNeverTouchesAPersonsWork(t *testing.T) {
	for seed := range uint64(25) {
		v := newVandal(t, seed, 8)
		for range 30 {
			v.act()
		}
		s := take(t, v.root, t.TempDir())
		for range 15 {
			v.act()
		}
		must(t, s.Seal(t.Context(), v.root))
		end := v.tree(t)
		for range 10 {
			v.act()
		}
		person := v.tree(t)
		report, err := s.Undo(t.Context(), v.root)
		must(t, err)
		after := v.tree(t)
		for p, was := range person {
			if p == "." || was == end[p] || was[0] == 'd' {
				continue
			}
			if after[p] != was {
				t.Fatalf("seed %d: %s was %q by a person and is %q\nreport %+v", seed, p, was, after[p], report)
			}
		}
		v.discard()
	}
}

func TestSweepFindsWhatACrashLeft(t *testing.T) {
	root, store := t.TempDir(), t.TempDir()
	write(t, root, map[string]string{"a": "aaaa"})
	s := take(t, root, store)
	write(t, store, map[string]string{"packs/0123456789abcdef-0": "12345", "snaps/.tmp-1": "half"})
	freed, err := workspace.Sweep(store)
	if err != nil || freed != 5 {
		t.Errorf("freed %d, %v; want 5", freed, err)
	}
	if _, err := os.Stat(filepath.Join(store, "snaps/.tmp-1")); !os.IsNotExist(err) {
		t.Errorf("half a manifest is left: %v", err)
	}
	write(t, root, map[string]string{"a": "2"})
	_, err = s.Undo(t.Context(), root)
	must(t, err)
	if freed, err := workspace.Sweep(t.TempDir() + "/none"); freed != 0 || err != nil {
		t.Errorf("no store: %d, %v", freed, err)
	}
}

func TestUndoAgainAfterACut(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{"a": "1", "b": "1", "d/c": "1"})
	before := tree(t, root)
	s := take(t, root, t.TempDir())
	write(t, root, map[string]string{"a": "2", "b": "2", "d/c": "2", "new": "2"})
	must(t, s.Seal(t.Context(), root))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Undo(ctx, root); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled undo: %v", err)
	}
	// As a killed undo leaves it: one file done, one half written.
	write(t, root, map[string]string{"a": "1", "d/.agentd-undo-0123456789abcdef": "hal", ".agentd-undo-mine": "a person's"})
	must(t, os.Chtimes(filepath.Join(root, "a"), time.Time{}, time.Unix(0, 0)))
	report, err := s.Undo(t.Context(), root)
	must(t, err)
	after := tree(t, root)
	if after[".agentd-undo-mine"] == "" {
		t.Error("a person's file is gone")
	}
	delete(after, ".agentd-undo-mine")
	before["a"], after["a"] = "", "" // the same content, another time
	if diff := cmp.Diff(before, after); diff != "" || len(report.Kept) > 0 {
		t.Errorf("tree differs (-want +got):\n%s\n%+v", diff, report)
	}
}

func TestUndoRestoresOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("only root can give files to others: as any other user there is nothing to restore")
		return
	}
	root := t.TempDir()
	write(t, root, map[string]string{"a": "1", "d/b": "1", "l": "-> a"})
	for _, p := range []string{"a", "d", "d/b", "l"} {
		must(t, os.Lchown(filepath.Join(root, p), 1234, 2345))
	}
	must(t, os.Chmod(filepath.Join(root, "a"), 0o755|os.ModeSetgid))
	before := tree(t, root)
	s := take(t, root, t.TempDir())
	must(t, os.Remove(filepath.Join(root, "a")), os.RemoveAll(filepath.Join(root, "d")), os.Remove(filepath.Join(root, "l")))
	_, err := s.Undo(t.Context(), root)
	must(t, err)
	if diff := cmp.Diff(before, tree(t, root)); diff != "" {
		t.Errorf("tree differs (-want +got):\n%s", diff)
	}
}

// TestTakeWhileFilesChange takes snapshots while somebody works in the folder: each succeeds, as do
// copies, and one taken in the quiet afterwards is exact.
func TestTakeWhileFilesChange(t *testing.T) {
	v, store := newVandal(t, 1, 9), t.TempDir()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				v.act()
			}
		}
	}()
	for range 10 {
		s, err := workspace.Take(t.Context(), v.root, store, workspace.Options{})
		if err != nil {
			t.Error(err)
			break
		}
		if _, err := s.Diff(t.Context(), v.root); err != nil {
			t.Error(err)
		}
		if err := workspace.Clone(t.Context(), v.root, filepath.Join(t.TempDir(), "copy"), workspace.Options{}); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	<-done
	before := v.tree(t)
	s := take(t, v.root, store)
	for range 30 {
		v.act()
	}
	_, err := s.Undo(t.Context(), v.root)
	must(t, err)
	if diff := cmp.Diff(before, v.tree(t)); diff != "" && len(s.Skipped) == 0 {
		t.Errorf("tree differs (-want +got):\n%s", diff)
	}
	v.discard()
}
