//go:build linux

package abuse

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

type contextT = context.Context

func uintptrOf(b []byte) uintptr { return uintptr(unsafe.Pointer(&b[0])) }

// call makes a raw system call and returns its error.
func call(nr uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	_, _, errno := unix.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	if errno == 0 {
		return nil
	}
	return errno
}

// eperm tries calls that must fail with EPERM.
func eperm(calls map[string]uintptr) error {
	var err error
	for name, nr := range calls {
		err = errors.Join(err, refused(name, call(nr), unix.EPERM))
	}
	return err
}

func privilegeCases() []abuse {
	return []abuse{
		{id: "E21", title: "mount", inside: func(w *world) error {
			return errors.Join(eperm(map[string]uintptr{"mount_setattr": unix.SYS_MOUNT_SETATTR, "fsopen": unix.SYS_FSOPEN, "open_tree": unix.SYS_OPEN_TREE, "move_mount": unix.SYS_MOVE_MOUNT}),
				refused("mount", unix.Mount("x", "/tmp", "tmpfs", 0, ""), unix.EPERM), refused("umount", unix.Unmount("/workspace", unix.MNT_DETACH), unix.EPERM),
				refused("remount", unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND, ""), unix.EPERM))
		}},
		{id: "E22", title: "make or enter a namespace", inside: func(w *world) error {
			var err error
			for _, flag := range []uintptr{unix.CLONE_NEWUSER, unix.CLONE_NEWNS, unix.CLONE_NEWPID, unix.CLONE_NEWNET, unix.CLONE_NEWUSER | unix.CLONE_NEWNS} {
				err = errors.Join(err, refused(fmt.Sprintf("unshare %#x", flag), call(unix.SYS_UNSHARE, flag), unix.EPERM))
				err = errors.Join(err, refused(fmt.Sprintf("clone %#x", flag), call(unix.SYS_CLONE, flag|uintptr(unix.SIGCHLD)), unix.EPERM))
			}
			return errors.Join(err, refused("clone3", call(unix.SYS_CLONE3), unix.ENOSYS), refused("setns", call(unix.SYS_SETNS), unix.EPERM))
		}},
		{id: "E23", title: "change the root", inside: func(w *world) error {
			return errors.Join(refused("chroot", unix.Chroot("/tmp"), unix.EPERM), refused("pivot_root", unix.PivotRoot("/tmp", "/tmp"), unix.EPERM))
		}},
		{id: "E24", title: "trace or read another process", inside: func(w *world) error {
			return eperm(map[string]uintptr{"ptrace": unix.SYS_PTRACE, "process_vm_readv": unix.SYS_PROCESS_VM_READV, "process_vm_writev": unix.SYS_PROCESS_VM_WRITEV, "pidfd_getfd": unix.SYS_PIDFD_GETFD, "kcmp": unix.SYS_KCMP})
		}},
		{id: "E25", title: "use the kernel's keys", inside: func(w *world) error {
			return eperm(map[string]uintptr{"keyctl": unix.SYS_KEYCTL, "add_key": unix.SYS_ADD_KEY, "request_key": unix.SYS_REQUEST_KEY})
		}},
		{id: "E26", title: "bpf, perf and userfaultfd", inside: func(w *world) error {
			return eperm(map[string]uintptr{"bpf": unix.SYS_BPF, "perf_event_open": unix.SYS_PERF_EVENT_OPEN, "userfaultfd": unix.SYS_USERFAULTFD})
		}},
		{id: "E27", title: "io_uring", inside: func(w *world) error {
			return eperm(map[string]uintptr{"io_uring_setup": unix.SYS_IO_URING_SETUP, "io_uring_enter": unix.SYS_IO_URING_ENTER})
		}},
		{id: "E28", title: "administer the machine", inside: func(w *world) error {
			return eperm(map[string]uintptr{"kexec_load": unix.SYS_KEXEC_LOAD, "init_module": unix.SYS_INIT_MODULE, "finit_module": unix.SYS_FINIT_MODULE, "reboot": unix.SYS_REBOOT,
				"swapon": unix.SYS_SWAPON, "settimeofday": unix.SYS_SETTIMEOFDAY, "clock_settime": unix.SYS_CLOCK_SETTIME, "syslog": unix.SYS_SYSLOG, "personality": unix.SYS_PERSONALITY, "acct": unix.SYS_ACCT})
		}},
		{id: "E29", title: "become root", inside: func(w *world) error {
			if path, err := exec.LookPath("su"); err == nil {
				if out, err := exec.Command(path, "-c", "id -u").CombinedOutput(); err == nil {
					return fmt.Errorf("su worked: %s", out)
				}
			}
			return errors.Join(refused("setuid(0)", call(unix.SYS_SETUID, 0), unix.EINVAL, unix.EPERM), refused("setresgid(0)", call(unix.SYS_SETRESGID, 0, 0, 0), unix.EINVAL, unix.EPERM), refused("setgroups", unix.Setgroups([]int{0}), unix.EPERM, unix.EINVAL))
		}},
		{id: "E30", title: "no capability, no_new_privs, seccomp", inside: func(w *world) error { return confined("/proc/self/status") }},
		{id: "E31", title: "enter the kernel by another ABI", inside: otherABI, signal: abiSignal},
		{id: "E32", title: "type into the terminal", inside: func(w *world) error {
			c := byte('x')
			_, err := unix.Open("/dev/tty", unix.O_RDWR, 0)
			return errors.Join(refused("TIOCSTI", call(unix.SYS_IOCTL, 0, unix.TIOCSTI, uintptr(unsafe.Pointer(&c))), unix.EPERM), refused("TIOCLINUX", call(unix.SYS_IOCTL, 0, unix.TIOCLINUX, uintptr(unsafe.Pointer(&c))), unix.EPERM),
				refused("open /dev/tty", err, unix.ENXIO, unix.ENOENT))
		}},
		{id: "E33", title: "find a thread of the box's init that isn't confined", inside: func(w *world) error {
			list, err := os.ReadDir("/proc/1/task")
			if err != nil {
				return err
			}
			if len(list) == 0 {
				return errors.New("no thread of the init can be seen")
			}
			for _, t := range list {
				err = errors.Join(err, confined("/proc/1/task/"+t.Name()+"/status"))
			}
			return err
		}},
	}
}

