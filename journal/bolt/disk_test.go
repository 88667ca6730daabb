//go:build linux

package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"agentd/journal"
	"agentd/journal/bolt"
	"agentd/journal/journaltest"
)

// TestFullDisk runs fillDisk in mount namespace of its own.
func TestFullDisk(t *testing.T) {
	argv := append(self(t, "full"), t.TempDir())
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || strings.Contains(string(out), noMount) {
		t.Skipf("needs root, or user namespaces, to mount a small tmpfs: %v %s", err, out)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

const noMount = "can't mount a tmpfs"

// fillDisk fills a small tmpfs with a journal, and later makes it read-only.
func fillDisk(dir string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("%s: %w", noMount, err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		return fmt.Errorf("%s: %w", noMount, err)
	}
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 300<<10), 0o600); err != nil {
		return err
	}
	home := filepath.Join(dir, "home")
	st, err := bolt.Open(bolt.Options{Dir: home})
	if err != nil {
		return err
	}
	seq, err := appendUntilFull(st)
	if err != nil {
		return err
	}
	fmt.Printf("full after %d events\n", seq)
	// It stays full, in all ways of writing.
	ctx := context.Background()
	if _, err := st.Append(ctx, runID(1), seq, journal.MessageSent{Text: strings.Repeat("x", 100<<10)}); !errors.Is(err, journal.ErrFull) {
		return fmt.Errorf("a second append to a full disk: %w, want ErrFull", err)
	}
	if _, _, err := st.PutBlob(ctx, runID(1), strings.NewReader(strings.Repeat("x", 2<<20))); !errors.Is(err, journal.ErrFull) {
		return fmt.Errorf("put blob on a full disk: %w, want ErrFull", err)
	}
	if left, err := filepath.Glob(filepath.Join(home, "blobs", "*")); err != nil || len(left) > 0 {
		return fmt.Errorf("a blob that did not fit left %v, %w", left, err)
	}
	if err := expect(st, seq); err != nil {
		return fmt.Errorf("while full: %w", err)
	}
	// With room again, it goes on.
	if err := os.Remove(filler); err != nil {
		return err
	}
	if _, err := st.Append(ctx, runID(1), seq, journaltest.Note(int(seq)+1)); err != nil {
		return fmt.Errorf("append with room again: %w", err)
	}
	if err := st.Close(); err != nil {
		return err
	}
	if err := bolt.CheckFile(filepath.Join(home, "runs.db")); err != nil {
		return err
	}
	return readOnly(dir, home, seq+1)
}

func appendUntilFull(st *bolt.Store) (journal.Seq, error) {
	ctx := context.Background()
	if _, _, err := st.Create(ctx, runID(1), "key", journaltest.Started("full")); err != nil {
		return 0, err
	}
	text := strings.Repeat("x", 2000)
	for seq := journal.Seq(1); ; {
		next, err := st.Append(ctx, runID(1), seq, journal.MessageSent{Text: fmt.Sprint(seq+1, " ", text)})
		switch {
		case errors.Is(err, journal.ErrFull):
			if !strings.Contains(err.Error(), "no space left in the data folder") {
				return 0, fmt.Errorf("the error does not say what is full: %w", err)
			}
			return seq, nil
		case err != nil:
			return 0, err
		case next > 10_000:
			return 0, errors.New("1 MB never gets full")
		}
		seq = next
	}
}

// expect reads all of the run: it has last events and no more.
func expect(st *bolt.Store, last journal.Seq) error {
	n := journal.Seq(0)
	for r, err := range st.Read(context.Background(), runID(1), 0) {
		if n++; err != nil || r.Seq != n {
			return fmt.Errorf("event %d: got %d, %w", n, r.Seq, err)
		}
	}
	if n != last {
		return fmt.Errorf("got %d events, %d were acknowledged", n, last)
	}
	return nil
}

// readOnly makes the mounted folder read-only: opening says so, and nothing is lost by it.
func readOnly(mount, home string, last journal.Seq) error {
	if err := syscall.Mount("", mount, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		return err
	}
	if st, err := bolt.Open(bolt.Options{Dir: home}); !errors.Is(err, journal.ErrReadOnly) || !strings.Contains(err.Error(), home) {
		if err == nil {
			err = st.Close()
		}
		return fmt.Errorf("open in a read-only folder: %w, want ErrReadOnly and the folder's name", err)
	}
	if st, err := bolt.Open(bolt.Options{Dir: filepath.Join(mount, "new")}); !errors.Is(err, journal.ErrReadOnly) {
		if err == nil {
			err = st.Close()
		}
		return fmt.Errorf("make a folder in a read-only one: %w, want ErrReadOnly", err)
	}
	if err := syscall.Mount("", mount, "", syscall.MS_REMOUNT, ""); err != nil {
		return err
	}
	st, err := bolt.Open(bolt.Options{Dir: home})
	if err != nil {
		return err
	}
	return errors.Join(expect(st, last), st.Close())
}

// TestNoPermission is for those who can't be root: root may write everywhere.
func TestNoPermission(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may write to any folder; TestFullDisk has the read-only mount")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(bolt.Options{Dir: filepath.Join(dir, "home")}); !errors.Is(err, journal.ErrReadOnly) {
		t.Errorf("got %v, want ErrReadOnly", err)
	}
}
