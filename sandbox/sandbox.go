// Package sandbox confines one command: what it sees, what it may do, what it may use up and where it may connect.
package sandbox

import (
	"io"
	"os"
	"time"

	"agentd/sandbox/egress"
)

// Level orders how much isolation a backend gives. The zero Level means LevelLandlock as a minimum.
type Level int

// The levels.
const (
	LevelNone       Level = 1 + iota // nothing enforced: only by an explicit flag
	LevelWasm                        // an interpreter inside the daemon; code tool only
	LevelLandlock                    // Landlock, seccomp and rlimits, the host's namespaces
	LevelNamespaces                  // own user, mount, pid, net, ipc and uts namespaces
	LevelGVisor                      // a kernel of its own
)

// Policy is what one command may do. It is plain data, stored with a run for audit. The zero value of a field means the
// stated default. A path that doesn't exist, a relative path or one with ".." is refused before anything starts.
type Policy struct {
	Workspace  string            `json:"workspace"`           // writable at /workspace; the working directory
	ReadOnlyWS bool              `json:"readonly,omitempty"`  // /workspace is read-only
	ReadOnly   []string          `json:"read_only,omitempty"` // more host paths, bound read-only at the same place
	Protect    []string          `json:"protect,omitempty"`   // workspace paths (slash-separated, relative; globs) that stay read-only, also when they don't exist yet
	Hide       []string          `json:"hide,omitempty"`      // workspace paths (slash-separated, relative, no globs) that the box shows empty and read-only
	Caches     map[string]string `json:"caches,omitempty"`    // host folder -> path in the box, writable: build caches a run owns
	Env        map[string]string `json:"env,omitempty"`       // added to the box's own PATH, HOME, LANG, TMPDIR; nothing is inherited
	Net        Net               `json:"net"`
	Limits     Limits            `json:"limits"`
	Require    Level             `json:"require,omitempty"` // Run refuses below it
}

// Net says where a box may connect. The zero value is nowhere.
type Net struct {
	// Allow holds HOST:PORT, *.SUFFIX:PORT, CIDR:PORT, or Public: opened on the user's authority. Metadata addresses
	// never are.
	Allow []string `json:"allow,omitempty"`
	// Secrets are added to requests for their hosts, which Allow must open. The box trusts Options.Roots then.
	Secrets []Secret `json:"secrets,omitempty"`
}

// Limits bound one command. A zero field has a default (Defaults); a negative one is refused.
type Limits struct {
	Wall, CPU    time.Duration
	Memory, Disk int64 // bytes, of the whole box
	File         int64 // bytes, one file
	Output       int64 // bytes of stdout and stderr together, then the box is killed
	Procs, Files int
}

// Command is what runs in the box. Argv[0] is looked up in the box's PATH.
type Command struct {
	Argv       []string
	Dir        string // relative to the workspace
	Stdin      io.Reader
	Stdout     io.Writer
	Stderr     io.Writer // nil: the same as Stdout
	TTY        bool
	ExtraFiles []*os.File // become descriptors 3, 4, …
}

// Reason is the limit that ended a command.
type Reason string

// The reasons.
const (
	KilledWall      Reason = "wall"
	KilledCPU       Reason = "cpu"
	KilledMemory    Reason = "memory"
	KilledProcs     Reason = "procs"
	KilledDisk      Reason = "disk"
	KilledOutput    Reason = "output"
	KilledCancelled Reason = "cancelled"
)

// Usage is what a command used.
type Usage struct {
	Wall, CPU time.Duration
	MaxRSS    int64
}

// Result is how a command ended. A non-zero Exit is not an error of Run.
type Result struct {
	Exit   int    // exit code; 128+n for signal n
	Signal string // name of the signal that ended it, or ""
	Killed Reason // the limit that ended it, or ""
	Detail string // of Killed, in words that a model can act on: "memory, 2.0 GiB"
	Usage  Usage
	Level  Level
	Denied []Denial          // connections it wanted and didn't get; the first few
	Egress []egress.Decision // all that was decided about its connections: hosts, counts, bytes
}

// Guarantee is one thing a sandbox may enforce.
type Guarantee struct {
	Name   string `json:"name"`  // fs, net, pid, memory, procs, cpu, disk, syscalls, ids
	State  string `json:"state"` // enforced, partial, absent
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"` // why it is not enforced, and what would provide it
}

// Report says what holds on this machine.
type Report struct {
	Level      Level       `json:"level"`
	Backend    string      `json:"backend"`
	Kernel     string      `json:"kernel"`
	Guarantees []Guarantee `json:"guarantees"`
	Fix        string      `json:"fix,omitempty"` // what would raise the level
}
