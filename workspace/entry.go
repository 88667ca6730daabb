package workspace

import (
	"crypto/sha256"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// sum is the sha256 of a content.
type sum [sha256.Size]byte

// entry is one file, folder or symlink of a workspace.
type entry struct {
	path     string // slash-separated, relative
	mode     uint32 // as the kernel has it: type and permission bits
	uid, gid uint32
	size     int64
	mtime    int64 // nanoseconds
	ctime    int64
	dev, ino uint64
	hash     sum
	link     string // a symlink's target
	pack     int    // where the content is: index into the snapshot's packs plus 1, 0 when it isn't stored
	off      int64
	sure     bool   // the same stat later means the same content
	gone     bool   // vanished, or can't be read; dropped
	why      string // it can't be read
}

func (e *entry) typ() uint32    { return e.mode & unix.S_IFMT }
func (e *entry) isFile() bool   { return e.typ() == unix.S_IFREG }
func (e *entry) isDir() bool    { return e.typ() == unix.S_IFDIR }
func (e *entry) isLink() bool   { return e.typ() == unix.S_IFLNK }
func (e *entry) perm() uint32   { return e.mode & 0o7777 }
func (e *entry) mod() time.Time { return time.Unix(0, e.mtime) }

// fileMode is the mode in the os package's words.
func (e *entry) fileMode() fs.FileMode {
	m := fs.FileMode(e.mode & 0o777)
	for bit, flag := range map[uint32]fs.FileMode{unix.S_ISUID: fs.ModeSetuid, unix.S_ISGID: fs.ModeSetgid, unix.S_ISVTX: fs.ModeSticky} {
		if e.mode&bit != 0 {
			m |= flag
		}
	}
	return m
}

func (e *entry) stat(st *unix.Stat_t) {
	e.mode, e.uid, e.gid, e.size = modeOf(st), st.Uid, st.Gid, st.Size
	e.mtime, e.ctime = st.Mtim.Nano(), st.Ctim.Nano()
	e.dev, e.ino = uint64(st.Dev), st.Ino
}

// sameStat reports whether nothing that a stat shows tells a and b apart.
func sameStat(a, b *entry) bool {
	return a.mode == b.mode && a.size == b.size && a.mtime == b.mtime && a.ctime == b.ctime && a.ino == b.ino && a.dev == b.dev
}

// same reports whether a and b are the same thing with the same content and permissions. Either may be nil: nothing there.
func same(a, b *entry) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	if a.mode != b.mode || a.uid != b.uid || a.gid != b.gid {
		return false
	}
	switch {
	case a.isFile():
		return a.hash == b.hash && a.size == b.size
	case a.isLink():
		return a.link == b.link
	}
	return true
}
