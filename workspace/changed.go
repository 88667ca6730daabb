package workspace

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of ChangedSince.
const (
	maxLooked  = 50_000 // files; a larger workspace counts as changed in whole
	maxChanged = 200    // paths that are told apart
)

// Clean is a path of a tool's argument, relative to the workspace and slash-separated; "." is the workspace, and what is outside stays
// absolute.
func Clean(p string) string {
	p = path.Clean(filepath.ToSlash(strings.TrimSpace(p)))
	if p == "/workspace" {
		return "."
	}
	return strings.TrimPrefix(p, "/workspace/")
}

// ChangedSince returns the workspace's files whose inode changed since a moment: their content, name, links or mode. It goes by the
// time that the kernel keeps of that and that no program can set. Folders that changed in whole stand for what is in them, and "."
// for everything. moved says that something may have been moved: what lies in a folder that was itself moved, whose own time shows
// it, then counts too. A folder .git counts as one.
func ChangedSince(root *os.Root, since time.Time, moved bool) ([]string, error) {
	w := &walker{root: root, since: since.Add(-tick).UnixNano(), moved: moved}
	_, out, err := w.folder(".", false)
	if err != nil {
		return nil, err
	}
	if w.looked > maxLooked || len(out) > maxChanged {
		return []string{"."}, nil
	}
	slices.Sort(out)
	return out, nil
}

type walker struct {
	root   *os.Root
	since  int64
	moved  bool
	looked int
}

// folder looks at one folder. all: everything in it changed.
func (w *walker) folder(dir string, inMoved bool) (all bool, changed []string, err error) {
	f, err := w.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return false, nil, nil
	}
	if err != nil {
		return false, nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(maxLooked + 1)
	if err != nil && len(names) == 0 {
		return false, nil, nil // empty, or gone
	}
	all = true
	for _, name := range names {
		if w.looked++; w.looked > maxLooked {
			return false, nil, nil
		}
		var st unix.Stat_t
		if unix.Fstatat(int(f.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			continue // it is gone
		}
		at := path.Join(dir, name)
		fresh := inMoved || st.Ctim.Nano() >= w.since
		if modeOf(&st)&unix.S_IFMT != unix.S_IFDIR {
			if fresh {
				changed = append(changed, at)
			}
			all = all && fresh
			continue
		}
		whole, below, err := w.folder(at, inMoved || w.moved && fresh)
		if err != nil {
			return false, nil, err
		}
		switch {
		case len(below) == 0:
		case whole && fresh, name == ".git":
			changed = append(changed, at)
		default:
			changed = append(changed, below...)
		}
		all = all && whole && fresh
	}
	return all, changed, nil
}
