//go:build linux

package sandbox_test

import (
	"testing"

	"agentd/sandbox"
	"agentd/sandbox/boxtest"
)

// options are the ones that every test opens a Box with.
func options(t testing.TB) sandbox.Options {
	t.Helper()
	return sandbox.Options{Init: boxtest.Init(t)}
}
