package local

import (
	"os/exec"
	"syscall"
)

// isolate puts a program into a group of its own, so that a Ctrl-C at the terminal reaches only its owner.
func isolate(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
