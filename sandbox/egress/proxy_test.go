package egress_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"agentd/sandbox/egress"

	"github.com/google/go-cmp/cmp"
)

const public, public2 = "93.184.216.34", "93.184.216.35"

// say sends raw bytes to the proxy and returns all that it answers.
func say(t testing.TB, addr, text string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	conn.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

func status(answer string) string {
	line, _, _ := strings.Cut(answer, "\r\n")
	parts := strings.Split(line, " ")
	if len(parts) < 2 {
		return "closed"
	}
	return parts[1]
}

func hello() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s host=%s body=%q", r.Method, r.RequestURI, r.Host, body)
	})
}

// E58, E60, E62, E65: what is refused, with how many look-ups and dials (none).
func TestRefused(t *testing.T) {
	for _, mode := range []egress.Policy{
		{Allow: []string{"ok.example", "*.below.example:443"}},
		{Mode: egress.ModePublic},
	} {
		for _, host := range []string{
			"169.254.169.254:80", "[fd00:ec2::254]:80", "100.100.100.200:80", "[::ffff:169.254.169.254]:80", "[::ffff:a9fe:a9fe]:80",
			"[64:ff9b::a9fe:a9fe]:80", "[2002:a9fe:a9fe::]:80", "[::169.254.169.254]:80", "[fe80::1%25eth0]:80", "[fe80::1%eth0]:80",
			"2130706433:80", "0x7f.1:80", "0x7f000001:80", "127.1:80", "0177.0.0.1:80", "127.0.0.1:80", "127.0.0.1.:80", "[::1]:80", "0.0.0.0:80", "0:80", "[::]:80",
			"10.0.0.1:80", "192.168.1.1:443", "172.16.0.1:80", "[fc00::1]:80", "[fd12::1]:443", "224.0.0.1:80", "255.255.255.255:80", "127.0.0.1:3128",
			"user@ok.example:80", "user:pw@ok.example:80", "ok.example@169.254.169.254:80", "ok.example\\@evil.example:80", "ok%2eexample:80",
			"bücher.example:80", "ok。example:80", "ok.example..:80", ".ok.example:80", "-ok.example:80", "ok.example:0", "ok.example:65536", "ok.example:080", "ok.example:+80", "ok.example",
			"metadata.google.internal:80", "METADATA.google.internal.:80", "localhost:80", "x.localhost:80", "ok.example:22", "[ok.example]:80", "ok.example:80:80", "[::1]80:80",
			"127.0.0.1%00.ok.example:80", "ok.example%00.evil.example:80",
		} {
			w := newWorld()
			_, addr := w.proxy(t, mode, egress.Options{})
			for _, text := range []string{
				"CONNECT " + host + " HTTP/1.1\r\nHost: x\r\n\r\n",
				"GET http://" + host + "/latest HTTP/1.1\r\nHost: " + host + "\r\n\r\n",
			} {
				if host == "ok.example" && text[0] == 'G' {
					continue // a URL's port has a default
				}
				got := status(say(t, addr, text))
				if got != "403" && got != "400" {
					t.Errorf("mode %q: %q: status %s, want 403", mode.Mode, text, got)
				}
			}
			if w.asked() != 0 || len(w.reached()) != 0 {
				t.Errorf("mode %q: %s: queries %v, dials %v, want none", mode.Mode, host, w.queries, w.dialled)
			}
		}
	}
}

// E60: a denied name causes no query, by any of the ways in.
func TestDeniedNameIsNotLookedUp(t *testing.T) {
	w := newWorld()
	x, addr := w.proxy(t, egress.Policy{Allow: []string{"ok.example:443"}}, egress.Options{})
	for _, text := range []string{
		"CONNECT evil.example:443 HTTP/1.1\r\n\r\n",
		"GET http://secret-data.evil.example/ HTTP/1.1\r\nHost: secret-data.evil.example\r\n\r\n",
		"\x05\x01\x00\x05\x01\x00\x03\x0cevil.example\x01\xbb",
		"CONNECT ok.example:80 HTTP/1.1\r\n\r\n",
		"CONNECT xok.example:443 HTTP/1.1\r\n\r\n",
		"CONNECT ok.example.evil.example:443 HTTP/1.1\r\n\r\n",
	} {
		say(t, addr, text)
	}
	_, err := x.Client().Get("https://evil.example/")
	if !errors.Is(err, egress.ErrRefused) {
		t.Errorf("the daemon's own client: %v, want ErrRefused", err)
	}
	if w.asked() != 0 {
		t.Errorf("queries %v, want none", w.queries)
	}
	for _, d := range x.Decisions() {
		if d.Allowed || d.Reason == "" || d.Count == 0 {
			t.Errorf("decision %+v, want a counted refusal", d)
		}
	}
}

