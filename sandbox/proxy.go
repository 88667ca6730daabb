package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	dialTimeout   = 15 * time.Second
	headerTimeout = 15 * time.Second
	maxHeader     = 64 << 10
	maxConns      = 256 // of one box at a time
	maxDenials    = 20  // kept for the result
)

// Denial is a connection that a box wanted and didn't get.
type Denial struct {
	Target string `json:"target"` // HOST:PORT
	Reason string `json:"reason"`
}

// allowProxy opens what a policy's Net allows: HTTP CONNECT, and plain HTTP requests to absolute URLs.
type allowProxy struct {
	rules   []rule
	resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	dial    net.Dialer

	mu     sync.Mutex // guards denied
	denied []Denial
}

func newAllowProxy(p netPlan) *allowProxy {
	a := &allowProxy{rules: p.rules}
	a.resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}
	// The last word, about the address that is really dialled.
	a.dial = net.Dialer{Timeout: dialTimeout, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err == nil && IsMetadata(ap.Addr()) {
			err = fmt.Errorf("%s is never opened", ap.Addr())
		}
		return err
	}}
	return a
}

// open connects to host:port if a rule allows it. A name is judged before any look-up, and each address it has after.
func (a *allowProxy) open(ctx context.Context, host string, port uint16) (net.Conn, error) {
	conn, err := a.tryOpen(ctx, host, port)
	var refused refusal
	if errors.As(err, &refused) {
		a.mu.Lock()
		if len(a.denied) < maxDenials {
			a.denied = append(a.denied, Denial{Target: net.JoinHostPort(host, strconv.Itoa(int(port))), Reason: string(refused)})
		}
		a.mu.Unlock()
	}
	return conn, err
}

// Denied returns the first connections that were refused.
func (a *allowProxy) Denied() []Denial {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.denied)
}

type refusal string

func (r refusal) Error() string { return string(r) }

