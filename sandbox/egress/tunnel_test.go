package egress_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
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
)

// What isn't TLS or HTTP passes whole, also where the host speaks first and where one side ends early.
func TestRawTunnel(t *testing.T) {
	w := newWorld()
	w.name("ok.example", public)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.listen(public+":25", l.Addr().String())
	payload := bytes.Repeat([]byte("\x00\x01binary"), 50_000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, "220 ready\r\n")
			got, _ := io.ReadAll(conn) // until the program's half ends
			fmt.Fprintf(conn, "got %d", len(got))
			conn.Write(payload)
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	x, addr := w.proxy(t, egress.Policy{Allow: []string{"ok.example:25"}}, egress.Options{})
	for _, sent := range []string{"", "\x00raw", "EHLO x\r\n", "\x00" + strings.Repeat("x", 200_000)} {
		got := say(t, addr, "CONNECT ok.example:25 HTTP/1.1\r\n\r\n"+sent)
		want := fmt.Sprintf("HTTP/1.1 200 Connection established\r\n\r\n220 ready\r\ngot %d%s", len(sent), payload)
		if got != want {
			t.Errorf("after sending %d bytes: %d bytes %.80q, want %d", len(sent), len(got), got, len(want))
		}
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(conn, "CONNECT ok.example:25 HTTP/1.1\r\n\r\n")
	var greeting [50]byte
	n, _ := io.ReadAtLeast(conn, greeting[:], len("HTTP/1.1 200 Connection established\r\n\r\n220 ready\r\n"))
	if !strings.HasSuffix(string(greeting[:n]), "220 ready\r\n") {
		t.Errorf("the host's greeting: %q", greeting[:n])
	}
	io.WriteString(conn, "late")
	conn.(*net.TCPConn).CloseWrite()
	rest, _ := io.ReadAll(conn)
	if string(rest) != "got 4"+string(payload) {
		t.Errorf("after the greeting: %d bytes, want %d", len(rest), len(payload)+5)
	}
	d := x.Decisions()
	if len(d) != 1 || d[0].Count != 5 || d[0].Received < int64(5*len(payload)) || d[0].Sent < 200_000 || d[0].Rule != "ok.example:25" {
		t.Errorf("decisions %+v", d)
	}
}

func TestLimits(t *testing.T) {
	w := newWorld()
	w.name("ok.example", public)
	w.site(t, public+":80", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			rw.WriteHeader(200)
			rw.(http.Flusher).Flush()
			<-r.Context().Done()
		}
		rw.Write(make([]byte, 1<<20))
	}))
	t.Run("bytes", func(t *testing.T) {
		x, addr := w.proxy(t, egress.Policy{Allow: []string{"ok.example"}, Limits: egress.Limits{Bytes: 100_000}}, egress.Options{})
		res, err := client(addr, nil).Get("http://ok.example/")
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if n > 100_000+64<<10 || err == nil {
			t.Errorf("%d bytes, %v: want it cut soon after 100000", n, err)
		}
		if got := status(say(t, addr, "CONNECT ok.example:80 HTTP/1.1\r\n\r\n")); got != "429" {
			t.Errorf("afterwards: status %s, want 429", got)
		}
		if _, err := x.Dial(t.Context(), "tcp", "ok.example:80"); !errors.Is(err, egress.ErrLimit) {
			t.Errorf("Dial afterwards: %v, want ErrLimit", err)
		}
	})
	t.Run("idle and total", func(t *testing.T) {
		for _, l := range []egress.Limits{{Idle: 100 * time.Millisecond}, {Total: 100 * time.Millisecond}} {
			_, addr := w.proxy(t, egress.Policy{Allow: []string{"ok.example"}, Limits: l}, egress.Options{})
			start := time.Now()
			say(t, addr, "GET http://ok.example/slow HTTP/1.1\r\nHost: ok.example\r\n\r\n")
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			io.WriteString(conn, "CONNECT ok.example:80 HTTP/1.1\r\n\r\n")
			io.Copy(io.Discard, conn) // until the proxy closes it
			if d := time.Since(start); d > 10*time.Second {
				t.Errorf("limits %+v: ended after %s", l, d)
			}
		}
	})
	t.Run("conns", func(t *testing.T) {
		_, addr := w.proxy(t, egress.Policy{Allow: []string{"ok.example"}, Limits: egress.Limits{Conns: 1}}, egress.Options{})
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, "CONNECT ok.example:80 HTTP/1.1\r\n\r\n")
		bufio.NewReader(conn).ReadString('\n')
		if got := status(say(t, addr, "CONNECT ok.example:80 HTTP/1.1\r\n\r\n")); got != "429" {
			t.Errorf("a second connection: status %s, want 429", got)
		}
		if got := say(t, addr, socks(3, []byte("\x0aok.example"), 80)); len(got) < 4 || got[3] != 1 {
			t.Errorf("a second connection by SOCKS: %q, want a failure", got)
		}
	})
}

