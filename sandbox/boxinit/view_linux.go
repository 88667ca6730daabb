package boxinit

import (
	"syscall"
	"unsafe"
)

// builder carries out a spec's ops. While the view is built, the new root is "/" and the old one is oldRoot.
type builder struct {
	root, oldRoot int
	fds           []int // mount descriptors that came with the spec
	listeners     []int
	ruleset       int
}

type opError struct {
	op  Op
	err error
}

func (e opError) Error() string {
	names := [...]string{"", "make folder", "make link", "write file", "bind", "bind on itself", "bind", "mount tmpfs at", "mount proc at", "mount devpts at", "listen on port", "allow", "add address"}
	s := "op"
	if int(e.op.Kind) < len(names) {
		s = names[e.op.Kind]
	}
	if e.op.Kind == OpBind || e.op.Kind == OpAlias {
		s += " " + e.op.Src + " at"
	}
	if e.op.Kind == OpListen {
		return s + " " + itoa(int(e.op.Num)) + ": " + e.err.Error()
	}
	return s + " " + e.op.Dst + ": " + e.err.Error()
}

// oldPlace is where the old root stays reachable while a view is built. It is an empty folder afterwards.
const oldPlace = "/mnt"

// enter makes an empty tmpfs the root, or the copy of a template.
func (b *builder) enter(tree bool) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return stageError("make mounts private", err)
	}
	if tree {
		if len(b.fds) == 0 {
			return stageError("attach the template", syscall.EBADF)
		}
		to, err := openat2(atFDCWD, "/tmp", oPath|syscall.O_DIRECTORY, 0)
		if err != nil {
			return stageError("attach the template", err)
		}
		if err := moveMount(b.fds[0], to); err != nil {
			return stageError("attach the template", err)
		}
		syscall.Close(to)
		syscall.Close(b.fds[0])
	} else {
		if err := syscall.Mount("box", "/tmp", "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "size=4m,nr_inodes=16k,mode=0755"); err != nil {
			return stageError("mount root tmpfs", err)
		}
		if err := syscall.Mkdir("/tmp"+oldPlace, 0o755); err != nil {
			return stageError("make old root", err)
		}
	}
	if err := syscall.PivotRoot("/tmp", "/tmp"+oldPlace); err != nil {
		return stageError("pivot_root", err)
	}
	if err := syscall.Chdir("/"); err != nil {
		return err
	}
	var err error
	if b.root, err = openat2(atFDCWD, "/", oPath|syscall.O_DIRECTORY, 0); err != nil {
		return stageError("open new root", err)
	}
	if b.oldRoot, err = openat2(atFDCWD, oldPlace, oPath|syscall.O_DIRECTORY, 0); err != nil {
		return stageError("open old root", err)
	}
	return nil
}

// leave drops the old root and makes the new one read-only.
func (b *builder) leave(tree bool) error {
	if err := syscall.Unmount(oldPlace, syscall.MNT_DETACH); err != nil {
		return stageError("unmount old root", err)
	}
	if !tree {
		if err := mountSetattr(b.root, 0, mountAttrRDONLY|mountAttrNOSUID|mountAttrNODEV); err != nil {
			return stageError("make root read-only", err)
		}
	}
	syscall.Close(b.root)
	syscall.Close(b.oldRoot)
	return nil
}

