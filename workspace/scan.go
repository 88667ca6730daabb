package workspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Options bound a snapshot. A zero field has a default.
type Options struct {
	MaxFiles int   // files, folders and symlinks; 500,000
	MaxBytes int64 // of all files together; 16 GiB
}

func (o Options) or() Options {
	if o.MaxFiles == 0 {
		o.MaxFiles = 500_000
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 16 << 30
	}
	return o
}

// LimitError is returned for a workspace that is larger than the options allow.
type LimitError struct {
	Setting string // of the daemon's configuration
	Limit   int64
}

// Error names the setting to raise.
func (e *LimitError) Error() string {
	return fmt.Sprintf("the workspace exceeds snapshot.%s (%d), so it could not be put back: choose a smaller folder with -C DIR, or raise the setting", e.Setting, e.Limit)
}

// Skip is something that a snapshot doesn't hold, or that an undo kept, and why.
type Skip struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// The reasons of skips that undo tells apart.
const (
	shutFolder = "a folder that this user can't look into, so its files can't be put back"
	shutFile   = "this user can't read it, so it can't be put back"
	noFile     = "not a file: "
)

// openFile opens a regular file below a folder. Anything else that is there by now (a folder, a pipe that would block) is ENOENT: the file is gone.
func openFile(dir int, rel string) (*os.File, error) {
	fd, err := openBeneath(dir, rel, unix.O_RDONLY)
	switch err {
	case nil:
	case unix.ENOTDIR, unix.ELOOP, unix.ENXIO, unix.EOPNOTSUPP: // the last two: a socket
		return nil, unix.ENOENT
	default:
		return nil, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = unix.ENOENT
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), rel), nil
}

// openStepwise is openBeneath with a call per folder on the way.
func openStepwise(dir int, rel string, flags int) (int, error) {
	parts := strings.Split(rel, "/")
	at := dir
	for i, part := range parts {
		f := passThrough | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
		if i == len(parts)-1 {
			f = flags
		}
		fd, err := -1, error(unix.EXDEV) // as openat2 says of a way out
		if part != ".." {
			fd, err = unix.Openat(at, part, f, 0)
		}
		if at != dir {
			unix.Close(at)
		}
		if err != nil {
			return -1, err
		}
		at = fd
	}
	return at, nil
}

// scanner walks a tree with a few workers.
type scanner struct {
	root  int
	opts  Options
	count atomic.Int64
	bytes atomic.Int64

	mu      sync.Mutex // guards the fields below
	more    *sync.Cond
	dirs    []string // still to be read
	busy    int      // workers that read one
	entries []entry
	skips   []Skip
	err     error
}

// scan lists everything below root, sorted by path, without contents. Sockets, devices and unreadable folders are skipped.
func scan(ctx context.Context, root int, opts Options) ([]entry, []Skip, error) {
	s := &scanner{root: root, opts: opts, dirs: []string{"."}}
	s.more = sync.NewCond(&s.mu)
	stop := context.AfterFunc(ctx, func() { s.fail(context.Cause(ctx)) })
	defer stop()
	var wg sync.WaitGroup
	for range workers() {
		wg.Go(s.work)
	}
	wg.Wait()
	s.mu.Lock() // the cancellation may still be told
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, nil, s.err
	}
	slices.SortFunc(s.entries, func(a, b entry) int { return strings.Compare(a.path, b.path) })
	// A folder that changes while it is read may give a name twice.
	s.entries = slices.CompactFunc(s.entries, func(a, b entry) bool { return a.path == b.path })
	slices.SortFunc(s.skips, func(a, b Skip) int { return strings.Compare(a.Path, b.Path) })
	return s.entries, s.skips, nil
}

func workers() int { return min(max(2, runtime.GOMAXPROCS(0)), 8) }

func (s *scanner) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	s.more.Broadcast()
}

func (s *scanner) work() {
	for {
		s.mu.Lock()
		for len(s.dirs) == 0 && s.busy > 0 && s.err == nil {
			s.more.Wait()
		}
		if len(s.dirs) == 0 || s.err != nil {
			s.mu.Unlock()
			return
		}
		dir := s.dirs[len(s.dirs)-1]
		s.dirs = s.dirs[:len(s.dirs)-1]
		s.busy++
		s.mu.Unlock()

		entries, skips, err := s.read(dir)

		s.mu.Lock()
		s.busy--
		for i := range entries {
			if entries[i].isDir() {
				s.dirs = append(s.dirs, entries[i].path)
			}
		}
		s.entries = append(s.entries, entries...)
		s.skips = append(s.skips, skips...)
		if err != nil && s.err == nil {
			s.err = err
		}
		s.more.Broadcast()
		s.mu.Unlock()
	}
}

// read lists one folder.
func (s *scanner) read(dir string) (entries []entry, skips []Skip, err error) {
	prefix := dir + "/"
	if dir == "." {
		prefix = ""
	}
	fd, err := openBeneath(s.root, dir, unix.O_RDONLY|unix.O_DIRECTORY)
	switch {
	case err == unix.ENOENT || err == unix.ENOTDIR || err == unix.ELOOP:
		if dir != "." {
			return nil, nil, nil // gone, or replaced, meanwhile
		}
	case (err == unix.EACCES || err == unix.ENAMETOOLONG) && dir != ".":
		return nil, []Skip{{dir, shutFolder}}, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read folder %s: %w", dir, err)
	}
	f := os.NewFile(uintptr(fd), dir)
	defer f.Close()
	for {
		names, err := f.Readdirnames(2048)
		if errors.Is(err, io.EOF) || err == nil && len(names) == 0 {
			return entries, skips, nil
		}
		if errors.Is(err, unix.ENOENT) && dir != "." {
			return nil, nil, nil // deleted meanwhile
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read folder %s: %w", dir, err)
		}
		if s.count.Add(int64(len(names))) > int64(s.opts.MaxFiles) {
			return nil, nil, &LimitError{"max_files", int64(s.opts.MaxFiles)}
		}
		for _, name := range names {
			var st unix.Stat_t
			if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err == unix.ENOENT {
				continue
			} else if err == unix.EACCES && dir != "." { // may be listed and not entered
				return nil, []Skip{{dir, shutFolder}}, nil
			} else if err != nil {
				return nil, nil, fmt.Errorf("look at %s%s: %w", prefix, name, err)
			}
			e := entry{path: prefix + name}
			e.stat(&st)
			switch e.typ() {
			case unix.S_IFREG:
				if s.bytes.Add(e.size) > s.opts.MaxBytes {
					return nil, nil, &LimitError{"max_bytes", s.opts.MaxBytes}
				}
			case unix.S_IFDIR:
				e.size = 0
			case unix.S_IFLNK:
				if e.link, err = readlink(fd, name, e.size); err != nil {
					continue // replaced meanwhile
				}
			default:
				skips = append(skips, Skip{e.path, noFile + kindOf(e.typ())})
				continue
			}
			entries = append(entries, e)
		}
	}
}

func readlink(dir int, name string, size int64) (string, error) {
	buf := make([]byte, max(256, size+1))
	for {
		n, err := unix.Readlinkat(dir, name, buf)
		if err != nil {
			return "", err
		}
		if n < len(buf) {
			return string(buf[:n]), nil
		}
		buf = make([]byte, 2*len(buf))
	}
}

func kindOf(typ uint32) string {
	switch typ {
	case unix.S_IFIFO:
		return "a pipe"
	case unix.S_IFSOCK:
		return "a socket"
	}
	return "a device"
}
