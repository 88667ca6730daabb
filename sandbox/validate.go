package sandbox

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// Defaults are the limits that a zero field of Limits stands for.
var Defaults = Limits{
	Wall: 120 * time.Second, CPU: 120 * time.Second,
	Memory: 2 << 30, Disk: 4 << 30, File: 1 << 30, Output: 64 << 20,
	Procs: 256, Files: 1024,
}

// scratchSize and scratchInodes bound what a box keeps outside the workspace: /tmp, /home/agent and /dev/shm together.
const (
	scratchSize   = 512 << 20
	scratchInodes = 64 << 10
)

// filled returns l with the defaults for its zero fields, or the first field that can't be.
func (l Limits) filled() (Limits, error) {
	for _, f := range []struct {
		name string
		v    *int64
		def  int64
	}{
		{"limits.memory", &l.Memory, Defaults.Memory}, {"limits.disk", &l.Disk, Defaults.Disk},
		{"limits.file", &l.File, Defaults.File}, {"limits.output", &l.Output, Defaults.Output},
		{"limits.wall", (*int64)(&l.Wall), int64(Defaults.Wall)}, {"limits.cpu", (*int64)(&l.CPU), int64(Defaults.CPU)},
	} {
		if *f.v < 0 {
			return l, badField(f.name, "%d is negative", *f.v)
		}
		if *f.v == 0 {
			*f.v = f.def
		}
	}
	for _, f := range []struct {
		name string
		v    *int
		def  int
	}{{"limits.procs", &l.Procs, Defaults.Procs}, {"limits.files", &l.Files, Defaults.Files}} {
		if *f.v < 0 {
			return l, badField(f.name, "%d is negative", *f.v)
		}
		if *f.v == 0 {
			*f.v = f.def
		}
	}
	return l, nil
}

// checkDir reports what keeps p from being used as a host folder of a policy.
func checkDir(field, p string) error {
	if p == "" {
		return badField(field, "is empty")
	}
	if !filepath.IsAbs(p) {
		return badField(field, "%q is a relative path", p)
	}
	for part := range strings.SplitSeq(filepath.ToSlash(p), "/") {
		if part == ".." {
			return badField(field, "%q has a ..", p)
		}
	}
	if strings.ContainsRune(p, 0) {
		return badField(field, "%q has a zero byte", p)
	}
	if _, err := os.Stat(p); err != nil {
		return badField(field, "%v", err)
	}
	return nil
}

// check validates what needs no view of the file system beyond the named paths.
func (p *Policy) check() error {
	if err := checkDir("workspace", p.Workspace); err != nil {
		return err
	}
	if st, err := os.Stat(p.Workspace); err != nil || !st.IsDir() {
		return badField("workspace", "%q is not a folder", p.Workspace)
	}
	if filepath.Clean(p.Workspace) == "/" {
		return badField("workspace", "/ can't be a workspace")
	}
	for _, r := range p.ReadOnly {
		if err := checkDir("read_only", r); err != nil {
			return err
		}
		if filepath.Clean(r) == "/" {
			return badField("read_only", "/ would show the whole machine")
		}
	}
	for host, in := range p.Caches {
		if err := checkDir("caches", host); err != nil {
			return err
		}
		if !path.IsAbs(in) || path.Clean(in) != in || !cachePlace(in) {
			return badField("caches", "%q: want a clean path below /home/agent, /tmp or /cache", in)
		}
	}
	for _, g := range p.Protect {
		if err := checkProtect(g); err != nil {
			return err
		}
	}
	for _, h := range p.Hide {
		if h == "" || !filepath.IsLocal(h) || path.Clean(h) != h || strings.ContainsRune(h, 0) || h == "." {
			return badField("hide", "%q: want a clean path relative to the workspace", h)
		}
	}
	for k, v := range p.Env {
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.ContainsRune(v, 0) {
			return badField("env", "%q is not a variable", k)
		}
	}
	if p.Require < 0 || p.Require > LevelGVisor {
		return badField("require", "%d is not a level", int(p.Require))
	}
	_, err := p.Limits.filled()
	return err
}

func cachePlace(p string) bool {
	for _, dir := range []string{"/home/agent/", "/tmp/", "/cache/"} {
		if strings.HasPrefix(p, dir) {
			return true
		}
	}
	return p == "/cache"
}

func checkProtect(g string) error {
	if g == "" || strings.HasPrefix(g, "/") || strings.ContainsRune(g, 0) {
		return badField("protect", "%q: want a path relative to the workspace", g)
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(g, "/"), "/") {
		if part == ".." || part == "." || part == "" {
			return badField("protect", "%q: a part is empty, . or ..", g)
		}
		if _, err := path.Match(part, "x"); err != nil {
			return badField("protect", "%q: %v", g, err)
		}
	}
	return nil
}

// check validates a command.
func (c *Command) check() error {
	if len(c.Argv) == 0 || c.Argv[0] == "" {
		return badField("argv", "is empty")
	}
	for _, a := range c.Argv {
		if strings.ContainsRune(a, 0) {
			return badField("argv", "an argument has a zero byte")
		}
		if len(a) >= 128<<10 {
			return badField("argv", "an argument has %d bytes, the kernel takes at most %d: pass it as a file or on stdin", len(a), 128<<10-1)
		}
	}
	if c.Dir != "" && (path.IsAbs(c.Dir) || !filepath.IsLocal(c.Dir)) {
		return badField("dir", "%q is not a path in the workspace", c.Dir)
	}
	if len(c.ExtraFiles) > 16 {
		return badField("extra_files", "%d are more than 16", len(c.ExtraFiles))
	}
	return nil
}

// Check reports what is wrong with the rules, as Run would: a *PolicyError.
func (n Net) Check() error {
	_, err := planNet(n)
	return err
}
