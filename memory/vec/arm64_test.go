//go:build !arm64

package vec

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestOnARM64 runs this package's tests for arm64 in an emulator: the kernels' with the NEON assembly, and the searches
// that are short enough.
func TestOnARM64(t *testing.T) {
	qemu, err := exec.LookPath("qemu-aarch64")
	if err != nil {
		t.Skip("qemu-aarch64 is not installed (package qemu-user)")
	}
	bin := filepath.Join(t.TempDir(), "vec.test")
	build := exec.Command("go", "test", "-c", "-o", bin, ".")
	build.Env = append(os.Environ(), "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build for arm64: %v\n%s", err, out)
	}
	run := exec.Command(qemu, bin, "-test.v", "-test.run", "^(TestKernelChosen|TestDotF32|TestScanAndGather|TestInt8|TestScanBits|TestTransform|TestEncodeKernels|TestRotationKeepsLengths|TestExactOnHardVectors|TestLiveRows|TestBatchAndThreadsAgree|FuzzKernels)$")
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("tests on arm64: %v\n%s", err, out)
	}
	if !strings.Contains(string(out), "kernel neon") || strings.Count(string(out), "\n--- PASS: ") != 12 {
		t.Errorf("not all tests ran with NEON:\n%s", out)
	}
}
