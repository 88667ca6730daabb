//go:build linux

package boxinit_test

import (
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"agentd/sandbox/boxinit"
)

func TestSpecRoundTrip(t *testing.T) {
	for _, s := range []*boxinit.Spec{
		{},
		{Steps: 7, Hostname: "box", Seccomp: []byte{1, 2, 3}, LandlockFS: 1 << 15, LandlockNet: 3, LandlockScope: 2,
			Ops:     []boxinit.Op{{Kind: boxinit.OpBind, Src: "/usr", Dst: "/usr", Flags: boxinit.ReadOnly, FD: -1}, {Kind: boxinit.OpListen, Num: 1 << 40, FD: 300}},
			Rlimits: []boxinit.Rlimit{{Resource: 7, Value: 1024}, {Resource: 4}}},
	} {
		got, err := boxinit.DecodeSpec(s.Encode())
		if err != nil || !reflect.DeepEqual(got, s) {
			t.Errorf("got %+v, %v, want %+v", got, err, s)
		}
	}
}

func TestMessagesRoundTrip(t *testing.T) {
	x := &boxinit.Exec{Argv: []string{"sh", "-c", ""}, Env: []string{"A=b"}, Dir: "/workspace", TTY: true, Rows: 24, Cols: 80, Extra: 2}
	if got, ok := boxinit.ParseExec(x.Encode()); !ok || !reflect.DeepEqual(got, x) {
		t.Errorf("exec: got %+v, %v", got, ok)
	}
	e := &boxinit.Exit{Status: 256, UserUS: 1, SysUS: 1 << 50, MaxRSSKB: 3}
	if got, err := boxinit.DecodeExit(e.Encode()); err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("exit: got %+v, %v", got, err)
	}
	b := &boxinit.Birth{Flags: 1 << 30, UID: 1, HostUID: 2, GID: 3, HostGID: 4, SetGroups: true, Spec: []byte("spec"), Argv: []string{"bwrap"}}
	if got, err := boxinit.DecodeBirth(b.Encode()); err != nil || !reflect.DeepEqual(got, b) {
		t.Errorf("birth: got %+v, %v", got, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add((&boxinit.Spec{Hostname: "box", Ops: []boxinit.Op{{Kind: 1, FD: -1}}}).Encode())
	f.Add((&boxinit.Exec{Argv: []string{"a"}}).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := boxinit.DecodeSpec(b); err == nil {
			again, err := boxinit.DecodeSpec(s.Encode())
			if err != nil || !reflect.DeepEqual(again, s) {
				t.Errorf("spec changed: %+v, %v, want %+v", again, err, s)
			}
		}
		if x, ok := boxinit.ParseExec(b); ok {
			again, ok := boxinit.ParseExec(x.Encode())
			if !ok || !reflect.DeepEqual(again, x) {
				t.Errorf("exec changed: %+v, %v, want %+v", again, ok, x)
			}
		}
		boxinit.DecodeExit(b)
		boxinit.DecodeBirth(b)
	})
}

// TestNothingEscapes guards the code that runs in a forked init, where the runtime can't allocate.
func TestNothingEscapes(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-gcflags=-m", "-o", filepath.Join(dir, "out"), ".")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !strings.Contains(string(out), "inlin") {
		t.Fatalf("the compiler said nothing: %s", out)
	}
	forked := regexp.MustCompile(`(?:^|/)((?:frame|sys|kept|view|net|landlock|confine|exec|run|fork|init)_linux\w*\.go):(\d+):\d+: .*(escapes to heap|moved to heap)`)
	for line := range strings.Lines(string(out)) {
		if m := forked.FindStringSubmatch(line); m != nil && !strings.Contains(line, "func literal escapes") { // warm, which a fork doesn't call
			t.Error(strings.TrimSpace(line))
		}
	}
}

// TestImports guards the start of every box: packages are initialised in the order of their paths as far as imports
// allow, and each import more lets others run first.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{join .Imports \" \"}}", "agentd/sandbox/boxinit").Output()
	if err != nil {
		t.Fatal(err)
	}
	for p := range strings.FieldsSeq(string(out)) {
		switch p {
		case "runtime", "strconv", "syscall", "unsafe":
		default:
			t.Errorf("imports %s", p)
		}
	}
}