func (a *allowProxy) tryOpen(ctx context.Context, host string, port uint16) (net.Conn, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" || !a.addrAllowed(addr, port) {
			return nil, refusal("the address isn't allowed: it would need --net " + net.JoinHostPort(host, strconv.Itoa(int(port))))
		}
		return a.dial.DialContext(ctx, "tcp", netip.AddrPortFrom(addr.Unmap(), port).String())
	}
	name, err := hostName(host)
	if err != nil {
		return nil, refusal(err.Error())
	}
	allowed := false
	for _, r := range a.rules {
		allowed = allowed || r.host == name && r.port == port
	}
	if !allowed {
		return nil, refusal("the host isn't allowed: it would need --net " + net.JoinHostPort(name, strconv.Itoa(int(port))))
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	addrs, err := a.resolve(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("look %s up: %w", name, err)
	}
	for _, addr := range addrs {
		local := name == "localhost" && addr.IsLoopback()
		if IsMetadata(addr) || !local && !isPublic(addr) && !a.addrAllowed(addr, port) {
			return nil, refusal(fmt.Sprintf("%s has the address %s, which isn't public: it would need --net %s", name, addr, net.JoinHostPort(addr.String()+"/32", strconv.Itoa(int(port)))))
		}
	}
	err = fmt.Errorf("look %s up: no address", name)
	for _, addr := range addrs {
		var conn net.Conn
		if conn, err = a.dial.DialContext(ctx, "tcp", netip.AddrPortFrom(addr.Unmap(), port).String()); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

func (a *allowProxy) addrAllowed(addr netip.Addr, port uint16) bool {
	addr = addr.Unmap()
	if IsMetadata(addr) {
		return false
	}
	for _, r := range a.rules {
		if r.host == "" && r.port == port && r.prefix.Contains(addr) {
			return true
		}
	}
	return false
}

var notPublic = func() []netip.Prefix {
	var list []netip.Prefix
	for s := range strings.FieldsSeq("0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 ::/127 64:ff9b::/96 64:ff9b:1::/48 100::/64 2001::/23 2001:db8::/32 2002::/16 3fff::/20 5f00::/16 fc00::/7 fe80::/10 ff00::/8") {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}()

// isPublic says whether an address is one of the open internet.
func isPublic(a netip.Addr) bool {
	a = plainAddr(a)
	for _, p := range notPublic {
		if p.Contains(a) {
			return false
		}
	}
	return a.IsValid()
}

// Serve answers one connection to the proxy.
func (a *allowProxy) Serve(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	conn.SetReadDeadline(time.Now().Add(headerTimeout))
	in := bufio.NewReader(io.LimitReader(conn, maxHeader))
	req, err := http.ReadRequest(in)
	if err != nil {
		reply(conn, http.StatusBadRequest, "the proxy can't read this request: "+err.Error())
		return
	}
	if req.Method == http.MethodConnect {
		a.connect(ctx, conn, in, req)
		return
	}
	a.plain(ctx, conn, in, req)
}

func target(hostport, defaultPort string) (string, uint16, error) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		host, port = strings.Trim(hostport, "[]"), defaultPort
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || host == "" {
		return "", 0, fmt.Errorf("%q is not HOST:PORT", hostport)
	}
	return host, uint16(n), nil
}

func (a *allowProxy) connect(ctx context.Context, conn net.Conn, in *bufio.Reader, req *http.Request) {
	host, port, err := target(req.RequestURI, "")
	if err != nil {
		reply(conn, http.StatusBadRequest, err.Error())
		return
	}
	out, err := a.open(ctx, host, port)
	if err != nil {
		reply(conn, statusOf(err), err.Error())
		return
	}
	defer out.Close()
	conn.SetReadDeadline(time.Time{})
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	early, _ := in.Peek(in.Buffered())
	if _, err := out.Write(early); err != nil {
		return
	}
	relay(ctx, conn, out)
}

// plain serves one request to an absolute http URL. The connection ends with it, so that nothing can be smuggled
// behind it.
func (a *allowProxy) plain(ctx context.Context, conn net.Conn, in *bufio.Reader, req *http.Request) {
	u := req.URL
	if u.Scheme != "http" || u.Host == "" || u.User != nil {
		reply(conn, http.StatusBadRequest, "this is a proxy: want CONNECT HOST:PORT or an absolute http URL")
		return
	}
	if req.Header.Get("Transfer-Encoding") != "" && req.Header.Get("Content-Length") != "" {
		reply(conn, http.StatusBadRequest, "the request has two lengths")
		return
	}
	host, port, err := target(u.Host, "80")
	if err != nil {
		reply(conn, http.StatusBadRequest, err.Error())
		return
	}
	conn.SetReadDeadline(time.Time{})
	body := req.ContentLength
	req.Host, req.RequestURI, req.Close = u.Host, "", true
	for _, f := range strings.Split(req.Header.Get("Connection"), ",") {
		req.Header.Del(textproto.TrimString(f))
	}
	for _, h := range []string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authorization", "Te", "Trailer", "Upgrade"} {
		req.Header.Del(h)
	}
	if body != 0 {
		// The limit on the header has to go for the body: what was read ahead, then the rest of the connection.
		early, _ := in.Peek(in.Buffered())
		full := io.MultiReader(strings.NewReader(string(early)), conn)
		if body > 0 {
			req.Body = io.NopCloser(io.LimitReader(full, body))
		} else {
			reply(conn, http.StatusLengthRequired, "this proxy wants a Content-Length on plain HTTP requests")
			return
		}
	}
	tr := &http.Transport{
		DisableKeepAlives: true, DisableCompression: true, Proxy: nil, ResponseHeaderTimeout: 2 * time.Minute,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return a.open(ctx, host, port) },
	}
	res, err := tr.RoundTrip(req.WithContext(ctx))
	if err != nil {
		reply(conn, statusOf(err), err.Error())
		return
	}
	defer res.Body.Close()
	res.Close = true
	res.Write(conn)
}

func statusOf(err error) int {
	var refused refusal
	if errors.As(err, &refused) {
		return http.StatusForbidden
	}
	return http.StatusBadGateway
}

func reply(conn net.Conn, status int, text string) {
	conn.SetWriteDeadline(time.Now().Add(headerTimeout))
	text = "agentd: " + text + "\n"
	fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, http.StatusText(status), len(text), text)
}

// relay copies both ways until both are done or ctx ends. A half-closed side stays open the other way.
func relay(ctx context.Context, a, b net.Conn) {
	stop := context.AfterFunc(ctx, func() { a.Close(); b.Close() })
	defer stop()
	var g sync.WaitGroup
	one := func(dst, src net.Conn) {
		if _, err := io.Copy(dst, src); err != nil {
			dst.Close()
		}
		if c, ok := dst.(interface{ CloseWrite() error }); ok {
			c.CloseWrite()
		}
	}
	g.Go(func() { one(a, b) })
	g.Go(func() { one(b, a) })
	g.Wait()
}
