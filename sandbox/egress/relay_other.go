//go:build !unix

package egress

import "net"

func sourceOf(c net.Conn) func() (*[]byte, int, error) { return bufferedSource(c) }