func (b *builder) do(op Op) error {
	switch op.Kind {
	case OpDir:
		return b.mkdirs(op.Dst, uint32(op.Num))
	case OpLink:
		if err := b.parents(op.Dst); err != nil {
			return err
		}
		return syscall.Symlink(op.Src, op.Dst)
	case OpFile:
		return b.write(op)
	case OpBind:
		return b.bind(op)
	case OpRebind:
		return b.rebind(op.Dst, op.Dst, op.Flags)
	case OpAlias:
		return b.rebind(op.Src, op.Dst, op.Flags)
	case OpTmpfs:
		if err := b.mkdirs(op.Dst, 0o755); err != nil {
			return err
		}
		return syscall.Mount("box", op.Dst, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, op.Src)
	case OpProc:
		if err := b.mkdirs(op.Dst, 0o755); err != nil {
			return err
		}
		return syscall.Mount("proc", op.Dst, "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, "")
	case OpDevpts:
		if err := b.mkdirs(op.Dst, 0o755); err != nil {
			return err
		}
		return syscall.Mount("devpts", op.Dst, "devpts", syscall.MS_NOSUID|syscall.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0600")
	case OpListen:
		return b.listen(op.Src, int(op.Num))
	case OpAllow:
		return b.allow(op)
	case OpAddress:
		return addAddress(op.Src)
	}
	return syscall.EINVAL
}

// mkdirs makes a folder of the new root and its parents.
func (b *builder) mkdirs(path string, mode uint32) error {
	err := syscall.Mkdir(path, mode)
	if err == syscall.ENOENT {
		if err := b.parents(path); err != nil {
			return err
		}
		err = syscall.Mkdir(path, mode)
	}
	if err == syscall.EEXIST {
		return nil
	}
	if err == nil && mode&0o7000 != 0 {
		err = syscall.Chmod(path, mode) // the umask doesn't matter: it is 0; the sticky bit does
	}
	return err
}

func (b *builder) parents(path string) error {
	for i := len(path) - 1; i > 0; i-- {
		if path[i] == '/' {
			return b.mkdirs(path[:i], 0o755)
		}
	}
	return nil
}

func (b *builder) write(op Op) error {
	if err := b.parents(op.Dst); err != nil {
		return err
	}
	fd, err := syscall.Open(op.Dst, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_EXCL|syscall.O_CLOEXEC, uint32(op.Num))
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	for rest := []byte(op.Src); len(rest) > 0; {
		n, err := syscall.Write(fd, rest)
		if err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

func attrs(flags uint32) uint64 {
	var a uint64
	for _, f := range [...]struct {
		flag uint32
		attr uint64
	}{{ReadOnly, mountAttrRDONLY}, {NoSuid, mountAttrNOSUID}, {NoDev, mountAttrNODEV}, {NoExec, mountAttrNOEXEC}} {
		if flags&f.flag != 0 {
			a |= f.attr
		}
	}
	return a
}

// bind attaches a folder or file of the old view at op.Dst. The path is resolved without following a link.
func (b *builder) bind(op Op) error {
	tree := -1
	if op.FD >= 0 {
		if op.FD >= len(b.fds) {
			return syscall.EBADF
		}
		tree = b.fds[op.FD]
	} else {
		src, err := openat2(b.oldRoot, trimRoot(op.Src), oPath, resolveNoSymlinks|resolveInRoot)
		if err != nil {
			if op.Flags&Optional != 0 && (err == syscall.ENOENT || err == syscall.EACCES) {
				return nil
			}
			return err
		}
		tree, err = openTree(src, "", openTreeClone|openTreeCloexec|atEmptyPath|atRecursive)
		syscall.Close(src)
		if err != nil {
			return err
		}
	}
	defer syscall.Close(tree)
	return b.attach(tree, op.Dst, op.Flags)
}

// rebind binds src of the new view at dst.
func (b *builder) rebind(src, dst string, flags uint32) error {
	from, err := openat2(b.root, trimRoot(src), oPath, resolveNoSymlinks|resolveInRoot)
	if err != nil {
		return err
	}
	tree, err := openTree(from, "", openTreeClone|openTreeCloexec|atEmptyPath|atRecursive)
	syscall.Close(from)
	if err != nil {
		return err
	}
	defer syscall.Close(tree)
	return b.attach(tree, dst, flags)
}

// attach sets the flags of a detached mount and moves it to dst, which is made if it doesn't exist.
func (b *builder) attach(tree int, dst string, flags uint32) error {
	if a := attrs(flags); a != 0 {
		if err := mountSetattr(tree, atRecursive, a); err != nil {
			return err
		}
	}
	to, err := openat2(b.root, trimRoot(dst), oPath, resolveNoSymlinks|resolveInRoot)
	if err == syscall.ENOENT {
		var st syscall.Stat_t
		if err := syscall.Fstat(tree, &st); err != nil {
			return err
		}
		if st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
			err = b.mkdirs(dst, 0o755)
		} else {
			err = b.write(Op{Dst: dst, Num: 0o644})
		}
		if err != nil {
			return err
		}
		to, err = openat2(b.root, trimRoot(dst), oPath, resolveNoSymlinks|resolveInRoot)
	}
	if err != nil {
		return err
	}
	defer syscall.Close(to)
	return moveMount(tree, to)
}

func trimRoot(p string) string {
	for len(p) > 0 && p[0] == '/' {
		p = p[1:]
	}
	if p == "" {
		return "."
	}
	return p
}

// loopback brings the interface lo up.
func loopback() error {
	s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(s)
	var req struct {
		name  [16]byte
		flags uint16
		_     [22]byte
	}
	copy(req.name[:], "lo")
	req.flags = syscall.IFF_UP | syscall.IFF_RUNNING
	return ioctl(s, syscall.SIOCSIFFLAGS, unsafe.Pointer(&req))
}

// addAddress gives lo one more IPv4 address, written as a.b.c.d. The label makes it an alias.
func addAddress(addr string) error {
	s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(s)
	ip, ok := parseIPv4(addr)
	if !ok {
		return syscall.EINVAL
	}
	var req struct {
		name [16]byte
		sa   syscall.RawSockaddrInet4
		_    [8]byte
	}
	name := "lo:" + itoa(int(ip[2])<<8|int(ip[3]))
	copy(req.name[:15], name)
	req.sa.Family, req.sa.Addr = syscall.AF_INET, ip
	if err := ioctl(s, syscall.SIOCSIFADDR, unsafe.Pointer(&req)); err != nil {
		return err
	}
	req.sa.Addr = [4]byte{255, 255, 255, 255}
	return ioctl(s, syscall.SIOCSIFNETMASK, unsafe.Pointer(&req))
}

func parseIPv4(s string) (ip [4]byte, ok bool) {
	part, n, digits := 0, 0, 0
	for i := 0; i <= len(s); i++ {
		if i == len(s) || s[i] == '.' {
			if digits == 0 || n > 255 || part > 3 {
				return ip, false
			}
			ip[part] = byte(n)
			part, n, digits = part+1, 0, 0
			continue
		}
		if s[i] < '0' || s[i] > '9' || digits > 3 {
			return ip, false
		}
		n, digits = n*10+int(s[i]-'0'), digits+1
	}
	return ip, part == 4
}

// listen opens a TCP socket on a loopback port of the box. The daemon accepts on it: nothing in the box copies bytes.
func (b *builder) listen(addr string, port int) error {
	ip, ok := parseIPv4(addr)
	if !ok {
		return syscall.EINVAL
	}
	s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	if err := syscall.SetsockoptInt(s, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		syscall.Close(s)
		return err
	}
	if err := syscall.Bind(s, &syscall.SockaddrInet4{Port: port, Addr: ip}); err != nil {
		syscall.Close(s)
		return err
	}
	if err := syscall.Listen(s, 128); err != nil {
		syscall.Close(s)
		return err
	}
	b.listeners = append(b.listeners, s)
	return nil
}
