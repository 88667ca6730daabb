package workspace

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What differs between systems. The same names are in system_darwin.go, and promise the same.

// tick is how long after a change of a file another one may leave its times as they are.
const tick = 100 * time.Millisecond

// passThrough opens a folder only to reach what is in it.
const passThrough = unix.O_PATH

// modeOf is the type and the permission bits of what st describes.
func modeOf(st *unix.Stat_t) uint32 { return st.Mode }

// openBeneath opens a path below a folder and follows no symlink on the way.
func openBeneath(dir int, rel string, flags int) (int, error) {
	flags |= unix.O_CLOEXEC | unix.O_NOFOLLOW | unix.O_NONBLOCK
	how := &unix.OpenHow{Flags: uint64(flags), Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	for range 5 {
		fd, err := unix.Openat2(dir, rel, how)
		switch err {
		case unix.EAGAIN, unix.EINTR: // a rename elsewhere raced with the walk
			continue
		case unix.ENOSYS, unix.EPERM: // an old kernel, or a container that filters the call
			return openStepwise(dir, rel, flags)
		}
		return fd, err
	}
	return openStepwise(dir, rel, flags)
}

// copyTo makes the file path, which must not exist, with the content of src, an open file of size bytes: blocks are shared where the file
// system can.
func copyTo(path string, src *os.File, size int64) error {
	dst, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if size > 0 && unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())) != nil {
		_, err = dst.ReadFrom(src) // copied in the kernel
	}
	if cerr := dst.Close(); err == nil {
		err = cerr
	}
	return err
}

// sharePack lets an empty pack share the blocks of src, where the file system can. The pack to go on with, positioned at its start,
// takes the place of the one given.
func sharePack(pack, src *os.File) (_ *os.File, shared bool, _ error) {
	return pack, unix.IoctlFileClone(int(pack.Fd()), int(src.Fd())) == nil, nil
}

// flushFile makes the content of a file durable, where flush doesn't.
func flushFile(*os.File) error { return nil }

// flush makes durable what an undo did below root.
func flush(root *os.Root, _ Report) error {
	d, err := root.Open(".")
	if err != nil {
		return nil // the run's mode for the folder, put back, may forbid it
	}
	defer d.Close()
	return unix.Syncfs(int(d.Fd()))
}

// samePlace reports whether two clean, absolute paths without symlinks lead to the same folder.
func samePlace(a, b string) bool { return a == b }

// below reports whether path is below dir. Both are clean, absolute and without symlinks.
func below(path, dir string) bool {
	return dir == "/" || strings.HasPrefix(path, dir+"/")
}
