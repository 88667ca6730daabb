package tools

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
)

// errNoWorkspace is returned when a call has no workspace to work in.
var errNoWorkspace = errors.New("the run has no workspace")

// openRegular opens an ordinary file of the workspace for reading. Symbolic links are followed only within the workspace. What
// is not an ordinary file is never opened, and, were it swapped in meanwhile, never waited for.
func openRegular(root *os.Root, p string) (*os.File, fs.FileInfo, error) {
	info, err := root.Stat(p)
	if err != nil {
		return nil, nil, err
	}
	if err := regular(p, info); err != nil {
		return nil, nil, err
	}
	f, err := root.OpenFile(p, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	if info, err = f.Stat(); err == nil {
		err = regular(p, info)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// regular says what a path is when it isn't an ordinary file.
func regular(p string, info fs.FileInfo) error {
	kind := ""
	switch m := info.Mode(); {
	case m.IsRegular():
		return nil
	case m.IsDir():
		return fmt.Errorf("%s is a folder, not a file: see what is in it with list", p)
	case m&fs.ModeNamedPipe != 0:
		kind = "a named pipe"
	case m&fs.ModeSocket != 0:
		kind = "a socket"
	case m&fs.ModeDevice != 0:
		kind = "a device"
	case m&fs.ModeSymlink != 0:
		kind = "a symbolic link"
	default:
		kind = "not an ordinary file"
	}
	return fmt.Errorf("%s is %s: only ordinary files can be read or written", p, kind)
}

// why says in a model's words why a path could not be used; nearby names are offered when it doesn't exist.
func why(root *os.Root, p string, err error) string {
	var pe *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("%s does not exist%s", p, nearby(root, p))
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("%s: permission denied", p)
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Sprintf("%s: a part of the path is a file, not a folder", p)
	case errors.Is(err, syscall.ELOOP):
		return fmt.Sprintf("%s: a part of the path is a symbolic link", p)
	case errors.As(err, &pe) && strings.Contains(pe.Err.Error(), "escapes"):
		return fmt.Sprintf("%s leads out of the workspace by a symbolic link: this tool doesn't follow it", p)
	case errors.As(err, &pe):
		return fmt.Sprintf("%s: %v", p, pe.Err)
	}
	return err.Error()
}

// nearby offers a name like the last part of p from the same folder, or the nearest folder that exists.
func nearby(root *os.Root, p string) string {
	dir := path.Dir(p)
	names, err := dirNames(root, dir)
	if err != nil {
		return fmt.Sprintf(": there is no folder %s", dir)
	}
	want := strings.ToLower(path.Base(p))
	var close []string
	for _, n := range names {
		low := strings.ToLower(n)
		if low == want || strings.Contains(low, want) || strings.Contains(want, low) || stem(low) == stem(want) {
			close = append(close, path.Join(dir, n))
		}
	}
	slices.Sort(close)
	if len(close) == 0 {
		return ""
	}
	return ". There is " + strings.Join(close[:min(3, len(close))], ", ")
}

func stem(n string) string {
	n, _, _ = strings.Cut(n, ".")
	return n
}

// dirNames returns the names in a folder, a bounded number of them.
func dirNames(root *os.Root, dir string) ([]string, error) {
	f, err := root.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(1000)
	if err == io.EOF {
		err = nil
	}
	return names, err
}

// looksBinary reports whether the start of a file is not text.
func looksBinary(head []byte) bool { return bytes.IndexByte(head, 0) >= 0 }
