//go:build linux

package abuse_test

import (
	"context"
	"errors"
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

// TestOrdinaryUser runs the table again as a user without privileges.
func TestOrdinaryUser(t *testing.T) { boxtest.AsUser(t) }

// TestFallbacks runs the table in the boxes of other backends, where this machine can make them. As root it is the works
// suite alone: without namespaces the others would be tried with root's own ids.
func TestFallbacks(t *testing.T) {
	for _, backend := range []string{"bubblewrap", "landlock"} {
		only := abuse.Works
		if os.Getuid() != 0 {
			only = nil
		}
		count := map[abuse.Outcome]int{}
		err := abuse.Run(context.Background(), sandbox.Options{Init: boxtest.Init(t), Backend: backend}, only, func(r abuse.Row) {
			count[r.Outcome]++
			switch r.Outcome {
			case abuse.Failed:
				t.Errorf("%s: %s %s: %s", backend, r.ID, r.Title, r.Detail)
			case abuse.NotApplicable:
				t.Logf("%s: not applicable: %s %s: %s", backend, r.ID, r.Title, r.Detail)
			}
		})
		if err != nil && !errors.Is(err, sandbox.ErrUnavailable) {
			t.Errorf("%s: %v", backend, err)
		}
		t.Logf("%s as user %d: %v", backend, os.Getuid(), count)
	}
}
