package sandbox

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// channel is the daemon's end of an init's control socket.
type channel struct{ *net.UnixConn }

// openChannel takes fd over.
func openChannel(fd int) (*channel, error) {
	unix.SetNonblock(fd, true)
	file := os.NewFile(uintptr(fd), "box control")
	conn, err := net.FileConn(file)
	file.Close()
	if err != nil {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	return &channel{conn.(*net.UnixConn)}, nil
}

func (c *channel) send(kind byte, body []byte, fds ...int) error {
	n := len(body)
	msg := make([]byte, 0, 5+n)
	msg = append(msg, kind, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
	msg = append(msg, body...)
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	for len(msg) > 0 {
		sent, _, err := c.WriteMsgUnix(msg, oob, nil)
		if err != nil {
			return err
		}
		msg, oob = msg[sent:], nil
	}
	return nil
}

// maxReply bounds a message from a box's init, which nobody trusts once a payload runs.
const maxReply = 64 << 10

func (c *channel) receive() (byte, []byte, []*os.File, error) {
	var head [5]byte
	oob := make([]byte, unix.CmsgSpace(4*80))
	var files []*os.File
	for got := 0; got < len(head); {
		n, oobn, _, _, err := c.ReadMsgUnix(head[got:], oob)
		if oobn > 0 {
			files = append(files, parseRights(oob[:oobn])...)
		}
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			closeAll(files)
			return 0, nil, nil, err
		}
		got += n
	}
	size := int(head[1]) | int(head[2])<<8 | int(head[3])<<16 | int(head[4])<<24
	if size > maxReply {
		closeAll(files)
		return 0, nil, nil, errors.New("oversized message")
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(c.UnixConn, body); err != nil {
		closeAll(files)
		return 0, nil, nil, err
	}
	return head[0], body, files, nil
}

func parseRights(oob []byte) []*os.File {
	var files []*os.File
	list, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for i := range list {
		fds, err := unix.ParseUnixRights(&list[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "box"))
		}
	}
	return files
}
