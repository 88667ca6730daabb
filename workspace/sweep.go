package workspace

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Remove forgets a snapshot and frees what only it held. One that isn't there is no error.
func Remove(store, id string) error {
	if !idForm.MatchString(id) {
		return fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	if err := removeMarks(store, id); err != nil {
		return fmt.Errorf("remove snapshot: %w", err)
	}
	for _, name := range []string{id + sealed, id} {
		if err := os.Remove(filepath.Join(store, snapDir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove snapshot: %w", err)
		}
	}
	_, err := Sweep(store)
	return err
}

// Sweep deletes contents that no snapshot holds, what a crash left behind among them, and returns the bytes freed. It
// deletes nothing if any snapshot can't be read. It waits for snapshots being taken.
func Sweep(store string) (freed int64, err error) {
	unlock, err := lock(store, unix.LOCK_EX)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("sweep snapshots: %w", err)
	}
	defer unlock()
	used := map[string]bool{}
	snaps, err := os.ReadDir(filepath.Join(store, snapDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("sweep snapshots: %w", err)
	}
	for _, e := range snaps {
		path := filepath.Join(store, snapDir, e.Name())
		if strings.HasPrefix(e.Name(), ".tmp-") {
			os.Remove(path) // the lock says that nobody writes it
			continue
		}
		h, err := readHead(path)
		if err != nil {
			return 0, fmt.Errorf("sweep snapshots: %s: %w: nothing was deleted; remove that file if the run it belongs to is not needed", path, err)
		}
		for _, p := range h.Packs {
			used[p] = true
		}
	}
	packs, err := os.ReadDir(filepath.Join(store, packDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("sweep snapshots: %w", err)
	}
	for _, e := range packs {
		if used[e.Name()] {
			continue
		}
		if info, err := e.Info(); err == nil {
			freed += info.Size()
		}
		if err := os.Remove(filepath.Join(store, packDir, e.Name())); err != nil {
			return freed, fmt.Errorf("sweep snapshots: %w", err)
		}
	}
	return freed, nil
}

// readHead reads a manifest's header alone.
func readHead(path string) (header, error) {
	f, err := os.Open(path)
	if err != nil {
		return header{}, err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	var b []byte
	for range 3 {
		line, err := r.ReadSlice('\n')
		for errors.Is(err, bufio.ErrBufferFull) && len(b) < 64<<20 {
			b = append(b, line...)
			line, err = r.ReadSlice('\n')
		}
		if err != nil {
			return header{}, errDamaged
		}
		b = append(b, line...)
	}
	h, _, err := decodeHead(b)
	return h, err
}

// lock takes the store's lock, shared by snapshots being taken and exclusive for a sweep.
func lock(store string, how int) (unlock func(), err error) {
	if _, err := os.Stat(store); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(store, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		if err = unix.Flock(int(f.Fd()), how); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}
