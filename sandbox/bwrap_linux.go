package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"agentd/sandbox/boxinit"
)

// bubblewrap builds the view with bwrap, where that may make user namespaces and the daemon may not. The box's init
// is ours in any case: it confines itself and serves the daemon in the same way.
type bubblewrap struct {
	nursery *nursery
	bwrap   string
	program string // of the init, bound into the view
	abi     int
}

// initPlace is where the init's program is in the view.
const initPlace = "/.init"

func newBubblewrap(n *nursery) (launcher, error) {
	if os.Geteuid() == 0 {
		return nil, errors.New("bwrap isn't used as root, who would be root in the box too")
	}
	bwrap, err := exec.LookPath("bwrap")
	if err != nil {
		return nil, errors.New("bwrap is not installed")
	}
	program, err := os.Readlink(n.program)
	if err != nil {
		program = n.program
	}
	return &bubblewrap{nursery: n, bwrap: bwrap, program: program, abi: landlockABI()}, nil
}

func (l *bubblewrap) level() Level { return LevelNamespaces }
func (l *bubblewrap) close()       { l.nursery.close() }

func (l *bubblewrap) launch(pl *plan, steps uint32) (*launched, error) {
	for _, f := range pl.net.forwards {
		if !f.Addr().IsLoopback() {
			return nil, badField("net.allow", "%s: only names and loopback addresses can be opened in a box made by bubblewrap", f)
		}
	}
	s := &boxinit.Spec{Steps: boxinit.StepCaps | boxinit.StepHandOut | steps, Rlimits: pl.rlimits(), Seccomp: netnsFilter()}
	s.Ops = pl.net.ops()
	landlockOps(s, pl, l.abi)
	argv := []string{l.bwrap, "--unshare-user", "--unshare-all", "--die-with-parent", "--new-session", "--as-pid-1", "--uid", strconv.Itoa(boxUID), "--gid", strconv.Itoa(boxUID), "--hostname", "box",
		"--ro-bind", l.program, initPlace}
	argv = l.ops(argv, pl.base)
	argv = l.binds(argv, pl.baseSources)
	argv = append(argv, "--perms", "0755", "--size", strconv.Itoa(scratchSize), "--tmpfs", "/.scratch", "--proc", "/proc", "--dev", "/dev")
	for _, d := range []string{"/tmp", boxHome, "/dev/shm"} {
		argv = append(argv, "--perms", "0755", "--size", strconv.Itoa(scratchSize), "--tmpfs", d)
	}
	for _, op := range pl.before {
		if op.Kind == boxinit.OpLink {
			argv = append(argv, "--symlink", op.Src, op.Dst)
		}
	}
	argv = l.binds(argv, pl.sources)
	files, err := l.protect(&argv, pl)
	if err != nil {
		return nil, err
	}
	argv = append(argv, "--remount-ro", "/", "--chdir", "/", "--", initPlace)
	ip, err := l.nursery.start(boxinit.Birth{Argv: argv})
	if err != nil {
		return nil, err
	}
	return &launched{init: ip, spec: s, dir: boxWS, env: pl.env, soft: true, tell: true, release: files}, nil
}

func (l *bubblewrap) ops(argv []string, ops []boxinit.Op) []string {
	for _, op := range ops {
		switch {
		case op.Dst == "/proc" || strings.HasPrefix(op.Dst, "/dev"): // bwrap makes its own
		case op.Kind == boxinit.OpDir:
			argv = append(argv, "--dir", op.Dst)
		case op.Kind == boxinit.OpLink:
			argv = append(argv, "--symlink", op.Src, op.Dst)
		}
	}
	return argv
}

func (l *bubblewrap) binds(argv []string, sources []source) []string {
	for _, s := range sources {
		if strings.HasPrefix(s.in, "/dev/") {
			continue
		}
		how := "--bind"
		if s.flags&boxinit.ReadOnly != 0 {
			how = "--ro-bind"
		}
		if s.flags&boxinit.Optional != 0 {
			how += "-try"
		}
		argv = append(argv, how, s.host, s.in)
	}
	return argv
}

// protect adds what lies in the workspace read-only, and the small files that every box has. It returns what removes
// the latter.
func (l *bubblewrap) protect(argv *[]string, pl *plan) (func(), error) {
	bind := "--bind"
	if pl.policy.ReadOnlyWS {
		bind = "--ro-bind"
	}
	for _, p := range pl.prot.pinned {
		*argv = append(*argv, bind, filepath.Join(pl.ws, filepath.FromSlash(p)), boxWS+"/"+p)
	}
	for _, p := range pl.prot.readOnly {
		*argv = append(*argv, "--ro-bind", filepath.Join(pl.ws, filepath.FromSlash(p)), boxWS+"/"+p)
	}
	dir, err := os.MkdirTemp("", "agentd-etc")
	if err != nil {
		return nil, fmt.Errorf("make files for the box: %w", err)
	}
	release := func() { os.RemoveAll(dir) }
	n := 0
	for _, op := range slices.Concat(pl.base, pl.after) {
		if op.Kind != boxinit.OpFile {
			continue
		}
		n++
		file := filepath.Join(dir, strconv.Itoa(n))
		if err := os.WriteFile(file, []byte(op.Src), 0o644); err != nil {
			release()
			return nil, fmt.Errorf("make files for the box: %w", err)
		}
		*argv = append(*argv, "--ro-bind", file, op.Dst)
	}
	for _, op := range pl.after {
		switch {
		case op.Kind == boxinit.OpAlias && op.Src == hiddenDir:
			*argv = append(*argv, "--tmpfs", op.Dst, "--remount-ro", op.Dst)
		case op.Kind == boxinit.OpAlias:
			*argv = append(*argv, "--ro-bind", op.Src, op.Dst)
		}
	}
	return release, nil
}
