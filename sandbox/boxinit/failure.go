package boxinit

import (
	"strconv"
	"syscall"
)

// failure says where the set-up of a box failed. The init sends numbers, and the daemon puts them into words.
type failure struct {
	stage stage
	op    int // of stageOp
	errno syscall.Errno
}

// ok is no failure.
var ok failure

func failed(s stage, errno syscall.Errno) failure { return failure{s, 0, errno} }

type stage uint8

const (
	stageMessage stage = 1 + iota
	stageDescriptors
	stageSession
	stageIDs
	stageDumpable
	stageSubreaper
	stageLandlock
	stagePrivate
	stageTemplate
	stageRoot
	stagePivot
	stageOldRoot
	stageReadOnly
	stageLoopback
	stageHostname
	stageOp
	stageHandOut
	stageLimits
	stageBounding
	stageCaps
	stageNewPrivs
	stageSeccomp
	stageSignals
	stageTerminal
	stageAtEnd
	stageStatic // the last one
)

var stageNames = [...]string{
	stageMessage: "read what to build", stageDescriptors: "arrange descriptors", stageSession: "start a session", stageIDs: "become the box's user",
	stageDumpable: "become undumpable", stageSubreaper: "become subreaper", stageLandlock: "landlock", stagePrivate: "make mounts private",
	stageTemplate: "use the template", stageRoot: "mount the root", stagePivot: "pivot_root", stageOldRoot: "unmount the old root",
	stageReadOnly: "make the root read-only", stageLoopback: "bring loopback up", stageHostname: "set host name", stageHandOut: "open /proc and scratch space",
	stageLimits: "set limits", stageBounding: "drop the bounding set", stageCaps: "drop capabilities", stageNewPrivs: "no_new_privs", stageSeccomp: "seccomp",
	stageSignals: "watch for signals", stageTerminal: "open terminal", stageAtEnd: "set-up",
	stageStatic: "this program was built with cgo and can't confine all its threads: build it with CGO_ENABLED=0",
}

var opNames = [...]string{"", "make folder", "make link", "write file", "bind", "bind on itself", "bind", "mount tmpfs at", "mount proc at", "mount devpts at", "listen on port", "allow", "add address"}

// FailureText says what the body of a FrameError means, given what was to be built.
func FailureText(body []byte, s *Spec) string {
	n, err := DecodeNums(body, 3)
	if err != nil {
		return err.Error()
	}
	reason := syscall.Errno(n[2]).Error()
	if n[0] != uint64(stageOp) {
		return stageNames[min(n[0], uint64(stageStatic))] + ": " + reason
	}
	if s == nil || n[1] >= uint64(len(s.Ops)) {
		return reason
	}
	op := s.Ops[n[1]]
	what := "op"
	if int(op.Kind) < len(opNames) {
		what = opNames[op.Kind]
	}
	switch op.Kind {
	case OpBind, OpAlias:
		what += " " + op.Src + " at"
	case OpListen:
		return what + " " + strconv.FormatUint(op.Num, 10) + ": " + reason
	case OpAddress:
		return what + " " + op.Src + ": " + reason
	}
	return what + " " + op.Dst + ": " + reason
}
