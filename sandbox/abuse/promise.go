//go:build linux

package abuse

import (
	"agentd/sandbox"

	"golang.org/x/sys/unix"
)

// unpromised are cases that the level landlock doesn't hold, and says so: there is no view, no pid namespace and no
// network namespace. They aren't tried, since what they do would reach real things.
var unpromised = map[string]string{
	"E8":  "protected paths inside the workspace need a mount namespace",
	"E9":  "protected paths inside the workspace need a mount namespace",
	"E18": "the host's /proc is visible: what it shows to every user can be read",
	"E33": "the box's init isn't process 1",
	"E35": "processes of the host are visible without a pid namespace",
	"E40": "signals stay within the box only from Linux 6.12 on, so that this isn't tried",
	"E45": "/tmp is a folder of the host: the limit on the disk holds for it",
	"E57": "unix sockets in readable folders can be reached",
	"E58": "no allow-list can be offered without a network namespace: nothing is reached at all",
	"E59": "no allow-list can be offered without a network namespace: nothing is reached at all",
	"E69": "there is no loopback of the box's own",
}

// otherErrors are how the level landlock refuses what a box with a view of its own doesn't even show.
var otherErrors []error

// expect tells a payload at which level it runs.
func expect(l sandbox.Level) {
	if l == sandbox.LevelLandlock {
		otherErrors = []error{unix.EACCES, unix.EPERM, unix.EAFNOSUPPORT}
	}
}
