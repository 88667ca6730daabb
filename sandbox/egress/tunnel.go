package egress

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// longAgo is a deadline that wakes a blocked read.
var longAgo = time.Unix(1, 0)

// alertUnrecognizedName is the TLS alert that names the reason.
var alertUnrecognizedName = []byte{21, 3, 1, 0, 2, 2, 112}

// tunnel relays a connection whose target has been judged, once it has seen what the program says first: TLS must be
// for the same name, and plain HTTP is served one request at a time.
func (s *session) tunnel(ctx context.Context, t Target, up *upstream) {
	stop := context.AfterFunc(ctx, func() { up.Close() })
	defer stop()
	greeting, err := s.whoSpeaks(up)
	if err != nil {
		return
	}
	if len(greeting) > 0 {
		if up.received(len(greeting)) != nil {
			return
		}
		if _, err := s.conn.Write(greeting); err != nil {
			return
		}
	}
	greeted := len(greeting) > 0
	if s.in.Buffered() > 0 {
		s.inspected(ctx, t, up, greeted, nil)
		return
	}
	// The host speaks first, or alone: what it says flows while the program's first bytes are waited for.
	var group sync.WaitGroup
	defer group.Wait() // inspected closes what it doesn't let go on
	live := newLiveness(s.proxy.rules.limits.Idle)
	group.Go(func() {
		live.pump(s.conn, up.Conn, up.received)
	})
	s.inspected(ctx, t, up, true, live)
}

// whoSpeaks waits for the first byte of either side, and returns what the host has said.
func (s *session) whoSpeaks(up *upstream) ([]byte, error) {
	idle := time.Now().Add(s.proxy.rules.limits.Idle)
	s.conn.SetDeadline(idle)
	up.Conn.SetDeadline(idle)
	var greeting []byte
	var upErr error
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1024)
		n, err := up.Conn.Read(buf)
		greeting, upErr = buf[:n], err
		if !timedOut(err) {
			s.conn.SetReadDeadline(longAgo)
		}
	}()
	_, err := s.in.Peek(1)
	up.Conn.SetReadDeadline(longAgo)
	<-done
	idle = time.Now().Add(s.proxy.rules.limits.Idle)
	s.conn.SetDeadline(idle)
	up.Conn.SetDeadline(idle)
	switch {
	case len(greeting) > 0 || (err == nil || errors.Is(err, io.EOF)) && (upErr == nil || timedOut(upErr)):
		return greeting, nil
	case err == nil:
		return nil, upErr
	}
	return nil, err
}

// inspected judges the program's first bytes and relays. live is nil unless the other direction flows already.
func (s *session) inspected(ctx context.Context, t Target, up *upstream, greeted bool, live *liveness) {
	first, err := s.in.Peek(1)
	if err != nil {
		if errors.Is(err, io.EOF) && live != nil {
			closeWrite(up.Conn) // it only listens
			return
		}
		up.Close()
		return
	}
	var said []byte // taken off s.in
	switch {
	case first[0] == recordHandshake:
		hello, raw, err := readHello(s.in)
		if err == nil {
			err = hello.matches(t)
		}
		if err != nil {
			s.proxy.refused(t, err.Error())
			s.conn.Write(alertUnrecognizedName)
			up.Close()
			return
		}
		if add := s.proxy.rules.secrets[t]; len(add) > 0 && !greeted {
			s.intercept(ctx, t, up, raw, add)
			return
		}
		said = raw
	case s.looksLikeHTTP():
		if greeted {
			s.proxy.refused(t, "plain HTTP to a host that spoke first")
			up.Close()
			return
		}
		s.inner(ctx, t, up, 80, nil)
		return
	}
	buffered, _ := s.in.Peek(s.in.Buffered())
	said = append(said, buffered...)
	if live == nil {
		relay(ctx, s.conn, said, up)
		return
	}
	if len(said) > 0 {
		if up.sent(len(said)) != nil {
			up.Close()
			return
		}
		if _, err := up.Conn.Write(said); err != nil {
			up.Close()
			return
		}
	}
	live.pump(up.Conn, s.conn, up.sent)
}

// looksLikeHTTP waits for the first line unless an earlier byte shows that it is something else. A connection that
// begins with an empty line counts: servers skip it. After a word and a space any byte may come: servers are lenient.
func (s *session) looksLikeHTTP() bool {
	word := false
	for n := 1; ; n++ {
		b, err := s.in.Peek(n)
		if err != nil {
			return len(b) == s.in.Size() // 4 KiB without an end
		}
		switch c := b[n-1]; {
		case c == '\n':
			return len(bytes.TrimSpace(b)) == 0 || bytes.Contains(bytes.ToUpper(b), []byte("HTTP/"))
		case word, c == '\r', c > ' ' && c < 0x7f:
		case c == ' ', c == '\t':
			word = n > 1
		default:
			return false
		}
	}
}

// inner serves one plain request within a tunnel. It must be for the host that the tunnel was opened for.
func (s *session) inner(ctx context.Context, t Target, up net.Conn, schemePort uint16, add []Secret) {
	h, err := readHead(s.in)
	if err != nil {
		s.fail(err)
		return
	}
	if h.method == http.MethodConnect || h.method == http.MethodTrace {
		s.fail(s.proxy.refused(t, h.method+" within a tunnel"))
		return
	}
	path := h.target
	if path != "*" && path[0] != '/' {
		var inner Target
		if schemePort == 443 {
			err = badRequest("want a path")
		} else if inner, path, err = h.absolute(); err == nil && inner != t {
			err = badRequest("the URL is for %s, the connection is for %s", inner, t)
		}
	}
	if err == nil {
		err = h.checkHost(t)
	}
	if err != nil {
		s.proxy.refused(t, err.Error())
		s.fail(err)
		return
	}
	s.exchange(ctx, h, path, t.authority(schemePort), up, add)
}

// intercept ends the program's TLS here, and makes its own to the host, to add what the program must not know.
func (s *session) intercept(ctx context.Context, t Target, up *upstream, hello []byte, add []Secret) {
	buffered, _ := s.in.Peek(s.in.Buffered())
	inside := tls.Server(&prefixConn{Conn: s.conn, prefix: append(hello, buffered...)}, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, SessionTicketsDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.proxy.opts.CA.leaf(t.Name) },
	})
	s.conn.SetDeadline(time.Now().Add(headTimeout))
	if err := inside.HandshakeContext(ctx); err != nil {
		s.proxy.refused(t, "the program does not trust the certificate of this daemon (it must read the CA bundle that SSL_CERT_FILE names): "+err.Error())
		return
	}
	defer inside.Close()
	in := *s
	in.conn, in.in = inside, newReader(inside)
	out := tls.Client(up, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.Name, RootCAs: s.proxy.opts.Roots, NextProtos: []string{"http/1.1"}})
	if err := out.HandshakeContext(ctx); err != nil {
		in.in.Peek(1) // the answer would come before the question
		in.fail(err)
		return
	}
	defer out.Close()
	in.inner(ctx, t, out, 443, add)
}

// prefixConn gives back what was read ahead.
type prefixConn struct {
	net.Conn
	prefix []byte
}

func (c *prefixConn) Read(b []byte) (int, error) {
	if len(c.prefix) > 0 {
		n := copy(b, c.prefix)
		c.prefix = c.prefix[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}
