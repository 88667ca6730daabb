package boxinit

import (
	"syscall"
	"unsafe"
)

func socket(domain, kind int) (int, syscall.Errno) {
	s, _, errno := syscall.RawSyscall(syscall.SYS_SOCKET, uintptr(domain), uintptr(kind|syscall.SOCK_CLOEXEC), 0)
	return int(s), errno
}

// loopback brings the interface lo up.
func loopback() syscall.Errno {
	s, errno := socket(syscall.AF_INET, syscall.SOCK_DGRAM)
	if errno != 0 {
		return errno
	}
	var req struct {
		name  [16]byte
		flags uint16
		_     [22]byte
	}
	copy(req.name[:], "lo")
	req.flags = syscall.IFF_UP | syscall.IFF_RUNNING
	errno = ioctl(s, syscall.SIOCSIFFLAGS, unsafe.Pointer(&req))
	closeFD(s)
	return errno
}

// addAddress gives lo one more IPv4 address, written as a.b.c.d. The label makes it an alias.
func addAddress(text string) syscall.Errno {
	ip, ok := parseIPv4(text)
	if !ok {
		return syscall.EINVAL
	}
	s, errno := socket(syscall.AF_INET, syscall.SOCK_DGRAM)
	if errno != 0 {
		return errno
	}
	var req struct {
		name [16]byte
		sa   syscall.RawSockaddrInet4
		_    [8]byte
	}
	copy(req.name[:], "lo:")
	var digits [8]byte
	copy(req.name[3:15], digits[number(digits[:], int(ip[2])<<8|int(ip[3])):])
	req.sa.Family, req.sa.Addr = syscall.AF_INET, ip
	if errno = ioctl(s, syscall.SIOCSIFADDR, unsafe.Pointer(&req)); errno == 0 {
		req.sa.Addr = [4]byte{255, 255, 255, 255}
		errno = ioctl(s, syscall.SIOCSIFNETMASK, unsafe.Pointer(&req))
	}
	closeFD(s)
	return errno
}

func parseIPv4(s string) (ip [4]byte, ok bool) {
	part, n, digits := 0, 0, 0
	for i := 0; i <= len(s); i++ {
		if i == len(s) || s[i] == '.' {
			if digits == 0 || n > 255 || part > 3 {
				return ip, false
			}
			ip[part] = byte(n)
			part, n, digits = part+1, 0, 0
			continue
		}
		if s[i] < '0' || s[i] > '9' || digits > 3 {
			return ip, false
		}
		n, digits = n*10+int(s[i]-'0'), digits+1
	}
	return ip, part == 4
}

func sockaddr(ip [4]byte, port int) syscall.RawSockaddrInet4 {
	sa := syscall.RawSockaddrInet4{Family: syscall.AF_INET, Addr: ip}
	p := (*[2]byte)(unsafe.Pointer(&sa.Port))
	p[0], p[1] = byte(port>>8), byte(port)
	return sa
}

// listen opens a TCP socket on a loopback port of the box. The daemon accepts on it: nothing in the box copies bytes.
func (b *builder) listen(text string, port int) syscall.Errno {
	ip, ok := parseIPv4(text)
	if !ok || b.nout == len(b.out) {
		return syscall.EINVAL
	}
	s, errno := socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK)
	if errno != 0 {
		return errno
	}
	one := int32(1)
	sa := sockaddr(ip, port)
	_, _, errno = syscall.RawSyscall6(syscall.SYS_SETSOCKOPT, uintptr(s), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, uintptr(unsafe.Pointer(&one)), 4, 0)
	if errno == 0 {
		_, _, errno = syscall.RawSyscall(syscall.SYS_BIND, uintptr(s), uintptr(unsafe.Pointer(&sa)), unsafe.Sizeof(sa))
	}
	if errno == 0 {
		_, _, errno = syscall.RawSyscall(syscall.SYS_LISTEN, uintptr(s), 128, 0)
	}
	if errno != 0 {
		closeFD(s)
		return errno
	}
	b.give(s)
	return 0
}

func (b *builder) give(fd int) {
	b.out[b.nout] = fd
	b.nout++
}

// dial connects to a port of the box's loopback and hands the socket to the daemon.
func dial(id uint64, port int) {
	s, errno := socket(syscall.AF_INET, syscall.SOCK_STREAM)
	if errno == 0 {
		// A listener with a full backlog must not hold up the lifeline for long.
		tv := syscall.Timeval{Sec: 1}
		sa := sockaddr([4]byte{127, 0, 0, 1}, port)
		setTimeout(s, &tv)
		if _, _, errno = syscall.RawSyscall(syscall.SYS_CONNECT, uintptr(s), uintptr(unsafe.Pointer(&sa)), unsafe.Sizeof(sa)); errno == 0 {
			tv = syscall.Timeval{}
			setTimeout(s, &tv)
			send(FrameConn, nums(id, 0), s)
		}
		closeFD(s)
	}
	if errno != 0 {
		send(FrameConn, nums(id, uint64(errno)))
	}
}

func setTimeout(s int, tv *syscall.Timeval) {
	syscall.RawSyscall6(syscall.SYS_SETSOCKOPT, uintptr(s), syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, uintptr(unsafe.Pointer(tv)), unsafe.Sizeof(*tv), 0)
}

// numbers holds what nums encoded last.
var numbers [64]byte

// nums returns the wire form of a few numbers, in memory that the next call uses again.
func nums(list ...uint64) []byte {
	n := 0
	for _, v := range list {
		for v >= 0x80 && n < len(numbers)-1 {
			numbers[n] = byte(v) | 0x80
			n++
			v >>= 7
		}
		numbers[n] = byte(v)
		n++
	}
	return numbers[:n]
}
