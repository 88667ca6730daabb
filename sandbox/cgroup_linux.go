package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// cgroups keeps control groups for boxes, where this machine lets the daemon make them. A group is used again when its
// box has ended: making one costs more than a box does.
type cgroups struct {
	version int               // 1 or 2
	dirs    map[string]string // controller -> our folder; version 2 has one under ""

	mu   sync.Mutex // guards the fields below
	free []*cgroup
	made int
}

// cgroup holds one box.
type cgroup struct {
	owner         *cgroups
	name          string
	memory, procs int64 // the limits that are set: a box with the same ones needs no writing
	ooms          int64 // kills for want of memory that were seen
	join          []int // descriptors of cgroup.procs, kept open: each box writes and reads
	events        int   // where kills are counted
}

// groupSeq keeps the groups of several Boxes in one process apart.
var groupSeq atomic.Int64

// sweep removes the groups below parent that a daemon left which was killed.
func sweep(parent string) {
	list, _ := filepath.Glob(filepath.Join(parent, "agentd-*-*"))
	for _, dir := range list {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), "agentd-"), "-")
		if _, err := strconv.Atoi(pid); err != nil {
			continue
		}
		if _, err := os.Stat("/proc/" + pid); err == nil {
			continue
		}
		boxes, _ := filepath.Glob(filepath.Join(dir, "box*"))
		for _, b := range boxes {
			os.Remove(b)
		}
		os.Remove(dir)
	}
}

// openCgroups finds where groups can be made. Nil means nowhere; why says the reason.
func openCgroups() (g *cgroups, why string) {
	name := fmt.Sprintf("agentd-%d-%d", os.Getpid(), groupSeq.Add(1))
	if g, err := openV2(name); err == nil {
		return g, ""
	} else if g, err1 := openV1(name); err1 == nil {
		return g, ""
	} else {
		return nil, fmt.Sprintf("version 2: %v; version 1: %v", err, err1)
	}
}

// ownGroups reads /proc/self/cgroup: controller list -> path.
func ownGroups() (map[string]string, error) {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	groups := map[string]string{}
	for line := range strings.Lines(string(b)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) == 3 {
			for c := range strings.SplitSeq(parts[1], ",") {
				groups[c] = parts[2]
			}
		}
	}
	return groups, nil
}

// mountOf finds where a hierarchy is mounted.
func mountOf(fsType, controller string) (string, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		left, right, ok := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 5 || len(r) < 3 || r[0] != fsType {
			continue
		}
		if controller == "" {
			return l[4], nil
		}
		for o := range strings.SplitSeq(r[2], ",") {
			if o == controller {
				return l[4], nil
			}
		}
	}
	return "", fmt.Errorf("no %s hierarchy with %q is mounted", fsType, controller)
}

func openV2(name string) (*cgroups, error) {
	mount, err := mountOf("cgroup2", "")
	if err != nil {
		return nil, err
	}
	own, err := ownGroups()
	if err != nil {
		return nil, err
	}
	// Processes can't live beside groups that have controllers, so ours hang below the parent of the daemon's group
	// when that is delegated, or below its own.
	for _, base := range []string{filepath.Dir(own[""]), own[""]} {
		parent := filepath.Join(mount, base)
		b, err := os.ReadFile(filepath.Join(parent, "cgroup.subtree_control"))
		if err != nil || !hasWord(string(b), "memory") || !hasWord(string(b), "pids") {
			if os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+memory +pids"), 0) != nil {
				continue
			}
		}
		sweep(parent)
		dir := filepath.Join(parent, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+memory +pids"), 0); err != nil {
			os.Remove(dir)
			continue
		}
		return &cgroups{version: 2, dirs: map[string]string{"": dir}}, nil
	}
	return nil, errors.New("the memory and pids controllers aren't delegated to the daemon (a systemd unit needs Delegate=memory pids)")
}

func hasWord(s, w string) bool {
	for f := range strings.FieldsSeq(s) {
		if f == w {
			return true
		}
	}
	return false
}

func openV1(name string) (*cgroups, error) {
	own, err := ownGroups()
	if err != nil {
		return nil, err
	}
	g := &cgroups{version: 1, dirs: map[string]string{}}
	for _, c := range []string{"memory", "pids"} {
		mount, err := mountOf("cgroup", c)
		if err != nil {
			g.close()
			return nil, err
		}
		sweep(filepath.Join(mount, own[c]))
		dir := filepath.Join(mount, own[c], name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			g.close()
			return nil, err
		}
		g.dirs[c] = dir
	}
	return g, nil
}

