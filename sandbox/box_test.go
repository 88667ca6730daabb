//go:build linux

package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"agentd/sandbox"
)

func open(t testing.TB) *sandbox.Box {
	t.Helper()
	b, err := sandbox.Open(options(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// run runs a shell script in a box and returns its output.
func run(t testing.TB, b *sandbox.Box, p sandbox.Policy, script string) (string, sandbox.Result) {
	t.Helper()
	var out bytes.Buffer
	res, err := b.Run(context.Background(), p, sandbox.Command{Argv: []string{"sh", "-c", script}, Stdout: &out})
	if err != nil {
		t.Fatalf("run %q: %v", script, err)
	}
	return out.String(), res
}

func TestRunResult(t *testing.T) {
	b := open(t)
	p := sandbox.Policy{Workspace: t.TempDir(), Env: map[string]string{"GREETING": "hello"}}
	for _, tc := range []struct {
		name, script, out string
		exit              int
		signal            string
	}{
		{"exit code", "exit 3", "", 3, ""},
		{"output", "echo out; echo err >&2", "out\nerr\n", 0, ""},
		{"signal", "kill -TERM $$", "", 143, "SIGTERM"},
		{"environment", "env | grep -v ^PATH | sort", "GREETING=hello\nHOME=/home/agent\nLANG=C.UTF-8\nPWD=/workspace\nTMPDIR=/tmp\n", 0, ""},
		{"identity", "id -u; id -g; hostname; pwd", "1000\n1000\nbox\n/workspace\n", 0, ""},
		{"stdin is empty", "cat", "", 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, res := run(t, b, p, tc.script)
			if out != tc.out || res.Exit != tc.exit || res.Signal != tc.signal || res.Killed != "" {
				t.Errorf("got %q %+v, want %q, exit %d, signal %q", out, res, tc.out, tc.exit, tc.signal)
			}
			if res.Level != b.Report().Level || res.Usage.Wall <= 0 {
				t.Errorf("level %v, wall %v: want the box's level and a time", res.Level, res.Usage.Wall)
			}
		})
	}
}

func TestCommand(t *testing.T) {
	b := open(t)
	ws := t.TempDir()
	os.Mkdir(filepath.Join(ws, "sub"), 0o755)
	var out, errs bytes.Buffer
	res, err := b.Run(context.Background(), sandbox.Policy{Workspace: ws}, sandbox.Command{
		Argv: []string{"sh", "-c", "pwd; cat; echo problem >&2"}, Dir: "sub", Stdin: strings.NewReader("typed\n"), Stdout: &out, Stderr: &errs})
	if err != nil || res.Exit != 0 || out.String() != "/workspace/sub\ntyped\n" || errs.String() != "problem\n" {
		t.Errorf("got %q %q %+v %v", out.String(), errs.String(), res, err)
	}
	_, err = b.Run(context.Background(), sandbox.Policy{Workspace: ws}, sandbox.Command{Argv: []string{"no-such-program"}})
	if !errors.Is(err, sandbox.ErrNoProgram) {
		t.Errorf("missing program: got %v", err)
	}
	for _, dir := range []string{"absent", "../x", "/etc"} {
		_, err = b.Run(context.Background(), sandbox.Policy{Workspace: ws}, sandbox.Command{Argv: []string{"true"}, Dir: dir})
		if pe := new(sandbox.PolicyError); !errors.As(err, &pe) || pe.Field != "dir" {
			t.Errorf("dir %s: got %v", dir, err)
		}
	}
	out.Reset()
	res, err = b.Run(context.Background(), sandbox.Policy{Workspace: ws}, sandbox.Command{Argv: []string{"sh", "-c", "tty; stty size; test -t 0 && test -t 1 && echo both"}, TTY: true, Stdout: &out})
	if err != nil || res.Exit != 0 || out.String() != "/dev/pts/0\r\n24 80\r\nboth\r\n" {
		t.Errorf("terminal: got %q %+v %v", out.String(), res, err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	res, err = b.Run(context.Background(), sandbox.Policy{Workspace: ws}, sandbox.Command{Argv: []string{"sh", "-c", "echo extra >&3"}, ExtraFiles: []*os.File{w}})
	w.Close()
	got := make([]byte, 10)
	n, _ := r.Read(got)
	if err != nil || string(got[:n]) != "extra\n" {
		t.Errorf("extra file: got %q %+v %v", got[:n], res, err)
	}
}

// TestOwnership checks that a box owns the workspace while its files keep their owner and mode.
func TestOwnership(t *testing.T) {
	b := open(t)
	ws := t.TempDir()
	file := filepath.Join(ws, "private")
	if err := os.WriteFile(file, []byte("mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, res := run(t, b, sandbox.Policy{Workspace: ws}, "cat private; echo more >> private; echo new > fresh; mkdir dir; stat -c %u private fresh dir; umask")
	if out != "mine\n1000\n1000\n1000\n0022\n" || res.Exit != 0 {
		t.Fatalf("got %q %+v", out, res)
	}
	for name, mode := range map[string]os.FileMode{"private": 0o600, "fresh": 0o644, "dir": 0o755 | os.ModeDir} {
		st, err := os.Stat(filepath.Join(ws, name))
		if err != nil {
			t.Fatal(err)
		}
		if uid := st.Sys().(*syscall.Stat_t).Uid; int(uid) != os.Getuid() || st.Mode() != mode {
			t.Errorf("%s: owner %d mode %v, want %d %v", name, uid, st.Mode(), os.Getuid(), mode)
		}
	}
	names, err := os.ReadDir(ws)
	if err != nil || len(names) != 3 {
		t.Errorf("left in the workspace: %v, want the three files (mount points are removed)", names)
	}
}

func TestProtect(t *testing.T) {
	b := open(t)
	for _, prepared := range []bool{false, true} {
		ws := t.TempDir()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(os.MkdirAll(filepath.Join(ws, ".git/hooks"), 0o755))
		must(os.WriteFile(filepath.Join(ws, ".git/config"), []byte("[core]\n"), 0o644))
		must(os.MkdirAll(filepath.Join(ws, "src/deep"), 0o755))
		must(os.WriteFile(filepath.Join(ws, "src/deep/a_test.go"), []byte("package a\n"), 0o644))
		p := sandbox.Policy{Workspace: ws, Protect: []string{"**/*_test.go", "goals/**", "AGENTS.md"}}
		if prepared {
			b.Prepare(p)
			time.Sleep(50 * time.Millisecond)
		}
		for _, script := range []string{
			"echo x > .git/hooks/pre-commit", "echo x >> .git/config", "rm .git/config", "mv .git/hooks .git/h", "mv .git g", "rm -rf .git && false",
			"ln -sf x .git/config", "mkdir .agentd/x", "rmdir .agentd", "mv .agentd y", "ln -s x .agentd/y",
			"echo x >> src/deep/a_test.go", "rm src/deep/a_test.go", "mv src/deep src/d", "mv src s", "chmod 777 src/deep/a_test.go",
			"echo x > goals/a.goal.md", "rmdir goals", "echo x > AGENTS.md", "mv AGENTS.md B",
		} {
			if out, res := run(t, b, p, script+" 2>&1"); res.Exit == 0 {
				t.Errorf("prepared %v: %q worked: %s", prepared, script, out)
			}
		}
		if out, res := run(t, b, p, "echo x > src/deep/b.go && echo x > .git/HEAD && echo x > new"); res.Exit != 0 {
			t.Errorf("what isn't protected can't be written: %s", out)
		}
		b.Discard(ws)
		for _, gone := range []string{".agentd", "goals", "AGENTS.md"} {
			if _, err := os.Lstat(filepath.Join(ws, gone)); err == nil {
				t.Errorf("mount point %s is left", gone)
			}
		}
		if text, err := os.ReadFile(filepath.Join(ws, "src/deep/a_test.go")); err != nil || string(text) != "package a\n" {
			t.Errorf("protected file: %q, %v", text, err)
		}
	}
}

func TestLimits(t *testing.T) {
	b := open(t)
	ws := t.TempDir()
	for _, tc := range []struct {
		name, script string
		limits       sandbox.Limits
		killed       sandbox.Reason
		detail       string
		within       time.Duration
	}{
		{"wall", "sleep 60", sandbox.Limits{Wall: 300 * time.Millisecond}, sandbox.KilledWall, "wall time, 300ms", 2 * time.Second},
		{"wall, signals ignored", "trap '' TERM INT HUP; while :; do :; done", sandbox.Limits{Wall: 300 * time.Millisecond}, sandbox.KilledWall, "wall time, 300ms", 2 * time.Second},
		{"cpu", "while :; do :; done", sandbox.Limits{CPU: time.Second}, sandbox.KilledCPU, "CPU time, 1s", 15 * time.Second},
		{"cpu of many", "for i in 1 2 3 4 5 6; do (while :; do :; done) & done; wait", sandbox.Limits{CPU: time.Second}, sandbox.KilledCPU, "CPU time, 1s", 15 * time.Second},
		{"output", "yes", sandbox.Limits{Output: 1 << 20}, sandbox.KilledOutput, "output, 1 MiB", 5 * time.Second},
		{"file", "head -c 3000000 /dev/zero > big; exit 153", sandbox.Limits{File: 1 << 20}, "", "", 5 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			from := time.Now()
			_, res := run(t, b, sandbox.Policy{Workspace: ws, Limits: tc.limits}, tc.script)
			if res.Killed != tc.killed || res.Detail != tc.detail {
				t.Errorf("got %+v, want killed %q, %q", res, tc.killed, tc.detail)
			}
			if d := time.Since(from); d > tc.within {
				t.Errorf("took %v, want at most %v", d, tc.within)
			}
		})
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	res, err := b.Run(ctx, sandbox.Policy{Workspace: ws}, sandbox.Command{Argv: []string{"sleep", "60"}})
	if err != nil || res.Killed != sandbox.KilledCancelled {
		t.Errorf("cancelled: got %+v, %v", res, err)
	}
}

// TestNothingIsLeft checks that a child which left its session is dead when Run returns.
func TestNothingIsLeft(t *testing.T) {
	b := open(t)
	ws := t.TempDir()
	out, res := run(t, b, sandbox.Policy{Workspace: ws}, "(setsid sh -c 'while :; do echo alive >> beat; sleep 0.01; done' >/dev/null 2>&1 &) ; sleep 0.2; echo done")
	if out != "done\n" || res.Exit != 0 {
		t.Fatalf("got %q %+v", out, res)
	}
	a, _ := os.ReadFile(filepath.Join(ws, "beat"))
	time.Sleep(200 * time.Millisecond)
	c, _ := os.ReadFile(filepath.Join(ws, "beat"))
	if len(a) == 0 || len(a) != len(c) {
		t.Errorf("the child wrote %d bytes, and %d later", len(a), len(c))
	}
}

func TestBadPolicy(t *testing.T) {
	b := open(t)
	ws := t.TempDir()
	for _, tc := range []struct {
		field string
		p     sandbox.Policy
	}{
		{"workspace", sandbox.Policy{}},
		{"workspace", sandbox.Policy{Workspace: "relative"}},
		{"workspace", sandbox.Policy{Workspace: ws + "/../x"}},
		{"workspace", sandbox.Policy{Workspace: ws + "/absent"}},
		{"workspace", sandbox.Policy{Workspace: "/"}},
		{"read_only", sandbox.Policy{Workspace: ws, ReadOnly: []string{"/no/such/path"}}},
		{"protect", sandbox.Policy{Workspace: ws, Protect: []string{"../x"}}},
		{"protect", sandbox.Policy{Workspace: ws, Protect: []string{"/etc"}}},
		{"protect", sandbox.Policy{Workspace: ws, Protect: []string{"[a"}}},
		{"caches", sandbox.Policy{Workspace: ws, Caches: map[string]string{ws: "/etc"}}},
		{"env", sandbox.Policy{Workspace: ws, Env: map[string]string{"A=B": "c"}}},
		{"limits.memory", sandbox.Policy{Workspace: ws, Limits: sandbox.Limits{Memory: -1}}},
		{"limits.procs", sandbox.Policy{Workspace: ws, Limits: sandbox.Limits{Procs: -1}}},
		{"limits.wall", sandbox.Policy{Workspace: ws, Limits: sandbox.Limits{Wall: -1}}},
		{"net.allow", sandbox.Policy{Workspace: ws, Net: sandbox.Net{Allow: []string{"host"}}}},
		{"net.allow", sandbox.Policy{Workspace: ws, Net: sandbox.Net{Allow: []string{"host:0"}}}},
		{"net.allow", sandbox.Policy{Workspace: ws, Net: sandbox.Net{Allow: []string{"10.0.0.0/33:80"}}}},
		{"net.allow", sandbox.Policy{Workspace: ws, Net: sandbox.Net{Allow: []string{"169.254.169.254:80"}}}},
		{"net.allow", sandbox.Policy{Workspace: ws, Net: sandbox.Net{Allow: []string{"[::ffff:169.254.169.254]:80"}}}},
		{"net.allow", sandbox.Policy{Workspace: ws, Net: sandbox.Net{Allow: []string{"2852039166:80"}}}},
		{"net.allow", sandbox.Policy{Workspace: ws, Net: sandbox.Net{Allow: []string{"*:80"}}}},
	} {
		_, err := b.Run(context.Background(), tc.p, sandbox.Command{Argv: []string{"true"}})
		var pe *sandbox.PolicyError
		if !errors.As(err, &pe) || pe.Field != tc.field {
			t.Errorf("%+v: got %v, want field %s", tc.p, err, tc.field)
		}
	}
	_, err := b.Run(context.Background(), sandbox.Policy{Workspace: ws, Require: sandbox.LevelGVisor}, sandbox.Command{Argv: []string{"true"}})
	if !errors.Is(err, sandbox.ErrUnavailable) {
		t.Errorf("level gvisor: got %v", err)
	}
}

func TestNet(t *testing.T) {
	b := open(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello %s %s", r.Method, r.URL.Path)
	}))
	defer srv.Close()
	addr := strings.TrimPrefix(srv.URL, "http://")
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	ws := t.TempDir()
	allowed := sandbox.Policy{Workspace: ws, Net: sandbox.Net{Allow: []string{addr}}}
	_, port, _ := net.SplitHostPort(addr)
	for _, tc := range []struct {
		name   string
		p      sandbox.Policy
		script string
		out    string
		exit   int
	}{
		{"nothing is open", sandbox.Policy{Workspace: ws}, "curl -sS --max-time 5 " + srv.URL + " >/dev/null 2>&1", "", 7},
		{"the allowed address", allowed, "curl -sS --max-time 5 " + srv.URL + "/a", "hello GET /a", 0},
		{"the allowed address, proxied", allowed, "curl -sS --max-time 5 --noproxy '' -x http://127.0.0.1:3128 " + srv.URL + "/b", "hello GET /b", 0},
		{"the allowed address, tunnelled", allowed, "curl -sS --max-time 5 --noproxy '' -p -x http://127.0.0.1:3128 " + srv.URL + "/b", "hello GET /b", 0},
		{"a body", allowed, "curl -sS --max-time 5 --noproxy '' -x http://127.0.0.1:3128 -d data " + srv.URL + "/c", "hello POST /c", 0},
		{"localhost by name", sandbox.Policy{Workspace: ws, Net: sandbox.Net{Allow: []string{"localhost:" + port}}}, "curl -sS --max-time 5 http://localhost:" + port + "/d", "hello GET /d", 0},
		{"another port", allowed, "curl -sS --max-time 5 " + other.URL + " 2>/dev/null", "", 7},
		{"another port, proxied", allowed, "curl -sS -o /dev/null -w '%{http_code}' --max-time 5 --noproxy '' -x http://127.0.0.1:3128 " + other.URL, "403", 0},
		{"metadata", allowed, "curl -sS -o /dev/null -w '%{http_code}' --max-time 5 -x http://127.0.0.1:3128 http://169.254.169.254/latest", "403", 0},
		{"without the proxy there is no route", allowed, "curl -sS --max-time 5 --noproxy '*' http://192.0.2.1/ 2>/dev/null", "", 7},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, res := run(t, b, tc.p, tc.script)
			if out != tc.out || res.Exit != tc.exit {
				t.Errorf("got %q %+v, want %q, exit %d", out, res, tc.out, tc.exit)
			}
		})
	}
}

// TestStart checks that the daemon reaches a server in a box, and that killing it leaves nothing.
func TestStart(t *testing.T) {
	b := open(t)
	ws := t.TempDir()
	os.WriteFile(filepath.Join(ws, "page"), []byte("served"), 0o644)
	p, err := b.Start(context.Background(), sandbox.Policy{Workspace: ws}, sandbox.Command{Argv: []string{"python3", "-m", "http.server", "8000", "--bind", "127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return p.Dial(ctx, 8000) }}}
	var body string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		res, err := client.Get("http://box/page")
		if err != nil {
			continue
		}
		buf := make([]byte, 100)
		n, _ := res.Body.Read(buf)
		res.Body.Close()
		body = string(buf[:n])
		break
	}
	if body != "served" {
		t.Errorf("got %q from the server in the box", body)
	}
	if conn, err := net.Dial("tcp", "127.0.0.1:8000"); err == nil {
		conn.Close()
		t.Error("the box's port is open on the host")
	}
	p.Kill()
	if res, err := p.Wait(); err != nil || res.Killed != sandbox.KilledCancelled {
		t.Errorf("got %+v, %v", res, err)
	}
	if _, err := p.Dial(context.Background(), 8000); err == nil {
		t.Error("dialled a dead box")
	}
}
