package egress

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"syscall"
	"time"
)

const socksVersion = 5

// Replies of SOCKS5 (RFC 1928).
const (
	socksOK          = 0
	socksFailed      = 1
	socksRefused     = 2 // by the rules
	socksUnreachable = 4
	socksNobody      = 5 // nobody listens there
	socksCommand     = 7
	socksAddress     = 8
	socksNoMethod    = 0xff // has been said
)

// socks serves CONNECT of SOCKS5. A name is looked up here, never in the box.
func (s *session) socks(ctx context.Context, full bool) {
	t, code := s.socksTarget()
	if code == socksOK && full {
		code = socksFailed
	}
	if code == socksNoMethod {
		return
	}
	if code != socksOK {
		s.socksReply(code)
		return
	}
	up, err := s.proxy.open(ctx, t)
	if err != nil {
		s.socksReply(socksCode(err))
		return
	}
	defer up.Close()
	if s.socksReply(socksOK) == nil {
		s.tunnel(ctx, t, up)
	}
}

func (s *session) socksReply(code byte) error {
	s.conn.SetWriteDeadline(time.Now().Add(headTimeout))
	_, err := s.conn.Write([]byte{socksVersion, code, 0, 1, 0, 0, 0, 0, 0, 0})
	return err
}

func socksCode(err error) byte {
	switch {
	case errors.Is(err, ErrRefused):
		return socksRefused
	case errors.Is(err, syscall.ECONNREFUSED):
		return socksNobody
	case errors.Is(err, ErrLimit):
		return socksFailed
	}
	return socksUnreachable
}

// socksTarget reads a greeting and a request. Only connections are made, and only to what ParseTarget would read.
func (s *session) socksTarget() (Target, byte) {
	var b [256]byte
	read := func(n int) []byte {
		if _, err := io.ReadFull(s.in, b[:n]); err != nil {
			return nil
		}
		return b[:n]
	}
	head := read(2)
	if head == nil || head[0] != socksVersion || head[1] == 0 {
		return Target{}, socksFailed
	}
	methods := read(int(head[1]))
	anonymous := false
	for _, m := range methods {
		anonymous = anonymous || m == 0
	}
	if !anonymous {
		s.conn.Write([]byte{socksVersion, 0xff})
		return Target{}, socksNoMethod
	}
	if _, err := s.conn.Write([]byte{socksVersion, 0}); err != nil {
		return Target{}, socksFailed
	}
	request := read(4)
	if request == nil || request[0] != socksVersion {
		return Target{}, socksFailed
	}
	command, kind := request[1], request[3]
	var t Target
	var raw string
	var err error
	switch kind {
	case 1, 4:
		n := 4
		if kind == 4 {
			n = 16
		}
		a := read(n)
		if a == nil {
			return Target{}, socksFailed
		}
		t.Addr, _ = netip.AddrFromSlice(a)
		t.Addr = t.Addr.Unmap()
	case 3:
		n := read(1)
		if n == nil || n[0] == 0 {
			return Target{}, socksAddress
		}
		name := read(int(n[0]))
		if name == nil {
			return Target{}, socksFailed
		}
		raw = string(name)
		t, err = hostTarget(raw, len(raw) > 1 && isIPv6(raw), 0)
	default:
		return Target{}, socksAddress
	}
	port := read(2)
	if port == nil {
		return Target{}, socksFailed
	}
	t.Port = binary.BigEndian.Uint16(port)
	if err == nil && t.Port == 0 {
		err = errors.New("port 0")
	}
	if err != nil {
		s.proxy.badTarget(raw, err)
		return Target{}, socksRefused
	}
	if command != 1 {
		return Target{}, socksCommand
	}
	return t, socksOK
}

// isIPv6 says whether a SOCKS name is an IPv6 address, which has no brackets there.
func isIPv6(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is6()
}
