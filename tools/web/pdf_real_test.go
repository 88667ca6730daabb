//go:build browser

package web_test

import (
	"os/exec"
	"strings"
	"testing"

	"agentd/sandbox"
)

// host runs a command without a box.
func host(_ sandbox.Policy, c sandbox.Command) (sandbox.Result, error) {
	cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return sandbox.Result{}, err
	}
	return sandbox.Result{Exit: cmd.ProcessState.ExitCode()}, nil
}

// TestPDFText reads a real document with the real program.
func TestPDFText(t *testing.T) {
	if got := fetchPDF(t, runner(host)); !strings.Contains(got, "> Invoice total: 42") {
		t.Errorf("got %q", got)
	}
}
