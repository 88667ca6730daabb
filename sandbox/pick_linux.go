package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"agentd/sandbox/boxinit"

	"golang.org/x/sys/unix"
)

// Probe says what this machine can enforce, by trying it.
func Probe() Report {
	b, err := Open(Options{})
	if err != nil {
		return unavailable(err)
	}
	defer b.Close()
	return b.Report()
}

// unavailable is the report of a machine where nothing could be had.
func unavailable(err error) Report {
	r := Report{Level: LevelNone, Backend: "none", Kernel: kernel(), Fix: err.Error()}
	if u := new(UnavailableError); errors.As(err, &u) {
		r.Fix = u.Fix
	}
	r.Guarantees = absent(r.Fix)
	return r
}

func absent(why string) []Guarantee {
	var list []Guarantee
	for _, name := range guaranteeNames {
		list = append(list, Guarantee{Name: name, State: "absent", Reason: why})
	}
	return list
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "linux"
	}
	return "linux " + unix.ByteSliceToString(u.Release[:])
}

// pick takes the first backend whose box holds when tried. Nothing is concluded from a feature's mere presence.
func (b *Box) pick() error {
	groups, why := openCgroups()
	b.groups = groups
	var tried []string
	for _, c := range b.candidates() {
		n := &nursery{program: b.opts.Init}
		if n.program == "" {
			n.program = "/proc/self/exe"
		}
		l, err := c.open(n)
		if err == nil {
			b.launcher = l
			if err = b.selfTest(); err != nil {
				l.close()
			} else if n, ok := l.(*native); ok {
				n.templates.trim() // the probe's own program may have been in one that no command needs
			}
		}
		if err == nil {
			b.rep = b.report(c.name, l, why)
			b.rep.Fix = strings.Join(append([]string{c.fix}, tried...), "; ")
			if c.fix == "" {
				b.rep.Fix = strings.Join(tried, "; ")
			}
			return nil
		}
		tried = append(tried, c.name+" can't be used: "+err.Error())
	}
	b.launcher = nil
	if b.groups != nil {
		b.groups.close()
	}
	return &UnavailableError{Want: LevelLandlock, Fix: strings.Join(tried, "; ") +
		". User namespaces (sysctl kernel.unprivileged_userns_clone=1 or kernel.apparmor_restrict_unprivileged_userns=0), bubblewrap, or a kernel from 5.13 on with Landlock would provide a sandbox"}
}

type candidate struct {
	name string
	open func(*nursery) (launcher, error)
	fix  string // what would raise the level from here
}

func (b *Box) candidates() []candidate {
	list := []candidate{
		{"native", newNative, ""},
		{"bubblewrap", newBubblewrap, ""},
		{"landlock", newLandlock, "allow user namespaces, or install bubblewrap, for the level namespaces"},
	}
	if b.opts.AllowNone {
		list = append(list, candidate{"none", newNone, "nothing is confined"})
	}
	if b.opts.Backend != "" {
		kept := list[:0]
		for _, c := range list {
			if c.name == b.opts.Backend {
				kept = append(kept, c)
			}
		}
		list = kept
	}
	return list
}

