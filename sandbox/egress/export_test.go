package egress

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// Leaf issues a certificate, for servers in tests.
func Leaf(c *CA, host string) (*tls.Certificate, error) { return c.leaf(host) }

// SameAddress is the last check before a connection is made.
var SameAddress = sameAddress

// SystemDial is what dials outside tests.
func SystemDial(ctx context.Context, to netip.AddrPort) (net.Conn, error) { return systemDial(ctx, to) }

// SetInterfaces makes p believe that the machine has these addresses.
func SetInterfaces(p *Proxy, addrs ...string) {
	p.own.read = func() ([]net.Addr, error) {
		var out []net.Addr
		for _, a := range addrs {
			out = append(out, &net.IPNet{IP: net.ParseIP(a), Mask: net.CIDRMask(32, 32)})
		}
		return out, nil
	}
}

// Head is what was read of a request.
type Head struct {
	Method  string
	Length  int64
	Chunked bool
	Target  *Target // of an absolute URL that agrees with the Host header
	Written []byte  // as it is sent on
}

// ReadHead reads the head of a request.
func ReadHead(b []byte) (Head, error) {
	h, err := readHead(newReader(bytes.NewReader(b)))
	if err != nil {
		return Head{}, err
	}
	out := Head{Method: h.method, Length: h.length, Chunked: h.length < 0}
	if t, path, err := h.absolute(); err == nil && h.checkHost(t) == nil {
		out.Target = &t
		var text bytes.Buffer
		w := bufio.NewWriter(&text)
		h.upgrade = ""
		h.write(w, path, t.authority(80), nil)
		w.Flush()
		out.Written = text.Bytes()
	}
	return out, nil
}

// StandardRequest reads a request as net/http does.
func StandardRequest(b []byte) (*http.Request, error) {
	return http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
}

// ReadHello returns the server name of a ClientHello and how many bytes it takes.
func ReadHello(b []byte) (string, int, error) {
	h, raw, err := readHello(newReader(bytes.NewReader(b)))
	return h.name, len(raw), err
}

// HelloOf is what a program sends first to a server of that name.
func HelloOf(name string) []byte {
	c := &Script{}
	tls.Client(c, &tls.Config{ServerName: name, InsecureSkipVerify: true}).Handshake()
	return c.said.Bytes()
}

// StandardServerName is the server name that crypto/tls reads, if it takes the message.
func StandardServerName(b []byte) (name string, ok bool) {
	stop := errors.New("seen")
	tls.Server(NewScript(b), &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		name, ok = h.ServerName, true
		return nil, stop
	}}).Handshake()
	return name, ok
}

// Script is a connection whose other side says one thing and then nothing.
type Script struct {
	in   bytes.Reader
	said bytes.Buffer
}

// NewScript returns a connection on which b is read.
func NewScript(b []byte) *Script {
	s := &Script{}
	s.in.Reset(b)
	return s
}

func (s *Script) Read(b []byte) (int, error)       { return s.in.Read(b) }
func (s *Script) Write(b []byte) (int, error)      { return s.said.Write(b) }
func (s *Script) Close() error                     { return nil }
func (s *Script) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *Script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *Script) SetDeadline(time.Time) error      { return nil }
func (s *Script) SetReadDeadline(time.Time) error  { return nil }
func (s *Script) SetWriteDeadline(time.Time) error { return nil }

// Redact reads src with values masked.
func Redact(src io.Reader, secrets ...Secret) io.Reader {
	return &redactor{src: src, hide: hidden(secrets)}
}
