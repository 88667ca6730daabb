package sandbox_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"agentd/sandbox"
	"agentd/sandbox/boxtest"
)

// TestKeptNetwork holds to when a later command of a workspace may get the network namespace of an earlier one: never
// while that runs, nor when the kernel remembers a connection of it, nor when it was killed, nor for another run.
func TestKeptNetwork(t *testing.T) {
	box, err := sandbox.Open(sandbox.Options{Backend: "native", Init: boxtest.Init(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	p := sandbox.Policy{Workspace: t.TempDir(), Limits: sandbox.Limits{Wall: 30 * time.Second}}
	name := func(script string) string {
		t.Helper()
		var out bytes.Buffer
		res, err := box.Run(context.Background(), p, sandbox.Command{Argv: []string{"/bin/sh", "-c", "readlink /proc/self/ns/net; " + script}, Stdout: &out})
		if err != nil {
			t.Fatal(err)
		}
		if res.Exit != 0 && res.Killed == "" {
			t.Fatalf("exit %d: %s", res.Exit, out.Bytes())
		}
		return strings.TrimSpace(out.String())
	}
	const talk = `python3 -c '
import socket, threading
s = socket.create_server(("127.0.0.1", 8123))
c = socket.create_connection(("127.0.0.1", 8123))
d, _ = s.accept()
d.close(); c.recv(1); c.close()'`
	first := name("true")
	if got := name(talk); got != first {
		t.Errorf("a quiet box's network wasn't used again: %s, then %s", first, got)
	}
	second := name(talk) // binds the same port again, which the ended connection would hold
	if second == first {
		t.Error("a network that remembers a connection was used again")
	}
	third := name("true")
	p.Limits.Wall = 300 * time.Millisecond
	killed := name("sleep 10")
	p.Limits.Wall = 30 * time.Second
	if killed != third {
		t.Errorf("a quiet box's network wasn't used again: %s, then %s", third, killed)
	}
	fourth := name("true")
	if fourth == killed {
		t.Error("the network of a killed box was used again")
	}
	box.Discard(p.Workspace)
	if got := name("true"); got == fourth {
		t.Error("a network was used again for another run")
	}
	proc, err := box.Start(context.Background(), p, sandbox.Command{Argv: []string{"/bin/sh", "-c", "readlink /proc/self/ns/net > held; sleep 20"}})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if held := name("cat held 2>/dev/null || true"); strings.Contains(held, "\n") {
			if at, other, _ := strings.Cut(held, "\n"); at == other {
				t.Error("two boxes shared a network at the same time")
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the long-lived box wrote nothing")
		}
	}
	proc.Kill()
	if res, err := proc.Wait(); err != nil || res.Killed != sandbox.KilledCancelled {
		t.Fatalf("got %+v, %v", res, err)
	}
}