// confined reads a status file: no capability is effective, permitted or inheritable.
func confined(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	want := map[string]string{"CapInh:": "0000000000000000", "CapPrm:": "0000000000000000", "CapEff:": "0000000000000000", "CapAmb:": "0000000000000000", "NoNewPrivs:": "1", "Seccomp:": "2"}
	if path == "/proc/self/status" && len(otherErrors) == 0 { // an ordinary user has no capability to drop it with
		want["CapBnd:"] = "0000000000000000"
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) == 2 && want[f[0]] != "" {
			if f[1] != want[f[0]] {
				err = errors.Join(err, fmt.Errorf("%s: %s %s, want %s", path, f[0], f[1], want[f[0]]))
			}
			delete(want, f[0])
		}
	}
	if len(want) > 0 {
		err = errors.Join(err, fmt.Errorf("%s says nothing about %v", path, want))
	}
	return err
}

func processCases() []abuse {
	return []abuse{
		{id: "E34", title: "signal a process of the host", inside: func(w *world) error {
			return refused("kill(0)", unix.Kill(w.PID, 0), unix.ESRCH)
		}},
		{id: "E35", title: "see a process of the host", inside: func(w *world) error {
			list, err := os.ReadDir("/proc")
			if err != nil {
				return err
			}
			for _, e := range list {
				if pid, err := strconv.Atoi(e.Name()); err == nil && pid != 1 && pid != os.Getpid() {
					return fmt.Errorf("process %d is visible", pid)
				}
			}
			return nil
		}},
		{id: "E36", title: "outlive the command in another session", outside: outlive},
		{id: "E37", title: "hold the output open past the end", outside: holdOutput},
		{id: "E38", title: "ignore every signal", outside: ignoreSignals},
		{id: "E39", title: "outlive the daemon", outside: outliveDaemon},
		{id: "E40", title: "kill everything in sight", inside: func(w *world) error {
			unix.Kill(1, unix.SIGKILL)
			unix.Kill(1, unix.SIGSTOP)
			unix.Kill(1, unix.SIGTERM)
			if err := unix.Kill(1, 0); err != nil {
				return fmt.Errorf("init is gone: %w", err)
			}
			if err := unix.Kill(-1, unix.SIGKILL); err != nil && err != unix.ESRCH {
				return fmt.Errorf("kill(-1): %w", err)
			}
			return nil
		}},
	}
}

