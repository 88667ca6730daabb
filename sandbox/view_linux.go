package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"agentd/sandbox/boxinit"
	"agentd/sandbox/egress"

	"golang.org/x/sys/unix"
)

const (
	boxUID  = 1000
	boxHome = "/home/agent"
	boxWS   = "/workspace"
)

// etcShown are the parts of /etc that a box sees, where they exist. Everything else is absent.
var etcShown = []string{
	"ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ssl/certs", "ssl/openssl.cnf", "ca-certificates", "pki", "crypto-policies",
	"localtime", "timezone", "fonts", "alternatives", "mime.types", "magic", "magic.mime", "protocols", "services", "os-release",
	"debian_version", "inputrc", "terminfo", "chromium.d", "java-17-openjdk", "java-21-openjdk", "perl",
}

// procMasked are files of /proc that everybody may read and that tell about the machine. Others (kcore, kmsg,
// sysrq-trigger) belong to the host's root, whom no box has.
var procMasked = []string{"kallsyms", "keys"}

// etcFiles are written for every box.
var etcFiles = map[string]string{
	"passwd":        "root:x:0:0:root:/root:/usr/sbin/nologin\nagent:x:1000:1000:agent:/home/agent:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
	"group":         "root:x:0:\ntty:x:5:\nagent:x:1000:\nnogroup:x:65534:\n",
	"hosts":         "127.0.0.1 localhost box\n::1 localhost\n",
	"hostname":      "box\n",
	"nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
	"resolv.conf":   "",
	"gitconfig":     "[user]\n\tname = agent\n\temail = agent@localhost\n[safe]\n\tdirectory = *\n[init]\n\tdefaultBranch = main\n[gc]\n\tautoDetach = false\n",
}

// source is a host path to show in a box.
type source struct {
	host, in string
	flags    uint32
	owned    bool // writable: ids are mapped so that the box owns what the folder's owner owns
}

// plan is all that one policy asks of a box: computed before anything starts, compared to reuse a prepared box.
type plan struct {
	policy Policy
	limits Limits
	// What boxes of many commands share: a template is made of it once, read-only.
	base        []boxinit.Op
	baseSources []source
	// What each box has of its own, in this order.
	before  []boxinit.Op
	sources []source
	after   []boxinit.Op
	prot    protection
	ws      string // the workspace, without links
	env     map[string]string
	ident   string // device and inode of what is bound writable or protected
	net     netPlan
}

// systemOps returns the ops and sources of what every box sees.
func systemOps(etc []string) ([]boxinit.Op, []source) {
	var ops []boxinit.Op
	var src []source
	dir := func(p string, mode uint64) {
		ops = append(ops, boxinit.Op{Kind: boxinit.OpDir, Dst: p, Num: mode, FD: -1})
	}
	link := func(to, p string) { ops = append(ops, boxinit.Op{Kind: boxinit.OpLink, Src: to, Dst: p, FD: -1}) }
	const ro = boxinit.ReadOnly | boxinit.NoSuid | boxinit.NoDev
	src = append(src, source{host: "/usr", in: "/usr", flags: ro})
	for _, p := range []string{"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"} {
		st, err := os.Lstat(p)
		if err != nil {
			continue
		}
		if to, err := os.Readlink(p); err == nil {
			link(to, p)
		} else if st.IsDir() {
			src = append(src, source{host: p, in: p, flags: ro})
		}
	}
	for _, p := range etc {
		full := "/etc/" + p
		if to, err := os.Readlink(full); err == nil && strings.HasPrefix(path.Join("/etc", to)+"/", "/usr/") || strings.HasPrefix(to, "/usr/") {
			link(to, full)
			continue
		}
		if real, err := filepath.EvalSymlinks(full); err == nil {
			src = append(src, source{host: real, in: full, flags: ro | boxinit.NoExec})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(etcFiles)) {
		ops = append(ops, boxinit.Op{Kind: boxinit.OpFile, Src: etcFiles[name], Dst: "/etc/" + name, Num: 0o644, FD: -1})
	}
	link("/proc/self/mounts", "/etc/mtab")
	for _, p := range []string{"/proc", "/dev/pts", "/dev/shm", "/.scratch", "/tmp", boxHome, boxWS, hiddenDir, "/cache", "/run", "/var", "/opt"} {
		dir(p, 0o755)
	}
	link("/tmp", "/var/tmp")
	link("/run", "/var/run")
	for _, l := range [][2]string{{"pts/ptmx", "/dev/ptmx"}, {"/proc/self/fd", "/dev/fd"}, {"/proc/self/fd/0", "/dev/stdin"}, {"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"}} {
		link(l[0], l[1])
	}
	for _, d := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		src = append(src, source{host: "/dev/" + d, in: "/dev/" + d, flags: boxinit.NoSuid | boxinit.NoExec})
	}
	return ops, src
}

