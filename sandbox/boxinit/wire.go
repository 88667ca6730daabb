// Package boxinit is the first program of a box. A program that links it and is executed again with the marker variable
// in its environment never reaches main: it becomes the nursery, which forks an init for every box. An init builds the
// view, gives up every privilege and starts the payload.
//
// It imports nothing but syscall, unsafe, runtime and strconv. Go initialises packages in the order of their import
// paths as far as their imports allow, so this one runs before the large libraries that the daemon links.
package boxinit

import "strconv"

// Marker is the environment variable that tells a program to become a box's init. It carries no configuration:
// that arrives on descriptor 3, where a payload can't read it.
const Marker = "AGENTD_BOXINIT"

// The roles that the marker's value names.
const (
	RoleBox     = "box"     // become the init of a box whose namespaces are there
	RoleNursery = "nursery" // fork inits for the daemon
)

// Kind is what an Op does.
type Kind byte

// The kinds of Op.
const (
	OpDir     Kind = 1 + iota // make the folder Dst with mode Num
	OpLink                    // make the symbolic link Dst that points to Src
	OpFile                    // write Src as the content of the file Dst with mode Num
	OpBind                    // bind Src of the old view (or mount descriptor FD) at Dst with Flags
	OpRebind                  // bind Dst of the new view on itself with Flags
	OpAlias                   // bind Src of the new view at Dst with Flags
	OpTmpfs                   // mount a tmpfs with the options Src at Dst
	OpProc                    // mount proc at Dst
	OpDevpts                  // mount a private devpts at Dst
	OpListen                  // listen on the loopback TCP port Num inside the box and hand the socket out
	OpAllow                   // Landlock: allow access below Dst; Num holds the rights
	OpAddress                 // give the loopback interface the further IPv4 address Src
)

// Flags of a bind.
const (
	ReadOnly  = 1 << 0
	NoSuid    = 1 << 1
	NoDev     = 1 << 2
	NoExec    = 1 << 3
	Recursive = 1 << 4
	Optional  = 1 << 5 // a source that doesn't exist is left out
)

// Op is one step of building the view.
type Op struct {
	Kind     Kind
	Src, Dst string
	Flags    uint32
	Num      uint64
	FD       int // index into the descriptors that came with the spec, or -1
}

// Rlimit is one resource limit.
type Rlimit struct {
	Resource uint32
	Value    uint64
}

// Steps that an init takes.
const (
	StepNamespaces = 1 << 0 // build a view: mounts, pivot_root, host name, loopback
	StepLandlock   = 1 << 1 // restrict with the OpAllow rules
	StepCaps       = 1 << 2 // give up all capabilities
	StepSubreaper  = 1 << 3 // adopt orphans: there is no pid namespace
	StepTemplate   = 1 << 5 // build a view for others to copy, and hand copies out
	StepTree       = 1 << 6 // the first descriptor is a copy of a template: build on it
	StepHandOut    = 1 << 7 // the view is there already: hand its /proc and scratch space out
	StepKeptNet    = 1 << 8 // the network namespace is kept for a later box: loopback is up, and the end says whether it is as it was
	StepFailAtEnd  = 1 << 4 // fail just before the payload would start: a test of what a failed set-up does
)

// Spec is what an init builds. Programs are given later, by an Exec.
type Spec struct {
	Steps    uint32
	Hostname string
	Ops      []Op
	Rlimits  []Rlimit
	Seccomp  []byte // sock_filter array, or empty
	// LandlockFS, LandlockNet and LandlockScope are the rights that Landlock handles.
	LandlockFS, LandlockNet, LandlockScope uint64
}

// Exec is the program to start in a prepared box.
type Exec struct {
	Argv, Env []string
	Dir       string
	TTY       bool
	Rows      uint32
	Cols      uint32
	Extra     uint32 // descriptors beyond stdin, stdout and stderr
}

// Frame kinds: the first byte of every message on the control socket.
const (
	FrameSpec    = 'S' // daemon to an init that was executed: Spec
	FrameExec    = 'X' // daemon to init: Exec, with the payload's descriptors
	FrameSignal  = 'K' // daemon to init: signal number for the payload's process group
	FrameDial    = 'D' // daemon to init: request id and port
	FrameSize    = 'W' // daemon to init: rows and columns
	FrameReady   = 'R' // init to daemon: the box is built; descriptors of its /proc, its scratch tmpfs and its listeners
	FrameError   = 'E' // init to daemon: what failed (FailureText); init ends. Nursery to daemon: why, in words
	FrameStarted = 'P' // init to daemon: the payload runs; the terminal's master, if any
	FrameMissing = 'M' // init to daemon: the program can't be started; the error number
	FrameExit    = 'Z' // init to daemon: the payload ended and nothing else is left in the box
	FrameBirth   = 'B' // nursery: start an init, with mount descriptors; its pid and pidfd
	FrameNet     = 'N' // nursery: make a network namespace; its descriptor
	FrameTree    = 'T' // both ways: a copy of the template
	FrameConn    = 'C' // init to daemon: answer to a dial: its id and an error number, or a socket
)

// MaxFrame bounds a message on the control socket.
const MaxFrame = 32 << 20

