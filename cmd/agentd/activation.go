package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
)

// firstPassed is the first descriptor that a supervisor passes, as sd_listen_fds(3) says.
const firstPassed = 3

// passed returns the socket that systemd listens at for this daemon, nil when it was started in another way. Who connected
// before the daemon was ready waits in its queue.
func passed(getenv func(string) string, pid int, socket string) (net.Listener, error) {
	if p, err := strconv.Atoi(getenv("LISTEN_PID")); err != nil || p != pid {
		return nil, nil
	}
	if n, err := strconv.Atoi(getenv("LISTEN_FDS")); err != nil || n != 1 {
		return nil, fmt.Errorf("socket activation: one socket is wanted, LISTEN_FDS is %.20q", getenv("LISTEN_FDS"))
	}
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} { // not for what a run starts
		if err := os.Unsetenv(name); err != nil {
			return nil, err
		}
	}
	syscall.CloseOnExec(firstPassed)
	f := os.NewFile(firstPassed, "socket")
	if f == nil {
		return nil, errors.New("socket activation: descriptor 3 is not open")
	}
	ln, err := net.FileListener(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("socket activation: %w", err)
	}
	if at := ln.Addr(); at.Network() != "unix" || at.String() != socket {
		return nil, errors.Join(fmt.Errorf("socket activation: the unit listens at %s, this daemon at %s: agentctl daemon install writes it anew", at, socket), ln.Close())
	}
	return ln, nil
}
