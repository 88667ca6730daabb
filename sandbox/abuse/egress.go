//go:build linux

package abuse

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"agentd/sandbox"
	"agentd/sandbox/egress"
)

// outsideWorld is what the proxy of these cases takes for the internet: names with addresses, behind which is a server
// of this process. Nothing is sent to a real public address, and no name server is asked.
type outsideWorld struct {
	mu      sync.Mutex // guards the fields below
	queries []string
	dialled []string
	served  []string // what reached the server
	rebound bool

	servers sync.WaitGroup
}

const outsideAddr = "93.184.216.34"

// lookUp answers rebind.example with a public address once, and then with the host's own.
func (o *outsideWorld) lookUp(_ context.Context, name string) ([]netip.Addr, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queries = append(o.queries, name)
	addr := netip.MustParseAddr(outsideAddr)
	if name == "rebind.example" && o.rebound {
		addr = netip.MustParseAddr("::ffff:127.0.0.1")
	}
	o.rebound = o.rebound || name == "rebind.example"
	return []netip.Addr{addr}, nil
}

// dial reaches the server, whatever the address: which one was asked for is what is judged.
func (o *outsideWorld) dial(_ context.Context, to netip.AddrPort) (net.Conn, error) {
	o.mu.Lock()
	o.dialled = append(o.dialled, to.String())
	o.mu.Unlock()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	conn, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		return nil, err
	}
	far, err := l.Accept()
	if err != nil {
		conn.Close()
		return nil, err
	}
	o.servers.Go(func() { o.serve(far) }) // ends with conn, which the proxy closes with the box
	return conn, nil
}