// Exit is how a payload ended.
type Exit struct {
	Status        uint32 // wait status
	UserUS, SysUS uint64
	MaxRSSKB      uint64
	Quiet         uint64 // 1: no connection is left in the kernel's memory of the network namespace. Only told where that is kept
}

type encoder []byte

func (e *encoder) num(v uint64) {
	for v >= 0x80 {
		*e = append(*e, byte(v)|0x80)
		v >>= 7
	}
	*e = append(*e, byte(v))
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func (e *encoder) str(s string) {
	e.num(uint64(len(s)))
	*e = append(*e, s...)
}

func (e *encoder) strs(list []string) {
	e.num(uint64(len(list)))
	for _, s := range list {
		e.str(s)
	}
}

// decoder reads what an encoder wrote. After the first error everything reads as zero and bad stays set.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) num() uint64 {
	var v uint64
	for i, c := range d.b {
		if i > 9 {
			break
		}
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			d.b = d.b[i+1:]
			return v
		}
	}
	d.bad, d.b = true, nil
	return 0
}

func (d *decoder) str() string {
	n := d.num()
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

// count reads the length of a list of things that take at least one byte each.
func (d *decoder) count() int {
	n := d.num()
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return 0
	}
	return int(n)
}

func (d *decoder) strs() []string {
	n := d.count()
	if n == 0 {
		return nil
	}
	list := make([]string, 0, min(n, 4096))
	for range n {
		if d.bad {
			return nil
		}
		list = append(list, d.str())
	}
	return list
}

// Encode returns the wire form of s.
func (s *Spec) Encode() []byte {
	e := make(encoder, 0, 4096+len(s.Seccomp))
	e.num(uint64(s.Steps))
	e.str(s.Hostname)
	e.num(uint64(len(s.Ops)))
	for _, op := range s.Ops {
		e = append(e, byte(op.Kind))
		e.str(op.Src)
		e.str(op.Dst)
		e.num(uint64(op.Flags))
		e.num(op.Num)
		e.num(uint64(op.FD + 1))
	}
	e.num(uint64(len(s.Rlimits)))
	for _, l := range s.Rlimits {
		e.num(uint64(l.Resource))
		e.num(l.Value)
	}
	e.str(string(s.Seccomp))
	e.num(s.LandlockFS)
	e.num(s.LandlockNet)
	e.num(s.LandlockScope)
	return e
}

// DecodeSpec reads what Encode wrote.
func DecodeSpec(b []byte) (*Spec, error) {
	d := decoder{b: b}
	s := &Spec{Steps: uint32(d.num()), Hostname: d.str()}
	for range d.count() {
		if d.bad || len(d.b) == 0 {
			break
		}
		op := Op{Kind: Kind(d.b[0])}
		d.b = d.b[1:]
		op.Src, op.Dst, op.Flags, op.Num = d.str(), d.str(), uint32(d.num()), d.num()
		op.FD = int(uint32(d.num())) - 1
		s.Ops = append(s.Ops, op)
	}
	for range d.count() {
		s.Rlimits = append(s.Rlimits, Rlimit{uint32(d.num()), d.num()})
		if d.bad {
			break
		}
	}
	if f := d.str(); f != "" {
		s.Seccomp = []byte(f)
	}
	s.LandlockFS, s.LandlockNet, s.LandlockScope = d.num(), d.num(), d.num()
	return s, d.end("spec")
}

// zstr writes s with the zero byte that the kernel wants, so that an init can use it in place.
func (e *encoder) zstr(s string) {
	e.num(uint64(len(s) + 1))
	*e = append(append(*e, s...), 0)
}

// Encode returns the wire form of x.
func (x *Exec) Encode() []byte {
	e := make(encoder, 0, 1024)
	e.num(bit(x.TTY))
	e.num(uint64(x.Rows))
	e.num(uint64(x.Cols))
	e.num(uint64(x.Extra))
	e.zstr(x.Dir)
	for _, list := range [2][]string{x.Argv, x.Env} {
		e.num(uint64(len(list)))
		for _, s := range list {
			e.zstr(s)
		}
	}
	return e
}

// Encode returns the wire form of x.
func (x *Exit) Encode() []byte {
	var e encoder
	e.num(uint64(x.Status))
	e.num(x.UserUS)
	e.num(x.SysUS)
	e.num(x.MaxRSSKB)
	e.num(x.Quiet)
	return e
}

// DecodeExit reads what Encode wrote.
func DecodeExit(b []byte) (*Exit, error) {
	d := decoder{b: b}
	x := &Exit{uint32(d.num()), d.num(), d.num(), d.num(), d.num()}
	return x, d.end("exit")
}

// EncodeNums returns the wire form of a few numbers.
func EncodeNums(list ...uint64) []byte {
	var e encoder
	for _, v := range list {
		e.num(v)
	}
	return e
}

// DecodeNums reads n numbers.
func DecodeNums(b []byte, n int) ([]uint64, error) {
	d := decoder{b: b}
	list := make([]uint64, n)
	for i := range list {
		list[i] = d.num()
	}
	return list, d.end("numbers")
}

func (d *decoder) end(what string) error {
	if d.bad || len(d.b) != 0 {
		return wireError(what)
	}
	return nil
}

type wireError string

func (e wireError) Error() string { return "malformed " + string(e) + " message" }

func itoa(n int) string { return strconv.Itoa(n) }
