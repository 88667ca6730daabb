//go:build linux

package sandbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"agentd/sandbox"
	"agentd/sandbox/boxtest"
)

// TestLandlock runs commands with the fallback for machines without user namespaces.
func TestLandlock(t *testing.T) {
	o := options(t)
	o.Backend = "landlock"
	b, err := sandbox.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if r := b.Report(); r.Level != sandbox.LevelLandlock || r.Guarantee("net").State != "partial" || r.Guarantee("protect").State != "absent" || r.Fix == "" {
		t.Errorf("got %+v", r)
	}
	ws, outside := t.TempDir(), t.TempDir()
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o666); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := sandbox.Policy{Workspace: ws}
	for _, tc := range []struct {
		name, script string
		fails        bool
	}{
		{"write the workspace", "echo x > f && cat f && mkdir d && mv f d/f", false},
		{"write home and tmp", "echo x > $HOME/f && echo x > $TMPDIR/f", false},
		{"read a file outside", "cat " + secret, true},
		{"write a file outside", "echo x >> " + secret, true},
		{"read /etc/shadow", "cat /etc/shadow", true},
		{"connect", "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\"," + strings.TrimPrefix(l.Addr().String(), "127.0.0.1:") + "),2)'", true},
		{"send a datagram", "python3 -c 'import socket; socket.socket(socket.AF_INET,socket.SOCK_DGRAM)'", true},
		{"signal the daemon", "kill -0 " + strconv.Itoa(os.Getpid()), true},
		{"make a namespace", "unshare -U true", true},
		{"python", "python3 -c 'print(1)'", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, res := run(t, b, p, "("+tc.script+") 2>&1")
			if res.Exit != 0 != tc.fails || res.Level != sandbox.LevelLandlock {
				t.Errorf("got %q %+v, want failure: %v", out, res, tc.fails)
			}
		})
	}
	t.Run("nothing is left", func(t *testing.T) {
		from := time.Now()
		_, res := run(t, b, sandbox.Policy{Workspace: ws, Limits: sandbox.Limits{Wall: 300 * time.Millisecond}}, "(setsid sh -c '(setsid sh -c \"while :; do echo x >> beat; sleep 0.01; done\" &)' &); sleep 60")
		if res.Killed != sandbox.KilledWall || time.Since(from) > 4*time.Second {
			t.Errorf("got %+v after %v", res, time.Since(from))
		}
		a, _ := os.ReadFile(filepath.Join(ws, "beat"))
		time.Sleep(200 * time.Millisecond)
		c, _ := os.ReadFile(filepath.Join(ws, "beat"))
		if len(a) == 0 || len(a) != len(c) {
			t.Errorf("a child wrote %d bytes, and %d later", len(a), len(c))
		}
	})
	_, err = b.Run(context.Background(), sandbox.Policy{Workspace: ws, Require: sandbox.LevelNamespaces}, sandbox.Command{Argv: []string{"true"}})
	if !errors.Is(err, sandbox.ErrUnavailable) || !strings.Contains(err.Error(), "user namespaces") {
		t.Errorf("a higher level: got %v, want what would provide it", err)
	}
	_, err = b.Run(context.Background(), sandbox.Policy{Workspace: ws, Net: sandbox.Net{Allow: []string{"example.org:443"}}}, sandbox.Command{Argv: []string{"true"}})
	var pe *sandbox.PolicyError
	if !errors.As(err, &pe) || pe.Field != "net.allow" {
		t.Errorf("an allow-list: got %v", err)
	}
}

// TestNone runs commands without a sandbox, which takes an explicit option and an explicit requirement.
func TestNone(t *testing.T) {
	o := options(t)
	o.Backend = "none"
	if _, err := sandbox.Open(o); !errors.Is(err, sandbox.ErrUnavailable) {
		t.Errorf("without the option: got %v", err)
	}
	o.AllowNone = true
	b, err := sandbox.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ws := t.TempDir()
	if _, err := b.Run(context.Background(), sandbox.Policy{Workspace: ws}, sandbox.Command{Argv: []string{"true"}}); !errors.Is(err, sandbox.ErrUnavailable) {
		t.Errorf("the default level: got %v", err)
	}
	out, res := run(t, b, sandbox.Policy{Workspace: ws, Require: sandbox.LevelNone}, "pwd")
	if out != ws+"\n" || res.Level != sandbox.LevelNone {
		t.Errorf("got %q %+v", out, res)
	}
}

// TestOrdinaryUser runs the tests again, with those that only a user without privileges can run.
func TestOrdinaryUser(t *testing.T) { boxtest.AsUser(t) }

// TestBubblewrap runs commands in boxes that bwrap made.
func TestBubblewrap(t *testing.T) {
	o := options(t)
	o.Backend = "bubblewrap"
	b, err := sandbox.Open(o)
	if os.Getuid() == 0 {
		if !errors.Is(err, sandbox.ErrUnavailable) {
			t.Errorf("as root: got %v", err)
		}
		return // TestOrdinaryUser runs the rest
	}
	if _, lookErr := exec.LookPath("bwrap"); lookErr != nil {
		if !errors.Is(err, sandbox.ErrUnavailable) {
			t.Errorf("without bwrap: got %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ws := t.TempDir()
	p := sandbox.Policy{Workspace: ws, Protect: []string{"keep"}}
	for script, out := range map[string]string{
		"id -u; pwd; hostname; cat /etc/hostname":                                 "1000\n/workspace\nbox\nbox\n",
		"echo x > f && cat f && ls -A / | grep -c .":                              "",
		"echo x > keep/x || echo refused":                                         "refused\n",
		"grep -E 'NoNewPrivs|Seccomp:|CapEff' /proc/self/status | tr -d '\\t\\n'": "CapEff:0000000000000000NoNewPrivs:1Seccomp:2",
		"unshare -U true || echo refused":                                         "refused\n",
	} {
		got, res := run(t, b, p, "("+script+") 2>/dev/null")
		if out != "" && got != out || res.Exit != 0 {
			t.Errorf("%q: got %q %+v, want %q", script, got, res, out)
		}
	}
	_, res := run(t, b, sandbox.Policy{Workspace: ws, Limits: sandbox.Limits{Wall: 300 * time.Millisecond}}, "setsid sleep 100 & sleep 100")
	if res.Killed != sandbox.KilledWall || res.Usage.Wall > 3*time.Second {
		t.Errorf("got %+v", res)
	}
}

// TestContainer asks for a sandbox where namespaces are refused, as in a container: inside a box. What is left is
// Landlock, and the report says so.
func TestContainer(t *testing.T) {
	b := open(t)
	tool := boxtest.Tool(t)
	p := sandbox.Policy{Workspace: t.TempDir(), ReadOnly: []string{tool}}
	var out bytes.Buffer
	res, err := b.Run(context.Background(), p, sandbox.Command{Argv: []string{tool, "report"}, Stdout: &out})
	if err != nil || res.Exit != 0 {
		t.Fatalf("got %+v, %v: %s", res, err, out.String())
	}
	var r sandbox.Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if r.Backend != "landlock" || r.Level != sandbox.LevelLandlock || !strings.Contains(r.Fix, "native can't be used") {
		t.Errorf("got %+v", r)
	}
}

// TestFailedSetup checks that the program doesn't run, and nothing is left, when the last step of the set-up fails.
func TestFailedSetup(t *testing.T) {
	o := options(t)
	o.FailSetup = true
	if b, err := sandbox.Open(o); err == nil {
		b.Close()
		t.Error("a sandbox whose set-up fails was opened")
	}
}
