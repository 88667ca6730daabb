package sandbox

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// verdict runs a filter as the kernel does.
func verdict(t *testing.T, prog []byte, arch uint32, nr uint32, args ...uint64) uint32 {
	t.Helper()
	var data [64]byte
	binary.NativeEndian.PutUint32(data[0:], nr)
	binary.NativeEndian.PutUint32(data[4:], arch)
	for i, a := range args {
		binary.NativeEndian.PutUint64(data[16+8*i:], a)
	}
	var acc uint32
	for pc, steps := 0, 0; ; pc, steps = pc+1, steps+1 {
		if pc*8 >= len(prog) || steps > len(prog) {
			t.Fatalf("system call %d runs off the filter at %d", nr, pc)
		}
		code, jt, jf := binary.NativeEndian.Uint16(prog[pc*8:]), int(prog[pc*8+2]), int(prog[pc*8+3])
		k := binary.NativeEndian.Uint32(prog[pc*8+4:])
		jump := func(cond bool) {
			if cond {
				pc += jt
			} else {
				pc += jf
			}
		}
		switch code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			acc = binary.NativeEndian.Uint32(data[k:])
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			acc &= k
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(k)
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			jump(acc == k)
		case unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K:
			jump(acc > k)
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			jump(acc&k != 0)
		case unix.BPF_RET | unix.BPF_K:
			return k
		default:
			t.Fatalf("instruction %d has code %#x", pc, code)
		}
	}
}

func TestSeccompFilter(t *testing.T) {
	const allow = unix.SECCOMP_RET_ALLOW
	eperm, enosys, eaf := errnoVerdict(unix.EPERM), errnoVerdict(unix.ENOSYS), errnoVerdict(unix.EAFNOSUPPORT)
	for _, tc := range []struct {
		name string
		kind filterKind
		nr   uint32
		args []uint64
		want uint32
	}{
		{"read", filterNetns, unix.SYS_READ, nil, allow},
		{"execve", filterNetns, unix.SYS_EXECVE, nil, allow},
		{"clone of a thread", filterNetns, unix.SYS_CLONE, []uint64{unix.CLONE_VM | unix.CLONE_THREAD}, allow},
		{"clone of a namespace", filterNetns, unix.SYS_CLONE, []uint64{unix.CLONE_NEWUSER | uint64(unix.SIGCHLD)}, eperm},
		{"clone3", filterNetns, unix.SYS_CLONE3, nil, enosys},
		{"the future", filterNetns, lastKnownCall + 1, nil, enosys},
		{"chmod 755", filterNetns, unix.SYS_FCHMODAT, []uint64{0, 0, 0o755}, allow},
		{"chmod 4755", filterNetns, unix.SYS_FCHMODAT, []uint64{0, 0, 0o4755}, eperm},
		{"chmod 1777", filterNetns, unix.SYS_FCHMODAT, []uint64{0, 0, 0o1777}, allow},
		{"TIOCSTI", filterNetns, unix.SYS_IOCTL, []uint64{0, unix.TIOCSTI}, eperm},
		{"TIOCSTI with a high half", filterNetns, unix.SYS_IOCTL, []uint64{0, 1<<32 | unix.TIOCSTI}, eperm},
		{"TIOCGWINSZ", filterNetns, unix.SYS_IOCTL, []uint64{0, unix.TIOCGWINSZ}, allow},
		{"unix socket", filterNoNet, unix.SYS_SOCKET, []uint64{unix.AF_UNIX, unix.SOCK_STREAM}, allow},
		{"TCP in a namespace", filterNetns, unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_STREAM | unix.SOCK_CLOEXEC}, allow},
		{"TCP without", filterNoNet, unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_STREAM}, eaf},
		{"raw", filterNetns, unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_RAW | unix.SOCK_CLOEXEC}, eperm},
		{"packet", filterNetns, unix.SYS_SOCKET, []uint64{unix.AF_PACKET, unix.SOCK_RAW}, eaf},
		{"routes", filterNetns, unix.SYS_SOCKET, []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, allow},
		{"audit", filterNetns, unix.SYS_SOCKET, []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT}, errnoVerdict(unix.EPROTONOSUPPORT)},
		{"audit without a namespace", filterNoNet, unix.SYS_SOCKET, []uint64{unix.AF_NETLINK, unix.SOCK_DGRAM, unix.NETLINK_AUDIT}, errnoVerdict(unix.EPROTONOSUPPORT)},
	} {
		if got := verdict(t, seccompFilter(tc.kind), auditArch, tc.nr, tc.args...); got != tc.want {
			t.Errorf("%s: got %#x, want %#x", tc.name, got, tc.want)
		}
	}
	if got := verdict(t, netnsFilter(), auditArch+1, unix.SYS_READ); got != unix.SECCOMP_RET_KILL_PROCESS {
		t.Errorf("another ABI: got %#x", got)
	}
	refused := map[uint32]bool{}
	for _, nr := range append(append([]uint32{}, refusedCalls...), archRefusedCalls...) {
		refused[nr] = true
	}
	for nr := range uint32(lastKnownCall + 1) {
		want := uint32(allow)
		switch {
		case refused[nr]:
			want = eperm
		case nr == unix.SYS_CLONE3 || nr == unix.SYS_OPENAT2:
			want = enosys
		case nr == unix.SYS_SOCKET || nr == unix.SYS_SOCKETPAIR: // with no arguments: family 0
			want = eaf
		}
		if got := verdict(t, netnsFilter(), auditArch, nr); got != want {
			t.Errorf("system call %d: got %#x, want %#x", nr, got, want)
		}
	}
}

// FuzzRefuse compares the bucketed list with a plain search.
func FuzzRefuse(f *testing.F) {
	f.Add([]byte{1, 2, 3, 200}, uint32(3))
	f.Fuzz(func(t *testing.T, list []byte, nr uint32) {
		var nrs []uint32
		want := uint32(unix.SECCOMP_RET_ALLOW)
		for _, c := range list {
			nrs = append(nrs, uint32(c))
			if uint32(c) == nr {
				want = unix.SECCOMP_RET_KILL_THREAD
			}
		}
		b := &bpf{}
		b.load(offNr)
		b.refuse(unix.SECCOMP_RET_KILL_THREAD, nrs...)
		b.ret(unix.SECCOMP_RET_ALLOW)
		if got := verdict(t, encodeFilter(b.prog), auditArch, nr); got != want {
			t.Errorf("list %v, number %d: got %#x, want %#x", list, nr, got, want)
		}
	})
}
