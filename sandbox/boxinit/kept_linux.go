package boxinit

import "syscall"

// Making a network namespace and taking it down is the most expensive part of a box. The nursery makes one that several
// boxes of a run use in turn: nobody in a box has a right over it, and it is kept only where the last box left nothing.

const cloneNewNet = 0x40000000

// homeNet is the network namespace of the nursery itself, once it has left that for a moment.
var homeNet = -1

// giveNet makes a network namespace and sends its descriptor. It runs on the main thread, the one that forks.
func giveNet() syscall.Errno {
	if homeNet < 0 {
		fd, errno := openFile("/proc/thread-self/ns/net", syscall.O_RDONLY, 0)
		if errno != 0 {
			return errno
		}
		homeNet = fd
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_UNSHARE, cloneNewNet, 0, 0); errno != 0 {
		return errno
	}
	fd, errno := -1, loopback()
	if errno == 0 {
		fd, errno = openFile("/proc/thread-self/ns/net", syscall.O_RDONLY, 0)
	}
	leaveNet()
	if errno != 0 {
		return errno
	}
	errno = send(FrameNet, nil, fd)
	closeFD(fd)
	return errno
}

func enterNet(fd int) syscall.Errno {
	_, _, errno := syscall.RawSyscall(sysSetns, uintptr(fd), cloneNewNet, 0)
	return errno
}

// leaveNet goes home. A nursery that couldn't would put later boxes in the wrong place: it ends, and another is started.
func leaveNet() {
	if errno := enterNet(homeNet); errno != 0 {
		exit(1)
	}
}

// quietNet says whether the kernel keeps no connection of this network namespace, not even an ended one whose port is
// held for a while.
func quietNet() bool {
	return quietIn("/proc/self/net/sockstat") && quietIn("/proc/self/net/sockstat6")
}

// quietIn reads a list of counters such as "TCP: inuse 0 orphan 0 tw 0 alloc 0 mem 0". Only inuse and tw are counted per
// namespace.
func quietIn(path string) bool {
	fd, errno := openFile(path, syscall.O_RDONLY, 0)
	if errno == syscall.ENOENT && path[len(path)-1] == '6' {
		return true // a kernel without IPv6
	}
	if errno != 0 {
		return false
	}
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), addr(childList[:]), uintptr(len(childList)))
	closeFD(fd)
	if errno != 0 || n == 0 {
		return false
	}
	text := childList[:n]
	tcp := false
	for len(text) > 0 {
		end := 0
		for end < len(text) && text[end] != '\n' {
			end++
		}
		line := text[:end]
		text = text[min(end+1, len(text)):]
		for i := range line {
			rest := line[i:]
			if starts(rest, "TCP") {
				tcp = true
			}
			if starts(rest, " inuse ") && rest[7] != '0' || starts(rest, " tw ") && rest[4] != '0' {
				return false
			}
		}
	}
	return tcp
}

func starts(b []byte, s string) bool { return len(b) > len(s) && string(b[:len(s)]) == s }
