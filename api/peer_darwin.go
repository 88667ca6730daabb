package api

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// credentials asks who made the other end of a unix socket.
func credentials(fd int) (peer, error) {
	cred, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return peer{}, err
	}
	const version = 0 // XUCRED_VERSION
	if cred.Version != version {
		return peer{}, fmt.Errorf("the kernel's credentials have version %d, not %d", cred.Version, version)
	}
	pid, err := unix.GetsockoptInt(fd, unix.SOL_LOCAL, unix.LOCAL_PEERPID)
	if err != nil {
		return peer{}, err
	}
	return peer{uid: int(cred.Uid), pid: pid}, nil
}
