package tools

import (
	"os"

	"golang.org/x/sys/unix"
)

// nameless makes an empty file that no path leads to, in memory.
func nameless(label string) (*os.File, error) {
	fd, err := unix.MemfdCreate(label, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), label), nil
}
