package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Report says what an undo did.
type Report struct {
	Restored []string `json:"restored,omitempty"` // put back as they were
	Removed  []string `json:"removed,omitempty"`  // created by the run
	Kept     []Skip   `json:"kept,omitempty"`     // conflicts: left as they are, and why
}

// Undo puts the folder root back to the snapshot: files, folders, symlinks, modes and, where this user may, owners. What
// changed again after Seal was changed by a person: it is kept and reported. What only a person changed is left alone. Without
// a seal everything that differs counts as the run's. A second Undo finds nothing to do.
func (s *Snapshot) Undo(ctx context.Context, root string) (Report, error) {
	after, err := s.after()
	var r Report
	if err == nil {
		r, err = s.undo(ctx, root, after, "changed after the end of the run")
	}
	if err != nil {
		return r, fmt.Errorf("undo in %s: %w", root, err)
	}
	return r, nil
}

// Restore brings the folder root from the state that from holds to the snapshot's: only what differs between the two is touched,
// and where root holds neither it is a conflict: it is kept and reported.
func (s *Snapshot) Restore(ctx context.Context, root string, from *Snapshot) (Report, error) {
	r, err := s.undo(ctx, root, from, "it differs from what the run worked with")
	if err != nil {
		return r, fmt.Errorf("restore %s: %w", root, err)
	}
	return r, nil
}

// End is what Seal noted, or nil where nothing was.
func (s *Snapshot) End() (*Snapshot, error) { return s.after() }

// undoer is one undo.
type undoer struct {
	s      *Snapshot
	root   *os.Root
	report Report
	kept   map[string]bool
	opened map[string]uint32 // what the run made unreadable, and its permissions then
}

// undo does the work of Undo and Restore: after is the state in which the run left the folder, nil for the one it has now.
func (s *Snapshot) undo(ctx context.Context, dir string, after *Snapshot, conflict string) (Report, error) {
	if info, err := os.Lstat(dir); err == nil && info.IsDir() && uint32(info.Mode().Perm())&0o700 != 0o700 {
		if err := os.Chmod(dir, os.FileMode(s.mode&0o777)); err != nil {
			return Report{}, err
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Report{}, err
	}
	defer root.Close()
	u := &undoer{s: s, root: root, kept: map[string]bool{}, opened: map[string]uint32{}}
	unknown := skipped(s)
	now, err := u.look(ctx, dir, unknown)
	if err != nil {
		return Report{}, err
	}
	u.removeTemporary(now)
	if after == nil {
		after = now
	}
	unseen := skipped(after)
	after.adopt(now, unseen)

	// Per path: base is what the run found, end what it left, cur what is there.
	type todo struct{ base, cur *entry }
	var remove, restore []todo
	pair(s, after, func(base, end *entry) {
		if same(base, end) {
			return // not the run's doing
		}
		p := base
		if p == nil {
			p = end
		}
		if unknown.covers(p.path) {
			return // it may have been there before
		}
		cur := now.find(p.path)
		switch {
		case same(cur, base): // put back already
		case !same(cur, end):
			u.keep(p.path, conflict)
		default:
			t := todo{base, cur}
			if cur != nil && (base == nil || base.typ() != cur.typ()) {
				remove = append(remove, t)
			}
			if base != nil {
				restore = append(restore, t)
			}
		}
	})
	u.removeSpecial(after, unknown)
	for _, t := range slices.Backward(remove) { // what is in a folder before the folder
		if ctx.Err() != nil {
			return u.report, context.Cause(ctx)
		}
		if err := u.remove(t.cur, t.base != nil); err != nil {
			return u.report, err
		}
	}
	for _, t := range restore { // a folder before what is in it
		if ctx.Err() != nil {
			return u.report, context.Cause(ctx)
		}
		if err := u.restore(ctx, t.base, t.cur); err != nil {
			return u.report, err
		}
	}
	for _, t := range slices.Backward(restore) { // at last, since a read-only folder can't be filled
		if t.base.isDir() && !u.kept[t.base.path] && u.inside(t.base.path+"/.") {
			if err := u.attributes(t.base.path, t.base); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return u.report, err
			}
		}
	}
	for p, mode := range u.opened {
		if info, err := root.Lstat(p); err == nil && info.Mode()&fs.ModeSymlink == 0 && (u.kept[p] || s.find(p) == nil) {
			root.Chmod(p, os.FileMode(mode)) // still there, so it stays as it was
		}
	}
	slices.Sort(u.report.Restored)
	slices.Sort(u.report.Removed)
	return u.report, flush(root, u.report)
}

