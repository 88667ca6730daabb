//go:build linux

package abuse_test

import (
	"context"
	"os"
	"testing"

	"agentd/sandbox"
	"agentd/sandbox/abuse"
	"agentd/sandbox/boxtest"
)

func TestMain(m *testing.M) {
	abuse.Main()
	os.Exit(m.Run())
}

// TestAbuse runs the whole table. The same table is a user's command.
func TestAbuse(t *testing.T) {
	err := abuse.Run(context.Background(), sandbox.Options{Init: boxtest.Init(t)}, nil, func(r abuse.Row) {
		t.Run(r.ID, func(t *testing.T) {
			switch r.Outcome {
			case abuse.Failed:
				t.Errorf("%s: %s", r.Title, r.Detail)
			case abuse.NotApplicable:
				t.Logf("not applicable: %s: %s", r.Title, r.Detail)
			}
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}
