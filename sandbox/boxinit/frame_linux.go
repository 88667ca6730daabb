package boxinit

import "syscall"

// Send writes one frame with descriptors to the control socket fd. It blocks, or returns EAGAIN where the socket
// doesn't, before the first byte is written.
func Send(fd int, kind byte, body []byte, fds ...int) error {
	n := len(body)
	head := [5]byte{kind, byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}
	msg := make([]byte, 0, 5+n)
	msg = append(append(msg, head[:]...), body...)
	var oob []byte
	if len(fds) > 0 {
		oob = syscall.UnixRights(fds...)
	}
	for len(msg) > 0 {
		sent, err := syscall.SendmsgN(fd, msg, oob, nil, syscall.MSG_NOSIGNAL)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		msg, oob = msg[sent:], nil
	}
	return nil
}

// Receive reads one frame. Descriptors are close-on-exec.
func Receive(fd int) (kind byte, body []byte, fds []int, err error) {
	oob := make([]byte, syscall.CmsgSpace(4*250))
	var head [5]byte
	for got := 0; got < len(head); {
		n, oobn, flags, _, err := syscall.Recvmsg(fd, head[got:], oob, syscall.MSG_CMSG_CLOEXEC)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return 0, nil, fds, err
		}
		if n == 0 {
			return 0, nil, fds, errClosed
		}
		if flags&syscall.MSG_CTRUNC != 0 {
			return 0, nil, fds, wireError("control")
		}
		if oobn > 0 {
			more, err := rights(oob[:oobn])
			fds = append(fds, more...)
			if err != nil {
				return 0, nil, fds, err
			}
		}
		got += n
	}
	size := int(head[1]) | int(head[2])<<8 | int(head[3])<<16 | int(head[4])<<24
	if size > MaxFrame {
		return 0, nil, fds, wireError("oversized")
	}
	body = make([]byte, size)
	for got := 0; got < size; {
		n, err := syscall.Read(fd, body[got:])
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return 0, nil, fds, err
		}
		if n == 0 {
			return 0, nil, fds, errClosed
		}
		got += n
	}
	return head[0], body, fds, nil
}

type closedError struct{}

func (closedError) Error() string { return "control socket closed" }

var errClosed = closedError{}

func rights(oob []byte) ([]int, error) {
	var fds []int
	list, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for i := range list {
		more, err := syscall.ParseUnixRights(&list[i])
		if err != nil {
			return fds, err
		}
		fds = append(fds, more...)
	}
	return fds, nil
}