// look scans what is there now. What the run made unreadable is opened first, and noted with the mode it had.
func (u *undoer) look(ctx context.Context, dir string, unknown skips) (*Snapshot, error) {
	for {
		now, err := u.s.now(ctx, dir)
		if err != nil {
			return nil, err
		}
		more := false
		for _, k := range now.Skipped {
			info, err := u.root.Lstat(k.Path)
			if _, tried := u.opened[k.Path]; tried || err != nil || strings.HasPrefix(k.Reason, noFile) || unknown.covers(k.Path) || unknown[k.Path] != "" {
				continue
			}
			u.opened[k.Path] = uint32(info.Mode().Perm())
			more = u.root.Chmod(k.Path, info.Mode().Perm()|0o700) == nil || more
		}
		if more {
			continue
		}
		for p, mode := range u.opened {
			if e := now.find(p); e != nil {
				e.mode = e.mode&^0o777 | mode
			}
		}
		return now, nil
	}
}

// removeSpecial removes the pipes, sockets and devices that the run made. They would keep its folders from being removed.
func (u *undoer) removeSpecial(after *Snapshot, unknown skips) {
	const special = fs.ModeNamedPipe | fs.ModeSocket | fs.ModeDevice | fs.ModeCharDevice
	for _, k := range after.Skipped {
		if !strings.HasPrefix(k.Reason, noFile) || unknown.covers(k.Path) || u.s.find(k.Path) != nil || !u.inside(k.Path) {
			continue
		}
		info, err := u.root.Lstat(k.Path)
		if err == nil && info.Mode()&special != 0 && u.writable(k.Path, func() error { return u.root.Remove(k.Path) }) == nil {
			u.report.Removed = append(u.report.Removed, k.Path)
		}
	}
}

// adopt takes over from now what s could not see: what is in a folder that the run had shut counts as the run's.
func (s *Snapshot) adopt(now *Snapshot, unseen skips) {
	if s == now || len(unseen) == 0 {
		return
	}
	var more []entry
	for i := range now.entries {
		if e := &now.entries[i]; unseen.covers(e.path) && s.find(e.path) == nil {
			more = append(more, *e)
		}
	}
	s.entries = append(s.entries, more...)
	slices.SortFunc(s.entries, func(a, b entry) int { return strings.Compare(a.path, b.path) })
}

// skips are paths that a snapshot says nothing about.
type skips map[string]string

func skipped(s *Snapshot) skips {
	m := skips{}
	for _, k := range s.Skipped {
		m[k.Path] = k.Reason
	}
	return m
}

// covers reports whether p was skipped, or is in a folder that was. The folder itself is known.
func (m skips) covers(p string) bool {
	if why, ok := m[p]; ok && why != shutFolder {
		return true
	}
	for dir := path.Dir(p); dir != "." && len(m) > 0; dir = path.Dir(dir) {
		if _, ok := m[dir]; ok {
			return true
		}
	}
	return false
}

func (u *undoer) keep(path, why string) {
	if !u.kept[path] {
		u.kept[path] = true
		u.report.Kept = append(u.report.Kept, Skip{path, why})
	}
}

// unmoved reports whether cur is still what is at its path: nobody wrote since the scan.
func (u *undoer) unmoved(p string, cur *entry) bool {
	info, err := u.root.Lstat(p)
	if cur == nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	if err != nil {
		return false
	}
	if info.IsDir() {
		return cur.isDir()
	}
	return !cur.isDir() && info.ModTime().UnixNano() == cur.mtime && info.Size() == cur.size
}

// inside reports whether all folders above p are folders, no symlinks; with "/." behind it, p itself too.
func (u *undoer) inside(p string) bool {
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if info, err := u.root.Lstat(dir); err != nil || !info.IsDir() {
			return false
		}
	}
	return true
}

