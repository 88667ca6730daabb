package tools

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// folder is an open folder of the workspace, reached from the root by real folders alone. What is done in it is done by its
// descriptor: a part of the path that is swapped for a symbolic link meanwhile changes nothing.
type folder struct {
	f  *os.File
	fd int
}

// openFolder opens dir, a clean path relative to root, and with create makes what is missing of it. No symbolic link is
// followed, not even one that stays inside: it could lead to what is protected under its own name only.
func openFolder(root *os.Root, dir string, create bool) (*folder, error) {
	f, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	at := &folder{f, int(f.Fd())}
	if dir == "." {
		return at, nil
	}
	done := ""
	for part := range strings.SplitSeq(dir, "/") {
		done = path.Join(done, part)
		next, err := at.enter(part, create)
		at.Close()
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: done, Err: err}
		}
		at = next
	}
	return at, nil
}

func (d *folder) enter(name string, create bool) (*folder, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(d.fd, name, flags, 0)
	if errors.Is(err, unix.ENOENT) && create {
		if err = unix.Mkdirat(d.fd, name, 0o777); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, err
		}
		made := err == nil
		if fd, err = unix.Openat(d.fd, name, flags, 0); err == nil && made {
			if err = d.own(fd, nil); err != nil {
				unix.Close(fd)
			}
		}
	}
	if errors.Is(err, unix.ENOTDIR) {
		var st unix.Stat_t
		if unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
			err = unix.ELOOP
		}
	}
	if err != nil {
		return nil, err
	}
	return &folder{os.NewFile(uintptr(fd), name), fd}, nil
}

// Close closes the folder.
func (d *folder) Close() error { return d.f.Close() }

// stat describes a name in the folder, or gives nil when there is none.
func (d *folder) stat(name string) (*unix.Stat_t, error) {
	var st unix.Stat_t
	err := unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	return &st, err
}

// open opens an ordinary file in the folder for reading, follows no link and waits for nobody.
func (d *folder) open(name, shown string) (*os.File, fs.FileInfo, error) {
	fd, err := unix.Openat(d.fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, &fs.PathError{Op: "open", Path: shown, Err: err}
	}
	f := os.NewFile(uintptr(fd), shown)
	info, err := f.Stat()
	if err == nil {
		err = regular(shown, info)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// replace puts content at name in one step: a reader sees the old file or the new one. An old file's mode and owner are kept.
func (d *folder) replace(name string, content []byte, old *unix.Stat_t) (err error) {
	tmp := ".agentd-" + strings.ToLower(rand.Text()[:12]) + ".tmp"
	fd, err := unix.Openat(d.fd, tmp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o666)
	if err != nil {
		return fmt.Errorf("create a file in its folder: %w", err)
	}
	f := os.NewFile(uintptr(fd), tmp)
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			_ = unix.Unlinkat(d.fd, tmp, 0) // the first error is what matters
		}
	}()
	if _, err = f.Write(content); err != nil {
		return err
	}
	if err = d.own(fd, old); err != nil {
		return err
	}
	if old != nil {
		if err = unix.Fchmod(fd, uint32(old.Mode)&0o777); err != nil {
			return err
		}
	}
	if err = f.Sync(); err != nil {
		return err
	}
	return unix.Renameat(d.fd, tmp, d.fd, name)
}

// own gives what a daemon that runs as root has just created to the owner of the file it replaces, or else of the folder.
func (d *folder) own(fd int, old *unix.Stat_t) error {
	if os.Geteuid() != 0 {
		return nil
	}
	if old == nil {
		old = new(unix.Stat_t)
		if err := unix.Fstat(d.fd, old); err != nil {
			return err
		}
	}
	var now unix.Stat_t
	if err := unix.Fstat(fd, &now); err != nil {
		return err
	}
	if now.Uid == old.Uid && now.Gid == old.Gid {
		return nil
	}
	if err := unix.Fchown(fd, int(old.Uid), int(old.Gid)); err != nil {
		return fmt.Errorf("give the new file to its folder's owner: %w", err)
	}
	return nil
}

// irregular says why a name that exists can't be written as a file, or nil.
func irregular(shown string, st *unix.Stat_t) error {
	if st == nil {
		return nil
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return nil
	case unix.S_IFDIR:
		return fmt.Errorf("%s is a folder", shown)
	case unix.S_IFLNK:
		return fmt.Errorf("%s is a symbolic link, which this tool doesn't follow: use the path that it points to", shown)
	}
	return fmt.Errorf("%s is not an ordinary file", shown)
}
