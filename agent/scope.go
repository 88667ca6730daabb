package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"agentd/goals"
	"agentd/journal"
)

// Bounds of a scope in one workspace.
const (
	maxScope     = 900     // paths that have to be kept apart, each a mount of a box
	maxScopeWalk = 200_000 // entries that are looked at
)

// inScope reports whether a path matches one of the globs of a scope; a folder's name stands for all in it. No globs are every path.
func inScope(globs []string, p string) bool {
	if len(globs) == 0 {
		return true
	}
	for _, g := range globs {
		g = strings.TrimSuffix(g, "/")
		if ok, err := doublestar.Match(g, p); ok && err == nil {
			return true
		}
		if ok, err := doublestar.Match(g+"/**", p); ok && err == nil {
			return true
		}
	}
	return false
}

// mayHold reports whether something below a folder can match one of the globs.
func mayHold(globs []string, dir string) bool {
	names := strings.Split(dir, "/")
	for _, g := range globs {
		parts := strings.Split(strings.TrimSuffix(g, "/"), "/")
		if reaches(parts, names) {
			return true
		}
	}
	return false
}

// reaches reports whether a glob's parts can match something below the folder of these names.
func reaches(parts, names []string) bool {
	for i, n := range names {
		if i == len(parts) {
			return true // the glob is a folder above
		}
		if parts[i] == "**" || strings.ContainsAny(parts[i], "{}") {
			return true
		}
		if ok, err := doublestar.Match(parts[i], n); !ok || err != nil {
			return false
		}
	}
	return true
}

// outside are the paths of a workspace that lie outside of a scope: whole folders where nothing in them can lie inside, else single files. Symbolic links
// are apart: their targets are judged under their own names.
type outside struct {
	paths map[string]bool   // true is a folder
	links map[string]string // path -> target
}

// look lists what lies outside of the globs now.
func lookOutside(root *os.Root, globs []string, key string) (outside, error) {
	o := outside{map[string]bool{}, map[string]string{}}
	if len(globs) == 0 {
		return o, nil
	}
	seen := 0
	err := fs.WalkDir(root.FS(), ".", func(p string, e fs.DirEntry, err error) error {
		if seen++; seen > maxScopeWalk {
			return fmt.Errorf("%s: the workspace has more than %d files", key, maxScopeWalk)
		}
		switch {
		case err != nil || p == ".":
			return nil // an unreadable folder is as unreadable to the run
		case e.IsDir() && (inScope(globs, p) || mayHold(globs, p)):
			return nil
		case e.Type()&fs.ModeSymlink != 0:
			if !inScope(globs, p) {
				target, err := root.Readlink(p)
				if err != nil {
					return nil // it is gone
				}
				o.links[p] = target
			}
			return nil
		case !e.IsDir() && inScope(globs, p):
			return nil
		}
		if o.paths[p] = e.IsDir(); len(o.paths) > maxScope {
			return fmt.Errorf("%s leaves more than %d separate paths outside: write it with folders, as in src/**", key, maxScope)
		}
		if e.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	return o, err
}

// list are the paths, sorted.
func (o outside) list() []string {
	out := make([]string, 0, len(o.paths))
	for p := range o.paths {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

// literal is a path as a glob that matches nothing else.
func literal(p string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(p)
}

// scope is what a call may write, noted before it.
type scope struct {
	writes outside
	globs  []string
}

// scoped notes what lies outside of scope.write before a call that may write, and of what the call's task declares to write where no other task runs beside it.
func (d *driver) scoped(task []string, alone bool) (*scope, error) {
	globs := d.start.Goal.Writable
	if len(globs) == 0 && alone {
		globs = task
	}
	if len(globs) == 0 {
		return nil, nil
	}
	o, err := lookOutside(d.root, globs, "scope.write")
	if err != nil {
		return nil, err
	}
	return &scope{writes: o, globs: globs}, nil
}

// settle takes out of the workspace what a call made outside of scope.write, where it could not be kept from it: new files in folders that hold some of its
// scope. What was there before is read-only in every box. What it takes out goes to a folder of the daemon. It returns words for the model, "" for none.
func (d *driver) settle(ctx context.Context, s *scope) (string, error) {
	if s == nil || ctx.Err() != nil {
		return "", nil
	}
	d.discardBoxes() // their mount points are no files of the call
	now, err := lookOutside(d.root, s.globs, "scope.write")
	if err != nil {
		return "", err
	}
	var taken []string
	for p := range now.paths {
		if _, was := s.writes.paths[p]; !was && p != ".git" && p != ".agentd" && !d.protected(p) {
			taken = append(taken, p)
		}
	}
	for p, target := range now.links {
		if old, was := s.writes.links[p]; !was || old != target {
			taken = append(taken, p)
		}
	}
	slices.Sort(taken)
	for _, p := range taken {
		if err := d.takeOut(p); err != nil {
			return "", fmt.Errorf("take %s out of the workspace, which is outside of scope.write: %w", p, err)
		}
	}
	for p, target := range s.writes.links {
		if is, err := d.root.Readlink(p); err == nil && is == target {
			continue
		}
		if err := d.root.Symlink(target, p); err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		taken = append(taken, p)
	}
	if len(taken) == 0 {
		return "", nil
	}
	return clip("Not kept, because it is outside of scope.write ("+strings.Join(s.globs, " ")+"): "+strings.Join(taken, ", "), 2000), nil
}

// takeOut moves a path of the workspace into the daemon's folder of such things.
func (d *driver) takeOut(p string) error {
	to := filepath.Join(d.cfg.Copies, "outside-"+string(d.run), filepath.FromSlash(p))
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(d.ws, filepath.FromSlash(p)), to); err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return d.root.RemoveAll(p) // another file system: the call's own new file
}

// unseenPaths are the paths that boxes of the run don't show.
func (d *driver) unseenPaths() ([]string, error) {
	o, err := lookOutside(d.root, d.start.Goal.Readable, "scope.read")
	return o.list(), err
}

// unseen reports whether file tools must not show a workspace path.
func (d *driver) unseen(p string, dir bool) bool {
	globs := d.start.Goal.Readable
	if len(globs) == 0 || p == "." {
		return false
	}
	return !inScope(globs, p) && !(dir && mayHold(globs, p))
}

// taskWrites are the globs that bound a task of the goal's seed within scope.write, nil for none.
func taskWrites(s *journal.State, id string) []string {
	t := s.Tasks[id]
	for _, p := range s.Plan.Tasks {
		if t == nil || p.ID != id || t.Seed == "" {
			continue
		}
		if i := slices.IndexFunc(s.Start.Goal.Plan.Tasks, func(seed goals.Task) bool { return seed.ID == t.Seed && len(seed.Writes) > 0 }); i >= 0 {
			return p.Writes
		}
	}
	return nil
}

// refused reports whether the file tools of a task must not write a path: what is protected, what lies outside of scope.write, and what the task's own
// seed does not declare.
func (d *driver) refused(task []string) func(string) bool {
	return func(p string) bool {
		p = path.Clean(p)
		return d.protected(p) || !inScope(d.start.Goal.Writable, p) || !inScope(task, p)
	}
}
