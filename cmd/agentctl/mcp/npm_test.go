//go:build npm

package mcp_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"agentd/api"
	"agentd/cmd/agentctl/mcp"
)

// general are the suite's server scenarios that ask for nothing but the protocol; the others call tools, resources and prompts
// that a server made for the suite has.
var general = []string{"server-initialize", "ping", "tools-list", "logging-set-level", "dns-rebinding-protection", "server-sse-multiple-streams"}

var scenario = regexp.MustCompile(`(?m)^  - (\S+) `)

// TestConformance serves agentctl mcp's server over HTTP, as the suite wants it, and plays the suite's server scenarios.
func TestConformance(t *testing.T) {
	dir := os.Getenv("NPM_DIR")
	if dir == "" {
		t.Fatal("NPM_DIR is not set: run make test-mcp")
	}
	server := mcp.New(mcp.Options{Version: "test", Workspace: t.TempDir(), Connect: func(context.Context) (*api.Client, error) { return api.Dial("/nowhere") }})
	srv := httptest.NewServer(sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server }, nil))
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	bin := filepath.Join(dir, "node_modules", ".bin")
	suite := func(args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, filepath.Join(bin, "conformance"), args...)
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
		cmd.Dir, cmd.WaitDelay = t.TempDir(), time.Second
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := suite("list")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	servers, _, _ := strings.Cut(out, "Client scenarios")
	passed, all := 0, 0
	for _, m := range scenario.FindAllStringSubmatch(servers, -1) {
		all++
		out, err := suite("server", "--url", srv.URL, "--scenario", m[1])
		must := false
		for _, g := range general {
			must = must || g == m[1]
		}
		switch {
		case err == nil:
			passed++
			t.Logf("passed  %s", m[1])
		case must:
			t.Errorf("failed  %s: %v\n%s", m[1], err, out)
		default:
			t.Logf("failed  %s: it wants a tool, resource or prompt of the suite's own server, or completion, which this server doesn't offer", m[1])
		}
	}
	t.Logf("server scenarios passed: %d of %d", passed, all)
	if all < 25 {
		t.Errorf("the suite lists %d scenarios", all)
	}
}
