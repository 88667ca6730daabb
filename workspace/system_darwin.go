package workspace

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// What differs between systems. The same names are in system_linux.go, and promise the same.

// tick is how long after a change of a file another one may leave its times as they are: two seconds on volumes that aren't APFS.
const tick = 2 * time.Second

// passThrough opens a folder only to reach what is in it. A folder that can be entered and not listed can't be passed here; a scan
// skips such a folder anyway.
const passThrough = unix.O_RDONLY

// modeOf is the type and the permission bits of what st describes. A symlink's permissions follow the umask of who made it, are never
// asked, and count as Linux has them.
func modeOf(st *unix.Stat_t) uint32 {
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return unix.S_IFLNK | 0o777
	}
	return uint32(st.Mode)
}

// openBeneath opens a path below a folder and follows no symlink on the way.
func openBeneath(dir int, rel string, flags int) (int, error) {
	return openStepwise(dir, rel, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK)
}

// copyTo makes the file path, which must not exist, with the content of src, an open file of size bytes: blocks are shared where the file
// system can.
func copyTo(path string, src *os.File, size int64) error {
	if size > 0 && share(path, src) == nil {
		return nil
	}
	dst, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = dst.ReadFrom(src)
	if cerr := dst.Close(); err == nil {
		err = cerr
	}
	return err
}

// share makes path, which must not exist, a clone of src that this user can read and write.
func share(path string, src *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(src.Fd()), &st); err != nil {
		return err
	}
	// A clone takes flags over: it could not be changed any more.
	const fixed = unix.UF_IMMUTABLE | unix.UF_APPEND | unix.SF_IMMUTABLE | unix.SF_APPEND
	if st.Flags&fixed != 0 {
		return unix.EPERM
	}
	if err := unix.Fclonefileat(int(src.Fd()), unix.AT_FDCWD, path, unix.CLONE_NOFOLLOW|unix.CLONE_NOOWNERCOPY); err != nil {
		return err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// sharePack lets an empty pack share the blocks of src, where the file system can. The pack to go on with, positioned at its start,
// takes the place of the one given.
func sharePack(pack, src *os.File) (_ *os.File, shared bool, _ error) {
	name, flags := pack.Name(), os.O_RDWR
	if err := errors.Join(pack.Close(), os.Remove(name)); err != nil { // a clone is always a new file
		return nil, false, err
	}
	if shared = share(name, src) == nil; !shared {
		flags |= os.O_CREATE | os.O_EXCL
	}
	f, err := os.OpenFile(name, flags, 0o600)
	return f, shared, err
}

// flushFile makes the content of a file durable, where flush doesn't.
func flushFile(f *os.File) error { return unix.Fsync(int(f.Fd())) }

// flush makes durable what an undo did below root: each folder that it changed, and then the drive's own cache.
func flush(root *os.Root, r Report) error {
	dirs := map[string]bool{}
	for _, p := range slices.Concat(r.Restored, r.Removed) {
		dirs[path.Dir(p)] = true
	}
	for dir := range dirs {
		d, err := root.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
		if err != nil {
			continue // removed too, or shut as the snapshot has it: the last flush is what it gets
		}
		err = unix.Fsync(int(d.Fd()))
		if cerr := d.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
	}
	d, err := root.Open(".")
	if err != nil {
		return nil // the run's mode for the folder, put back, may forbid it
	}
	defer d.Close()
	return d.Sync() // asks the drive, which fsync doesn't here
}

// samePlace reports whether two clean, absolute paths without symlinks lead to the same folder. A folder has many names
// here: in capitals, and below /System/Volumes/Data.
func samePlace(a, b string) bool {
	if a == b {
		return true
	}
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// below reports whether path is below dir. Both are clean, absolute and without symlinks.
func below(path, dir string) bool {
	for path != "/" {
		if path = filepath.Dir(path); samePlace(path, dir) {
			return true
		}
	}
	return false
}
