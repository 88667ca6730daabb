package workspace

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aymanbagabas/go-udiff"
	"golang.org/x/sys/unix"
)

// Kind says how a file differs from the snapshot.
type Kind string

// The kinds of change.
const (
	Created Kind = "created"
	Changed Kind = "changed"
	Deleted Kind = "deleted"
	Renamed Kind = "renamed" // moved with its content unchanged
)

// Change is one file or symlink that differs from the snapshot. Folders are not listed.
type Change struct {
	Path    string `json:"path"`
	From    string `json:"from,omitempty"` // of a renamed one: where it was
	Kind    Kind   `json:"kind"`
	OldSize int64  `json:"old_size"`
	NewSize int64  `json:"new_size"`
	OldMode uint32 `json:"old_mode,omitempty"` // permission bits
	NewMode uint32 `json:"new_mode,omitempty"`
	Added   int    `json:"added"` // lines; -1 for a binary or very large file
	Removed int    `json:"removed"`
	Binary  bool   `json:"binary,omitempty"`
	Edited  bool   `json:"edited,omitempty"` // not the run alone: it changed again after the run's end
	old     *entry
	now     *entry
}

// Bounds of what is compared line by line.
const (
	maxText  = 1 << 20  // bytes of one file
	maxTexts = 64 << 20 // bytes of all files of one Diff
)

// Unchanged reports whether the folder root is as it was when it was last sealed, or, if it never was, as in the snapshot.
func (s *Snapshot) Unchanged(ctx context.Context, root string) (bool, error) {
	now, err := s.now(ctx, root)
	if err != nil {
		return false, fmt.Errorf("look for changes in %s: %w", root, err)
	}
	after, err := s.after()
	if err != nil {
		return false, fmt.Errorf("look for changes in %s: %w", root, err)
	}
	if after == nil {
		after = s
	}
	return len(compare(after, now)) == 0, nil
}

// Diff compares the snapshot with the folder root as it is now, sorted by path.
func (s *Snapshot) Diff(ctx context.Context, root string) ([]Change, error) {
	now, err := s.now(ctx, root)
	if err != nil {
		return nil, fmt.Errorf("compare %s with its snapshot: %w", root, err)
	}
	after, err := s.after()
	if err != nil {
		return nil, fmt.Errorf("compare %s with its snapshot: %w", root, err)
	}
	changes := compare(s, now)
	left := int64(maxTexts)
	for i := range changes {
		c := &changes[i]
		if after != nil {
			c.Edited = !same(after.find(c.Path), now.find(c.Path)) || c.From != "" && !same(after.find(c.From), now.find(c.From))
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		s.count(ctx, root, c, &left)
	}
	return changes, nil
}

// compare lists the files and symlinks in which two states differ.
func compare(old, now *Snapshot) []Change {
	var changes []Change
	add := func(o, n *entry) {
		if o != nil && o.isDir() {
			o = nil
		}
		if n != nil && n.isDir() {
			n = nil
		}
		c := Change{old: o, now: n}
		switch {
		case o == nil && n == nil || same(o, n):
			return
		case o == nil:
			c.Kind = Created
		case n == nil:
			c.Kind = Deleted
		default:
			c.Kind = Changed
		}
		if o != nil {
			c.Path, c.OldSize, c.OldMode = o.path, o.size, o.perm()
		}
		if n != nil {
			c.Path, c.NewSize, c.NewMode = n.path, n.size, n.perm()
		}
		changes = append(changes, c)
	}
	unknown := skipped(old)
	pair(old, now, func(o, n *entry) {
		if o != nil || !unknown.covers(n.path) { // else it may have been there before
			add(o, n)
		}
	})
	return renames(changes)
}

// pair calls f for every path of a or b, in order.
func pair(a, b *Snapshot, f func(x, y *entry)) {
	i, j := 0, 0
	for i < len(a.entries) || j < len(b.entries) {
		switch {
		case j == len(b.entries) || i < len(a.entries) && a.entries[i].path < b.entries[j].path:
			f(&a.entries[i], nil)
			i++
		case i == len(a.entries) || b.entries[j].path < a.entries[i].path:
			f(nil, &b.entries[j])
			j++
		default:
			f(&a.entries[i], &b.entries[j])
			i, j = i+1, j+1
		}
	}
}

// renames turns a deletion and a creation of the same content into a rename, for equal base names first.
func renames(changes []Change) []Change {
	deleted := map[sum][]int{}
	for i, c := range changes {
		if c.Kind == Deleted && c.old.isFile() && c.OldSize > 0 {
			deleted[c.old.hash] = append(deleted[c.old.hash], i)
		}
	}
	gone := map[int]bool{}
	for _, byName := range []bool{true, false} {
		for i := range changes {
			c := &changes[i]
			if c.Kind != Created || !c.now.isFile() || c.NewSize == 0 {
				continue
			}
			for _, j := range deleted[c.now.hash] {
				d := &changes[j]
				if gone[j] || byName && path.Base(d.Path) != path.Base(c.Path) {
					continue
				}
				gone[j] = true
				c.Kind, c.From, c.old, c.OldSize, c.OldMode = Renamed, d.Path, d.old, d.OldSize, d.OldMode
				break
			}
		}
	}
	kept := changes[:0]
	for i, c := range changes {
		if !gone[i] {
			kept = append(kept, c)
		}
	}
	return kept
}

// count fills in the lines added and removed.
func (s *Snapshot) count(ctx context.Context, root string, c *Change, left *int64) {
	if c.Kind == Renamed {
		return
	}
	c.Added, c.Removed = -1, -1
	if *left -= c.OldSize + c.NewSize; *left < 0 {
		return
	}
	old, now, err := s.texts(ctx, root, c)
	if err != nil {
		return
	}
	if c.Binary = isBinary(old) || isBinary(now); c.Binary {
		return
	}
	c.Added, c.Removed = 0, 0
	for _, e := range udiff.Lines(string(old), string(now)) {
		c.Removed += lines(string(old[e.Start:e.End]))
		c.Added += lines(e.New)
	}
}

func lines(s string) int {
	n := strings.Count(s, "\n")
	if s != "" && !strings.HasSuffix(s, "\n") {
		n++
	}
	return n
}

func isBinary(b []byte) bool {
	return bytes.IndexByte(b[:min(len(b), 8<<10)], 0) >= 0 || !utf8.Valid(b)
}

// errLarge is returned for files that are not compared line by line.
var errLarge = fmt.Errorf("larger than %d KiB", maxText>>10)

// texts reads both sides of a change; a side that isn't there is empty, and a symlink is its target.
func (s *Snapshot) texts(ctx context.Context, root string, c *Change) (old, now []byte, err error) {
	if c.OldSize > maxText || c.NewSize > maxText {
		return nil, nil, errLarge
	}
	if c.old != nil {
		if c.old.isLink() {
			old = []byte(c.old.link)
		} else {
			var b bytes.Buffer
			if err := s.fetch(ctx, &b, c.old); err != nil {
				return nil, nil, err
			}
			old = b.Bytes()
		}
	}
	if c.now != nil {
		if c.now.isLink() {
			now = []byte(c.now.link)
		} else if now, err = readBeneath(root, c.now.path); err != nil {
			return nil, nil, err
		}
	}
	return old, now, nil
}

func readBeneath(root, rel string) ([]byte, error) {
	dir, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir)
	f, err := openFile(dir, rel)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxText+1))
	if err == nil && len(b) > maxText {
		return nil, errLarge
	}
	return b, err
}

