package boxtest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// AsUser runs the tests of the calling package again as a user without privileges, except the calling one. It does
// nothing where the tests run as such a user already.
func AsUser(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Log("the tests run as an ordinary user already")
		return
	}
	const uid = 61183 // nobody has it
	dir, err := os.MkdirTemp("", "boxuser")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	program, tmp := filepath.Join(dir, "test"), filepath.Join(dir, "tmp")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(program, self, 0o755), os.Mkdir(tmp, 0o700), os.Chown(tmp, uid, uid)); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program, "-test.run", "^Test", "-test.skip", "^"+t.Name()+"$")
	c.Dir, c.Env = tmp, append(os.Environ(), "TMPDIR="+tmp, "HOME="+tmp, Env+"="+Tool(t))
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("as user %d: %v\n%s", uid, err, out)
	}
}
