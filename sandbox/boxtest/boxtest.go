// Package boxtest gives tests a program that can become a box's init, also where the test itself can't: a test binary
// with the race detector is built with cgo.
package boxtest

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Env names a program that was built already, for a test that is run by another.
const Env = "AGENTD_BOXTEST_INIT"

var build = sync.OnceValues(func() (string, error) {
	// One place per content, so that test runs side by side share it and many of them leave one file each version.
	base := filepath.Join(os.TempDir(), fmt.Sprintf("agentd-boxtest-%d", os.Getuid()))
	if err := os.MkdirAll(base, 0o755); err != nil { // the box's user must reach it
		return "", err
	}
	dir, err := os.MkdirTemp(base, "build")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "boxtool")
	cmd := exec.Command("go", "build", "-trimpath", "-o", out, "agentd/sandbox/internal/boxtool")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", &exec.Error{Name: "go build boxtool: " + string(text), Err: err}
	}
	program, err := os.ReadFile(out)
	if err != nil {
		return "", err
	}
	final := filepath.Join(base, fmt.Sprintf("boxtool-%x", sha256.Sum256(program)))
	return final, os.Rename(out, final)
})

// Init returns the program for sandbox.Options.Init: empty where the test itself is static. The program is built once
// and stays in the temporary folder.
func Init(t testing.TB) string {
	t.Helper()
	if !cgo {
		return ""
	}
	return Tool(t)
}

// Tool returns the program sandbox/internal/boxtool, built.
func Tool(t testing.TB) string {
	t.Helper()
	if path := os.Getenv(Env); path != "" {
		return path
	}
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
