package workspace_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentd/workspace"
)

// TestMarksGoBackToEachStep lets a run do random things for some steps, with a mark before each, and goes back step by step.
func TestMarksGoBackToEachStep(t *testing.T) {
	for seed := range uint64(15) {
		v := newVandal(t, seed, 11)
		store := t.TempDir()
		for range 30 {
			v.act()
		}
		v.open()
		s := take(t, v.root, store)
		last := s
		states := map[int]map[string]string{0: v.tree(t)}
		for step := 2; step < 9; step++ {
			for range 1 + v.r.IntN(8) {
				v.act()
			}
			v.open()
			var err error
			last, err = s.Mark(t.Context(), v.root, step, last, workspace.Options{})
			must(t, err)
			states[step] = v.tree(t)
			if seed%3 == 0 { // a daemon that was started anew reads the chain
				last, _, err = s.Before(step)
				must(t, err)
			}
		}
		must(t, s.Seal(t.Context(), v.root))
		for step := 8; step >= 1; step-- {
			want := states[step]
			if step == 1 {
				want = states[0]
			}
			loaded, err := workspace.Load(store, s.ID)
			must(t, err)
			at, _, err := loaded.Before(step)
			must(t, err)
			from, err := loaded.End()
			must(t, err)
			if step < 8 { // the folder is in the state of the step above
				from, _, err = loaded.Before(step + 1)
				must(t, err)
			}
			report, err := at.Restore(t.Context(), v.root, from)
			must(t, err)
			if len(report.Kept) > 0 {
				t.Errorf("seed %d, step %d: kept %v", seed, step, report.Kept)
			}
			if diff := cmp.Diff(want, v.tree(t)); diff != "" {
				t.Fatalf("seed %d: the tree before step %d differs (-want +got):\n%s", seed, step, diff)
			}
		}
		must(t, workspace.Remove(store, s.ID))
		left, err := os.ReadDir(filepath.Join(store, "packs"))
		must(t, err)
		if names, err := os.ReadDir(filepath.Join(store, "snaps")); err != nil || len(names)+len(left) > 0 {
			t.Errorf("after Remove: %v, packs %v, %v", names, left, err)
		}
		v.discard()
	}
}

// open makes everything readable, so that each state can be compared whole.
func (v *vandal) open() {
	must(v.t, filepath.WalkDir(v.root, func(p string, d os.DirEntry, err error) error {
		if d != nil && d.Type()&os.ModeSymlink == 0 {
			os.Chmod(p, 0o755)
		}
		return nil
	}))
}

func TestRestoreKeepsWhatAPersonEdited(t *testing.T) {
	root, store := t.TempDir(), t.TempDir()
	write(t, root, map[string]string{"a": "1", "b": "1", "c": "1"})
	s := take(t, root, store)
	write(t, root, map[string]string{"a": "2"}) // step 1
	last, err := s.Mark(t.Context(), root, 2, s, workspace.Options{})
	must(t, err)
	write(t, root, map[string]string{"a": "3", "b": "3", "new": "3"}) // step 2
	if _, err = s.Mark(t.Context(), root, 3, last, workspace.Options{}); err != nil {
		t.Fatal(err)
	}
	must(t, s.Seal(t.Context(), root))
	write(t, root, map[string]string{"b": "a person's", "c": "a person's"})
	at, step, err := s.Before(2)
	must(t, err)
	end, err := s.End()
	must(t, err)
	report, err := at.Restore(t.Context(), root, end)
	must(t, err)
	want := workspace.Report{Restored: []string{"a"}, Removed: []string{"new"}, Kept: []workspace.Skip{{Path: "b", Reason: "it differs from what the run worked with"}}}
	if diff := cmp.Diff(want, report); diff != "" || step != 2 {
		t.Errorf("step %d, report differs (-want +got):\n%s", step, diff)
	}
	for name, want := range map[string]string{"a": "2", "b": "a person's", "c": "a person's"} {
		if got, err := os.ReadFile(filepath.Join(root, name)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v; want %q", name, got, err, want)
		}
	}
}

// BenchmarkMark measures the note before a step in a workspace of 100,000 files of which one changed.
func BenchmarkMark(b *testing.B) {
	root, store := grove(b, 100_000), b.TempDir()
	s := take(b, root, store)
	last, step := s, 1
	for b.Loop() {
		step++
		must(b, os.WriteFile(filepath.Join(root, "one"), fmt.Appendf(nil, "%d", step), 0o644))
		var err error
		last, err = s.Mark(b.Context(), root, step, last, workspace.Options{})
		must(b, err)
	}
}
