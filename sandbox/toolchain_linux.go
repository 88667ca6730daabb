package sandbox

import (
	"os"
	"path/filepath"
	"strings"

	"agentd/sandbox/boxinit"
)

// toolchains are the programs outside the system's own folders that a box can use.
type toolchains struct {
	roots  []string // host folders, bound read-only at the same path
	path   []string // folders of PATH, in order
	caches []cache  // read-only: modules for offline builds
	goMod  string   // path of the Go module cache in the box

	base, own, proc []boxinit.Op // of every view
	system          []source
}

// cache is a folder of downloaded modules.
type cache struct {
	host, in string
	link     string // where programs look for it, if not at in
}

// findToolchains looks along the daemon's PATH. Of a program outside /usr only its own installation is shown, never
// the folder of a person.
func findToolchains(searchPath, home string, getenv func(string) string) toolchains {
	var t toolchains
	seenRoot, seenPath := map[string]bool{}, map[string]bool{}
	addPath := func(dir string) {
		if !seenPath[dir] {
			seenPath[dir] = true
			t.path = append(t.path, dir)
		}
	}
	addRoot := func(root string) {
		if !underSystem(root) && !seenRoot[root] {
			seenRoot[root] = true
			t.roots = append(t.roots, root)
		}
	}
	dirs := filepath.SplitList(searchPath)
	dirs = append(dirs, "/usr/local/go/bin", "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin")
	for _, dir := range dirs {
		if !filepath.IsAbs(dir) {
			continue
		}
		dir = filepath.Clean(dir)
		if underSystem(dir) {
			if st, err := os.Stat(dir); err == nil && st.IsDir() {
				addPath(dir)
			}
			continue
		}
		for _, name := range []string{"go", "python3", "python", "node", "cargo", "rustc", "java", "ruby", "deno", "bun", "uv", "zig"} {
			root, bin, ok := installation(dir, name, home, getenv)
			if ok {
				addRoot(root)
				addPath(bin)
			}
		}
	}
	t.goMod = firstDir(getenv("GOMODCACHE"), joinIf(getenv("GOPATH"), "pkg/mod"), joinIf(home, "go/pkg/mod"))
	if t.goMod != "" {
		t.caches = append(t.caches, cache{host: t.goMod, in: "/cache/gomod"})
		t.goMod = "/cache/gomod"
	}
	for _, c := range []cache{{".npm/_cacache", "/cache/npm", boxHome + "/.npm/_cacache"}, {".cache/pip", "/cache/pip", boxHome + "/.cache/pip"}, {".cargo/registry", "/cache/cargo", boxHome + "/.cargo/registry"}} {
		if dir := firstDir(joinIf(home, c.host)); dir != "" {
			c.host = dir
			t.caches = append(t.caches, c)
		}
	}
	return t
}

func underSystem(p string) bool {
	for _, dir := range []string{"/usr", "/bin", "/sbin", "/lib", "/lib64"} {
		if p == dir || strings.HasPrefix(p, dir+"/") {
			return true
		}
	}
	return false
}

func joinIf(dir, rest string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, rest)
}

func firstDir(list ...string) string {
	for _, d := range list {
		if d == "" {
			continue
		}
		if real, err := filepath.EvalSymlinks(d); err == nil {
			if st, err := os.Stat(real); err == nil && st.IsDir() {
				return real
			}
		}
	}
	return ""
}

// installation finds the folder that the program name in dir belongs to, and the bin folder that holds it.
func installation(dir, name, home string, getenv func(string) string) (root, bin string, ok bool) {
	file := filepath.Join(dir, name)
	st, err := os.Stat(file)
	if err != nil || !st.Mode().IsRegular() || st.Mode()&0o111 == 0 {
		return "", "", false
	}
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		return "", "", false
	}
	if filepath.Base(dir) == "shims" { // pyenv and friends: a script that picks a version
		return shimmed(filepath.Dir(dir), name, getenv)
	}
	if base := filepath.Base(real); base == "rustup" || (filepath.Base(filepath.Dir(real)) == "bin" && filepath.Base(filepath.Dir(filepath.Dir(real))) == ".cargo") {
		return rustup(home, name, getenv)
	}
	bin = filepath.Dir(real)
	root = bin
	if b := filepath.Base(bin); b == "bin" {
		root = filepath.Dir(bin)
	}
	if tooWide(root, home) || underSystem(root) {
		return "", "", false
	}
	return root, bin, true
}

// tooWide says that a folder holds more than one installation.
func tooWide(root, home string) bool {
	if root == "/" || root == home || filepath.Dir(root) == "/" || filepath.Dir(root) == "/home" {
		return true
	}
	rel, err := filepath.Rel(root, home) // an ancestor of the home folder
	if err == nil && !strings.HasPrefix(rel, "..") {
		return true
	}
	return home != "" && (root == filepath.Join(home, ".local") || root == filepath.Join(home, "bin"))
}

func shimmed(root, name string, getenv func(string) string) (string, string, bool) {
	version := getenv("PYENV_VERSION")
	if version == "" {
		b, err := os.ReadFile(filepath.Join(root, "version"))
		if err != nil {
			return "", "", false
		}
		version = string(b)
	}
	for v := range strings.FieldsFuncSeq(version, func(r rune) bool { return r == ':' || r == '\n' || r == ' ' }) {
		dir := filepath.Join(root, "versions", filepath.Base(v))
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			if _, err := os.Stat(filepath.Join(real, "bin", name)); err == nil {
				return real, filepath.Join(real, "bin"), true
			}
		}
	}
	return "", "", false
}

func rustup(home, name string, getenv func(string) string) (string, string, bool) {
	base := getenv("RUSTUP_HOME")
	if base == "" {
		base = filepath.Join(home, ".rustup")
	}
	list, err := filepath.Glob(filepath.Join(base, "toolchains", "*"))
	if err != nil || len(list) == 0 {
		return "", "", false
	}
	pick := list[0]
	if b, err := os.ReadFile(filepath.Join(base, "settings.toml")); err == nil {
		for _, dir := range list {
			if strings.Contains(string(b), `default_toolchain = "`+filepath.Base(dir)+`"`) {
				pick = dir
			}
		}
	}
	real, err := filepath.EvalSymlinks(pick)
	if err != nil {
		return "", "", false
	}
	if _, err := os.Stat(filepath.Join(real, "bin", name)); err != nil {
		return "", "", false
	}
	return real, filepath.Join(real, "bin"), true
}
