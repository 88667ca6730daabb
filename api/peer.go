package api

import (
	"fmt"
	"net"
	"os"
)

// peer is who is at the other end of a unix socket, as the kernel says.
type peer struct {
	uid int
	pid int
}

// peerOf asks the kernel who made the other end of a unix connection.
func peerOf(conn net.Conn) (peer, error) {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return peer{}, fmt.Errorf("peer of a %s connection: no unix socket", conn.LocalAddr().Network())
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return peer{}, fmt.Errorf("peer: %w", err)
	}
	var p peer
	var credErr error
	if err := raw.Control(func(fd uintptr) { p, credErr = credentials(int(fd)) }); err != nil {
		return peer{}, fmt.Errorf("peer: %w", err)
	}
	if credErr != nil {
		return peer{}, fmt.Errorf("peer: %w", credErr)
	}
	return p, nil
}

// trusted reports whether a peer may be served, or used as a daemon: this user, or root.
func (p peer) trusted() bool { return p.uid == 0 || p.uid == os.Getuid() }
