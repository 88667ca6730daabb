//go:build linux

package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"agentd/api"
	"agentd/journal"
)

// headless runs agentctl in its own process with a standard input of a kind that nobody answers on.
func headless(t *testing.T, kind, home string, args ...string) (code int, out string) {
	t.Helper()
	if kind == "terminal" {
		s := onTerminal(t, home, nil, args...)
		return s.exit()
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	script := `exec -a agentctl "$0" "$@"`
	if kind == "closed" {
		script += " <&-"
	}
	cmd := exec.CommandContext(ctx, "bash", append([]string{"-c", script, self}, args...)...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "AGENTD_HOME="+home)
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	if kind == "silent" {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close() // open to the end, and nothing is written
		defer r.Close()
		cmd.Stdin = r
	}
	err = cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("%s: %v waits on standard input; it wrote %q", kind, args, b.String())
	}
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), b.String()
}

// TestNothingWaitsOnStdin runs what scripts run with standard input closed, open and silent, and a terminal on which nobody types.
func TestNothingWaitsOnStdin(t *testing.T) {
	for _, kind := range []string{"closed", "silent", "terminal"} {
		for _, tt := range []struct {
			args []string
			code int
			says string
		}{
			{[]string{"run", "--json", "say hi"}, 0, "run_finished"},
			{[]string{"run", "--json", "ask for it"}, 5, "parked"},
			{[]string{"run", "--json", "--yes", "ask for it"}, 0, "run_finished"},
			{[]string{"run", "--detach", "ask for it"}, 0, ""},
			{[]string{"answer", "last", "allow"}, 0, ""},
			{[]string{"schedule", "ls", "--json"}, 0, "goals"},
		} {
			home := testHome(t)
			if tt.args[0] == "answer" {
				if code, out := headless(t, "silent", home, "run", "--json", "ask for it"); code != 5 {
					t.Fatalf("exit %d: %s", code, out)
				}
			}
			if code, out := headless(t, kind, home, tt.args...); code != tt.code || !strings.Contains(out, tt.says) {
				t.Errorf("stdin %s: %v: exit %d, want %d\n%.2000s", kind, tt.args, code, tt.code, out)
			}
		}
	}
}

// TestParkedIsAnsweredFromAnyClient parks a run and answers it from another program's client.
func TestParkedIsAnsweredFromAnyClient(t *testing.T) {
	home := testHome(t)
	if code, out := headless(t, "silent", home, "run", "--json", "ask for it"); code != journal.StatusParked.Exit() {
		t.Fatalf("exit %d: %s", code, out)
	}
	c, err := api.Dial(home + "/agentd.sock")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	run, err := c.Resolve(t.Context(), "last")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Answer(t.Context(), run, "c1", api.Answer{Answer: "allow", By: "another client"}); err != nil {
		t.Fatal(err)
	}
	for r, err := range c.Events(t.Context(), run, 0) {
		if err != nil && err != io.EOF {
			t.Fatal(err)
		}
		if r.Kind == journal.KindRunFinished {
			break
		}
	}
	if got := statusOf(t, home); got != journal.StatusAccepted {
		t.Errorf("the answered run is %s", got)
	}
}
