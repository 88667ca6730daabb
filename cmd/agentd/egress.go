package main

import (
	"net"
	"net/netip"
	"strconv"
)

// ownListener is the address of the daemon's API, as no box may reach it. A name stands for all of the machine.
func ownListener(hostPort string) []netip.AddrPort {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		addr = netip.IPv4Unspecified()
	}
	return []netip.AddrPort{netip.AddrPortFrom(addr.WithZone(""), uint16(n))}
}