func TestRefusalTellsWhatToAskFor(t *testing.T) {
	w := newWorld()
	w.name("in.example", "10.1.2.3")
	_, addr := w.proxy(t, egress.Policy{Allow: []string{"ok.example", "in.example"}}, egress.Options{})
	for _, c := range []struct{ host, want string }{
		{"pypi.example:443", "--net pypi.example:443"},
		{"ok.example:22", "--net ok.example:22"},
		{"in.example:443", "--net 10.1.2.3/32:443"},
		{"169.254.169.254:80", "never opened"},
	} {
		if got := say(t, addr, "CONNECT "+c.host+" HTTP/1.1\r\n\r\n"); !strings.Contains(got, c.want) || !strings.HasPrefix(got, "HTTP/1.1 403 ") {
			t.Errorf("%s: %q, want a 403 with %q", c.host, got, c.want)
		}
	}
}

// E61: the address that was judged is the one that is dialled, and each look-up is judged.
func TestRebinding(t *testing.T) {
	w := newWorld()
	w.site(t, public+":80", hello())
	w.name("rebind.example", public, "127.0.0.1", "169.254.169.254", "::ffff:127.0.0.1")
	_, addr := w.proxy(t, egress.Policy{Mode: egress.ModePublic}, egress.Options{})
	var got []string
	for range 4 {
		got = append(got, status(say(t, addr, "GET http://rebind.example/ HTTP/1.1\r\nHost: rebind.example\r\n\r\n")))
	}
	if want := []string{"200", "403", "403", "403"}; !cmp.Equal(got, want) {
		t.Errorf("status %v, want %v", got, want)
	}
	if d := w.reached(); len(d) != 1 || d[0].Addr().String() != public || w.asked() != 4 {
		t.Errorf("dialled %v after %d queries, want the public address once after 4", d, w.asked())
	}
}

// One bad address among good ones refuses the name: a program could try them until it gets there.
func TestEveryAddressIsJudged(t *testing.T) {
	w := newWorld()
	w.names["mixed.example"] = [][]netip.Addr{{netip.MustParseAddr(public), netip.MustParseAddr("10.0.0.1")}}
	w.names["own.example"] = [][]netip.Addr{{netip.MustParseAddr(public2)}}
	x, addr := w.proxy(t, egress.Policy{Mode: egress.ModePublic}, egress.Options{})
	egress.SetInterfaces(x, public2)
	for _, host := range []string{"mixed.example", "own.example"} {
		if got := status(say(t, addr, "CONNECT "+host+":443 HTTP/1.1\r\n\r\n")); got != "403" || len(w.reached()) > 0 {
			t.Errorf("%s: status %s, dialled %v, want 403 and none", host, got, w.reached())
		}
	}
}

