//go:build linux

package abuse

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"agentd/sandbox"

	"golang.org/x/sys/unix"
)

// refused returns nil if err is one of want.
func refused(what string, err error, want ...error) error {
	if err == nil {
		return fmt.Errorf("%s worked", what)
	}
	for _, w := range slices.Concat(want, otherErrors) {
		if errors.Is(err, w) {
			return nil
		}
	}
	return fmt.Errorf("%s: %v, want %v", what, err, want)
}

func openRead(p string) error {
	fd, err := unix.Open(p, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func openWrite(p string, more int) error {
	fd, err := unix.Open(p, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|more, 0o600)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func fsCases() []abuse {
	return []abuse{
		{id: "E1", title: "read /etc/shadow", inside: func(w *world) error {
			return refused("open", openRead("/etc/shadow"), unix.EACCES, unix.ENOENT)
		}},
		{id: "E2", title: "read files of the person's home folder", inside: func(w *world) error {
			for _, p := range append(w.Home, "/root/.ssh/id_rsa", "/root/.bashrc", "/home/other") {
				if err := refused("open "+p, openRead(p), unix.ENOENT, unix.EACCES); err != nil {
					return err
				}
			}
			return nil
		}},
		{id: "E3", title: "read a file of the daemon", inside: func(w *world) error {
			return refused("open", openRead(w.Canary), unix.ENOENT)
		}},
		{id: "E4", title: "write /etc, /usr and /", inside: func(w *world) error {
			return errors.Join(refused("create in /etc", openWrite("/etc/x", unix.O_CREAT), unix.EROFS), refused("create in /usr", openWrite("/usr/x", unix.O_CREAT), unix.EROFS, unix.EACCES),
				refused("create in /", openWrite("/x", unix.O_CREAT), unix.EROFS), refused("write /etc/passwd", openWrite("/etc/passwd", 0), unix.EROFS, unix.EACCES),
				refused("create in /dev", openWrite("/dev/x", unix.O_CREAT), unix.EROFS, unix.EACCES))
		}},
		{id: "E5", title: "write through a link in the workspace", inside: func(w *world) error {
			if err := errors.Join(os.Symlink("/etc/passwd", "a"), os.Symlink(w.Canary, "b")); err != nil {
				return err
			}
			return errors.Join(refused("write /etc/passwd", openWrite("a", 0), unix.EROFS, unix.EACCES), refused("write the canary", openWrite("b", 0), unix.ENOENT))
		}},
		{id: "E6", title: "hard link to a file of the system", inside: func(w *world) error {
			return errors.Join(refused("link /usr/bin/env", unix.Link("/usr/bin/env", "l"), unix.EXDEV, unix.EPERM, unix.EACCES), refused("link /etc/passwd", unix.Link("/etc/passwd", "l"), unix.EXDEV, unix.EPERM, unix.EACCES))
		}},
		{id: "E7", title: "climb out by /proc/self/root and ..", inside: func(w *world) error {
			var err error
			for _, p := range []string{"/proc/self/root/../..", "/proc/self/cwd/../../..", strings.Repeat("../", 20), "/proc/self/task/self/root/.."} {
				err = errors.Join(err, refused(p, openRead(p+w.Canary), unix.ENOENT, unix.EACCES, unix.ENOTDIR))
			}
			return err
		}},
		{id: "E8", title: "rename or replace a protected path or its parent", inside: func(w *world) error {
			var err error
			for _, p := range []string{".git/hooks", ".git/config", ".agentd", ".git"} {
				err = errors.Join(err, refused("rename "+p, os.Rename(p, "moved"), unix.EBUSY, unix.EROFS, unix.EXDEV, unix.EACCES))
			}
			return errors.Join(err, refused("write a hook", openWrite(".git/hooks/pre-commit", unix.O_CREAT), unix.EROFS, unix.EACCES),
				refused("write .git/config", openWrite(".git/config", 0), unix.EROFS, unix.EACCES),
				refused("remove .git/config", os.Remove(".git/config"), unix.EBUSY, unix.EROFS, unix.EACCES))
		}},
		{id: "E9", title: "create a protected path that was absent", inside: func(w *world) error {
			return errors.Join(refused("write below it", openWrite("absent/x", unix.O_CREAT), unix.EROFS, unix.EACCES, unix.ENOENT, unix.ENOTDIR),
				refused("remove it", unix.Rmdir("absent"), unix.EBUSY, unix.EROFS, unix.EACCES), refused("rename over it", os.Rename("file", "absent"), unix.EBUSY, unix.EROFS, unix.EISDIR, unix.EXDEV, unix.EACCES, os.ErrExist))
		}},
		{id: "E10", title: "race the daemon's reader with a swapped link", outside: swapRace},
		{id: "E11", title: "write a sysctl (a private one)", inside: func(w *world) error {
			return refused("open /proc/sys/kernel/hostname", openWrite("/proc/sys/kernel/hostname", 0), unix.EROFS, unix.EACCES)
		}},
		{id: "E12", title: "make a device", inside: func(w *world) error {
			return errors.Join(refused("mknod character", unix.Mknod("c", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))), unix.EPERM, unix.EACCES), refused("mknod block", unix.Mknod("b", unix.S_IFBLK|0o600, int(unix.Mkdev(8, 0))), unix.EPERM, unix.EACCES))
		}},
		{id: "E13", title: "make a set-id file", inside: func(w *world) error {
			_, openErr := unix.Open("s", unix.O_CREAT|unix.O_WRONLY, 0o4755)
			_, _, fchmodat2 := unix.Syscall6(unix.SYS_FCHMODAT2, uintptr(0xffffffffffffff9c), uintptr(bytePtr("file")), 0o4755, 0, 0, 0)
			return errors.Join(refused("chmod u+s", unix.Chmod("file", 0o4755), unix.EPERM), refused("chmod g+s", unix.Chmod("file", 0o2755), unix.EPERM),
				refused("fchmodat2", fchmodat2, unix.EPERM, unix.ENOSYS), refused("mkdir g+s", unix.Mkdir("d", 0o2755), unix.EPERM), refused("open with a set-id mode", openErr, unix.EPERM))
		}},
		{id: "E14", title: "look into the box's init", inside: func(w *world) error {
			var err error
			for _, f := range []string{"mem", "environ", "root/etc", "fd", "cwd/etc", "maps"} {
				err = errors.Join(err, refused("/proc/1/"+f, openRead("/proc/1/"+f), unix.EACCES, unix.EPERM))
			}
			return errors.Join(err, refused("write /proc/1/mem", openWrite("/proc/1/mem", 0), unix.EACCES, unix.EPERM))
		}},
		{id: "E15", title: "write the program of the box's init", inside: func(w *world) error {
			return refused("/proc/1/exe", openWrite("/proc/1/exe", 0), unix.EACCES, unix.EPERM)
		}},
		{id: "E16", title: "use a descriptor that was left open", inside: func(w *world) error {
			var open []string
			for fd := 3; fd < 1024; fd++ {
				if to, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err == nil && !strings.Contains(to, "anon_inode") {
					open = append(open, fmt.Sprintf("%d -> %s", fd, to))
				}
			}
			if len(open) > 0 {
				return fmt.Errorf("open: %v", open)
			}
			return nil
		}},
		{id: "E17", title: "read another run's workspace", inside: func(w *world) error {
			return refused("open", openRead(filepath.Join(w.Other, "file")), unix.ENOENT)
		}},
		{id: "E18", title: "read the machine's memory, symbols and keys", inside: func(w *world) error {
			var err error
			for _, f := range []string{"kcore", "kallsyms", "keys", "kmsg", "timer_list"} {
				if b, readErr := os.ReadFile("/proc/" + f); readErr == nil && len(b) > 0 {
					err = errors.Join(err, fmt.Errorf("/proc/%s has %d bytes", f, len(b)))
				}
			}
			return errors.Join(err, refused("open sysrq-trigger", openWrite("/proc/sysrq-trigger", 0), unix.EACCES, unix.ENOENT, unix.EROFS, unix.EPERM))
		}},
		{id: "E19", title: "open a file by its handle", inside: func(w *world) error {
			_, err := unix.OpenByHandleAt(unix.AT_FDCWD, unix.NewFileHandle(1, make([]byte, 8)), unix.O_RDONLY)
			return refused("open_by_handle_at", err, unix.EPERM)
		}},
		{id: "E20", title: "leave a FIFO where the daemon reads", outside: fifo},
	}
}

func bytePtr(s string) uintptr { return uintptrOf(append([]byte(s), 0)) }

// swapRace flips a name between a file and a link to the canary while the daemon reads it as its tools do.
func swapRace(ctx contextT, f *fixture) error {
	p := f.basePolicy("")
	delete(p.Env, marker)
	proc, err := f.box.Start(ctx, p, sandbox.Command{Argv: []string{"sh", "-c", "ln -s " + f.world.Canary + " link; cp file plain; while :; do ln -f plain swap; ln -sf " + f.world.Canary + " swap; done"}})
	if err != nil {
		return err
	}
	defer func() { proc.Kill(); proc.Wait() }()
	root, err := os.OpenRoot(f.ws)
	if err != nil {
		return err
	}
	defer root.Close()
	for range 10_000 {
		if b, err := root.ReadFile("swap"); err == nil && bytes.Contains(b, []byte("canary")) {
			return errors.New("the daemon read the canary through a planted link")
		}
	}
	return nil
}