// selfTest runs a program that tries to get out, with the chosen launcher.
func (b *Box) selfTest() error {
	dir, err := os.MkdirTemp("", "agentd-probe")
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	defer os.RemoveAll(dir)
	ws, canary := filepath.Join(dir, "ws"), filepath.Join(dir, "canary")
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(ws, 0o755), os.WriteFile(canary, []byte("canary"), 0o666), os.Chmod(canary, 0o666)); err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	heard, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err == nil {
		defer heard.Close()
	}
	program := b.opts.Init
	if program == "" {
		if program, err = os.Executable(); err != nil {
			return fmt.Errorf("self-test: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(b.ctx, setupTimeout)
	defer cancel()
	var out bytes.Buffer
	res, err := b.run(ctx, Policy{
		Workspace: ws, ReadOnly: []string{program}, Require: b.launcher.level(),
		Env:    map[string]string{boxinit.ProbeMarker: fmt.Sprintf("%d %d %s", port, os.Getpid(), canary)},
		Limits: Limits{Wall: 20 * time.Second},
	}, Command{Argv: []string{program}, Stdout: &out})
	if err != nil {
		return err
	}
	if res.Killed != "" || res.Signal != "" {
		return fmt.Errorf("self-test: the probe ended by %s%s: %s", res.Killed, res.Signal, out.Bytes())
	}
	found := res.Exit
	if heard != nil {
		heard.SetReadDeadline(time.Now().Add(2 * time.Millisecond))
		var buf [16]byte
		if n, _, _ := heard.ReadFrom(buf[:]); n > 0 {
			found |= boxinit.ProbeUDP
		}
	}
	switch b.launcher.level() {
	case LevelNone:
		found &= boxinit.ProbeNoWorkspace
	case LevelLandlock:
		if landlockABI() < 6 { // only then signals stay within the box
			found &^= boxinit.ProbeSignalled
		}
	}
	var bad []string
	for _, f := range []struct {
		bit  int
		what string
	}{
		{boxinit.ProbeWroteOutside, "a file outside could be written"}, {boxinit.ProbeReadOutside, "a file outside could be read"},
		{boxinit.ProbeConnected, "a port of the host could be reached"}, {boxinit.ProbeUDP, "a datagram reached the host"},
		{boxinit.ProbeSignalled, "a process of the host could be signalled"}, {boxinit.ProbeNamespace, "a namespace could be made"},
		{boxinit.ProbeNoWorkspace, "the workspace can't be written"},
	} {
		if found&f.bit != 0 {
			bad = append(bad, f.what)
		}
	}
	if len(bad) > 0 {
		return errors.New("self-test: " + strings.Join(bad, ", "))
	}
	return nil
}

// report says what the chosen backend enforces, and by what.
func (b *Box) report(name string, l launcher, noGroups string) Report {
	r := Report{Level: l.level(), Backend: name, Kernel: kernel()}
	add := func(name, state, by, why string) {
		r.Guarantees = append(r.Guarantees, Guarantee{Name: name, State: state, By: by, Reason: why})
	}
	full := l.level() >= LevelNamespaces
	if l.level() == LevelNone {
		r.Guarantees = absent("no sandbox: only a time limit and a limit on output hold")
		return r
	}
	if full {
		add("protect", "enforced", "read-only mounts inside the workspace", "")
		add("fs", "enforced", "mount namespace, pivot_root, read-only view, Landlock where the kernel has it", "")
		add("net", "enforced", "network namespace with only a loopback; the daemon opens what the policy names", "")
		add("pid", "enforced", "pid namespace", "")
	} else {
		add("fs", "enforced", "Landlock", "")
		add("protect", "absent", "", "Landlock can't take a right back below a writable folder: protected paths inside the workspace need namespaces")
		add("net", "partial", "seccomp refuses all sockets but unix ones", "no allow-list can be offered without a network namespace, and unix sockets in readable folders can be reached")
		add("pid", "partial", "Landlock scopes and seccomp", "without a pid namespace other processes are visible in /proc")
	}
	switch {
	case b.groups != nil:
		by := fmt.Sprintf("control groups, version %d", b.groups.version)
		add("memory", "enforced", by, "")
		add("procs", "enforced", by+", RLIMIT_NPROC", "")
	default:
		add("memory", "partial", "RLIMIT_DATA per process, and a supervisor that looks at the whole box every "+pollEvery.String(), "no control group can be made: "+noGroups)
		if full {
			add("procs", "enforced", "RLIMIT_NPROC of the box's own user namespace", "")
		} else {
			add("procs", "partial", "RLIMIT_NPROC, shared with the user's other processes", "without a user namespace the limit counts all processes of the user")
		}
	}
	add("cpu", "enforced", "RLIMIT_CPU per process, and a supervisor for the whole box", "")
	add("disk", "partial", "RLIMIT_FSIZE per file, a size-limited tmpfs for /tmp and /home, and a supervisor of the workspace every "+pollEvery.String(), "a quota would need a file system of its own")
	add("output", "enforced", "the daemon counts", "")
	add("syscalls", "enforced", "seccomp on every thread, no_new_privs", "")
	if n, ok := l.(*native); ok && n.root {
		add("ids", "enforced", fmt.Sprintf("user %d, idmapped mounts", n.uid), "")
	} else {
		add("ids", "enforced", "the daemon's own user, no other id is mapped", "")
	}
	return r
}
