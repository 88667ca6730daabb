package workspace

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Snapshot is a workspace as it was: every file, folder and symlink, with what is needed to put it back. It holds all of
// .git and of ignored folders too, since an agent can damage those as well. Sockets, pipes and devices are in Skipped.
// Not kept: extended attributes, and that two names were links to one file.
type Snapshot struct {
	ID      string
	Root    string
	Time    time.Time
	Mode    string // how contents were taken: reflink (at least the large ones) or copy
	Files   int    // files, folders and symlinks
	Bytes   int64  // of all files
	Skipped []Skip

	mode    uint32 // of the root itself
	store   string
	packs   []string
	entries []entry // sorted by path
	gone    []string
}

// Take stores a snapshot of the folder root below the folder store, which only one process uses. Files that an earlier snapshot of the same
// root holds unchanged (by path, size, times and inode) are not read again. On return it is on disk.
func Take(ctx context.Context, root, store string, opts Options) (*Snapshot, error) {
	s, err := take(ctx, root, store, opts.or())
	if err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", root, err)
	}
	return s, nil
}

func take(ctx context.Context, root, store string, opts Options) (_ *Snapshot, err error) {
	for _, dir := range []string{store, filepath.Join(store, packDir), filepath.Join(store, snapDir)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	unlock, err := lock(store, unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	defer unlock()
	id := newID()
	s := &Snapshot{ID: id, Root: root, Time: time.Now(), Mode: "copy", store: store}
	old, err := latest(store, root)
	if err != nil {
		return nil, err
	}
	sink := &sink{dir: filepath.Join(store, packDir), id: id, known: map[sum]place{}}
	defer func() {
		if err != nil {
			sink.discard()
		}
	}()
	if err := s.fill(ctx, opts, old, sink); err != nil {
		return nil, err
	}
	if sink.cloned {
		s.Mode = "reflink"
	}
	s.packs = sink.packs
	s.prune()
	if err := syncDir(sink.dir); err != nil {
		return nil, err
	}
	if err := s.save(id); err != nil {
		return nil, err
	}
	return s, nil
}

// fill scans the root and gets every content's hash: from old where nothing changed, else by reading. With a sink
// contents are stored as well.
func (s *Snapshot) fill(ctx context.Context, opts Options, old *Snapshot, sink *sink) error {
	fd, err := unix.Open(s.Root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	s.mode = modeOf(&st) & 0o7777
	if s.entries, s.Skipped, err = scan(ctx, fd, opts); err != nil {
		return err
	}
	reuse := func(*entry) bool { return true }
	if old != nil && sink != nil {
		reuse = old.reusable()
		sink.packs = slices.Clone(old.packs)
		for i := range old.entries {
			if e := &old.entries[i]; e.isFile() && e.pack > 0 && reuse(e) {
				sink.known[e.hash] = place{e.pack, e.off}
			}
		}
	}
	var idx []int
	var need int64
	for i := range s.entries {
		e := &s.entries[i]
		if !e.isFile() {
			continue
		}
		if o := old.find(e.path); o != nil && o.sure && sameStat(o, e) && (sink == nil || o.pack > 0 && reuse(o)) {
			e.hash, e.sure, e.pack, e.off = o.hash, true, o.pack, o.off
			continue
		}
		idx = append(idx, i)
		need += e.size
	}
	if sink != nil {
		if err := enoughSpace(s.store, need); err != nil {
			return err
		}
	}
	if err := ingest(ctx, fd, s.entries, idx, sink); err != nil {
		return err
	}
	for i := range s.entries {
		if e := &s.entries[i]; e.why != "" {
			s.Skipped = append(s.Skipped, Skip{e.path, e.why})
		}
	}
	s.entries = slices.DeleteFunc(s.entries, func(e entry) bool { return e.gone })
	s.Files, s.Bytes = len(s.entries), 0
	for i := range s.entries {
		if s.entries[i].isFile() {
			s.Bytes += s.entries[i].size
		}
	}
	return nil
}

// find returns the entry of a path, or nil.
func (s *Snapshot) find(path string) *entry {
	if s == nil {
		return nil
	}
	i, ok := slices.BinarySearchFunc(s.entries, path, func(e entry, p string) int { return strings.Compare(e.path, p) })
	if !ok {
		return nil
	}
	return &s.entries[i]
}

// reusable reports which contents a new snapshot may share: not those of a pack that is mostly dead, so that it can be
// swept once older snapshots are gone, nor those of one that is missing or short.
func (s *Snapshot) reusable() func(*entry) bool {
	live, end := make([]int64, len(s.packs)+1), make([]int64, len(s.packs)+1)
	counted := map[place]bool{}
	for i := range s.entries {
		e := &s.entries[i]
		if !e.isFile() || e.pack == 0 {
			continue
		}
		end[e.pack] = max(end[e.pack], e.off+e.size)
		if at := (place{e.pack, e.off}); !counted[at] {
			counted[at] = true
			live[e.pack] += e.size
		}
	}
	ok := make([]bool, len(s.packs)+1)
	for i, name := range s.packs {
		info, err := os.Stat(filepath.Join(s.store, packDir, name))
		ok[i+1] = err == nil && info.Size() >= end[i+1] && (info.Size() < 1<<20 || live[i+1] >= info.Size()/2)
	}
	return func(e *entry) bool { return ok[e.pack] }
}

// prune drops packs that no entry uses from the table, so that Sweep may delete them.
func (s *Snapshot) prune() {
	to := make([]int, len(s.packs)+1)
	var kept []string
	for i := range s.entries {
		e := &s.entries[i]
		if !e.isFile() || e.pack == 0 {
			continue
		}
		if to[e.pack] == 0 {
			kept = append(kept, s.packs[e.pack-1])
			to[e.pack] = len(kept)
		}
		e.pack = to[e.pack]
	}
	s.packs = kept
}

func enoughSpace(dir string, need int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return err
	}
	const spare = 64 << 20
	if free := int64(st.Bavail) * int64(st.Bsize); need > 0 && free < need+spare {
		return fmt.Errorf("it needs %d MiB and the disk of %s has %d MiB free: free some, or choose a smaller folder with -C DIR: %w",
			(need+spare)>>20, dir, free>>20, unix.ENOSPC)
	}
	return nil
}

// newID is unique and sorts by time: 11 hex digits of milliseconds, 5 of chance.
func newID() string {
	var b [8]byte
	rand.Read(b[:])
	return fmt.Sprintf("%011x%05x", time.Now().UnixMilli(), binary.BigEndian.Uint64(b[:])&0xfffff)
}

var idForm = regexp.MustCompile(`^[0-9a-f]{16}$`)

// Load returns a stored snapshot.
func Load(store, id string) (*Snapshot, error) {
	if !idForm.MatchString(id) {
		return nil, fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	return load(store, id)
}

func load(store, name string) (*Snapshot, error) {
	path := filepath.Join(store, snapDir, name)
	b, err := readManifest(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, path)
	}
	if err != nil {
		return nil, fmt.Errorf("load snapshot %s: %w", path, err)
	}
	s, err := decode(b)
	if err != nil {
		return nil, fmt.Errorf("load snapshot %s: %w", path, err)
	}
	s.store = store
	return s, nil
}

// Seal notes what the workspace is like at the end of the run: hashes, no contents. Undo keeps what differs from it, because a
// person changed that later. Sealing again replaces the note.
func (s *Snapshot) Seal(ctx context.Context, root string) error {
	if err := s.seal(ctx, root); err != nil {
		return fmt.Errorf("note the end of the run in %s: %w", root, err)
	}
	return nil
}

func (s *Snapshot) seal(ctx context.Context, root string) error {
	unlock, err := lock(s.store, unix.LOCK_SH)
	if err != nil {
		return err
	}
	defer unlock()
	now, err := s.now(ctx, root)
	if err != nil {
		return err
	}
	return now.save(s.ID + sealed)
}

// now is the state of root, with s and its seal as what needn't be read again.
func (s *Snapshot) now(ctx context.Context, root string) (*Snapshot, error) {
	known := s
	if after, err := s.after(); err == nil && after != nil {
		known = after
	}
	now := &Snapshot{ID: s.ID, Root: root, Time: time.Now(), Mode: "none", store: s.store}
	if err := now.fill(ctx, Options{MaxFiles: 4_000_000, MaxBytes: 1 << 50}, known, nil); err != nil {
		return nil, err
	}
	for i := range now.entries {
		now.entries[i].pack, now.entries[i].off = 0, 0
	}
	return now, nil
}

// after is what Seal noted, or nil.
func (s *Snapshot) after() (*Snapshot, error) {
	after, err := load(s.store, s.ID+sealed)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return after, err
}

// latest is the newest snapshot of the same root that can be read, or nil.
func latest(store, root string) (*Snapshot, error) {
	names, err := os.ReadDir(filepath.Join(store, snapDir))
	if err != nil {
		return nil, err
	}
	looked := 0
	for _, e := range slices.Backward(names) {
		if !idForm.MatchString(e.Name()) {
			continue
		}
		if looked++; looked > 500 {
			break
		}
		h, err := readHead(filepath.Join(store, snapDir, e.Name()))
		if err != nil || h.Root != root {
			continue
		}
		if s, err := load(store, e.Name()); err == nil { // a damaged one only costs time here
			return s, nil
		}
	}
	return nil, nil
}