// Private addresses are opened by their range, the daemon's own and metadata by nothing.
func TestPrivateByRange(t *testing.T) {
	w := newWorld()
	w.site(t, "10.1.2.3:8080", hello())
	w.site(t, "127.0.0.1:8080", hello())
	w.name("in.example", "10.1.2.3")
	w.name("mapped.example", "::ffff:10.1.2.3")
	p := egress.Policy{Allow: []string{"10.0.0.0/8:8080", "in.example:8080", "0.0.0.0/0:80", "localhost:8080", "127.0.0.0/8:9999", "[::]/0:80", "mapped.example:8080"}}
	if _, err := egress.ParseRule("[::]/0:80"); err == nil {
		t.Error("[::]/0:80 was read, want [::/0]:80")
	}
	p.Allow[5] = "[::/0]:80"
	_, addr := w.proxy(t, p, egress.Options{Never: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:9999")}})
	for _, c := range []struct{ host, want string }{
		{"10.1.2.3:8080", "200"}, {"in.example:8080", "200"}, {"mapped.example:8080", "200"}, {"localhost:8080", "200"}, {"127.0.0.1:8080", "200"},
		{"10.1.2.3:8081", "403"}, {"127.0.0.1:9999", "403"}, {"[::ffff:127.0.0.1]:9999", "403"},
		{"169.254.169.254:80", "403"}, {"168.63.129.16:80", "403"}, {"[fe80::1]:80", "403"}, {"[::ffff:169.254.169.254]:80", "403"}, {"[fd00:ec2::254]:80", "403"},
	} {
		if got := status(say(t, addr, "GET http://"+c.host+"/ HTTP/1.1\r\nHost: "+c.host+"\r\n\r\n")); got != c.want {
			t.Errorf("%s: status %s, want %s", c.host, got, c.want)
		}
	}
}

// E63: a redirect to the metadata service is refused, for programs and for the daemon's own client.
func TestRedirects(t *testing.T) {
	w := newWorld()
	w.name("ok.example", public)
	w.site(t, public+":80", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		to := map[string]string{"/meta": "http://169.254.169.254/latest/", "/other": "http://evil.example/", "/chain": "/chain2", "/chain2": "http://[::ffff:127.0.0.1]:80/", "/fine": "/"}[r.URL.Path]
		if to == "" {
			io.WriteString(rw, "home")
			return
		}
		http.Redirect(rw, r, to, http.StatusFound)
	}))
	x, addr := w.proxy(t, egress.Policy{Allow: []string{"ok.example"}}, egress.Options{})
	for _, c := range []struct {
		path string
		ok   bool
	}{{"/fine", true}, {"/meta", false}, {"/other", false}, {"/chain", false}} {
		res, err := client(addr, nil).Get("http://ok.example" + c.path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if ok := res.StatusCode == 200; ok != c.ok || !ok && res.StatusCode != 403 {
			t.Errorf("through the proxy, %s: %s", c.path, res.Status)
		}
		res, err = x.Client().Get("http://ok.example" + c.path)
		if err == nil {
			res.Body.Close()
		}
		if (err == nil) != c.ok || err != nil && !errors.Is(err, egress.ErrRefused) {
			t.Errorf("the daemon's client, %s: %v", c.path, err)
		}
	}
	for _, d := range w.reached() {
		if d.Addr().String() != public {
			t.Errorf("dialled %s", d)
		}
	}
}

// E64: the server name of TLS is the host of CONNECT.
func TestServerName(t *testing.T) {
	w := newWorld()
	w.name("ok.example", public)
	w.name("front.example", public)
	roots := w.secureSite(t, public+":443", "ok.example", hello())
	x, addr := w.proxy(t, egress.Policy{Allow: []string{"ok.example", public + ":443"}}, egress.Options{})
	for _, c := range []struct {
		connect, sni string
		ok           bool
	}{
		{"ok.example", "ok.example", true}, {"OK.example.", "ok.EXAMPLE", true}, {"ok.example", "front.example", false}, {"ok.example", "", false},
		{"ok.example", "xok.example", false}, {public, "", true}, {public, "front.example", false},
	} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprintf(conn, "CONNECT %s:443 HTTP/1.1\r\n\r\n", c.connect)
		in := bufio.NewReader(conn)
		if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != 200 {
			t.Fatalf("CONNECT %s: %v %v", c.connect, res, err)
		}
		secure := tls.Client(conn, &tls.Config{ServerName: c.sni, RootCAs: roots, InsecureSkipVerify: c.connect == public || c.sni == ""})
		err = secure.Handshake()
		if (err == nil) != c.ok {
			t.Errorf("CONNECT %s, server name %q: %v, want ok %v", c.connect, c.sni, err, c.ok)
		}
		if err != nil && !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("CONNECT %s, server name %q: %v, want an alert that names the reason", c.connect, c.sni, err)
		}
		conn.Close()
	}
	refused := 0
	for _, d := range x.Decisions() {
		if !d.Allowed {
			refused++
		}
	}
	if refused == 0 {
		t.Errorf("decisions %+v hold no refusal", x.Decisions())
	}
}

