//go:build linux

package boxinit_test

import (
	"os/exec"
	"reflect"
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
	if got, err := boxinit.DecodeExec(x.Encode()); err != nil || !reflect.DeepEqual(got, x) {
		t.Errorf("exec: got %+v, %v", got, err)
	}
	e := &boxinit.Exit{Status: 256, UserUS: 1, SysUS: 1 << 50, MaxRSSKB: 3}
	if got, err := boxinit.DecodeExit(e.Encode()); err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("exit: got %+v, %v", got, err)
	}
	b := &boxinit.Birth{Role: "box", Flags: 1 << 30, UID: 1, HostUID: 2, GID: 3, HostGID: 4, SetGroups: true, Caps: true, Argv: []string{"bwrap"}}
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
		if x, err := boxinit.DecodeExec(b); err == nil {
			again, err := boxinit.DecodeExec(x.Encode())
			if err != nil || !reflect.DeepEqual(again, x) {
				t.Errorf("exec changed: %+v, %v, want %+v", again, err, x)
			}
		}
		boxinit.DecodeExit(b)
		boxinit.DecodeBirth(b)
	})
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
