package egress_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"agentd/sandbox/egress"
)

// source is a server that sends n bytes to everyone who says something, and echoes when n is 0.
func source(t testing.TB, n int64) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 256<<10)
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer conn.Close()
				one := make([]byte, 64)
				for {
					got, err := conn.Read(one)
					if err != nil {
						return
					}
					if n == 0 {
						conn.Write(one[:got])
						continue
					}
					for left := n; left > 0; {
						m, err := conn.Write(block[:min(left, int64(len(block)))])
						if err != nil {
							return
						}
						left -= int64(m)
					}
					return
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); group.Wait() })
	return l.Addr().String()
}

// tunnel opens a tunnel to public:443 through the proxy at addr, or connects to it if that is empty.
func tunnel(t testing.TB, addr, direct string) net.Conn {
	t.Helper()
	to := addr
	if addr == "" {
		to = direct
	}
	conn, err := net.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	if addr == "" {
		return conn
	}
	if _, err := io.WriteString(conn, "CONNECT ok.example:443 HTTP/1.1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	const want = "HTTP/1.1 200 Connection established\r\n\r\n"
	var b [len(want)]byte
	if _, err := io.ReadFull(conn, b[:]); err != nil || string(b[:]) != want {
		t.Fatalf("CONNECT: %q %v", b, err)
	}
	return conn
}

func benchWorld(t testing.TB, real string) string {
	w := newWorld()
	w.name("ok.example", public)
	w.listen(public+":443", real)
	_, addr := w.proxy(t, egress.Policy{Allow: []string{"ok.example"}, Limits: egress.Limits{Bytes: 1 << 50, Conns: 2000}}, egress.Options{})
	return addr
}

// BenchmarkRelay downloads 1 GB through the proxy, and for comparison without it.
func BenchmarkRelay(b *testing.B) {
	const size = 1 << 30
	real := source(b, size)
	for name, addr := range map[string]string{"direct": "", "proxy": benchWorld(b, real)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			buf := make([]byte, 256<<10)
			for b.Loop() {
				conn := tunnel(b, addr, real)
				io.WriteString(conn, "\x00")
				n := int64(0)
				for {
					m, err := conn.Read(buf)
					n += int64(m)
					if err != nil {
						break
					}
				}
				conn.Close()
				if n != size {
					b.Fatalf("%d bytes, want %d", n, int64(size))
				}
			}
		})
	}
}

// BenchmarkRelayHTTP downloads 1 GB in one answer to a plain request, which is parsed on its way.
func BenchmarkRelayHTTP(b *testing.B) {
	const size = 1 << 30
	block := make([]byte, 256<<10)
	w := newWorld()
	w.name("ok.example", public)
	w.site(b, public+":80", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Length", strconv.Itoa(size))
		for range size / len(block) {
			rw.Write(block)
		}
	}))
	_, addr := w.proxy(b, egress.Policy{Allow: []string{"ok.example"}, Limits: egress.Limits{Bytes: 1 << 50}}, egress.Options{})
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		res, err := client(addr, nil).Get("http://ok.example/")
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, res.Body, block)
		res.Body.Close()
		if err != nil || n != size {
			b.Fatalf("%d bytes, %v", n, err)
		}
	}
}

// BenchmarkConnect opens a connection and has one byte echoed, through the proxy and without it: the difference of the
// medians is what the proxy adds to a new connection. BenchmarkEcho is the same on a connection that is open.
func BenchmarkConnect(b *testing.B) {
	real := source(b, 0)
	for name, addr := range map[string]string{"direct": "", "proxy": benchWorld(b, real)} {
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			b.ReportAllocs()
			for b.Loop() {
				start := time.Now()
				conn := tunnel(b, addr, real)
				echo(b, conn)
				took = append(took, time.Since(start))
				conn.(*net.TCPConn).SetLinger(0) // no port in TIME_WAIT
				conn.Close()
			}
			report(b, took)
		})
	}
}

// BenchmarkEcho is one byte there and back on an open connection.
func BenchmarkEcho(b *testing.B) {
	real := source(b, 0)
	for name, addr := range map[string]string{"direct": "", "proxy": benchWorld(b, real)} {
		b.Run(name, func(b *testing.B) {
			conn := tunnel(b, addr, real)
			defer conn.Close()
			var took []time.Duration
			b.ReportAllocs()
			for b.Loop() {
				start := time.Now()
				echo(b, conn)
				took = append(took, time.Since(start))
			}
			report(b, took)
		})
	}
}

func echo(t testing.TB, conn net.Conn) {
	var one [1]byte
	if _, err := conn.Write(one[:]); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, one[:]); err != nil {
		t.Fatal(err)
	}
}

func report(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "p50-µs")
	b.ReportMetric(float64(took[len(took)*9/10].Nanoseconds())/1e3, "p90-µs")
}

// TestMemoryOfConnections holds 1,000 tunnels open in a process that does nothing else, and looks at what it holds: at
// rest, and while every one of them carries a download that its program doesn't read.
func TestMemoryOfConnections(t *testing.T) {
	const conns = 1000
	limit := int64(64 << 10)
	if raced {
		limit *= 2 // a build with the race detector is no measure; make test-sandbox has one without
	}
	if testing.Short() {
		t.Skip("1,000 connections take a second")
	}
	flood := source(t, 8<<20)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProxyProcess$")
	cmd.Env = append(os.Environ(), "EGRESS_TEST_UPSTREAM="+flood)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	lines := bufio.NewScanner(out)
	ask := func() (addr string, bytes, resident int64) {
		t.Helper()
		io.WriteString(in, "?\n")
		if !lines.Scan() {
			t.Fatal("the proxy's process ended")
		}
		if _, err := fmt.Sscan(lines.Text(), &addr, &bytes, &resident); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		return addr, bytes, resident
	}
	addr, before, rss := ask()
	list := make([]net.Conn, conns)
	for i := range list {
		list[i] = tunnel(t, addr, "")
		defer list[i].Close()
	}
	for _, state := range []string{"at rest", "with a stalled download"} {
		if state != "at rest" {
			for _, c := range list {
				io.WriteString(c, "\x00")
			}
		}
		time.Sleep(300 * time.Millisecond)
		_, bytes, resident := ask()
		each := (bytes - before) / conns
		t.Logf("%s: %d bytes each of Go's memory, %d resident", state, each, (resident-rss)/conns)
		if each > limit {
			t.Errorf("%s: %d bytes each, want at most %d", state, each, limit)
		}
	}
}

// TestProxyProcess is the process of TestMemoryOfConnections.
func TestProxyProcess(t *testing.T) {
	upstream := os.Getenv("EGRESS_TEST_UPSTREAM")
	if upstream == "" {
		return
	}
	x, err := egress.New(egress.Policy{Allow: []string{"ok.example"}}, egress.Options{
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr(public)}, nil
		},
		Dial: func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", upstream)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	addr := serve(t, x)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Println(addr, m.HeapInuse+m.StackInuse, resident())
	}
}

// resident is the memory of this process in bytes, 0 where the system has no /proc.
func resident() int64 {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			var kb int64
			fmt.Sscan(v, &kb)
			return kb << 10
		}
	}
	return 0
}