// writable does f, and does it again with the folder above p made writable where that was what failed.
func (u *undoer) writable(p string, f func() error) error {
	err := f()
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	dir := path.Dir(p)
	info, serr := u.root.Lstat(dir)
	if serr != nil || !info.IsDir() || u.root.Chmod(dir, info.Mode().Perm()|0o700) != nil {
		return err
	}
	defer u.root.Chmod(dir, info.Mode()) // it was so before; the last pass sets what the snapshot says
	return f()
}

// remove deletes what the run created, or what stands in the way of something to restore.
func (u *undoer) remove(cur *entry, inWay bool) error {
	if !u.inside(cur.path) || !u.unmoved(cur.path, cur) {
		u.keep(cur.path, "changed during the undo")
		return nil
	}
	err := u.writable(cur.path, func() error { return u.root.Remove(cur.path) })
	switch {
	case errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST):
		if inWay {
			u.keep(cur.path, "the folder holds files that the run did not write")
		}
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	if !inWay {
		u.report.Removed = append(u.report.Removed, cur.path)
	}
	return nil
}

// restore puts base back. cur is what was there when the undo began.
func (u *undoer) restore(ctx context.Context, base, cur *entry) error {
	if cur != nil && cur.typ() != base.typ() {
		cur = nil // removed before this
	}
	if u.kept[base.path] {
		return nil
	}
	if !u.inside(base.path) {
		u.keep(base.path, "a folder above it is no longer one")
		return nil
	}
	if !u.unmoved(base.path, cur) {
		u.keep(base.path, "changed during the undo")
		return nil
	}
	err := u.writable(base.path, func() error {
		switch {
		case base.isDir():
			if cur == nil {
				return u.root.Mkdir(base.path, 0o700)
			}
			return nil
		case base.isLink():
			return u.link(base)
		case cur != nil && cur.hash == base.hash:
			return u.attributes(base.path, base)
		}
		return u.file(ctx, base)
	})
	if errors.Is(err, errDamaged) {
		u.keep(base.path, err.Error())
		return nil
	}
	if err != nil {
		return fmt.Errorf("restore %s: %w", base.path, err)
	}
	u.report.Restored = append(u.report.Restored, base.path)
	return nil
}

// temporaryPrefix begins the names of files that an undo writes before it renames them.
const temporaryPrefix = ".agentd-undo-"

func temporary(p string) string {
	return path.Join(path.Dir(p), temporaryPrefix+newID())
}

// removeTemporary removes what an undo that was cut off left behind, from the folder and from now.
func (u *undoer) removeTemporary(now *Snapshot) {
	now.entries = slices.DeleteFunc(now.entries, func(e entry) bool {
		id, ours := strings.CutPrefix(path.Base(e.path), temporaryPrefix)
		if !ours || !idForm.MatchString(id) || e.isDir() || u.s.find(e.path) != nil || !u.inside(e.path) {
			return false
		}
		return u.writable(e.path, func() error { return u.root.Remove(e.path) }) == nil
	})
}

func (u *undoer) link(base *entry) error {
	tmp := temporary(base.path)
	if err := u.root.Symlink(base.link, tmp); err != nil {
		return err
	}
	u.root.Lchown(tmp, int(base.uid), int(base.gid)) // only root may; the owner is then this user, as for any link it makes
	return u.rename(tmp, base.path)
}

func (u *undoer) file(ctx context.Context, base *entry) error {
	tmp := temporary(base.path)
	f, err := u.root.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err = u.s.fetch(ctx, f, base); err == nil {
		err = flushFile(f)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = u.attributes(tmp, base)
	}
	if err != nil {
		u.root.Remove(tmp)
		return err
	}
	return u.rename(tmp, base.path)
}

func (u *undoer) rename(tmp, p string) error {
	err := u.root.Rename(tmp, p)
	if err != nil {
		u.root.Remove(tmp)
	}
	return err
}

// attributes sets owner, mode and time. A changed owner clears set-id bits, so the mode comes after it.
func (u *undoer) attributes(p string, base *entry) error {
	if err := u.root.Lchown(p, int(base.uid), int(base.gid)); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	if err := u.root.Chmod(p, base.fileMode()); err != nil {
		return err
	}
	return u.root.Chtimes(p, time.Time{}, base.mod())
}
