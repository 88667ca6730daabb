package workspace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A mark is the workspace before one step of a run, stored as what differs from the mark before it: a manifest of the changed
// entries, named after its snapshot and its step. The chain begins at the snapshot, which is the state before step 1.

// marked stands between a snapshot's id and a mark's step.
const marked = ".step-"

// Mark stores what root is like before a step, as the difference to last: the mark before it, or the snapshot itself. It returns the
// state to give as last next time. Contents that last holds unchanged are not read again; where nothing differs nothing is written. On
// return it is on disk.
func (s *Snapshot) Mark(ctx context.Context, root string, step int, last *Snapshot, opts Options) (*Snapshot, error) {
	now, err := s.mark(ctx, root, step, last, opts.or())
	if err != nil {
		return nil, fmt.Errorf("note the state of %s before step %d: %w", root, step, err)
	}
	return now, nil
}

func (s *Snapshot) mark(ctx context.Context, root string, step int, last *Snapshot, opts Options) (_ *Snapshot, err error) {
	unlock, err := lock(s.store, unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	defer unlock()
	sink := &sink{dir: filepath.Join(s.store, packDir), id: newID(), known: map[sum]place{}}
	defer func() {
		if err != nil {
			sink.discard()
		}
	}()
	now := &Snapshot{ID: s.ID, Root: root, Time: time.Now(), Mode: "copy", store: s.store}
	if err := now.fill(ctx, opts, last, sink); err != nil {
		return nil, err
	}
	now.packs = sink.packs
	delta := &Snapshot{ID: s.ID, Root: root, Time: now.Time, Mode: now.Mode, Skipped: now.Skipped, mode: now.mode, store: s.store, packs: slices.Clone(now.packs)}
	pair(last, now, func(old, e *entry) {
		switch {
		case e == nil:
			delta.gone = append(delta.gone, old.path)
		case !same(old, e):
			delta.entries = append(delta.entries, *e)
		}
	})
	if len(delta.entries) == 0 && len(delta.gone) == 0 {
		sink.discard()
		return last, nil
	}
	delta.Files = len(delta.entries)
	delta.prune()
	if err := syncDir(sink.dir); err != nil {
		return nil, err
	}
	return now, delta.save(s.ID + marked + fmt.Sprintf("%06d", step))
}

// Marks lists the steps before which the state was noted, in order.
func (s *Snapshot) Marks() ([]int, error) {
	names, err := os.ReadDir(filepath.Join(s.store, snapDir))
	if err != nil {
		return nil, fmt.Errorf("list the marks of snapshot %s: %w", s.ID, err)
	}
	var steps []int
	for _, e := range names { // sorted
		if rest, ok := strings.CutPrefix(e.Name(), s.ID+marked); ok {
			if n, err := strconv.Atoi(rest); err == nil && n > 0 {
				steps = append(steps, n)
			}
		}
	}
	return steps, nil
}

// Before returns the workspace as it was before a step: the newest mark that is not after it, and that mark's step (0: the
// snapshot itself, before the first change).
func (s *Snapshot) Before(step int) (*Snapshot, int, error) {
	steps, err := s.Marks()
	if err != nil {
		return nil, 0, err
	}
	at, found := *s, 0
	at.entries, at.packs = slices.Clone(s.entries), slices.Clone(s.packs)
	for _, n := range steps {
		if n > step {
			break
		}
		delta, err := load(s.store, s.ID+marked+fmt.Sprintf("%06d", n))
		if err != nil {
			return nil, 0, err
		}
		at.overlay(delta)
		found = n
	}
	return &at, found, nil
}

// overlay applies a mark's difference.
func (s *Snapshot) overlay(delta *Snapshot) {
	shift := len(s.packs)
	s.packs = append(s.packs, delta.packs...)
	s.Skipped, s.mode, s.Time = delta.Skipped, delta.mode, delta.Time
	drop := make(map[string]bool, len(delta.gone)+len(delta.entries))
	for _, p := range delta.gone {
		drop[p] = true
	}
	for i := range delta.entries {
		drop[delta.entries[i].path] = true
	}
	s.entries = slices.DeleteFunc(s.entries, func(e entry) bool { return drop[e.path] })
	for _, e := range delta.entries {
		if e.pack > 0 {
			e.pack += shift
		}
		s.entries = append(s.entries, e)
	}
	slices.SortFunc(s.entries, func(a, b entry) int { return strings.Compare(a.path, b.path) })
}

// removeMarks deletes the marks of a snapshot.
func removeMarks(store, id string) error {
	names, err := filepath.Glob(filepath.Join(store, snapDir, id+marked+"*"))
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}
