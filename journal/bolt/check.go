package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	bbolt "go.etcd.io/bbolt"

	"agentd/journal"
)

// DamagedError is returned when a journal's file is not whole. It matches journal.ErrCorrupt.
type DamagedError struct {
	Path string
	What string
}

func (e *DamagedError) Error() string { return fmt.Sprintf("%s is damaged: %s", e.Path, e.What) }

// Unwrap makes it match journal.ErrCorrupt.
func (e *DamagedError) Unwrap() error { return journal.ErrCorrupt }

// Hint says what to do.
func (e *DamagedError) Hint() string {
	return fmt.Sprintf("nothing was changed. Move %s and the blobs folder beside it away and unpack the last backup (agentctl backup makes a tar) there, or start with an empty folder", e.Path)
}

// checkTimeout bounds the check in a child process.
const checkTimeout = 10 * time.Minute

// check proves that the file can be given to bbolt: always its size and header, and after an unclean stop all of its
// structure, the second time by bbolt itself in a process that may die of it. cut is whether the last commit was cut off.
func (s *Store) check(unclean bool, command []string) (cut bool, err error) {
	fault, err := precheck(s.path())
	switch {
	case errors.Is(err, os.ErrNotExist):
		return false, nil // it is made
	case err != nil:
		return false, err
	case fault != "" && !unclean:
		return false, &DamagedError{Path: s.path(), What: fault + ": the last commit may be lost"}
	case !unclean:
		return false, nil
	case fault != "":
		// A power cut in the middle of a commit can do this. The commit was not acknowledged.
		s.log.Warn("journal's last commit was cut off", "path", s.path(), "fault", fault)
	}
	s.log.Info("checking the journal after an unclean stop", "path", s.path())
	if err := checkTree(s.path()); err != nil {
		return false, err
	}
	if len(command) == 0 {
		return fault != "", nil
	}
	return fault != "", s.checkElsewhere(command)
}

// checkElsewhere runs the command that checks the file.
func (s *Store) checkElsewhere(command []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], append(command[1:len(command):len(command)], s.path())...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		first, _, _ := bytes.Cut(bytes.TrimSpace(out.Bytes()), []byte("\n"))
		return &DamagedError{Path: s.path(), What: fmt.Sprintf("its check ended with %s: %.300s", exit.ProcessState, first)}
	case err != nil:
		return fmt.Errorf("check %s: %w", s.path(), err)
	}
	return nil
}

// CheckFile checks the structure of a journal's file: first by our own reading of it, then by bbolt's. bbolt can take
// the process down on a broken file, so it is meant for a process of its own.
func CheckFile(path string) (err error) {
	// One broken header of two is no fault here: whoever opens the file knows whether a commit can have been cut off.
	if err := checkTree(path); err != nil {
		return err
	}
	return checkWithBolt(path)
}

func checkWithBolt(path string) (err error) {
	defer guard(path, &err)()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second, PreLoadFreelist: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return fmt.Errorf("check %s: %w", path, err)
	}
	defer db.Close()
	return db.View(func(tx *bbolt.Tx) error {
		var first error
		n := 0
		for err := range tx.Check() {
			if n++; first == nil {
				first = err
			}
		}
		if first != nil {
			return &DamagedError{Path: path, What: fmt.Sprintf("%v (and %d more faults)", first, n-1)}
		}
		return nil
	})
}