// get returns a group with the limits of l.
func (g *cgroups) get(l Limits) (*cgroup, error) {
	g.mu.Lock()
	var c *cgroup
	if n := len(g.free); n > 0 {
		c, g.free = g.free[n-1], g.free[:n-1]
	} else {
		g.made++
		c = &cgroup{owner: g, name: "box" + strconv.Itoa(g.made)}
	}
	g.mu.Unlock()
	err := c.limit(l)
	if err == nil && c.join == nil {
		if err = c.open(); err != nil {
			c.shut()
		}
	}
	if err != nil {
		g.put(c)
		return nil, fmt.Errorf("limit the box by a control group: %w", err)
	}
	return c, nil
}

// groupSlack is what a box's init needs beside its payload.
const (
	groupSlackMemory = 32 << 20
	groupSlackProcs  = 12
)

func (c *cgroup) limit(l Limits) error {
	if c.memory == l.Memory && c.procs == int64(l.Procs) {
		return nil
	}
	c.memory, c.procs = 0, 0
	memory, procs := strconv.FormatInt(l.Memory+groupSlackMemory, 10), strconv.Itoa(l.Procs+groupSlackProcs)
	for controller, dir := range c.owner.dirs {
		at := filepath.Join(dir, c.name)
		if err := os.Mkdir(at, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		set := func(file, value string) error { return os.WriteFile(filepath.Join(at, file), []byte(value), 0) }
		switch {
		case c.owner.version == 2:
			set("memory.swap.max", "0") // absent without swap
			set("memory.oom.group", "1")
			if err := errors.Join(set("memory.max", memory), set("pids.max", procs)); err != nil {
				return err
			}
		case controller == "memory":
			if err := set("memory.limit_in_bytes", memory); err != nil {
				return err
			}
		case controller == "pids":
			if err := set("pids.max", procs); err != nil {
				return err
			}
		}
	}
	c.memory, c.procs = l.Memory, int64(l.Procs)
	return nil
}

// open opens the files that each box needs. Not by os.OpenFile, which would tell the poller of them.
func (c *cgroup) open() error {
	for _, dir := range c.owner.dirs {
		fd, err := unix.Open(filepath.Join(dir, c.name, "cgroup.procs"), unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		c.join = append(c.join, fd)
	}
	file, controller := "memory.events", ""
	if c.owner.version == 1 {
		file, controller = "memory.oom_control", "memory"
	}
	var err error
	c.events, err = unix.Open(filepath.Join(c.owner.dirs[controller], c.name, file), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	return err
}

func (c *cgroup) shut() {
	for _, fd := range append(c.join, c.events) {
		if fd > 0 {
			unix.Close(fd)
		}
	}
	c.join, c.events = nil, 0
}

// add moves a process in. Its children follow.
func (c *cgroup) add(pid int) error {
	text := strconv.AppendInt(make([]byte, 0, 12), int64(pid), 10)
	for _, fd := range c.join {
		if _, err := unix.Pwrite(fd, text, 0); err != nil {
			return fmt.Errorf("put the box into its control group: %w", err)
		}
	}
	return nil
}

// oom says how often the kernel ended a process of the group for want of memory.
func (c *cgroup) oom() int64 {
	var buf [512]byte
	size, err := unix.Pread(c.events, buf[:], 0)
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(buf[:size]) {
		if f := bytes.Fields(line); len(f) == 2 && string(f[0]) == "oom_kill" {
			n, _ := strconv.ParseInt(string(f[1]), 10, 64)
			return n
		}
	}
	return 0
}

// maxFreeGroups bounds the free groups whose files stay open.
const maxFreeGroups = 16

// put gives a group back that no process is left in.
func (g *cgroups) put(c *cgroup) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.free) >= maxFreeGroups {
		c.shut()
	}
	g.free = append(g.free, c)
}

// close removes the groups. Those of boxes that still run stay.
func (g *cgroups) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.free {
		c.shut()
	}
	for _, dir := range g.dirs {
		for i := range g.made {
			os.Remove(filepath.Join(dir, "box"+strconv.Itoa(i+1)))
		}
		os.Remove(dir)
	}
	g.free = nil
}
