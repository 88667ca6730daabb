//go:build !linux

package abuse

import (
	"context"
	"strings"

	"agentd/sandbox"
)

// Main does nothing here: no payload is ever started.
func Main() {}

// Works selects the cases that guard against a sandbox that refuses too much.
func Works(id string) bool { return strings.HasPrefix(id, "W") }

// Run refuses: there are no boxes for programs on this system.
func Run(ctx context.Context, o sandbox.Options, only func(id string) bool, report func(Row)) error {
	return &sandbox.UnavailableError{Want: sandbox.LevelLandlock, Fix: sandbox.Probe().Fix}
}