// E65: a CONNECT within a tunnel, or to the proxy itself, gets nowhere.
func TestNestedProxy(t *testing.T) {
	w := newWorld()
	w.name("ok.example", public)
	w.site(t, public+":80", hello())
	_, addr := w.proxy(t, egress.Policy{Allow: []string{"ok.example"}}, egress.Options{})
	open := "CONNECT ok.example:80 HTTP/1.1\r\n\r\n"
	for _, c := range []struct{ inner, want string }{
		{"GET / HTTP/1.1\r\nHost: ok.example\r\n\r\n", "HTTP/1.1 200 OK"},
		{"GET http://ok.example/ HTTP/1.1\r\nHost: ok.example:80\r\n\r\n", "HTTP/1.1 200 OK"},
		{"CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 403 "},
		{"GET http://169.254.169.254/ HTTP/1.1\r\nHost: ok.example\r\n\r\n", "HTTP/1.1 400 "},
		{"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "HTTP/1.1 400 "},
		{"X-ODD / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "HTTP/1.1 400 "},
		{"GET /\xc3\xbc HTTP/1.1\r\nHost: evil.example\r\n\r\n", "HTTP/1.1 400 "},
		{"GET\t/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", "HTTP/1.1 400 "},
		{"\r\nGET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "HTTP/1.1 400 "},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 505 "},
	} {
		got := say(t, addr, open+c.inner)
		_, got, _ = strings.Cut(got, "\r\n\r\n")
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%q in a tunnel: %q, want %q", c.inner, got, c.want)
		}
	}
}

// E66: requests that two programs could read differently.
func TestSmuggling(t *testing.T) {
	w := newWorld()
	w.name("ok.example", public)
	var seen int
	w.site(t, public+":80", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen++ }))
	_, addr := w.proxy(t, egress.Policy{Allow: []string{"ok.example"}}, egress.Options{})
	line := "POST http://ok.example/ HTTP/1.1\r\n"
	for _, rest := range []string{
		"Host: evil.example\r\n\r\n", "Host: ok.example\r\nHost: ok.example\r\n\r\n", "\r\n",
		"Host: ok.example\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"Host: ok.example\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
		"Host: ok.example\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "Host: ok.example\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
		"Host: ok.example\r\nContent-Length: +1\r\n\r\na", "Host: ok.example\r\nContent-Length: -1\r\n\r\n", "Host: ok.example\r\nContent-Length: 1,1\r\n\r\na", "Host: ok.example\r\nContent-Length:\r\n\r\n",
		"Host: ok.example\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "Host: ok.example\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"Host: ok.example\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
		"Host : ok.example\r\n\r\n", "Host: ok.example\r\n X: folded\r\n\r\n", "Host: ok.example\nX: y\r\n\r\n", "Host: ok.example\r\nX: a\rb\r\n\r\n", "Host: ok.example\r\nX: a\x00b\r\n\r\n", "Host: ok.example\r\nnocolon\r\n\r\n",
		"Host: ok.example\r\nX: " + strings.Repeat("a", 70<<10) + "\r\n\r\n",
	} {
		if got := status(say(t, addr, line+rest)); got != "400" && got != "431" {
			t.Errorf("%.120q: status %s, want 400", rest, got)
		}
	}
	for _, first := range []string{
		"GET http://ok.example/a b HTTP/1.1", "GET http://ok.example/#f HTTP/1.1", "GET  http://ok.example/ HTTP/1.1", "GET http://ok.example/ HTTP/1.1 ", "GET /origin HTTP/1.1",
		"GET https://ok.example/ HTTP/1.1", "GET ftp://ok.example/ HTTP/1.1", "GET http:ok.example HTTP/1.1", "GET http://ok.example/\xff HTTP/1.1", "G@T http://ok.example/ HTTP/1.1",
	} {
		if got := status(say(t, addr, first+"\r\nHost: ok.example\r\n\r\n")); got != "400" {
			t.Errorf("%q: status %s, want 400", first, got)
		}
	}
	// A second request behind the first is not served.
	got := say(t, addr, "GET http://ok.example/ HTTP/1.1\r\nHost: ok.example\r\n\r\nGET http://169.254.169.254/ HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n")
	if strings.Count(got, "HTTP/1.1 ") != 1 || seen != 1 {
		t.Errorf("two requests on a connection: %q, the site saw %d", got, seen)
	}
}

