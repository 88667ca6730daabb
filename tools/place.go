package tools

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// boxWorkspace is where a command in a box sees the workspace.
const boxWorkspace = "/workspace"

// maxPath bounds a path in bytes, as the kernel does.
const maxPath = 4095

// place turns a path as a model wrote it into a clean one relative to the workspace, "." being the workspace itself. A path
// that is absolute within the workspace, as the box or the host names it, is understood.
func place(env Env, p string) (string, error) {
	switch {
	case p == "":
		return ".", nil
	case len(p) > maxPath:
		return "", fmt.Errorf("the path has %d bytes, more than %d", len(p), maxPath)
	case strings.ContainsRune(p, 0):
		return "", errors.New("the path holds a NUL byte")
	}
	clean := path.Clean(p)
	if path.IsAbs(clean) {
		rel, ok := within(clean, boxWorkspace)
		if !ok && env.Policy.Workspace != "" {
			rel, ok = within(clean, path.Clean(env.Policy.Workspace))
		}
		if !ok {
			return "", fmt.Errorf("%s is outside the workspace: use a path relative to the workspace", clip(p, 200))
		}
		clean = rel
	}
	if clean == ".." || strings.HasPrefix(clean, "../") {
		return "", fmt.Errorf("%s is outside the workspace: use a path below it", clip(p, 200))
	}
	return clean, nil
}

func within(p, root string) (string, bool) {
	if p == root {
		return ".", true
	}
	if root == "/" {
		return "", false
	}
	return strings.CutPrefix(p, root+"/")
}

// defaultProtect is what no tool may write, whatever a run says: what runs or steers something later.
var defaultProtect = []string{"**/.git", "**/.git/hooks/**", "**/.git/config", ".agentd/**", "goals/**", "AGENTS.md"}

// programs is how many of defaultProtect run programs on the host; no run can lift them.
const programs = 4

// protected says why a clean path must not be written, or nil. Env.Protect, where it is set, is the whole list but for what
// would run programs on the host.
func protected(env Env, p string) error {
	if env.Policy.ReadOnlyWS {
		return errors.New("the workspace is read-only for this call")
	}
	always := defaultProtect
	for _, glob := range env.Policy.Protect { // as a box would show it, also where env.Protect is not set
		if underGlob(glob, p) {
			return fmt.Errorf("%s is protected in this run (%s) and can't be written: leave it as it is", p, glob)
		}
	}
	if env.Protect != nil {
		if env.Protect(p) {
			return fmt.Errorf("%s is protected in this run and can't be written: leave it as it is", p)
		}
		always = always[:programs]
	}
	for _, glob := range always {
		if ok, err := doublestar.Match(Fold(glob), Fold(p)); ok || err != nil {
			return fmt.Errorf("%s is protected (%s steers or runs something outside of this task) and can't be written", p, glob)
		}
	}
	return nil
}

// underGlob reports whether a path or a folder above it matches. A glob that can't be read matches everything.
func underGlob(glob, p string) bool {
	glob, p = Fold(strings.TrimSuffix(strings.TrimSuffix(glob, "/"), "/**")), Fold(p)
	for {
		if ok, err := doublestar.Match(glob, p); ok || err != nil {
			return true
		}
		if p = path.Dir(p); p == "." || p == "/" {
			return false
		}
	}
}

func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// size says a number of bytes as people read it.
func size(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GB", float64(n)/(1<<30))
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