func networkCases() []abuse {
	socket := func(family, kind, proto int) error {
		fd, err := unix.Socket(family, kind, proto)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
	connect := func(kind int, to unix.Sockaddr, family int) error {
		fd, err := unix.Socket(family, kind, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if kind == unix.SOCK_DGRAM {
			return unix.Sendto(fd, []byte("x"), 0, to)
		}
		return unix.Connect(fd, to)
	}
	return []abuse{
		{id: "E53", title: "raw, packet, vsock and crypto sockets", inside: func(w *world) error {
			var err error
			for name, s := range map[string][3]int{"raw": {unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP}, "packet": {unix.AF_PACKET, unix.SOCK_RAW, 0}, "vsock": {unix.AF_VSOCK, unix.SOCK_STREAM, 0}, "alg": {unix.AF_ALG, unix.SOCK_SEQPACKET, 0}, "bluetooth": {unix.AF_BLUETOOTH, unix.SOCK_STREAM, 0}, "old packet": {unix.AF_INET, unix.SOCK_PACKET, 0}} {
				err = errors.Join(err, refused(name, socket(s[0], s[1], s[2]), unix.EPERM, unix.EAFNOSUPPORT, unix.EACCES))
			}
			return err
		}},
		{id: "E54", title: "netlink beyond routes", inside: func(w *world) error {
			if err := socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE); err != nil {
				return fmt.Errorf("routes, which programs read: %w", err)
			}
			var err error
			for name, proto := range map[string]int{"audit": unix.NETLINK_AUDIT, "uevents": unix.NETLINK_KOBJECT_UEVENT, "netfilter": unix.NETLINK_NETFILTER, "sock_diag": unix.NETLINK_SOCK_DIAG, "generic": unix.NETLINK_GENERIC} {
				err = errors.Join(err, refused(name, socket(unix.AF_NETLINK, unix.SOCK_RAW, proto), unix.EPROTONOSUPPORT))
			}
			return err
		}},
		{id: "E55", title: "reach the internet", inside: func(w *world) error {
			return errors.Join(refused("TCP", connect(unix.SOCK_STREAM, &unix.SockaddrInet4{Port: 80, Addr: [4]byte{192, 0, 2, 1}}, unix.AF_INET), unix.ENETUNREACH),
				refused("UDP", connect(unix.SOCK_DGRAM, &unix.SockaddrInet4{Port: 53, Addr: [4]byte{192, 0, 2, 53}}, unix.AF_INET), unix.ENETUNREACH),
				refused("IPv6", connect(unix.SOCK_STREAM, &unix.SockaddrInet6{Port: 80, Addr: [16]byte{0x20, 0x01, 0x0d, 0xb8, 15: 1}}, unix.AF_INET6), unix.ENETUNREACH, unix.EADDRNOTAVAIL))
		}},
		{id: "E56", title: "reach a port of the host", inside: func(w *world) error {
			return refused("connect", connect(unix.SOCK_STREAM, &unix.SockaddrInet4{Port: w.Port, Addr: [4]byte{127, 0, 0, 1}}, unix.AF_INET), unix.ECONNREFUSED)
		}},
		{id: "E57", title: "reach a unix socket of the host", inside: func(w *world) error {
			err := errors.Join(refused("abstract", connect(unix.SOCK_STREAM, &unix.SockaddrUnix{Name: w.Abstract}, unix.AF_UNIX), unix.ECONNREFUSED, unix.EPERM))
			for _, p := range []string{w.Socket, "/var/run/docker.sock", "/run/dbus/system_bus_socket", "/run/user/0/bus"} {
				err = errors.Join(err, refused(p, connect(unix.SOCK_STREAM, &unix.SockaddrUnix{Name: p}, unix.AF_UNIX), unix.ENOENT))
			}
			return err
		}},
		{id: "E58", title: "reach the metadata service", policy: withProxy, inside: func(w *world) error {
			err := refused("direct", connect(unix.SOCK_STREAM, &unix.SockaddrInet4{Port: 80, Addr: [4]byte{169, 254, 169, 254}}, unix.AF_INET), unix.ENETUNREACH)
			for _, url := range []string{"http://169.254.169.254/", "http://[::ffff:169.254.169.254]/", "http://2852039166/", "http://0xa9fea9fe/", "http://[fd00:ec2::254]/"} {
				status, perr := proxied(url)
				if perr != nil || status/100 == 2 || status/100 == 3 {
					err = errors.Join(err, fmt.Errorf("%s by the proxy: status %d, %v", url, status, perr))
				}
			}
			return err
		}},
		{id: "E59", title: "go round the proxy", policy: withProxy, inside: func(w *world) error {
			return refused("connect", connect(unix.SOCK_STREAM, &unix.SockaddrInet4{Port: 443, Addr: [4]byte{192, 0, 2, 1}}, unix.AF_INET), unix.ENETUNREACH)
		}},
		{id: "E69", title: "reach another box", outside: otherBox},
		{id: "E70", title: "run the program although the set-up failed", outside: failedSetup},
	}
}

// settle waits a moment for something that must not happen.
func settle() { time.Sleep(300 * time.Millisecond) }
