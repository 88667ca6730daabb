//go:build linux

package abuse

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"agentd/sandbox"
)

// Works selects the cases that guard against a sandbox that refuses too much.
func Works(id string) bool { return strings.HasPrefix(id, "W") }

// work is a program that has to run in a box. It prints "works" at the end.
type work struct {
	id, title, needs, script string
	tty                      bool
}

var works = []work{
	{id: "W1", title: "go build and go test", needs: "go", script: `mkdir m && cd m && cat > go.mod <<'E'
module m
go 1.21
E
cat > m.go <<'E'
package main
import "fmt"
func add(a, b int) int { return a + b }
func main() { fmt.Println("sum", add(1, 2)) }
E
cat > m_test.go <<'E'
package main
import "testing"
func TestAdd(t *testing.T) { if add(1, 2) != 3 { t.Fatal() } }
E
export CGO_ENABLED=0; go build -o m . && ./m | grep -q 'sum 3' && go test ./... >/dev/null && echo works`},
	{id: "W2", title: "python multiprocessing", needs: "python3", script: `cat > p.py <<'E'
import multiprocessing as mp
def f(x): return x * x
if __name__ == "__main__":
    with mp.Pool(3) as p: assert sum(p.map(f, range(10))) == 285
    q = mp.Queue(); w = mp.Process(target=q.put, args=("works",)); w.start(); print(q.get()); w.join()
E
python3 p.py`},
	{id: "W3", title: "node with a worker and a child", needs: "node", script: `node -e '
const os=require("os"); os.networkInterfaces(); os.cpus();
const {Worker}=require("worker_threads"); const cp=require("child_process");
new Worker("require(\"worker_threads\").parentPort.postMessage(1)",{eval:true}).on("message",()=>console.log(cp.execSync("echo works").toString().trim()))'`},
	{id: "W4", title: "npm runs a script", needs: "npm", script: `echo '{"name":"x","version":"1.0.0","scripts":{"t":"echo works"}}' > package.json && npm run -s t`},
	{id: "W5", title: "git commit, branch and rename", needs: "git", script: `git init -q sub && cd sub && echo a > a && git add a && git commit -qm one && git checkout -qb b && git mv a c && git commit -qam two && git log --oneline | wc -l | grep -q 2 && git gc -q && echo works`},
	{id: "W6", title: "a terminal", script: `test -t 0 && stty size >/dev/null && tty | grep -q /dev/pts/ && echo works`, tty: true},
	{id: "W7", title: "a program that opens terminals", needs: "python3", script: `python3 -c 'import pty; print("works" if pty.spawn(["true"])==0 else "")'`},
	{id: "W8", title: "server and client on the box's loopback", needs: "python3", script: `python3 -c '
import socket,threading
s=socket.create_server(("127.0.0.1",0)); s.settimeout(10)
t=threading.Thread(target=lambda: s.accept()[0].sendall(b"works")); t.start()
c=socket.create_connection(s.getsockname(),5); print(c.recv(10).decode()); t.join()'`},
	{id: "W9", title: "socket pairs, options and unix sockets", needs: "python3", script: `python3 -c '
import socket
a,b=socket.socketpair(); a.setsockopt(socket.SOL_SOCKET,socket.SO_SNDBUF,65536); a.sendall(b"works")
s=socket.socket(socket.AF_UNIX); s.bind("u.sock"); s.listen(1); c=socket.socket(socket.AF_UNIX); c.connect("u.sock"); print(b.recv(10).decode())'`},
	{id: "W10", title: "shared memory and semaphores", needs: "python3", script: `python3 -c '
from multiprocessing import shared_memory, Semaphore
m=shared_memory.SharedMemory(create=True,size=1<<20); m.buf[0]=1; Semaphore(1).acquire(); m.close(); m.unlink(); print("works")'`},
	{id: "W11", title: "a C compiler", needs: "cc", script: `printf '#include <stdio.h>\nint main(){puts("works");}' > a.c && cc -o a a.c && ./a`},
	{id: "W12", title: "archives, links and modes", needs: "tar", script: `mkdir d && echo x > d/x && chmod 750 d && ln -s x d/l && ln d/x d/h && tar cf a.tar d && rm -r d && tar xf a.tar && test "$(cat d/l)" = x && test "$(stat -c %a d)" = 750 && echo works`},
	{id: "W13", title: "a virtual environment", needs: "python3", script: `python3 -m venv --without-pip v && ./v/bin/python -c 'print("works")'`},
	{id: "W14", title: "cargo build", needs: "cargo", script: `cargo new -q --vcs none c >/dev/null 2>&1 && cd c && cargo build -q --offline && ./target/debug/c | grep -q Hello && echo works`},
}