func TestUpgrade(t *testing.T) {
	w := newWorld()
	w.name("ok.example", public)
	w.site(t, public+":80", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		conn, in, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\nhi ", r.Header.Get("Upgrade"))
		io.Copy(conn, in)
	}))
	_, addr := w.proxy(t, egress.Policy{Allow: []string{"ok.example"}}, egress.Options{})
	head := "Host: ok.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"
	for _, text := range []string{"GET http://ok.example/ HTTP/1.1\r\n" + head, "CONNECT ok.example:80 HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n" + head} {
		if got := say(t, addr, text+"frames"); !strings.HasSuffix(got, "Upgrade: websocket\r\n\r\nhi frames") {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestServeTo(t *testing.T) {
	w := newWorld()
	w.site(t, "127.0.0.1:8080", hello())
	x, _ := w.proxy(t, egress.Policy{Allow: []string{"localhost:8080"}}, egress.Options{})
	for _, c := range []struct {
		to string
		ok bool
	}{{"127.0.0.1:8080", true}, {"127.0.0.1:8081", false}} {
		near, far := net.Pipe()
		done := make(chan struct{})
		go func() { defer close(done); x.ServeTo(context.Background(), far, netip.MustParseAddrPort(c.to)) }()
		go io.WriteString(near, "GET /x HTTP/1.0\r\n\r\n")
		got, _ := io.ReadAll(near)
		near.Close()
		<-done
		if strings.Contains(string(got), "GET /x") != c.ok {
			t.Errorf("%s: %q, want ok %v", c.to, got, c.ok)
		}
	}
}

// A program that stops reading for too long loses the connection, not the middle of what it reads.
func TestStalledReader(t *testing.T) {
	w := newWorld()
	w.name("ok.example", public)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.listen(public+":443", l.Addr().String())
	pattern := make([]byte, 32<<20)
	for i := 0; i+4 <= len(pattern); i += 4 {
		binary.BigEndian.PutUint32(pattern[i:], uint32(i))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		io.ReadFull(conn, make([]byte, 1))
		drained := make(chan struct{})
		go func() { defer close(drained); io.Copy(io.Discard, conn) }()
		conn.Write(pattern)
		conn.Close()
		<-drained
	}()
	t.Cleanup(func() { l.Close(); <-done })
	_, addr := w.proxy(t, egress.Policy{Allow: []string{"ok.example"}, Limits: egress.Limits{Idle: 200 * time.Millisecond}}, egress.Options{})
	conn := tunnel(t, addr, "")
	defer conn.Close()
	conn.Write([]byte{0})
	for range 40 { // the other direction moves all the while
		conn.Write([]byte{0})
		time.Sleep(20 * time.Millisecond)
	}
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	got, _ := io.ReadAll(conn)
	if len(got) == 0 || len(got) == len(pattern) || !bytes.HasPrefix(pattern, got) {
		t.Errorf("%d of %d bytes, want a beginning", len(got), len(pattern))
	}
}

// An answer that comes before the end of the request's body is passed on, and the body isn't cut by that.
func TestEarlyAnswer(t *testing.T) {
	w := newWorld()
	w.name("ok.example", public)
	got := make(chan int64, 1)
	w.site(t, public+":80", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		http.NewResponseController(rw).EnableFullDuplex()
		rw.Header().Set("Content-Length", "5")
		io.WriteString(rw, "early")
		rw.(http.Flusher).Flush()
		n, _ := io.Copy(io.Discard, r.Body)
		got <- n
	}))
	_, addr := w.proxy(t, egress.Policy{Allow: []string{"ok.example"}}, egress.Options{})
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(conn, "POST http://ok.example/ HTTP/1.1\r\nHost: ok.example\r\nContent-Length: 10\r\n\r\n01234")
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	early := make([]byte, 5)
	if _, err := io.ReadFull(res.Body, early); err != nil || string(early) != "early" {
		t.Errorf("got %q, %v before the body's end", early, err)
	}
	io.WriteString(conn, "56789")
	if n := <-got; n != 10 {
		t.Errorf("%d bytes of the body arrived, want 10", n)
	}
}
