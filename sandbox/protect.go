package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// alwaysProtected stays read-only in every workspace: code that runs when a person later uses the folder.
var alwaysProtected = []string{".git/hooks", ".git/config", ".agentd"}

// maxProtected bounds the paths that the globs of one policy may match.
const maxProtected = 1000

// protection is what a workspace's view needs: folders bound on themselves, so that they can't be renamed away, and
// paths bound read-only. Paths are slash-separated and relative to the workspace.
type protection struct {
	pinned   []string // in order of depth
	readOnly []string
	missing  []string // of readOnly: they don't exist; a mount point has to be made
}

// protect resolves globs against what is in the workspace now. A link on the way is refused: it would lead the
// protection elsewhere.
//
// A path that is only there because another box holds a mount point on it counts as missing.
func protect(root *os.Root, globs []string, held func(string) bool) (protection, error) {
	readOnly, missing, pinned := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, g := range slices.Concat(alwaysProtected, globs) {
		g = strings.TrimSuffix(strings.TrimSuffix(g, "/"), "/**")
		matches := []string{g}
		if strings.ContainsAny(g, `*?[\`) {
			var err error
			if matches, err = match(root, g); err != nil {
				return protection{}, err
			}
		}
		for _, m := range matches {
			p, exists, err := place(root, m, held)
			if err != nil {
				return protection{}, err
			}
			readOnly[p] = true
			if !exists {
				missing[p] = true
			}
			for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
				pinned[dir] = true
			}
		}
		if len(readOnly) > maxProtected {
			return protection{}, badField("protect", "%q matches more than %d paths: protect their folder instead", g, maxProtected)
		}
	}
	p := protection{pinned: byDepth(pinned), readOnly: byDepth(readOnly), missing: byDepth(missing)}
	// What lies below a read-only folder is read-only already.
	p.readOnly = slices.DeleteFunc(p.readOnly, func(s string) bool { return belowAny(s, readOnly) })
	p.pinned = slices.DeleteFunc(p.pinned, func(s string) bool { return readOnly[s] || belowAny(s, readOnly) })
	return p, nil
}

func belowAny(p string, set map[string]bool) bool {
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if set[dir] {
			return true
		}
	}
	return false
}

func byDepth(set map[string]bool) []string {
	list := make([]string, 0, len(set))
	for p := range set {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b string) int {
		if d := strings.Count(a, "/") - strings.Count(b, "/"); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return list
}

// place returns the path that has to be read-only so that p is: p itself, or the first part of it that is missing or
// is a file.
func place(root *os.Root, p string, held func(string) bool) (string, bool, error) {
	parts := strings.Split(p, "/")
	for i := range parts {
		sub := strings.Join(parts[:i+1], "/")
		st, err := root.Lstat(filepath.FromSlash(sub))
		if errors.Is(err, fs.ErrNotExist) {
			return sub, false, nil
		}
		if err != nil {
			return "", false, badField("protect", "%s: %v", sub, err)
		}
		if held(sub) && isPlaceholder(root, sub, st) {
			return sub, false, nil
		}
		if st.Mode()&fs.ModeSymlink != 0 {
			return "", false, badField("protect", "%s is a symbolic link and can't be protected: replace it by what it points to", sub)
		}
		if !st.IsDir() {
			return sub, true, nil
		}
	}
	return p, true, nil
}

// match expands a glob: * ? [ ] within a part, ** for any number of folders. Links are not followed.
func match(root *os.Root, glob string) ([]string, error) {
	parts := strings.Split(glob, "/")
	var out []string
	seen := 0
	err := fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if seen++; seen > 200_000 {
			return badField("protect", "%q: the workspace has too many files to look for it: name the folder instead", glob)
		}
		if err != nil || p == "." {
			return nil // an unreadable folder can't be written by the box either
		}
		if d.Type()&fs.ModeSymlink != 0 {
			return nil
		}
		names := strings.Split(p, "/")
		if globMatch(parts, names) {
			out = append(out, p)
			if d.IsDir() {
				return fs.SkipDir
			}
		}
		if d.IsDir() && !globPrefix(parts, names) {
			return fs.SkipDir
		}
		return nil
	})
	return out, err
}

func globMatch(glob, names []string) bool {
	if len(glob) == 0 {
		return len(names) == 0
	}
	if glob[0] == "**" {
		for i := range len(names) + 1 {
			if globMatch(glob[1:], names[i:]) {
				return true
			}
		}
		return false
	}
	if len(names) == 0 {
		return false
	}
	ok, err := path.Match(glob[0], names[0])
	return err == nil && ok && globMatch(glob[1:], names[1:])
}

// globPrefix says whether something below names could match.
func globPrefix(glob, names []string) bool {
	for i, n := range names {
		if i >= len(glob) {
			return false
		}
		if glob[i] == "**" {
			return true
		}
		if ok, err := path.Match(glob[i], n); err != nil || !ok {
			return false
		}
	}
	return len(glob) > len(names)
}

// placeholders are mount points that were made in workspaces and have to go again. Boxes share them: removing one
// that another box has mounted would take that box's protection away.
type placeholders struct {
	state string // folder of notes, "" for none

	mu    sync.Mutex // guards the fields below, and the notes
	held  map[string]int
	noted map[string]map[string]bool // workspace -> the paths that its note names
}

// note is what a killed process leaves behind to be removed: mount points in one workspace.
type note struct {
	Workspace string   `json:"workspace"`
	Paths     []string `json:"paths"` // by depth
}

// write notes what is held below dir, and with it paths that are about to be made. A note that names them all stays as
// it is: one too many only makes the next sweep look in vain, and a run's commands need the same ones again. h.mu is
// held.
func (h *placeholders) write(dir string, about []string) error {
	if h.state == "" || len(about) > 0 && !slices.ContainsFunc(about, func(p string) bool { return !h.noted[dir][p] }) {
		return nil
	}
	n := note{Workspace: dir, Paths: slices.Clone(about)}
	for key := range h.held {
		if rel, err := filepath.Rel(dir, key); err == nil && filepath.IsLocal(rel) {
			n.Paths = append(n.Paths, filepath.ToSlash(rel))
		}
	}
	sum := sha256.Sum256([]byte(dir))
	name := filepath.Join(h.state, hex.EncodeToString(sum[:8])+".json")
	if len(n.Paths) == 0 {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		delete(h.noted, dir)
		return nil
	}
	set := make(map[string]bool, len(n.Paths))
	for _, p := range n.Paths {
		set[p] = true
	}
	n.Paths = byDepth(set)
	data, err := json.Marshal(n)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(h.state, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(name+".new", data, 0o600); err != nil {
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	if h.noted == nil {
		h.noted = map[string]map[string]bool{}
	}
	h.noted[dir] = set
	return nil
}

// settle makes the notes say what is still held: of the workspace dir, or of all where it is empty.
func (h *placeholders) settle(dir string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for noted := range h.noted {
		if dir == "" || noted == dir {
			h.write(noted, nil)
		}
	}
}

// sweep removes the mount points that an earlier process noted and was killed before it removed them.
func (h *placeholders) sweep() error {
	names, err := filepath.Glob(filepath.Join(h.state, "*.json"))
	if err != nil || h.state == "" {
		return err
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var n note
		if json.Unmarshal(data, &n) == nil {
			if root, err := os.OpenRoot(n.Workspace); err == nil {
				for _, p := range slices.Backward(n.Paths) {
					if filepath.IsLocal(filepath.FromSlash(p)) {
						removePlaceholder(root, p)
					}
				}
				root.Close()
			}
		}
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// make creates the missing paths of p below dir and returns what removes them.
func (h *placeholders) make(dir string, root *os.Root, p protection) (func(), error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held == nil {
		h.held = map[string]int{}
	}
	missing := slices.Clone(p.missing)
	for _, m := range slices.Concat(p.readOnly, p.pinned) {
		// What was there when p was made may have been another box's mount point, which has gone with that box since.
		if _, err := root.Lstat(filepath.FromSlash(m)); errors.Is(err, fs.ErrNotExist) && !slices.Contains(missing, m) {
			missing = append(missing, m)
		}
	}
	if len(missing) > 0 {
		if err := h.write(dir, missing); err != nil {
			return nil, fmt.Errorf("note the mount points: %w", err)
		}
	}
	var mine []string
	for _, m := range slices.Concat(p.readOnly, p.pinned) {
		key := filepath.Join(dir, filepath.FromSlash(m))
		isMissing := slices.Contains(missing, m)
		if isMissing {
			if err := makePlaceholder(root, m); err != nil && !errors.Is(err, fs.ErrExist) {
				return nil, badField("protect", "%s: %v", m, err)
			}
		}
		if isMissing || h.held[key] > 0 {
			h.held[key]++
			mine = append(mine, m)
		}
	}
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		root, err := os.OpenRoot(dir)
		for _, m := range slices.Backward(mine) {
			key := filepath.Join(dir, filepath.FromSlash(m))
			if h.held[key]--; h.held[key] > 0 {
				continue
			}
			delete(h.held, key)
			if err == nil {
				removePlaceholder(root, m)
			}
		}
		if err == nil {
			root.Close()
		}
	}), nil
}

func makePlaceholder(root *os.Root, p string) error {
	if base := path.Base(p); base == "config" || strings.Contains(base[1:], ".") {
		f, err := root.OpenFile(filepath.FromSlash(p), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o444)
		if err != nil {
			return err
		}
		return f.Close()
	}
	return root.Mkdir(filepath.FromSlash(p), 0o755)
}

// removePlaceholder removes p if it still is what makePlaceholder made. A person may have put something there.
func removePlaceholder(root *os.Root, p string) {
	if st, err := root.Lstat(filepath.FromSlash(p)); err == nil && isPlaceholder(root, p, st) {
		root.Remove(filepath.FromSlash(p))
	}
}

// isPlaceholder says whether p is an empty folder or one of our empty files.
func isPlaceholder(root *os.Root, p string, st fs.FileInfo) bool {
	if !st.IsDir() {
		return st.Mode().IsRegular() && st.Size() == 0 && st.Mode().Perm() == 0o444
	}
	d, err := root.Open(filepath.FromSlash(p))
	if err != nil {
		return false
	}
	defer d.Close()
	names, err := d.Readdirnames(1)
	return len(names) == 0 && errors.Is(err, io.EOF)
}

// holds says whether a box holds a mount point at p below dir.
func (h *placeholders) holds(dir string) func(string) bool {
	return func(p string) bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.held[filepath.Join(dir, filepath.FromSlash(p))] > 0
	}
}