func worksCases() []abuse {
	var list []abuse
	for _, w := range works {
		list = append(list, abuse{id: w.id, title: w.title, outside: w.run})
	}
	return append(list, abuse{id: "W15", title: "headless Chromium draws a page", outside: chromium})
}

func (w work) run(ctx context.Context, f *fixture) error {
	if w.id == "W8" && f.box.Report().Level < sandbox.LevelNamespaces {
		return notApplicable("there is no loopback of the box's own")
	}
	if (w.tty || w.id == "W7") && f.box.Report().Backend == "landlock" {
		return notApplicable("there is no private devpts")
	}
	p := f.basePolicy("")
	delete(p.Env, marker)
	p.Limits = sandbox.Limits{Wall: 5 * time.Minute, CPU: 5 * time.Minute}
	script := w.script
	if w.needs != "" {
		script = "command -v " + w.needs + " >/dev/null || { echo absent; exit 0; }\n" + script
	}
	out := &capture{}
	res, err := f.box.Run(ctx, p, sandbox.Command{Argv: []string{"bash", "-c", script}, Stdout: out, TTY: w.tty})
	if err != nil {
		return err
	}
	text := strings.TrimSpace(out.String())
	if text == "absent" {
		return notApplicable(w.needs + " isn't installed, or not where every user can run it")
	}
	if res.Exit != 0 || !strings.HasSuffix(text, "works") {
		return fmt.Errorf("exit %d %s %s: %s", res.Exit, res.Signal, res.Detail, text)
	}
	return nil
}

// capture keeps the last 4 KiB, where the reason is.
type capture struct{ b []byte }

func (c *capture) Write(b []byte) (int, error) {
	c.b = append(c.b, b...)
	if extra := len(c.b) - 4096; extra > 0 {
		c.b = c.b[extra:]
	}
	return len(b), nil
}

func (c *capture) String() string { return string(c.b) }

func chromium(ctx context.Context, f *fixture) error {
	browser := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if _, err := exec.LookPath(name); err == nil {
			browser = name
			break
		}
	}
	if browser == "" {
		return notApplicable("there is no Chromium")
	}
	if f.box.Report().Level < sandbox.LevelNamespaces {
		return notApplicable("a browser needs a network namespace")
	}
	p := f.basePolicy("")
	delete(p.Env, marker)
	p.Limits = sandbox.Limits{Wall: 90 * time.Second, Procs: 512, Memory: 3 << 30}
	out := &capture{}
	res, err := f.box.Run(ctx, p, sandbox.Command{Argv: []string{browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--user-data-dir=/tmp/profile",
		"--dump-dom", "data:text/html,<script>document.write('wor'+'ks')</script>"}, Stdout: out, Stderr: &capture{}})
	if errors.Is(err, sandbox.ErrNoProgram) {
		return notApplicable(browser + " isn't where a box can see it")
	}
	if err != nil {
		return err
	}
	if res.Exit != 0 || !strings.Contains(out.String(), "works") {
		return fmt.Errorf("exit %d %s %s: %s", res.Exit, res.Signal, res.Detail, out)
	}
	return nil
}
