package api

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"
)

// Places are the files by which a daemon and its clients find each other.
type Places struct {
	Home   string // data folder
	Socket string // where the daemon listens
	Link   string // a symbolic link to Socket inside Home, or Socket itself
	Log    string // the daemon's standard error when a client started it
}

// FindPlaces works out the places: home (a flag) or $AGENTD_HOME moves data and socket; else the data is below
// $XDG_DATA_HOME and the socket in $XDG_RUNTIME_DIR if that is a folder, else beside the data.
func FindPlaces(home string, getenv func(string) string) (Places, error) {
	moved := home
	if moved == "" {
		moved = getenv("AGENTD_HOME")
	}
	home = moved
	if home == "" {
		data := getenv("XDG_DATA_HOME")
		if !filepath.IsAbs(data) { // the XDG specification: a relative value is ignored
			user := getenv("HOME")
			if user == "" {
				return Places{}, Errorf(ErrInvalid, "set HOME, XDG_DATA_HOME or AGENTD_HOME", "no place for data: HOME is not set")
			}
			data = filepath.Join(user, ".local", "share")
		}
		home = filepath.Join(data, "agentd")
	}
	home, err := filepath.Abs(home)
	if err != nil {
		return Places{}, fmt.Errorf("data folder: %w", err)
	}
	p := Places{Home: home, Link: filepath.Join(home, "agentd.sock"), Log: filepath.Join(home, "agentd.log")}
	p.Socket = p.Link
	if run := getenv("XDG_RUNTIME_DIR"); moved == "" && filepath.IsAbs(run) {
		if fi, err := os.Stat(run); err == nil && fi.IsDir() {
			p.Socket = filepath.Join(run, "agentd.sock")
		}
	}
	return p, p.check()
}

// maxSocket is the longest path that fits sockaddr_un with its final zero: 107 bytes on Linux, 103 on macOS.
const maxSocket = len(syscall.RawSockaddrUnix{}.Path) - 1

func (p Places) check() error {
	if len(p.Socket) > maxSocket {
		return Errorf(ErrInvalid, "set AGENTD_HOME, or XDG_RUNTIME_DIR, to a shorter folder",
			"the socket's path has %d bytes, the kernel takes %d: %s", len(p.Socket), maxSocket, p.Socket)
	}
	return nil
}

// Listen makes the socket, with mode 0600, and the link to it. A socket file that nobody listens at is removed; ErrRunning
// is returned when somebody does. Hold the data folder's lock before, so that no other daemon does the same meanwhile.
func (p Places) Listen() (net.Listener, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if err := removeStale(p.Socket); err != nil {
		return nil, err
	}
	ln, err := net.Listen("unix", p.Socket)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	// Who connects before this line takes effect is checked by uid all the same.
	if err := os.Chmod(p.Socket, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("protect the socket: %w", err), ln.Close())
	}
	if p.Link != "" && p.Link != p.Socket {
		if err := relink(p.Socket, p.Link); err != nil {
			return nil, errors.Join(fmt.Errorf("link to the socket: %w", err), ln.Close())
		}
	}
	return ln, nil
}

func removeStale(socket string) error {
	fi, err := os.Lstat(socket)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the socket: %w", err)
	}
	// A symbolic link is one that a daemon left which listened in another folder.
	if t := fi.Mode().Type(); t != fs.ModeSocket && t != fs.ModeSymlink {
		return Errorf(ErrInvalid, "move it away", "%s is in the way: it is no socket", socket)
	}
	conn, err := net.DialTimeout("unix", socket, time.Second)
	if err == nil {
		conn.Close()
		return Errorf(ErrRunning, "", "a daemon is running already at %s", socket)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is in the way: %w", socket, err)
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the stale socket: %w", err)
	}
	return nil
}

func relink(to, link string) error {
	if fi, err := os.Lstat(link); err == nil {
		if fi.Mode().Type() != fs.ModeSymlink && fi.Mode().Type() != fs.ModeSocket {
			return fmt.Errorf("%s is in the way: it is no socket", link)
		}
		if err := os.Remove(link); err != nil {
			return err
		}
	}
	return os.Symlink(to, link)
}

// Build is the version of the running program: the module's, with the commit where the build recorded it.
func Build() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "devel-" + s.Value[:12]
		}
	}
	return "devel"
}
