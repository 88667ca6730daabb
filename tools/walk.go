package tools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/bmatcuk/doublestar/v4"
)

// Bounds of one walk through the workspace.
const (
	walkEntries = 100_000 // entries looked at
	walkFolder  = 20_000  // entries of one folder
	walkDepth   = 40
)

// bulky are folders that hold what was fetched or built: they are named, never walked.
var bulky = []string{"node_modules", "__pycache__", ".venv", "venv", ".tox", ".mypy_cache", ".pytest_cache", ".gradle", ".terraform", ".cache", ".idea"}

// errEnough ends a walk early without being a failure.
var errEnough = errors.New("enough")

// entry is one file or folder of the workspace.
type entry struct {
	path  string
	depth int // 1 for what lies in the folder where the walk began
	fs.DirEntry
}

// walker goes through a folder of the workspace in the order of names, follows no link and enters no .git and no bulky folder.
type walker struct {
	env  Env
	root *os.Root
	see  func(entry) (enter bool, err error)
	left int
	cut  string // why the walk did not see everything, "" when it did
}

// walk calls see for every entry below dir. The walk's own bounds and ctx end it without an error; cut then says so.
func walk(ctx context.Context, env Env, dir string, see func(entry) (bool, error)) (cut string, err error) {
	w := walker{env: env, root: env.Root, see: see, left: walkEntries}
	err = w.folder(ctx, dir, 1)
	if errors.Is(err, errEnough) {
		err = nil
	}
	return w.cut, err
}

func (w *walker) folder(ctx context.Context, dir string, depth int) error {
	entries, err := w.entries(dir)
	if err != nil {
		if depth == 1 {
			return err
		}
		return nil // it vanished or can't be read: its name was seen
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			w.cut = "it took too long"
			return errEnough
		}
		if w.left--; w.left < 0 {
			w.cut = fmt.Sprintf("there are more than %d files and folders", walkEntries)
			return errEnough
		}
		p := path.Join(dir, e.Name())
		if w.env.unseen(p, e.IsDir()) {
			continue
		}
		enter, err := w.see(entry{p, depth, e})
		if err != nil {
			return err
		}
		if !enter || !e.IsDir() || skipped(e.Name()) || depth >= walkDepth {
			continue
		}
		if err := w.folder(ctx, p, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) entries(dir string) ([]fs.DirEntry, error) {
	f, err := w.root.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(walkFolder + 1)
	if err == io.EOF {
		err = nil
	}
	if len(entries) > walkFolder {
		entries = entries[:walkFolder]
		w.cut = fmt.Sprintf("%s holds more than %d entries", dir, walkFolder)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// unseen reports whether a workspace path must not be shown. A symbolic link counts as a file: what it leads to is judged by its own name.
func (env Env) unseen(p string, folder bool) bool { return env.Unseen != nil && env.Unseen(p, folder) }

// skipped reports whether a folder of that name is named only, not entered.
func skipped(name string) bool { return name == ".git" || slices.Contains(bulky, name) }

// matcher returns a test of workspace paths against a glob; a glob without a slash is about names in any folder.
func matcher(env Env, glob string) (func(string) bool, error) {
	if glob == "" {
		return func(string) bool { return true }, nil
	}
	if strings.HasPrefix(glob, "/") {
		rel, err := place(env, glob)
		if err != nil {
			return nil, err
		}
		glob = rel
	}
	glob = strings.TrimPrefix(glob, "./")
	if len(glob) > 1000 || strings.Count(glob, "*") > 20 || !doublestar.ValidatePattern(glob) {
		return nil, fmt.Errorf("glob %s is not valid: write one such as *.go or src/**/*_test.py", clip(glob, 100))
	}
	if !strings.Contains(glob, "/") {
		return func(p string) bool { return doublestar.MatchUnvalidated(glob, path.Base(p)) }, nil
	}
	return func(p string) bool { return doublestar.MatchUnvalidated(glob, p) }, nil
}