func TestPlainHTTP(t *testing.T) {
	w := newWorld()
	w.name("ok.example", public)
	var got http.Header
	w.site(t, public+":8080", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		body, _ := io.ReadAll(r.Body)
		rw.Header().Set("X-Method", r.Method)
		rw.Header().Set("Proxy-Authenticate", "Basic")
		if r.URL.Path == "/stream" {
			rw.(http.Flusher).Flush()
		}
		fmt.Fprintf(rw, "%s host=%s len=%d te=%v %.20s", r.RequestURI, r.Host, r.ContentLength, r.TransferEncoding, body)
	}))
	_, addr := w.proxy(t, egress.Policy{Allow: []string{"ok.example:8080"}}, egress.Options{})
	send := func(head, body string) string {
		a := say(t, addr, head+"\r\n\r\n"+body)
		return a
	}
	for _, c := range []struct{ name, head, body, want string }{
		{"get", "GET http://OK.example.:8080?q=1 HTTP/1.1\r\nHost: ok.example:8080\r\nProxy-Connection: keep-alive\r\nConnection: x-drop\r\nX-Drop: 1\r\nX-Keep: 2\r\nProxy-Authorization: Basic eA==\r\nTE: trailers", "", "/?q=1 host=ok.example:8080 len=0"},
		{"sized", "POST http://ok.example:8080/p HTTP/1.1\r\nHost: ok.example:8080\r\nContent-Length: 5", "hello", "len=5 te=[] hello"},
		{"chunked", "POST http://ok.example:8080/p HTTP/1.1\r\nHost: ok.example:8080\r\nTransfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n", "len=-1 te=[chunked] hello"},
		{"expect", "POST http://ok.example:8080/p HTTP/1.1\r\nHost: ok.example:8080\r\nExpect: 100-continue\r\nContent-Length: 5", "hello", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200"},
		{"old", "GET http://ok.example:8080/stream HTTP/1.0", "", "Connection: close\r\n\r\n/stream host="},
		{"stream", "GET http://ok.example:8080/stream HTTP/1.1\r\nHost: ok.example:8080", "", "Transfer-Encoding: chunked"},
		{"head", "HEAD http://ok.example:8080/ HTTP/1.1\r\nHost: ok.example:8080", "", "X-Method: HEAD"},
	} {
		a := send(c.head, c.body)
		if !strings.Contains(a, c.want) || strings.Contains(a, "Proxy-Authenticate") || strings.Count(a, "Connection: close") != 1 {
			t.Errorf("%s: %q, want %q in it and no header of the host's own connection", c.name, a, c.want)
		}
		if c.name == "get" {
			want := http.Header{"X-Keep": {"2"}, "Connection": {"close"}}
			if !cmp.Equal(got, want) {
				t.Errorf("headers that arrive: %v, want %v", got, want)
			}
		}
		if c.name == "head" && !strings.HasSuffix(a, "\r\n\r\n") {
			t.Errorf("HEAD has a body: %q", a)
		}
	}
}

func socks(kind byte, host []byte, port uint16) string {
	b := append([]byte{5, 1, 0, 5, 1, 0, kind}, host...)
	return string(append(b, byte(port>>8), byte(port)))
}

func TestSOCKS(t *testing.T) {
	w := newWorld()
	w.name("ok.example", public)
	w.site(t, public+":80", hello())
	_, addr := w.proxy(t, egress.Policy{Allow: []string{"ok.example", public + ":80"}}, egress.Options{})
	named := func(s string) []byte { return append([]byte{byte(len(s))}, s...) }
	get := "GET /s HTTP/1.1\r\nHost: ok.example\r\n\r\n"
	for _, c := range []struct {
		name, request string
		code          byte
	}{
		{"name", socks(3, named("OK.example"), 80), 0},
		{"address", socks(1, netip.MustParseAddr(public).AsSlice(), 80), 0},
		{"mapped", socks(4, netip.MustParseAddr("::ffff:"+public).AsSlice(), 80), 0},
		{"denied name", socks(3, named("evil.example"), 80), 2},
		{"denied port", socks(3, named("ok.example"), 22), 2},
		{"metadata", socks(1, []byte{169, 254, 169, 254}, 80), 2},
		{"mapped metadata", socks(4, netip.MustParseAddr("::ffff:169.254.169.254").AsSlice(), 80), 2},
		{"address as name", socks(3, named("169.254.169.254"), 80), 2},
		{"odd address as name", socks(3, named("0x7f.1"), 80), 2},
		{"zero byte", socks(3, named("ok.example\x00.evil.example"), 80), 2},
		{"port 0", socks(3, named("ok.example"), 0), 2},
		{"bind", "\x05\x01\x00\x05\x02\x00\x01\x01\x02\x03\x04\x00\x50", 7},
		{"udp", "\x05\x01\x00\x05\x03\x00\x01\x01\x02\x03\x04\x00\x50", 7},
		{"odd kind", "\x05\x01\x00\x05\x01\x00\x09", 8},
	} {
		text := c.request
		if c.code == 0 {
			text += strings.ReplaceAll(get, "ok.example", map[bool]string{true: "ok.example", false: public}[c.name == "name"])
		}
		got := say(t, addr, text)
		if len(got) < 4 || got[0] != 5 || got[1] != 0 || got[3] != c.code {
			t.Errorf("%s: %q, want code %d", c.name, got, c.code)
		}
		if c.code == 0 && !strings.Contains(got, "GET /s") {
			t.Errorf("%s: %q holds no answer", c.name, got)
		}
	}
	if got := say(t, addr, "\x05\x01\x02"); got != "\x05\xff" {
		t.Errorf("only with a password: %q, want no method", got)
	}
	if got := say(t, addr, "\x04\x01\x00\x50\x01\x02\x03\x04\x00"); status(got) != "400" {
		t.Errorf("SOCKS4: %q, want 400", got)
	}
}
