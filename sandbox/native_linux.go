package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"sync"

	"agentd/sandbox/boxinit"

	"golang.org/x/sys/unix"
)

// native builds boxes from namespaces, with the running program as their init.
type native struct {
	nursery *nursery
	uid     uint32 // of the box on the host; the caller's own, or a free one when the daemon is root
	gid     uint32
	root    bool // the daemon is root: ids are mapped by idmapped mounts
	abi     int  // of Landlock
	idmaps  idmaps
	nets    nets

	templates *templates // nil: every box builds its whole view
}

// spec turns a plan into what a box's init is told, and the mounts that only the daemon can open.
func (n *native) spec(pl *plan) (*boxinit.Spec, []*os.File, error) {
	s := &boxinit.Spec{
		Steps:    boxinit.StepNamespaces | boxinit.StepCaps,
		Hostname: "box",
		Rlimits:  pl.rlimits(),
		Seccomp:  netnsFilter(),
	}
	var mounts []*os.File
	if n.templates != nil {
		tree, err := n.templates.get(pl)
		if err != nil {
			return nil, nil, err
		}
		s.Steps |= boxinit.StepTree
		mounts = append(mounts, tree)
	} else {
		var err error
		if mounts, err = n.addSources(s, mounts, pl.base, pl.baseSources); err != nil {
			return nil, nil, err
		}
	}
	mounts, err := n.addSources(s, mounts, pl.before, pl.sources)
	if err != nil {
		return nil, nil, err
	}
	s.Ops = append(s.Ops, pl.after...)
	s.Ops = append(s.Ops, pl.net.ops()...)
	landlockOps(s, pl, n.abi)
	return s, mounts, nil
}

// addSources adds ops and then binds. On an error mounts are closed.
func (n *native) addSources(s *boxinit.Spec, mounts []*os.File, ops []boxinit.Op, sources []source) ([]*os.File, error) {
	s.Ops = append(s.Ops, ops...)
	for _, src := range sources {
		op := boxinit.Op{Kind: boxinit.OpBind, Src: src.host, Dst: src.in, Flags: src.flags, FD: -1}
		if n.root && (src.owned || !worldReachable(src.host)) {
			f, err := n.detach(src)
			if errors.Is(err, os.ErrNotExist) && src.flags&boxinit.Optional != 0 {
				continue
			}
			if err != nil {
				closeAll(mounts)
				return nil, err
			}
			op.FD = len(mounts)
			mounts = append(mounts, f)
		}
		s.Ops = append(s.Ops, op)
	}
	return mounts, nil
}

func closeAll(list []*os.File) {
	for _, f := range list {
		f.Close()
	}
}

// detach clones the mount of a source that the box's own user couldn't reach, with its ids mapped if it is writable.
func (n *native) detach(src source) (*os.File, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, src.host, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE|unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return nil, fmt.Errorf("show %s in the box: %w", src.host, err)
	}
	f := os.NewFile(uintptr(fd), src.host)
	if !src.owned {
		return f, nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		f.Close()
		return nil, fmt.Errorf("show %s in the box: %w", src.host, err)
	}
	ns, err := n.idmaps.get(n.nursery, st.Uid, st.Gid, n.uid, n.gid)
	if err != nil {
		f.Close()
		return nil, err
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(ns.Fd())}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr); err != nil {
		f.Close()
		return nil, fmt.Errorf("map the owner of %s (the file system may not support idmapped mounts: run agentd as an ordinary user, or move the workspace to ext4, xfs, btrfs or tmpfs): %w", src.host, err)
	}
	return f, nil
}

// worldReachable says whether every user can walk to p.
func worldReachable(p string) bool {
	for dir := path.Dir(p); ; dir = path.Dir(dir) {
		var st unix.Stat_t
		if unix.Lstat(dir, &st) != nil || st.Mode&0o001 == 0 {
			return false
		}
		if dir == "/" {
			return true
		}
	}
}

func (n *native) level() Level { return LevelNamespaces }

func (n *native) close() {
	n.templates.close()
	n.idmaps.close()
	n.nets.close()
	n.nursery.close()
}

