package mcp_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"agentd/sandbox"
	"agentd/sandbox/boxtest"
	"agentd/sandbox/egress"
	"agentd/tools"
	"agentd/tools/mcp"
	"agentd/tools/mcp/mcptest"
)

const serverArg = "serve-mcp-for-a-test"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == serverArg {
		if err := mcptest.Main(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// rig is a daemon's part of the client, with real boxes.
type rig struct {
	opts mcp.Options
	env  tools.Env
	ws   string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	box, err := sandbox.Open(sandbox.Options{Init: boxtest.Init(t)})
	if err != nil {
		t.Skipf("no sandbox here: %v", err)
	}
	t.Cleanup(func() { box.Close() })
	ws := t.TempDir()
	if err := os.Chmod(filepath.Dir(ws), 0o755); err != nil {
		t.Fatal(err)
	}
	r := &rig{ws: ws}
	r.opts = mcp.Options{Box: box, Dir: t.TempDir(), Version: "test", Egress: func(n sandbox.Net) (*egress.Proxy, error) {
		return egress.New(n.Policy(), egress.Options{})
	}}
	r.env = tools.Env{Box: box, Policy: sandbox.Policy{Workspace: ws}}
	return r
}

// server is the test server in a mode, seen in the box.
func server(t *testing.T, name string, argv ...string) mcp.Server {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return mcp.Server{Name: name, Command: self, Args: append([]string{serverArg}, argv...), ReadOnly: []string{filepath.Dir(self)}, Timeout: 2 * time.Second}
}

// open lists what servers offer and makes their tools.
func (r *rig) open(t *testing.T, servers ...mcp.Server) (*mcp.Run, []mcp.Listing, map[string]tools.Tool, []string) {
	t.Helper()
	run := mcp.Open(r.opts, servers)
	t.Cleanup(func() { run.Close() })
	list, notes := run.List(t.Context(), r.env.Policy)
	return run, list, byName(run.Tools(list)), notes
}

func byName(list []tools.Tool) map[string]tools.Tool {
	out := map[string]tools.Tool{}
	for _, t := range list {
		out[t.Spec().Name] = t
	}
	return out
}

// call decodes and runs a call.
func (r *rig) call(t *testing.T, tool tools.Tool, raw string) (tools.Result, string) {
	t.Helper()
	if tool == nil {
		t.Fatal("there is no such tool")
	}
	a, err := tool.Decode([]byte(raw))
	if err != nil {
		t.Fatalf("decode %s: %v", raw, err)
	}
	res, err := tool.Run(t.Context(), r.env, a)
	if err != nil {
		t.Fatalf("run %s: %v", raw, err)
	}
	t.Cleanup(func() { res.Output.Close() })
	text := res.Output.Head() + res.Output.Tail()
	return res, text
}

func wants(t *testing.T, what, got string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(got, p) {
			t.Errorf("%s: got %.600q, want something with %q", what, got, p)
		}
	}
}
