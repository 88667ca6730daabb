package boxinit

import (
	"syscall"
	"unsafe"
)

// message is a received frame. Its memory is used again by the next one.
type message struct {
	kind byte
	body []byte
	fds  [maxFDs]int
	nfds int
	room []byte // mapped when a body needed it
}

// maxFDs is how many descriptors one message carries: the kernel takes no more.
const maxFDs = 253

// inbox is the one message of this process.
var inbox message

var oob [16 + 4*(maxFDs+1)]byte

type iovec struct {
	base uintptr
	n    uint64
}

type msghdr struct {
	name    uintptr
	namelen uint32
	_       uint32
	iov     uintptr
	iovlen  uint64
	control uintptr
	ctllen  uint64
	flags   int32
	_       int32
}

type cmsghdr struct {
	n           uint64
	level, kind int32
}

const solSocket, scmRights = 1, 1

func addr(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// slow makes a system call that may take long. Where there is a scheduler, it is told.
func slow(nr, a, b, c, d, e uintptr) (uintptr, syscall.Errno) {
	if forked {
		n, _, errno := syscall.RawSyscall6(nr, a, b, c, d, e, 0)
		return n, errno
	}
	n, _, errno := syscall.Syscall6(nr, a, b, c, d, e, 0)
	return n, errno
}

// wire is what a transfer needs. It isn't on the stack, which may move while there is a runtime.
var wire struct {
	head [5]byte
	iov  [2]iovec
	msg  msghdr
}

// send writes one frame with descriptors to the control socket. The body isn't on the stack.
func send(kind byte, body []byte, fds ...int) syscall.Errno {
	if len(fds) > maxFDs {
		return syscall.EINVAL
	}
	n := len(body)
	w := &wire
	w.head = [5]byte{kind, byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}
	w.iov = [2]iovec{{addr(w.head[:]), 5}, {addr(body), uint64(n)}}
	w.msg = msghdr{iov: uintptr(unsafe.Pointer(&w.iov)), iovlen: 2}
	if len(fds) > 0 {
		c := (*cmsghdr)(unsafe.Pointer(&oob))
		c.n, c.level, c.kind = uint64(16+4*len(fds)), solSocket, scmRights
		for i, fd := range fds {
			*(*int32)(unsafe.Pointer(&oob[16+4*i])) = int32(fd)
		}
		w.msg.control, w.msg.ctllen = uintptr(unsafe.Pointer(&oob)), uint64(16+8*((len(fds)+1)/2))
	}
	for sent := 0; sent < 5+n; {
		if sent >= 5 {
			w.iov[0].n, w.iov[1].base, w.iov[1].n = 0, addr(body[sent-5:]), uint64(5+n-sent)
		}
		k, errno := slow(syscall.SYS_SENDMSG, control, uintptr(unsafe.Pointer(&w.msg)), syscall.MSG_NOSIGNAL, 0, 0)
		if errno == syscall.EINTR {
			continue
		}
		if errno != 0 {
			return errno
		}
		if sent += int(k); sent < 5 {
			return syscall.EPIPE
		}
		w.msg.control, w.msg.ctllen = 0, 0
	}
	return 0
}

// receive reads one frame into the inbox. Descriptors are close-on-exec. The end of the socket is EPIPE.
func receive() (*message, syscall.Errno) {
	m := &inbox
	m.nfds, m.body = 0, nil
	w := &wire
	for got := 0; got < len(w.head); {
		w.iov[0] = iovec{addr(w.head[got:]), uint64(len(w.head) - got)}
		w.msg = msghdr{iov: uintptr(unsafe.Pointer(&w.iov)), iovlen: 1, control: uintptr(unsafe.Pointer(&oob)), ctllen: uint64(len(oob))}
		n, errno := slow(syscall.SYS_RECVMSG, control, uintptr(unsafe.Pointer(&w.msg)), syscall.MSG_CMSG_CLOEXEC, 0, 0)
		if errno == syscall.EINTR {
			continue
		}
		if errno != 0 {
			return m, errno
		}
		m.take(int(w.msg.ctllen))
		if n == 0 {
			return m, syscall.EPIPE
		}
		if w.msg.flags&syscall.MSG_CTRUNC != 0 {
			return m, syscall.EMSGSIZE
		}
		got += int(n)
	}
	head := w.head
	m.kind = head[0]
	size := int(head[1]) | int(head[2])<<8 | int(head[3])<<16 | int(head[4])<<24
	if size > MaxFrame {
		return m, syscall.EMSGSIZE
	}
	if size > len(m.room) {
		room, errno := mapMemory(size)
		if errno != 0 {
			return m, errno
		}
		unmapMemory(m.room)
		m.room = room
	}
	m.body = m.room[:size]
	for got := 0; got < size; {
		n, errno := slow(syscall.SYS_READ, control, addr(m.body[got:]), uintptr(size-got), 0, 0)
		if errno == syscall.EINTR {
			continue
		}
		if errno != 0 {
			return m, errno
		}
		if n == 0 {
			return m, syscall.EPIPE
		}
		got += int(n)
	}
	return m, 0
}

// take reads the descriptors from the first n bytes of oob.
func (m *message) take(n int) {
	for at := 0; at+16 <= n; {
		c := (*cmsghdr)(unsafe.Pointer(&oob[at]))
		end := at + int(c.n)
		if c.n < 16 || end > n {
			return
		}
		if c.level == solSocket && c.kind == scmRights {
			for p := at + 16; p+4 <= end && m.nfds < maxFDs; p += 4 {
				m.fds[m.nfds] = int(*(*int32)(unsafe.Pointer(&oob[p])))
				m.nfds++
			}
		}
		at += (int(c.n) + 7) &^ 7
	}
}

// close closes the descriptors that came with the message.
func (m *message) close() {
	for _, fd := range m.fds[:m.nfds] {
		closeFD(fd)
	}
	m.nfds = 0
}

// mapMemory maps at least n bytes that the runtime knows nothing of.
func mapMemory(n int) ([]byte, syscall.Errno) {
	n = (n + 0xffff) &^ 0xffff
	p, _, errno := syscall.RawSyscall6(syscall.SYS_MMAP, 0, uintptr(n), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON, ^uintptr(0), 0)
	if errno != 0 {
		return nil, errno
	}
	return unsafe.Slice((*byte)(pointer(p)), n), 0
}

func unmapMemory(b []byte) {
	if len(b) > 0 {
		syscall.RawSyscall(syscall.SYS_MUNMAP, addr(b), uintptr(len(b)), 0)
	}
}

// pointer turns an address that the kernel gave into a pointer.
func pointer(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }
