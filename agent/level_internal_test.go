package agent

import (
	"testing"

	"agentd/goals"
	"agentd/sandbox"
)

func TestAtLeast(t *testing.T) {
	for _, c := range []struct {
		least sandbox.Level
		min   string
		want  sandbox.Level
	}{
		{sandbox.LevelLandlock, "", sandbox.LevelLandlock},
		{sandbox.LevelLandlock, "namespaces", sandbox.LevelNamespaces},
		{sandbox.LevelNamespaces, "landlock", sandbox.LevelNamespaces},
		{sandbox.LevelNone, "landlock", sandbox.LevelLandlock}, // a flag of the daemon takes nothing from a goal
		{sandbox.LevelNone, "", sandbox.LevelNone},
		{sandbox.LevelLandlock, "gvisor", sandbox.LevelGVisor},
		{sandbox.LevelLandlock, "misspelt", sandbox.LevelGVisor},
	} {
		var g goals.Goal
		g.Sandbox.Min = c.min
		if got := atLeast(c.least, g); got != c.want {
			t.Errorf("at least %v and %q: got %v, want %v", c.least, c.min, got, c.want)
		}
	}
}
