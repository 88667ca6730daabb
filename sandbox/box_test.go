package sandbox_test

import (
	"bytes"
	"context"
	"testing"

	"agentd/sandbox"
)

func TestRun(t *testing.T) {
	b, err := sandbox.Open(sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var out bytes.Buffer
	res, err := b.Run(context.Background(), sandbox.Policy{Workspace: t.TempDir()}, sandbox.Command{Argv: []string{"sh", "-c", "id; pwd; ls -la; ls -la /; cat /proc/self/status | grep -E 'Cap|Sec|NoNew'; env; which go python3 node; echo hi > x; cat /proc/self/mountinfo | wc -l; touch .git/x; exit 3"}, Stdout: &out})
	t.Logf("%+v %v\n%s", res, err, out.String())
}
