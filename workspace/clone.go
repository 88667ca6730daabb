package workspace

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Clone copies the folder root to dst, which must not exist: files (blocks shared where the file system can), folders, symlinks as they are, modes,
// times and, as root, owners. What can't be read, sockets and devices are left out. It is a throw-away copy: nothing is
// synced. Too large a folder is a *LimitError, and nothing is left behind.
func Clone(ctx context.Context, root, dst string, opts Options) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("copy %s: %w", root, err)
		}
	}()
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	entries, _, err := scan(ctx, fd, opts.or())
	if err != nil {
		return err
	}
	var need int64
	for i := range entries {
		need += entries[i].size
	}
	if err := enoughSpace(filepath.Dir(dst), need); err != nil {
		return err
	}
	info, err := os.Stat(root)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dst, 0o700); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			Discard(dst)
		}
	}()
	c := &cloner{root: fd, dst: dst}
	var files []*entry
	for i := range entries { // a folder before what is in it
		e := &entries[i]
		switch {
		case e.isDir():
			if err := os.Mkdir(filepath.Join(dst, e.path), 0o700); err != nil {
				return err
			}
		case e.isLink():
			if err := os.Symlink(e.link, filepath.Join(dst, e.path)); err != nil {
				return err
			}
			c.own(e)
		default:
			files = append(files, e)
		}
	}
	if err := c.files(ctx, files); err != nil {
		return err
	}
	for i := range slices.Backward(entries) {
		if e := &entries[i]; e.isDir() {
			if err := c.attributes(e); err != nil {
				return err
			}
		}
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		if err := os.Lchown(dst, int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	return os.Chmod(dst, info.Mode().Perm()|0o700)
}

type cloner struct {
	root int
	dst  string
}

func (c *cloner) files(ctx context.Context, files []*entry) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers() {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(files) {
					return
				}
				if err := c.file(ctx, files[i]); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

func (c *cloner) file(ctx context.Context, e *entry) error {
	src, err := openFile(c.root, e.path)
	switch err {
	case nil:
	case unix.EACCES, unix.ENOENT: // unreadable, or replaced meanwhile
		return nil
	default:
		return err
	}
	defer src.Close()
	if err := copyTo(filepath.Join(c.dst, e.path), src, e.size); err != nil {
		return err
	}
	return c.attributes(e)
}

func (c *cloner) own(e *entry) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return os.Lchown(filepath.Join(c.dst, e.path), int(e.uid), int(e.gid))
}

// attributes sets owner, mode (without set-id bits: a copy needs none) and time.
func (c *cloner) attributes(e *entry) error {
	path := filepath.Join(c.dst, e.path)
	if err := c.own(e); err != nil {
		return err
	}
	if err := os.Chmod(path, e.fileMode().Perm()); err != nil {
		return err
	}
	return os.Chtimes(path, time.Time{}, e.mod())
}

// Discard deletes a folder tree that a box wrote to: also folders without permissions, and no symlink is followed.
func Discard(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil {
		return nil
	}
	root, rerr := os.OpenRoot(dir)
	if rerr != nil {
		return err
	}
	defer root.Close()
	open(root, ".", 0)
	return os.RemoveAll(dir)
}

// open makes every folder below dir writable for this user.
func open(root *os.Root, dir string, depth int) {
	if depth > 2000 || root.Chmod(dir, 0o700) != nil {
		return
	}
	f, err := root.Open(dir)
	if err != nil {
		return
	}
	entries, _ := f.ReadDir(-1) // what can't be listed can't be opened up either; RemoveAll then tells
	f.Close()
	for _, e := range entries {
		if e.IsDir() {
			open(root, filepath.Join(dir, e.Name()), depth+1)
		}
	}
}
