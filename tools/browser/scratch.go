package browser

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

func writable(dir string) bool {
	f, err := os.CreateTemp(dir, scratchName+"probe-")
	if err != nil {
		return false
	}
	return errors.Join(f.Close(), os.Remove(f.Name())) == nil
}

// newScratch makes a folder in base that is locked by a file beside it for as long as this process lives.
func newScratch(base string) (string, io.Closer, error) {
	sweep(base)
	dir, err := os.MkdirTemp(base, scratchName)
	if err != nil {
		return "", nil, fmt.Errorf("make a folder for the browser: %w", err)
	}
	f, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("make a folder for the browser: %w", err), os.Remove(dir))
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return "", nil, errors.Join(fmt.Errorf("lock the browser's folder: %w", err), f.Close(), os.Remove(f.Name()), os.Remove(dir))
	}
	return dir, lock{f}, nil
}

type lock struct{ *os.File }

// Close removes and frees the lock.
func (l lock) Close() error { return errors.Join(os.Remove(l.Name()), l.File.Close()) }

// sweep removes folders whose owner is dead. Its errors don't matter: the next one tries again.
func sweep(base string) {
	locks, _ := filepath.Glob(filepath.Join(base, scratchName+"*.lock"))
	for _, name := range locks {
		f, err := os.OpenFile(name, os.O_RDWR|syscall.O_NOFOLLOW, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(strings.TrimSuffix(name, ".lock"))
			_ = os.Remove(name)
		}
		_ = f.Close()
	}
}
