package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// maxRedirects is how many hops a Client follows.
const maxRedirects = 10

// Transport sends the daemon's own requests through the decisions of a Proxy. As an http.Client asks it for every hop of
// a redirect, each is judged. It keeps no connection, so that every request is looked up and judged anew.
type Transport struct {
	proxy *Proxy
	base  *http.Transport
}

// Transport returns an http.RoundTripper that goes through p. The errors of refused requests match ErrRefused.
func (p *Proxy) Transport() *Transport {
	return &Transport{proxy: p, base: &http.Transport{
		Proxy: nil, DisableKeepAlives: true, ForceAttemptHTTP2: true,
		DialContext:         func(ctx context.Context, network, addr string) (net.Conn, error) { return p.Dial(ctx, network, addr) },
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: p.opts.Roots},
		TLSHandshakeTimeout: headTimeout, ResponseHeaderTimeout: 2 * time.Minute, MaxResponseHeaderBytes: 4 * maxHead,
	}}
}

// Client returns an http.Client on Transport, which follows a few redirects but none from https to http.
func (p *Proxy) Client() *http.Client {
	return &http.Client{Transport: p.Transport(), CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if len(via) >= maxRedirects {
			return fmt.Errorf("stopped after %d redirects", maxRedirects)
		}
		if last := via[len(via)-1]; last.URL.Scheme == "https" && req.URL.Scheme != "https" {
			return fmt.Errorf("%w: %s redirects from https to %s", ErrRefused, last.URL.Host, req.URL.Scheme)
		}
		return nil
	}}
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	out, add, err := t.prepare(req)
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	res, err := t.base.RoundTrip(out)
	if err != nil || len(add) == 0 {
		return res, err
	}
	for _, values := range res.Header {
		for i, v := range values {
			values[i] = string(mask([]byte(v), t.proxy.hide))
		}
	}
	res.Body = &redactedBody{redactor{src: res.Body, hide: t.proxy.hide}, res.Body}
	return res, nil
}

type redactedBody struct {
	redactor
	io.Closer
}

// prepare checks what a request's URL says and writes its host in the one form that was judged.
func (t *Transport) prepare(req *http.Request) (*http.Request, []Secret, error) {
	u := req.URL
	port := uint16(443)
	switch {
	case u == nil:
		return nil, nil, errors.New("egress: the request has no URL")
	case u.Scheme == "http":
		port = 80
	case u.Scheme != "https":
		return nil, nil, t.proxy.badTarget(u.Scheme+"://"+u.Host, errors.New("want http or https"))
	}
	if u.User != nil || u.Opaque != "" {
		return nil, nil, t.proxy.badTarget(u.Host, errors.New("the URL holds a user name"))
	}
	to, err := ParseTarget(u.Host, port)
	if err != nil {
		return nil, nil, t.proxy.badTarget(u.Host, err)
	}
	if req.Host != "" {
		if host, err := ParseTarget(req.Host, port); err != nil || host != to {
			return nil, nil, t.proxy.refused(to, fmt.Sprintf("the Host header says %q", cut(req.Host)))
		}
	}
	out := req.Clone(req.Context())
	out.URL.Host, out.Host = to.authority(port), to.authority(port)
	for _, h := range ours {
		if h != "content-length" && h != "transfer-encoding" {
			out.Header.Del(h)
		}
	}
	if u.Scheme != "https" {
		return out, nil, nil
	}
	add := t.proxy.rules.secrets[to]
	for _, s := range add {
		out.Header.Set(s.Header, s.Value)
	}
	if len(add) > 0 {
		if strings.EqualFold(req.Method, http.MethodTrace) {
			return nil, nil, t.proxy.refused(to, "TRACE to a host with a secret")
		}
		out.Header.Set("Accept-Encoding", "identity")
	}
	return out, add, nil
}