// ownOps are the mounts that each box has of its own. One tmpfs holds all that it writes outside its workspace, so
// that one limit and one look cover it.
func ownOps() []boxinit.Op {
	ops := []boxinit.Op{{Kind: boxinit.OpTmpfs, Dst: "/.scratch", Src: fmt.Sprintf("size=%d,nr_inodes=%d,mode=0755", scratchSize, scratchInodes), FD: -1}}
	for _, d := range []struct {
		in   string
		mode uint64
	}{{"/tmp", 0o1777}, {boxHome, 0o755}, {"/dev/shm", 0o1777}} {
		at := "/.scratch/" + path.Base(d.in)
		ops = append(ops, boxinit.Op{Kind: boxinit.OpDir, Dst: at, Num: d.mode, FD: -1},
			boxinit.Op{Kind: boxinit.OpAlias, Src: at, Dst: d.in, Flags: boxinit.NoSuid | boxinit.NoDev, FD: -1})
	}
	return append(ops, boxinit.Op{Kind: boxinit.OpDevpts, Dst: "/dev/pts", FD: -1}, boxinit.Op{Kind: boxinit.OpProc, Dst: "/proc", FD: -1})
}

// procOps hide what /proc tells about the machine.
func procOps() []boxinit.Op {
	var ops []boxinit.Op
	for _, f := range procMasked {
		if _, err := os.Lstat("/proc/" + f); err == nil {
			ops = append(ops, boxinit.Op{Kind: boxinit.OpAlias, Src: "/dev/null", Dst: "/proc/" + f, Flags: boxinit.ReadOnly, FD: -1})
		}
	}
	return append(ops, boxinit.Op{Kind: boxinit.OpRebind, Dst: "/proc/sys", Flags: boxinit.ReadOnly | boxinit.NoSuid | boxinit.NoDev | boxinit.NoExec, FD: -1})
}

// plan validates a policy and computes its box.
func (b *Box) plan(p Policy) (*plan, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	limits, err := p.Limits.filled()
	if err != nil {
		return nil, err
	}
	pl := &plan{policy: p, limits: limits}
	if pl.net, err = planNet(p.Net); err != nil {
		return nil, err
	}
	ws, err := filepath.EvalSymlinks(p.Workspace)
	if err != nil {
		return nil, badField("workspace", "%v", err)
	}
	pl.ws = ws
	t := b.tools()
	const ro = boxinit.ReadOnly | boxinit.NoSuid | boxinit.NoDev
	pl.base, pl.baseSources, pl.before = slices.Clone(t.base), slices.Clone(t.system), slices.Clone(t.own)
	// What lies where a box has a folder of its own is bound after that, per box.
	show := func(s source) {
		if belowOwn(s.in) {
			pl.sources = append(pl.sources, s)
		} else {
			pl.baseSources = append(pl.baseSources, s)
		}
	}
	for _, root := range t.roots {
		show(source{host: root, in: root, flags: ro | boxinit.Optional})
	}
	for _, r := range p.ReadOnly {
		real, err := filepath.EvalSymlinks(r)
		if err != nil {
			return nil, badField("read_only", "%v", err)
		}
		show(source{host: real, in: filepath.Clean(r), flags: ro})
	}
	trust := len(p.Net.Secrets) > 0 && b.opts.Roots != ""
	if trust {
		show(source{host: b.opts.Roots, in: rootsInBox, flags: ro})
	}
	owned := uint32(boxinit.NoSuid | boxinit.NoDev)
	taken := map[string]bool{}
	for _, host := range slices.Sorted(maps.Keys(p.Caches)) {
		real, err := filepath.EvalSymlinks(host)
		if err != nil {
			return nil, badField("caches", "%v", err)
		}
		in := p.Caches[host]
		taken[in] = true
		if strings.HasPrefix(in, "/cache/") { // the place has to be in the template, which is read-only later
			pl.base = append(pl.base, boxinit.Op{Kind: boxinit.OpDir, Dst: in, Num: 0o755, FD: -1})
		}
		pl.sources = append(pl.sources, source{host: real, in: in, flags: owned, owned: true})
	}
	for _, c := range t.caches {
		if taken[c.in] || coveredBy(c.in, taken) || c.link != "" && (taken[c.link] || coveredBy(c.link, taken)) {
			continue
		}
		pl.baseSources = append(pl.baseSources, source{host: c.host, in: c.in, flags: ro | boxinit.Optional})
		if c.link != "" {
			pl.before = append(pl.before, boxinit.Op{Kind: boxinit.OpLink, Src: c.in, Dst: c.link, FD: -1})
		}
	}
	if p.ReadOnlyWS {
		owned |= boxinit.ReadOnly
	}
	pl.sources = append(pl.sources, source{host: ws, in: boxWS, flags: owned, owned: true})
	pl.after = slices.Clone(t.proc)
	goEnv := "GOTOOLCHAIN=local\nGOFLAGS=-buildvcs=false\n"
	if t.goMod != "" && len(p.Net.Allow) == 0 {
		goEnv += "GOMODCACHE=" + t.goMod + "\nGOPROXY=off\nGOSUMDB=off\n"
	}
	pl.after = append(pl.after, boxinit.Op{Kind: boxinit.OpFile, Dst: boxHome + "/.config/go/env", Num: 0o644, FD: -1, Src: goEnv})
	root, err := os.OpenRoot(ws)
	if err != nil {
		return nil, badField("workspace", "%v", err)
	}
	defer root.Close()
	if pl.prot, err = protect(root, p.Protect, b.holders.holds(ws)); err != nil {
		return nil, err
	}
	for _, dir := range pl.prot.pinned {
		pl.after = append(pl.after, boxinit.Op{Kind: boxinit.OpRebind, Dst: boxWS + "/" + dir, Flags: owned, FD: -1})
	}
	for _, f := range pl.prot.readOnly {
		pl.after = append(pl.after, boxinit.Op{Kind: boxinit.OpRebind, Dst: boxWS + "/" + f, Flags: owned | boxinit.ReadOnly, FD: -1})
	}
	hide, err := hideOps(root, p.Hide)
	if err != nil {
		return nil, err
	}
	pl.after = append(pl.after, hide...)
	pl.ident = identify(ws, pl)
	pl.env = map[string]string{"PATH": strings.Join(t.path, ":"), "HOME": boxHome, "LANG": "C.UTF-8", "TMPDIR": "/tmp"}
	pl.net.env(pl.env)
	if trust {
		maps.Copy(pl.env, egress.TrustEnv(rootsInBox))
	}
	maps.Copy(pl.env, p.Env)
	return pl, nil
}

