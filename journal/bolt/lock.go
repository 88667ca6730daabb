package bolt

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// LockedError is returned by Open when another process has the data folder open.
type LockedError struct {
	Dir string
	PID int // 0 if it could not be read
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("the data folder %s is in use by another process", e.Dir)
	}
	return fmt.Sprintf("the data folder %s is in use by process %d", e.Dir, e.PID)
}

// Hint says what to do.
func (e *LockedError) Hint() string {
	return "stop it first (agentctl daemon stop), or choose another folder with AGENTD_HOME"
}

// folderLock is the lock file of a data folder. It holds the owner's pid while the journal is open and is emptied by a
// clean close, so what it holds when it is next locked tells how the last owner ended.
type folderLock struct {
	f *os.File
	// unclean is whether the last owner did not close the journal.
	unclean bool
}

// lockFolder takes dir's lock, waiting up to wait for another process to leave it.
func lockFolder(dir string, wait time.Duration) (*folderLock, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(wait); ; time.Sleep(20 * time.Millisecond) {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(end) {
			break
		}
	}
	held, rerr := io.ReadAll(io.LimitReader(f, 64))
	if err == nil && rerr != nil {
		err = rerr
	}
	text := strings.TrimSpace(string(held))
	if err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			pid, _ := strconv.Atoi(text) // 0 when the other has just begun
			return nil, &LockedError{Dir: dir, PID: pid}
		}
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return &folderLock{f: f, unclean: text != ""}, nil
}

// claim writes our pid, durably, before the journal is opened.
func (l *folderLock) claim() error {
	line := strconv.Itoa(os.Getpid()) + "\n"
	if _, err := l.f.WriteAt([]byte(line), 0); err != nil {
		return err
	}
	if err := l.f.Truncate(int64(len(line))); err != nil {
		return err
	}
	return l.f.Sync()
}

// release unlocks the folder; clean also forgets the pid.
func (l *folderLock) release(clean bool) error {
	var err error
	if clean {
		if err = l.f.Truncate(0); err == nil {
			err = l.f.Sync()
		}
	}
	return errors.Join(err, l.f.Close())
}