// Unified renders a change that Diff returned as a unified diff of at most limit bytes (0: 64 KiB), as git writes it. Binary and
// large files are named with their sizes.
func (s *Snapshot) Unified(ctx context.Context, root string, c Change, limit int) (string, error) {
	if limit <= 0 {
		limit = 64 << 10
	}
	from, to := "a/"+c.Path, "b/"+c.Path
	switch c.Kind {
	case Created:
		from = "/dev/null"
	case Deleted:
		to = "/dev/null"
	case Renamed:
		return fmt.Sprintf("rename from %s\nrename to %s\n", c.From, c.Path), nil
	}
	var head string
	if c.old != nil && c.now != nil && c.OldMode != c.NewMode {
		head = fmt.Sprintf("mode of %s: %04o -> %04o\n", c.Path, c.OldMode, c.NewMode)
	}
	old, now, err := s.texts(ctx, root, &c)
	switch {
	case err == errLarge:
		return head + fmt.Sprintf("Large file %s: %d -> %d bytes\n", c.Path, c.OldSize, c.NewSize), nil
	case err != nil:
		return "", fmt.Errorf("diff %s: %w", c.Path, err)
	case isBinary(old) || isBinary(now):
		return head + fmt.Sprintf("Binary file %s: %d -> %d bytes\n", c.Path, c.OldSize, c.NewSize), nil
	}
	out := head + udiff.Unified(from, to, string(old), string(now))
	if len(out) > limit {
		cut := strings.LastIndexByte(out[:limit], '\n') + 1
		out = out[:cut] + fmt.Sprintf("... %d more bytes of this diff\n", len(out)-cut)
	}
	return out, nil
}

// Paths are the paths of changes, sorted.
func Paths(changes []Change) []string {
	paths := make([]string, 0, len(changes))
	for _, c := range changes {
		paths = append(paths, c.Path)
		if c.From != "" {
			paths = append(paths, c.From)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}
