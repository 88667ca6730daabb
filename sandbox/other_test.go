//go:build !linux

package sandbox_test

import (
	"errors"
	"testing"

	"agentd/sandbox"
)

// TestRefused checks that a system without boxes says so, and starts nothing.
func TestRefused(t *testing.T) {
	b, err := sandbox.Open(sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if r := b.Report(); r.Level != sandbox.LevelNone || r.Fix == "" || r.Guarantee("fs").State != "absent" {
		t.Errorf("got %+v", r)
	}
	for _, require := range []sandbox.Level{0, sandbox.LevelNone} {
		_, err = b.Run(t.Context(), sandbox.Policy{Workspace: t.TempDir(), Require: require}, sandbox.Command{Argv: []string{"true"}})
		if !errors.Is(err, sandbox.ErrUnavailable) {
			t.Errorf("requiring %s: got %v, want ErrUnavailable", require, err)
		}
	}
}