// launch starts the init of a box. Its control socket is the box's lifeline.
func (n *native) launch(pl *plan, steps uint32) (*launched, error) {
	spec, mounts, err := n.spec(pl)
	if err != nil {
		return nil, err
	}
	defer func() { closeAll(mounts) }()
	spec.Steps |= steps
	l := &launched{spec: spec, dir: boxWS, env: pl.env}
	birth := n.birth(spec, unix.CLONE_NEWPID|unix.CLONE_NEWIPC|unix.CLONE_NEWUTS|unix.CLONE_NEWCGROUP)
	if pl.net.proxied {
		birth.Flags |= unix.CLONE_NEWNET
	} else {
		f, put, err := n.nets.get(n.nursery, pl.ws)
		if err != nil {
			return nil, err
		}
		spec.Steps |= boxinit.StepKeptNet
		birth.EnterNet, birth.Spec = true, spec.Encode()
		mounts = append([]*os.File{f}, mounts...)
		l.net = put
		defer func() {
			if l.init == nil {
				put(false)
			}
		}()
		defer func() { mounts = mounts[1:] }() // closed by put
	}
	if l.init, err = n.nursery.start(birth, mounts...); err != nil {
		return nil, err
	}
	return l, nil
}

// birth is an init in a user and a mount namespace of its own, and others that flags name.
func (n *native) birth(spec *boxinit.Spec, flags uint64) boxinit.Birth {
	uid, gid := n.uid, n.gid
	if !n.root { // as the nursery's own user namespace calls them
		uid, gid = boxUID, boxUID
	}
	return boxinit.Birth{
		Flags: flags | unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UID:   boxUID, HostUID: uint64(uid), GID: boxUID, HostGID: uint64(gid),
		SetGroups: n.root, Become: n.root, Spec: spec.Encode(),
	}
}

// idmaps keeps user namespaces that map the owner of a workspace to the box's user. The kernel keeps the mapping of a
// mount by such a namespace; nobody lives in it.
type idmaps struct {
	mu   sync.Mutex // guards open
	open map[[2]uint32]*os.File
}

func (m *idmaps) get(n *nursery, uid, gid, toUID, toGID uint32) (*os.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := [2]uint32{uid, gid}
	if f := m.open[key]; f != nil {
		return f, nil
	}
	ip, err := n.start(boxinit.Birth{Flags: unix.CLONE_NEWUSER,
		UID: uint64(uid), HostUID: uint64(toUID), GID: uint64(gid), HostGID: uint64(toGID), SetGroups: true})
	if err != nil {
		return nil, fmt.Errorf("map owner %d:%d: %w", uid, gid, err)
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", ip.pid))
	unix.Close(ip.ctl)
	ip.log.Close()
	ip.kill()
	ip.wait()
	ip.pidfd.Close()
	if err != nil {
		return nil, fmt.Errorf("map owner %d:%d: %w", uid, gid, err)
	}
	if m.open == nil {
		m.open = map[[2]uint32]*os.File{}
	}
	m.open[key] = f
	return f, nil
}

func (m *idmaps) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.open {
		f.Close()
	}
	m.open = nil
}

// freeUID picks a user and group id that nobody has: absent from passwd, group, subuid and subgid.
func freeUID() (uint32, error) {
	taken := map[string]bool{}
	for _, f := range []string{"/etc/passwd", "/etc/group"} {
		b, _ := os.ReadFile(f)
		for line := range strings.Lines(string(b)) {
			if parts := strings.Split(line, ":"); len(parts) > 2 {
				taken[parts[2]] = true
			}
		}
	}
	type span struct{ from, n uint64 }
	var spans []span
	for _, f := range []string{"/etc/subuid", "/etc/subgid"} {
		b, _ := os.ReadFile(f)
		for line := range strings.Lines(string(b)) {
			parts := strings.Split(strings.TrimSpace(line), ":")
			if len(parts) != 3 {
				continue
			}
			var s span
			if _, err := fmt.Sscan(parts[1]+" "+parts[2], &s.from, &s.n); err == nil {
				spans = append(spans, s)
			}
		}
	}
next:
	for id := uint64(61184); id <= 65519; id++ {
		if taken[fmt.Sprint(id)] {
			continue
		}
		for _, s := range spans {
			if id >= s.from && id < s.from+s.n {
				continue next
			}
		}
		return uint32(id), nil
	}
	return 0, errors.New("no free user id from 61184 to 65519 for boxes: run agentd as an ordinary user")
}