// hiddenDir is the empty folder of a box that stands in for folders it must not show.
const hiddenDir = "/.hidden"

// hideOps cover paths of the workspace: folders by an empty one, files by a device that can't be opened. What is not there is not covered.
func hideOps(root *os.Root, paths []string) ([]boxinit.Op, error) {
	if len(paths) > maxProtected {
		return nil, badField("hide", "%d paths are more than %d: hide their folder instead", len(paths), maxProtected)
	}
	var ops []boxinit.Op
	for _, p := range paths {
		st, err := root.Lstat(filepath.FromSlash(p))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, badField("hide", "%v", err)
		case st.Mode()&fs.ModeSymlink != 0:
			return nil, badField("hide", "%s is a symbolic link: hide what it points to", p)
		}
		op := boxinit.Op{Kind: boxinit.OpAlias, Src: "/dev/null", Dst: boxWS + "/" + p, Flags: boxinit.ReadOnly | boxinit.NoDev, FD: -1}
		if st.IsDir() {
			op.Src = hiddenDir
		}
		ops = append(ops, op)
	}
	return ops, nil
}

func belowOwn(p string) bool {
	for _, dir := range []string{"/tmp/", boxHome + "/", "/dev/shm/"} {
		if strings.HasPrefix(p, dir) {
			return true
		}
	}
	return false
}

func coveredBy(p string, set map[string]bool) bool {
	for dir := path.Dir(p); dir != "/"; dir = path.Dir(dir) {
		if set[dir] {
			return true
		}
	}
	return false
}

// identify names the files that the box holds on to. A prepared box is stale when one was replaced since.
func identify(ws string, pl *plan) string {
	var b strings.Builder
	add := func(p string) {
		var st unix.Stat_t
		if unix.Lstat(p, &st) == nil {
			fmt.Fprintf(&b, "%s %d:%d\n", p, st.Dev, st.Ino)
		}
	}
	for _, s := range pl.sources {
		if s.owned {
			add(s.host)
		}
	}
	for _, p := range slices.Concat(pl.prot.pinned, pl.prot.readOnly) {
		add(filepath.Join(ws, filepath.FromSlash(p)))
	}
	return b.String()
}

// rlimits are the limits that the kernel keeps per process, or per user of the box.
func (pl *plan) rlimits() []boxinit.Rlimit {
	l := pl.limits
	const slackProcs = 8 // the threads of the box's init
	return []boxinit.Rlimit{
		{Resource: unix.RLIMIT_CORE, Value: 0},
		{Resource: unix.RLIMIT_NOFILE, Value: uint64(l.Files)},
		{Resource: unix.RLIMIT_NPROC, Value: uint64(l.Procs + slackProcs)},
		{Resource: unix.RLIMIT_FSIZE, Value: uint64(l.File)},
		{Resource: unix.RLIMIT_CPU, Value: uint64(l.CPU.Seconds() + 1)},
		{Resource: unix.RLIMIT_DATA, Value: uint64(max(l.Memory, 64<<20))},
		{Resource: unix.RLIMIT_MEMLOCK, Value: 64 << 10},
		{Resource: unix.RLIMIT_MSGQUEUE, Value: 64 << 10},
		{Resource: unix.RLIMIT_RTPRIO, Value: 0},
		{Resource: unix.RLIMIT_NICE, Value: 0},
		{Resource: unix.RLIMIT_SIGPENDING, Value: 4096},
	}
}
