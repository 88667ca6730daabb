package egress_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"agentd/sandbox/egress"
)

// world is an internet on loopback: names have addresses, and what listens at an address is a local listener. Nothing
// is ever sent to a real public address.
type world struct {
	mu      sync.Mutex // guards the fields below
	names   map[string][][]netip.Addr
	at      map[netip.AddrPort]string // a loopback HOST:PORT
	queries []string
	dialled []netip.AddrPort
}

func newWorld() *world {
	return &world{names: map[string][][]netip.Addr{}, at: map[netip.AddrPort]string{}}
}

// name gives a name addresses; further lists are the answers to further queries, the last one stays.
func (w *world) name(name string, answers ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range answers {
		w.names[name] = append(w.names[name], []netip.Addr{netip.MustParseAddr(a)})
	}
}

func (w *world) listen(address, real string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at[netip.MustParseAddrPort(address)] = real
}

func (w *world) resolve(_ context.Context, name string) ([]netip.Addr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queries = append(w.queries, name)
	answers := w.names[name]
	if len(answers) == 0 {
		return nil, errors.New("no such host")
	}
	if len(answers) > 1 {
		w.names[name] = answers[1:]
	}
	return answers[0], nil
}

func (w *world) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	w.mu.Lock()
	w.dialled = append(w.dialled, to)
	real, ok := w.at[to]
	w.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("dial %s: %w", to, errNobody)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", real)
}

var errNobody = errors.New("nobody listens there")

func (w *world) asked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queries)
}

func (w *world) reached() []netip.AddrPort {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.dialled)
}

// proxy serves a policy in the world, and returns where.
func (w *world) proxy(t testing.TB, p egress.Policy, o egress.Options) (*egress.Proxy, string) {
	t.Helper()
	o.Resolve = w.resolve
	if o.Dial == nil {
		o.Dial = w.dial
	}
	x, err := egress.New(p, o)
	if err != nil {
		t.Fatal(err)
	}
	return x, serve(t, x)
}

// serve listens as a box's init does, until the test ends.
func serve(t testing.TB, x *egress.Proxy) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() { x.Serve(ctx, conn) })
		}
	})
	t.Cleanup(func() {
		cancel()
		l.Close()
		group.Wait() // nothing that serves outlives its context
	})
	return l.Addr().String()
}

// site starts a web server at an address of the world.
func (w *world) site(t testing.TB, address string, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	w.listen(address, s.Listener.Addr().String())
	return s
}

// secureSite is site over TLS, with a certificate for name. It returns the root to trust.
func (w *world) secureSite(t testing.TB, address, name string, h http.Handler) *x509.CertPool {
	t.Helper()
	ca, err := egress.NewCA(nil)
	if err != nil {
		t.Fatal(err)
	}
	w.secureSiteOf(t, ca, address, name, h)
	return pool(t, ca)
}

// secureSiteOf is secureSite with a certificate of ca.
func (w *world) secureSiteOf(t testing.TB, ca *egress.CA, address, name string, h http.Handler) {
	t.Helper()
	cert, err := egress.Leaf(ca, name)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are what is tested
	s.StartTLS()
	t.Cleanup(s.Close)
	w.listen(address, s.Listener.Addr().String())
}

func pool(t testing.TB, cas ...*egress.CA) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	for _, ca := range cas {
		if !p.AppendCertsFromPEM(ca.PEM()) {
			t.Fatal("the CA's PEM can't be read")
		}
	}
	return p
}

// client is a program in the box that uses the proxy at addr.
func client(addr string, roots *x509.CertPool) *http.Client {
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: addr}), TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true,
	}, CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
}
