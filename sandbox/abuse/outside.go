//go:build linux

package abuse

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"agentd/sandbox"
)

// table lists all cases, in the order of their ids.
func table() []abuse {
	var all []abuse
	for _, g := range []struct {
		name  string
		cases []abuse
	}{{"files", fsCases()}, {"privilege", privilegeCases()}, {"processes", processCases()}, {"resources", resourceCases()}, {"network", inOrder(networkCases(), egressCases())}, {"works", worksCases()}} {
		for _, c := range g.cases {
			c.group = g.name
			all = append(all, c)
		}
	}
	return all
}

// inOrder sorts cases by their ids.
func inOrder(lists ...[]abuse) []abuse {
	return slices.SortedFunc(slices.Values(slices.Concat(lists...)), func(a, b abuse) int { return strings.Compare(a.id, b.id) })
}

func (f *fixture) shell(ctx context.Context, edit func(*sandbox.Policy), script string) (string, sandbox.Result, error) {
	p := f.basePolicy("")
	delete(p.Env, marker)
	if edit != nil {
		edit(&p)
	}
	return f.run(ctx, p, "sh", "-c", script)
}

const beat = "while :; do echo x >> beat; sleep 0.02; done"

// stopped says whether nobody writes to the file beat any more.
func (f *fixture) stopped() error {
	size := func() int64 {
		st, err := os.Stat(filepath.Join(f.ws, "beat"))
		if err != nil {
			return 0
		}
		return st.Size()
	}
	a := size()
	if a == 0 {
		return errors.New("the payload never ran")
	}
	settle()
	if b := size(); b != a {
		return errors.New("a process of the box still runs")
	}
	return nil
}

func outlive(ctx context.Context, f *fixture) error {
	out, res, err := f.shell(ctx, nil, "(setsid sh -c '(setsid sh -c \""+beat+"\" &)' >/dev/null 2>&1 </dev/null &); sleep 0.3")
	if err != nil || res.Exit != 0 {
		return fmt.Errorf("exit %d: %s: %w", res.Exit, out, err)
	}
	return f.stopped()
}

func holdOutput(ctx context.Context, f *fixture) error {
	from := time.Now()
	out, res, err := f.shell(ctx, nil, "sleep 100 & echo done")
	if err != nil || out != "done\n" || res.Exit != 0 {
		return fmt.Errorf("exit %d: %q: %v", res.Exit, out, err)
	}
	if took := time.Since(from); took > 3*time.Second {
		return fmt.Errorf("Run returned after %v", took)
	}
	return nil
}

func ignoreSignals(ctx context.Context, f *fixture) error {
	for _, script := range []string{"trap '' TERM INT HUP QUIT; while :; do sleep 1; done", "kill -STOP $$", "setsid sh -c 'trap \"\" TERM; kill -STOP $$' & wait"} {
		from := time.Now()
		_, res, err := f.shell(ctx, func(p *sandbox.Policy) { p.Limits.Wall = 500 * time.Millisecond }, script)
		if err != nil {
			return err
		}
		if took := time.Since(from); res.Killed != sandbox.KilledWall || took > 2*time.Second {
			return fmt.Errorf("%q: ended by %q after %v, want wall after 500ms", script, res.Killed, took)
		}
	}
	return nil
}

// outliveDaemon starts a daemon of its own, kills it while a box and a prepared box run, and looks for what is left.
func outliveDaemon(ctx context.Context, f *fixture) error {
	c := exec.CommandContext(ctx, f.program)
	c.Env = append(os.Environ(), marker+"=daemon", marker+"_WS="+f.ws, marker+"_INIT="+f.opts.Init, marker+"_BACKEND="+f.opts.Backend)
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "running\n" {
		c.Process.Kill()
		c.Wait()
		return fmt.Errorf("the daemon said %q, %v", line, err)
	}
	c.Process.Kill()
	c.Wait()
	settle()
	if err := f.stopped(); err != nil {
		return err
	}
	for deadline := time.Now().Add(3 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		left := boxesOf(f.ws)
		if left == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d processes have the workspace mounted", left)
		}
	}
}

