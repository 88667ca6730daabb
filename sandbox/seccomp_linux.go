package sandbox

import (
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data.
const (
	offNr   = 0
	offArch = 4
	offArgs = 16
)

// bpf builds a seccomp filter. Every rule returns as soon as it matches; a program that matches no rule is allowed.
type bpf struct{ prog []unix.SockFilter }

func (b *bpf) stmt(code uint16, k uint32) {
	b.prog = append(b.prog, unix.SockFilter{Code: code, K: k})
}

func (b *bpf) jump(code uint16, k uint32, jt, jf uint8) {
	b.prog = append(b.prog, unix.SockFilter{Code: code, K: k, Jt: jt, Jf: jf})
}

func (b *bpf) load(off uint32)    { b.stmt(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, off) }
func (b *bpf) ret(verdict uint32) { b.stmt(unix.BPF_RET|unix.BPF_K, verdict) }

func errnoVerdict(e unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(e) }

// refuse returns verdict for the system calls nrs. The number must be loaded. The list is cut into buckets: the kernel
// walks the filter once for every number when it is installed, so its length on each path is what a box's start costs.
func (b *bpf) refuse(verdict uint32, nrs ...uint32) {
	nrs = slices.Compact(slices.Sorted(slices.Values(nrs)))
	const bucket = 8
	var parts [][]uint32
	for part := range slices.Chunk(nrs, bucket) {
		parts = append(parts, part)
	}
	for i, part := range parts {
		last := part[len(part)-1]
		n := uint8(len(part))
		// Numbers beyond this bucket skip it; those within compare; the rest leaves the list.
		b.jump(unix.BPF_JMP|unix.BPF_JGT|unix.BPF_K, last, n+2, 0)
		for j, nr := range part {
			b.jump(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, nr, n-uint8(j), 0)
		}
		rest := 0
		for _, later := range parts[i+1:] {
			rest += len(later) + 3
		}
		b.stmt(unix.BPF_JMP|unix.BPF_JA, uint32(rest+1))
		b.ret(verdict)
	}
}

// argHas refuses a call if its argument has one of the bits.
func (b *bpf) argHas(nr uint32, arg int, bits, verdict uint32) {
	b.jump(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, nr, 0, 4)
	b.load(offArgs + 8*uint32(arg))
	b.jump(unix.BPF_JMP|unix.BPF_JSET|unix.BPF_K, bits, 0, 1)
	b.ret(verdict)
	b.load(offNr)
}

// argIs refuses a call if the low half of its argument is one of values.
func (b *bpf) argIs(nr uint32, arg int, verdict uint32, values ...uint32) {
	b.jump(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, nr, 0, uint8(2+2*len(values)))
	b.load(offArgs + 8*uint32(arg))
	for _, v := range values {
		b.jump(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, v, 0, 1)
		b.ret(verdict)
	}
	b.load(offNr)
}

// argOnly refuses a call unless the low half of its argument is one of values.
func (b *bpf) argOnly(nr uint32, arg int, verdict uint32, values ...uint32) {
	n := len(values)
	b.jump(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, nr, 0, uint8(3+n))
	b.load(offArgs + 8*uint32(arg))
	for i, v := range values {
		b.jump(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, v, uint8(n-i), 0)
	}
	b.ret(verdict)
	b.load(offNr)
}

// filterKind says what a box's network is like.
type filterKind int

const (
	filterNetns filterKind = iota // own network namespace: IP sockets reach only the box itself
	filterNoNet                   // the host's network namespace: no IP sockets at all
)

// seccompFilter returns the program for this architecture in wire form.
func seccompFilter(kind filterKind) []byte {
	eperm, enosys := errnoVerdict(unix.EPERM), errnoVerdict(unix.ENOSYS)
	b := &bpf{}
	b.load(offArch)
	b.jump(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, auditArch, 1, 0)
	b.ret(unix.SECCOMP_RET_KILL_PROCESS) // another ABI (int 0x80) would walk past the numbers below
	b.load(offNr)
	if x32Bit != 0 {
		b.jump(unix.BPF_JMP|unix.BPF_JSET|unix.BPF_K, x32Bit, 0, 1)
		b.ret(enosys)
	}
	// Calls that pass their flags in memory can't be judged: libc falls back to the older ones.
	b.refuse(enosys, unix.SYS_CLONE3, unix.SYS_OPENAT2)
	b.refuse(eperm, slices.Concat(refusedCalls, archRefusedCalls)...)
	// Anything newer than what was known when this was written.
	b.jump(unix.BPF_JMP|unix.BPF_JGT|unix.BPF_K, lastKnownCall, 0, 1)
	b.ret(enosys)

	const namespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP
	b.argHas(unix.SYS_CLONE, 0, namespaces, eperm)
	// A set-id file in the workspace would outlive the box.
	const setid = unix.S_ISUID | unix.S_ISGID
	for _, c := range setidCalls {
		b.argHas(c.nr, c.arg, setid, eperm)
	}
	b.argIs(unix.SYS_IOCTL, 1, eperm, unix.TIOCSTI, unix.TIOCLINUX, unix.TIOCSETD, unix.TIOCCONS)
	b.argIs(unix.SYS_PRCTL, 0, eperm, unix.PR_SET_MM, unix.PR_SET_PTRACER)
	afErr := errnoVerdict(unix.EAFNOSUPPORT)
	if kind == filterNetns {
		b.argOnly(unix.SYS_SOCKET, 0, afErr, unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK)
	} else {
		b.argOnly(unix.SYS_SOCKET, 0, afErr, unix.AF_UNIX, unix.AF_NETLINK) // routes can be read, as Node does
	}
	b.argOnly(unix.SYS_SOCKETPAIR, 0, afErr, unix.AF_UNIX)
	// Of netlink only routes, which Node reads to list interfaces.
	b.jump(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, unix.SYS_SOCKET, 0, 11)
	b.load(offArgs)
	b.jump(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, unix.AF_NETLINK, 0, 3)
	b.load(offArgs + 16)
	b.jump(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, unix.NETLINK_ROUTE, 6, 0)
	b.ret(errnoVerdict(unix.EPROTONOSUPPORT))
	// Neither raw nor packet sockets, which only a capability would refuse.
	b.load(offArgs + 8)
	b.stmt(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, 0xf)
	b.jump(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, unix.SOCK_RAW, 1, 0)
	b.jump(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, unix.SOCK_PACKET, 0, 1)
	b.ret(eperm)
	b.ret(unix.SECCOMP_RET_ALLOW)
	b.ret(unix.SECCOMP_RET_ALLOW)
	return encodeFilter(b.prog)
}

func encodeFilter(prog []unix.SockFilter) []byte {
	out := make([]byte, 0, 8*len(prog))
	for _, f := range prog {
		out = binary.NativeEndian.AppendUint16(out, f.Code)
		out = append(out, f.Jt, f.Jf)
		out = binary.NativeEndian.AppendUint32(out, f.K)
	}
	return out
}

// refusedCalls fail with EPERM on every architecture.
var refusedCalls = []uint32{
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_MOUNT_SETATTR, unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK,
	unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT,
	unix.SYS_UNSHARE, unix.SYS_SETNS,
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PIDFD_GETFD, unix.SYS_KCMP, unix.SYS_PROCESS_MADVISE,
	unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY,
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD,
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
	unix.SYS_KEXEC_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF,
	unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_ADJTIMEX, unix.SYS_CLOCK_ADJTIME, unix.SYS_SYSLOG, unix.SYS_PERSONALITY, unix.SYS_ACCT,
	unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME, unix.SYS_VHANGUP, unix.SYS_NFSSERVCTL, unix.SYS_LOOKUP_DCOOKIE,
	unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_FANOTIFY_INIT, unix.SYS_FANOTIFY_MARK,
	unix.SYS_MBIND, unix.SYS_SET_MEMPOLICY, unix.SYS_MIGRATE_PAGES, unix.SYS_MOVE_PAGES, unix.SYS_SET_MEMPOLICY_HOME_NODE,
}

// setidCall is a call that can give a file a mode, and the argument that holds it.
type setidCall struct {
	nr  uint32
	arg int
}