// serve answers one request: /redirect leads to the metadata service.
func (o *outsideWorld) serve(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	in := bufio.NewReader(conn)
	if _, err := in.Peek(1); err != nil {
		return
	}
	req, err := http.ReadRequest(in)
	what := "bytes that are no request"
	if err == nil {
		what = req.Method + " " + req.Host + req.URL.Path
	}
	o.mu.Lock()
	o.served = append(o.served, what)
	o.mu.Unlock()
	if err == nil && req.URL.Path == "/redirect" {
		io.WriteString(conn, "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		return
	}
	io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
}

// throughProxy runs a case's payload in a box that may reach two names, and compares what the proxy did.
func throughProxy(id string, check func(o *outsideWorld) error) func(context.Context, *fixture) error {
	return func(ctx context.Context, f *fixture) error {
		if f.box.Report().Level < sandbox.LevelNamespaces {
			return notApplicable("there is no proxy without a network namespace: nothing is reached at all")
		}
		world := &outsideWorld{}
		opts := f.opts
		opts.State = ""
		opts.NewEgress = func(n sandbox.Net) (sandbox.Egress, error) {
			return egress.New(n.Policy(), egress.Options{Resolve: world.lookUp, Dial: world.dial})
		}
		box, err := sandbox.Open(opts)
		if err != nil {
			return err
		}
		defer box.Close()
		g := *f
		g.box = box
		p := f.basePolicy(id)
		p.Net.Allow = []string{"ok.example:80", "ok.example:443", "rebind.example:80"}
		out, res, err := g.run(ctx, p, f.program)
		if err != nil {
			return err
		}
		if res.Exit != 0 {
			return fmt.Errorf("exit %d: %s", res.Exit, strings.TrimSpace(out))
		}
		world.servers.Wait()
		for _, d := range world.dialled {
			if !strings.HasPrefix(d, outsideAddr+":") {
				return fmt.Errorf("the proxy dialled %s", d)
			}
		}
		return check(world)
	}
}

// untouched says that the proxy asked nobody and went nowhere.
func untouched(o *outsideWorld) error {
	if len(o.queries)+len(o.dialled)+len(o.served) > 0 {
		return fmt.Errorf("the proxy looked up %v, dialled %v, and %v arrived", o.queries, o.dialled, o.served)
	}
	return nil
}

// unserved says that nothing reached the server.
func unserved(o *outsideWorld) error {
	if len(o.served) > 0 {
		return fmt.Errorf("these arrived: %v", o.served)
	}
	return nil
}

func anything(*outsideWorld) error { return nil }

// say sends text to the box's proxy and returns all that comes back.
func say(text string) (string, error) {
	conn, err := net.DialTimeout("tcp4", "127.0.0.1:3128", 10*time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		return "", err
	}
	conn.(*net.TCPConn).CloseWrite()
	b, _ := io.ReadAll(conn) // a reset is an answer, too
	return string(b), nil
}

// answers checks what the proxy says to each text: the beginning of its last answer.
func answers(want string, texts ...string) error {
	var all error
	for _, text := range texts {
		got, err := say(text)
		if err != nil {
			return err
		}
		if rest, ok := strings.CutPrefix(got, "HTTP/1.1 200 Connection established\r\n\r\n"); ok {
			got = rest
		}
		if !strings.HasPrefix(got, want) {
			all = errors.Join(all, fmt.Errorf("%.200q: the proxy says %.100q, want %q", text, got, want))
		}
	}
	return all
}

func connectTo(host string) string { return "CONNECT " + host + " HTTP/1.1\r\nHost: x\r\n\r\n" }

func getFrom(host string) string {
	return "GET http://" + host + "/ HTTP/1.1\r\nHost: " + host + "\r\n\r\n"
}

// egressCases are the ones about the way out.
func egressCases() []abuse {
	named := func(id, title string, check func(*outsideWorld) error, inside func() error) abuse {
		return abuse{id: id, title: title, inside: func(*world) error { return inside() }, outside: throughProxy(id, check)}
	}
	return []abuse{
		named("E60", "tell a name server something by a denied name", untouched, func() error {
			got, err := say("\x05\x01\x00\x05\x01\x00\x03\x14data.denied.example.\x01\xbb")
			if err == nil && (len(got) < 4 || got[3] != 2) {
				err = fmt.Errorf("SOCKS: %q, want a refusal", got)
			}
			return errors.Join(err, answers("HTTP/1.1 403 ", connectTo("data.denied.example:443"), getFrom("data.denied.example"), connectTo("ok.example:22")))
		}),
		named("E61", "reach the host by a name whose address changes", anything, func() error {
			return errors.Join(answers("HTTP/1.1 200 ", getFrom("rebind.example")), answers("HTTP/1.1 403 ", getFrom("rebind.example"), getFrom("rebind.example"), connectTo("rebind.example:80")))
		}),
		named("E62", "write an address in an unusual way", untouched, func() error {
			var texts []string
			for _, host := range []string{"[::ffff:169.254.169.254]", "2130706433", "0x7f.1", "127.1", "127.0.0.1.nip.io", "169.254.169.254", "127.0.0.1.", "user@ok.example", "ok.example@127.0.0.1",
				"LOCALHOST", "0", "[::]", "0177.0.0.1", "[fe80::1%25lo]", "ok%2eexample", "ok.example\\.evil.example", "b\xc3\xbccher.example", "[64:ff9b::a9fe:a9fe]", "metadata.google.internal"} {
				texts = append(texts, connectTo(host+":80"))
				if host[0] != 'b' { // not ASCII: no URL
					texts = append(texts, getFrom(host))
				}
			}
			var all error
			for _, text := range texts {
				if answers("HTTP/1.1 403 ", text) != nil {
					all = errors.Join(all, answers("HTTP/1.1 400 ", text))
				}
			}
			return all
		}),
		named("E63", "be redirected to the metadata service", anything, func() error {
			status, err := proxied("http://ok.example/redirect")
			if err == nil && status != http.StatusForbidden {
				err = fmt.Errorf("status %d, want 403", status)
			}
			return err
		}),
		named("E64", "name another server in TLS", unserved, func() error {
			for _, name := range []string{"denied.example", ""} {
				conn, err := net.DialTimeout("tcp4", "127.0.0.1:3128", 10*time.Second)
				if err != nil {
					return err
				}
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(20 * time.Second))
				io.WriteString(conn, connectTo("ok.example:443"))
				if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || res.StatusCode != 200 {
					return fmt.Errorf("CONNECT: %v, %v", res, err)
				}
				err = tls.Client(conn, &tls.Config{ServerName: name, InsecureSkipVerify: true}).Handshake() // it isn't to succeed
				if err == nil || !strings.Contains(err.Error(), "unrecognized name") {
					return fmt.Errorf("server name %q: %v, want the connection closed for its name", name, err)
				}
			}
			return nil
		}),
		named("E65", "use a proxy behind the proxy", unserved, func() error {
			open := connectTo("ok.example:80")
			return errors.Join(answers("HTTP/1.1 403 ", connectTo("127.0.0.1:3128"), open+connectTo("169.254.169.254:80"), open+connectTo("ok.example:80")),
				answers("HTTP/1.1 400 ", open+getFrom("169.254.169.254"), open+"GET / HTTP/1.1\r\nHost: denied.example\r\n\r\n", open+"\r\nGET / HTTP/1.1\r\nHost: denied.example\r\n\r\n"))
		}),
		named("E66", "hide a request in another", unserved, func() error {
			post := "POST http://ok.example/ HTTP/1.1\r\n"
			return answers("HTTP/1.1 400 ",
				post+"Host: denied.example\r\n\r\n", post+"Host: ok.example\r\nHost: denied.example\r\n\r\n", post+"\r\n",
				post+"Host: ok.example\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", post+"Host: ok.example\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
				post+"Host: ok.example\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", post+"Host: ok.example\r\nTransfer-Encoding: x, chunked\r\n\r\n0\r\n\r\n",
				post+"Host: ok.example\r\nX: a\r\n folded\r\n\r\n", post+"Host: ok.example\nX: a\r\n\r\n", post+"Host : ok.example\r\n\r\n")
		}),
	}
}