// boxesOf counts the processes in whose view the workspace is mounted.
func boxesOf(ws string) int {
	n := 0
	dirs, _ := filepath.Glob("/proc/[0-9]*/mountinfo")
	for _, m := range dirs {
		b, err := os.ReadFile(m)
		if err == nil && strings.Contains(string(b), " "+ws+" /workspace ") {
			n++
		}
	}
	return n
}

// daemon is the program that outliveDaemon kills.
func daemon() {
	box, err := sandbox.Open(sandbox.Options{Init: os.Getenv(marker + "_INIT"), Backend: os.Getenv(marker + "_BACKEND")})
	if err != nil {
		fmt.Println(err)
		return
	}
	p := sandbox.Policy{Workspace: os.Getenv(marker + "_WS")}
	box.Prepare(p)
	proc, err := box.Start(context.Background(), p, sandbox.Command{Argv: []string{"sh", "-c", "(setsid sh -c '" + beat + "' &); sleep 100"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	box.Prepare(p)
	time.Sleep(300 * time.Millisecond)
	fmt.Println("running")
	proc.Wait()
}

// fifo leaves a pipe in the place of a protected file and of a plain one, and runs the next command.
func fifo(ctx context.Context, f *fixture) error {
	if out, res, err := f.shell(ctx, nil, "rm file && mkfifo file && mkfifo pipe && python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"sock\")' || true"); err != nil || res.Exit != 0 {
		return fmt.Errorf("exit %d: %s: %w", res.Exit, out, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, res, err := f.shell(ctx, func(p *sandbox.Policy) { p.Protect = []string{"file", "**/pipe"}; p.Limits.Disk = 1 }, "true")
	if err != nil || res.Exit != 0 && res.Killed == "" {
		return fmt.Errorf("the next command: exit %d: %w", res.Exit, err)
	}
	return nil
}

func withProxy(f *fixture, p *sandbox.Policy) { p.Net.Allow = []string{"example.invalid:443"} }

// proxied asks the box's proxy for a URL.
func proxied(target string) (int, error) {
	c := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: "127.0.0.1:3128"})}}
	res, err := c.Get(target)
	if err != nil {
		return 0, err
	}
	res.Body.Close()
	return res.StatusCode, nil
}

func otherBox(ctx context.Context, f *fixture) error {
	p := f.basePolicy("")
	delete(p.Env, marker)
	server, err := f.box.Start(ctx, p, sandbox.Command{Argv: []string{"python3", "-c", "import socket,time\ns=socket.create_server(('127.0.0.1',8123))\nopen('up','w')\nwhile True: s.accept()[0].close()"}})
	if errors.Is(err, sandbox.ErrNoProgram) {
		return notApplicable("there is no python3 for the server")
	}
	if err != nil {
		return err
	}
	defer func() { server.Kill(); server.Wait() }()
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(f.ws, "up")); err == nil {
			break
		}
		if time.Now().After(deadline) {
			return errors.New("the server in the first box didn't start")
		}
	}
	conn, err := server.Dial(ctx, 8123)
	if err != nil {
		return fmt.Errorf("the daemon can't reach the first box: %w", err)
	}
	conn.Close()
	_, res, err := f.shell(ctx, nil, "python3 -c \"import socket; socket.create_connection(('127.0.0.1',8123),2)\" 2>/dev/null")
	if err != nil {
		return err
	}
	if res.Exit == 0 {
		return errors.New("a box reached another")
	}
	return nil
}

func failedSetup(ctx context.Context, f *fixture) error {
	o := f.opts
	o.FailSetup = true
	box, err := sandbox.Open(o)
	if err == nil {
		defer box.Close()
		p := f.basePolicy("")
		delete(p.Env, marker)
		_, err = box.Run(ctx, p, sandbox.Command{Argv: []string{"touch", "ran"}})
	}
	if err == nil {
		return errors.New("Run returned no error")
	}
	if _, err := os.Stat(filepath.Join(f.ws, "ran")); err == nil {
		return errors.New("the program ran although the set-up failed")
	}
	return nil
}
