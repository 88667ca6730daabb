package mcp

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"agentd/sandbox"
)

// hostRule is the egress rule that opens exactly a URL's host and port.
func hostRule(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	host := u.Hostname()
	if a, err := netip.ParseAddr(host); err == nil {
		host = netip.PrefixFrom(a, a.BitLen()).String()
		if a.Is6() {
			return "[" + a.String() + "]/128:" + port, nil
		}
	}
	return net.JoinHostPort(host, port), nil
}

// client is an HTTP client under egress rules that adds the server's headers to requests to its own host, and bounds answers.
func (o *Options) client(n sandbox.Net, s Server) (*http.Client, error) {
	if o.Egress == nil {
		return nil, errors.New("this daemon has no way out")
	}
	p, err := o.Egress(n)
	if err != nil {
		return nil, err
	}
	c := p.Client()
	u, err := url.Parse(s.URL)
	if err != nil {
		return nil, err
	}
	c.Transport = &headers{next: c.Transport, host: u.Host, add: s.Headers}
	return c, nil
}

// headers adds what the configuration says to requests to one host, and bounds the bodies of its answers.
type headers struct {
	next http.RoundTripper
	host string
	add  map[string]string
}

func (h *headers) RoundTrip(req *http.Request) (*http.Response, error) {
	if len(h.add) > 0 && strings.EqualFold(req.URL.Host, h.host) {
		req = req.Clone(req.Context())
		for k, v := range h.add {
			req.Header.Set(k, v)
		}
	}
	res, err := h.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if t := res.Header.Get("Content-Type"); !strings.HasPrefix(t, "text/event-stream") {
		res.Body = &bounded{ReadCloser: res.Body, left: maxMessage}
	}
	return res, nil
}

// bounded gives an error where a body is longer than it may be.
type bounded struct {
	io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		var one [1]byte
		if n, err := b.ReadCloser.Read(one[:]); n == 0 {
			return 0, err
		}
		return 0, fmt.Errorf("the server's answer has more than %d bytes", maxMessage)
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
