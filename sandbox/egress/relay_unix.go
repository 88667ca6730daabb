//go:build unix

package egress

import (
	"io"
	"net"
	"syscall"
)

// sourceOf returns what reads a connection. It takes a buffer only when there is something to read: connections that
// wait hold none.
func sourceOf(c net.Conn) func() (*[]byte, int, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return bufferedSource(c)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return bufferedSource(c)
	}
	var buf *[]byte
	var n int
	var rerr error
	try := func(fd uintptr) bool {
		buf = buffers.Get().(*[]byte)
		for {
			if n, rerr = syscall.Read(int(fd), *buf); rerr != syscall.EINTR {
				break
			}
		}
		if rerr == syscall.EAGAIN {
			buffers.Put(buf)
			buf = nil
			return false
		}
		return true
	}
	return func() (*[]byte, int, error) {
		buf, n, rerr = nil, 0, nil
		if err := raw.Read(try); err != nil {
			return buf, 0, err
		}
		if rerr != nil {
			return buf, 0, rerr
		}
		if n == 0 {
			return buf, 0, io.EOF
		}
		return buf, n, nil
	}
}
