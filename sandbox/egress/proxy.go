package egress

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"
)

const (
	headTimeout = 15 * time.Second // for a client to say what it wants
	maxHead     = 64 << 10
)

// Options are what a Proxy needs beyond its policy. The zero value is right outside tests, unless there are secrets.
type Options struct {
	// CA issues the certificates that the box sees for hosts with secrets. Needed if the policy has any.
	CA *CA
	// Never are addresses that the daemon listens on. No policy opens them; an unspecified address stands for all of the machine.
	Never []netip.AddrPort
	// Resolve looks a name up. Nil asks the machine's resolver.
	Resolve func(ctx context.Context, name string) ([]netip.Addr, error)
	// Dial connects to an address that has been judged. Nil dials it, and checks at the last moment that it is the one.
	Dial func(ctx context.Context, to netip.AddrPort) (net.Conn, error)
	// Roots are what the proxy's own TLS connections trust. Nil: the machine's.
	Roots *x509.CertPool
}

// Proxy is the way out of one box. Its identity is the socket that it serves: it asks for no credentials. Its methods
// may be called by several goroutines.
type Proxy struct {
	rules  *rules
	opts   Options
	own    ownAddresses
	record record
	used   atomic.Int64 // bytes
	conns  atomic.Int64
	hide   [][]byte // values that answers must not carry back
}

// New makes a Proxy for one box. An error is a *PolicyError.
func New(p Policy, o Options) (*Proxy, error) {
	c, err := compile(p)
	if err != nil {
		return nil, err
	}
	if len(p.Secrets) > 0 && o.CA == nil {
		return nil, badField("secrets", "there is no CA to terminate TLS with")
	}
	if o.Resolve == nil {
		o.Resolve = systemResolve
	}
	if o.Dial == nil {
		o.Dial = systemDial
	}
	x := &Proxy{rules: c, opts: o}
	x.own.read = net.InterfaceAddrs
	x.hide = hidden(p.Secrets)
	return x, nil
}

// Serve answers one connection that a program in the box made to its proxy, and closes it. It returns when nothing of
// it is left; ctx ends it.
func (p *Proxy) Serve(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, p.rules.limits.Total)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	conn.SetDeadline(time.Now().Add(headTimeout))
	full := p.conns.Add(1) > int64(p.rules.limits.Conns)
	defer p.conns.Add(-1)
	in := bufio.NewReaderSize(conn, 4<<10)
	first, err := in.Peek(1)
	if err != nil {
		return
	}
	s := &session{proxy: p, conn: conn, in: in}
	switch {
	case first[0] == socksVersion:
		s.socks(ctx, full)
	case full:
		s.fail(fmt.Errorf("%w: more than %d connections at a time", ErrLimit, p.rules.limits.Conns))
	default:
		s.http(ctx)
	}
}

// ServeTo connects a program that reached for an address by itself, which the box's init listens on for it.
func (p *Proxy) ServeTo(ctx context.Context, conn net.Conn, to netip.AddrPort) {
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, p.rules.limits.Total)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	up, err := p.open(ctx, Target{Addr: to.Addr().Unmap(), Port: to.Port()})
	if err != nil {
		if tcp, ok := conn.(*net.TCPConn); ok {
			tcp.SetLinger(0) // the program sees a reset, as without a listener
		}
		return
	}
	defer up.Close()
	relay(ctx, conn, nil, up)
}

// Dial connects to HOST:PORT if the policy allows it. It has the shape of net.Dialer.DialContext.
func (p *Proxy) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "tcp" && network != "tcp4" && network != "tcp6" {
		return nil, fmt.Errorf("%w: network %s: only tcp goes through", ErrRefused, network)
	}
	t, err := ParseTarget(address, 0)
	if err != nil {
		return nil, p.badTarget(address, err)
	}
	up, err := p.open(ctx, t)
	if err != nil {
		return nil, err // not a nil *upstream in an interface
	}
	return up, nil
}

// badTarget records a host that can't be read.
func (p *Proxy) badTarget(raw string, err error) error {
	e := refuseSyntax(raw, err)
	p.record.refuse(e.Target, 0, e)
	return e
}

// session is one connection of a program to the proxy.
type session struct {
	proxy *Proxy
	conn  net.Conn
	in    *bufio.Reader // on conn
}

// http serves CONNECT, or one request to an absolute URL.
func (s *session) http(ctx context.Context) {
	h, err := readHead(s.in)
	if err != nil {
		s.fail(err)
		return
	}
	if h.method == http.MethodConnect {
		s.connect(ctx, h)
		return
	}
	t, path, err := h.absolute()
	if err != nil {
		if e, ok := errors.AsType[*RefusedError](err); ok {
			s.proxy.record.refuse(e.Target, 0, e)
		}
		s.fail(err)
		return
	}
	if err := h.checkHost(t); err != nil {
		s.fail(err)
		return
	}
	up, err := s.proxy.open(ctx, t)
	if err != nil {
		s.fail(err)
		return
	}
	defer up.Close()
	stop := context.AfterFunc(ctx, func() { up.Close() })
	defer stop()
	s.exchange(ctx, h, path, t.authority(80), up, nil)
}

// connect opens a tunnel.
func (s *session) connect(ctx context.Context, h *head) {
	if h.length != 0 {
		s.fail(badRequest("CONNECT has a body"))
		return
	}
	t, err := ParseTarget(h.target, 0)
	if err != nil {
		s.fail(s.proxy.badTarget(h.target, err))
		return
	}
	up, err := s.proxy.open(ctx, t)
	if err != nil {
		s.fail(err)
		return
	}
	defer up.Close()
	s.conn.SetDeadline(time.Now().Add(s.proxy.rules.limits.Idle))
	if _, err := io.WriteString(s.conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	s.tunnel(ctx, t, up)
}

// fail answers with what went wrong, for the program and who reads its output.
func (s *session) fail(err error) {
	status := http.StatusBadGateway
	bad, isBad := errors.AsType[*requestError](err)
	switch {
	case isBad:
		status = bad.status
	case errors.Is(err, ErrRefused):
		status = http.StatusForbidden
	case errors.Is(err, ErrLimit):
		status = http.StatusTooManyRequests
	case timedOut(err), errors.Is(err, context.DeadlineExceeded):
		status = http.StatusGatewayTimeout
	}
	text := "agentd: " + err.Error() + "\n"
	s.conn.SetDeadline(time.Now().Add(headTimeout))
	fmt.Fprintf(s.conn, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, http.StatusText(status), len(text), text)
	s.linger()
}

// lingerTime is how long an answered program may go on sending.
const lingerTime = 500 * time.Millisecond

// linger reads on for a moment, so that what the program still sends doesn't reset the answer away.
func (s *session) linger() {
	if c, ok := s.conn.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
		s.conn.SetReadDeadline(time.Now().Add(lingerTime))
		io.CopyN(io.Discard, s.conn, 256<<10)
	}
}
