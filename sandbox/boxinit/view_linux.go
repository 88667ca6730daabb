package boxinit

import (
	"syscall"
	"unsafe"
)

// builder carries out a spec's ops. While the view is built, the new root is "/" and the old one is oldRoot.
type builder struct {
	spec          *Spec
	root, oldRoot int
	mounts        [maxFDs]int // descriptors that came with the spec
	nmounts       int
	out           [maxFDs]int // what the daemon gets: /proc, the scratch space, listeners
	nout          int
	ruleset       int
	children      int // the kernel's list of this process's children, where there is no pid namespace
	signals       int // tells that a child has ended
	payload       int // its process
	status        uint32
	ended         bool // the payload has
}

// box is the one builder of this process.
var box builder

// oldPlace is where the old root stays reachable while a view is built. It is an empty folder afterwards.
const oldPlace = "/mnt"

// enter makes an empty tmpfs the root, or the copy of a template.
func (b *builder) enter() failure {
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_MOUNT, 0, zpath(0, "/"), 0, syscall.MS_REC|syscall.MS_PRIVATE, 0, 0); errno != 0 {
		return failed(stagePrivate, errno)
	}
	if b.spec.Steps&StepTree != 0 {
		if b.nmounts == 0 {
			return failed(stageTemplate, syscall.EBADF)
		}
		to, errno := openat2(atFDCWD, "/tmp", oPath|syscall.O_DIRECTORY, 0)
		if errno != 0 {
			return failed(stageTemplate, errno)
		}
		if errno := moveMount(b.mounts[0], to); errno != 0 {
			return failed(stageTemplate, errno)
		}
		closeFD(to)
		closeFD(b.mounts[0])
	} else {
		if errno := mount(typeTmpfs, "/tmp", syscall.MS_NOSUID|syscall.MS_NODEV, "size=4m,nr_inodes=16k,mode=0755"); errno != 0 {
			return failed(stageRoot, errno)
		}
		if errno := mkdir("/tmp"+oldPlace, 0o755); errno != 0 {
			return failed(stageRoot, errno)
		}
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PIVOT_ROOT, zpath(0, "/tmp"), zpath(1, "/tmp"+oldPlace), 0); errno != 0 {
		return failed(stagePivot, errno)
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CHDIR, zpath(0, "/"), 0, 0); errno != 0 {
		return failed(stagePivot, errno)
	}
	var errno syscall.Errno
	if b.root, errno = openat2(atFDCWD, "/", oPath|syscall.O_DIRECTORY, 0); errno != 0 {
		return failed(stagePivot, errno)
	}
	if b.oldRoot, errno = openat2(atFDCWD, oldPlace, oPath|syscall.O_DIRECTORY, 0); errno != 0 {
		return failed(stagePivot, errno)
	}
	return ok
}

// leave drops the old root and makes the new one read-only.
func (b *builder) leave() failure {
	const detach = 2
	if _, _, errno := syscall.RawSyscall(syscall.SYS_UMOUNT2, zpath(0, oldPlace), detach, 0); errno != 0 {
		return failed(stageOldRoot, errno)
	}
	if b.spec.Steps&StepTree == 0 {
		if errno := mountSetattr(b.root, 0, mountAttrRDONLY|mountAttrNOSUID|mountAttrNODEV); errno != 0 {
			return failed(stageReadOnly, errno)
		}
	}
	closeFD(b.root)
	closeFD(b.oldRoot)
	return ok
}

func (b *builder) do(op *Op) syscall.Errno {
	switch op.Kind {
	case OpDir:
		return mkdirs(op.Dst, uint32(op.Num))
	case OpLink:
		if errno := parents(op.Dst); errno != 0 {
			return errno
		}
		_, _, errno := syscall.RawSyscall(syscall.SYS_SYMLINKAT, zpath(0, op.Src), atCWD, zpath(1, op.Dst))
		return errno
	case OpFile:
		return write(op.Dst, op.Src, uint32(op.Num))
	case OpBind:
		return b.bind(op)
	case OpRebind:
		return b.rebind(op.Dst, op.Dst, op.Flags)
	case OpAlias:
		return b.rebind(op.Src, op.Dst, op.Flags)
	case OpTmpfs, OpProc, OpDevpts:
		if errno := mkdirs(op.Dst, 0o755); errno != 0 {
			return errno
		}
		switch op.Kind {
		case OpTmpfs:
			return mount(typeTmpfs, op.Dst, syscall.MS_NOSUID|syscall.MS_NODEV, op.Src)
		case OpProc:
			return mount(typeProc, op.Dst, syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, "")
		default:
			return mount(typeDevpts, op.Dst, syscall.MS_NOSUID|syscall.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0600")
		}
	case OpListen:
		return b.listen(op.Src, int(op.Num))
	case OpAllow:
		return b.allow(op)
	case OpAddress:
		return addAddress(op.Src)
	}
	return syscall.EINVAL
}

func mkdir(path string, mode uint32) syscall.Errno {
	_, _, errno := syscall.RawSyscall(syscall.SYS_MKDIRAT, atCWD, zpath(0, path), uintptr(mode))
	return errno
}

// mkdirs makes a folder of the new root and its parents.
func mkdirs(path string, mode uint32) syscall.Errno {
	errno := mkdir(path, mode)
	if errno == syscall.ENOENT {
		if errno := parents(path); errno != 0 {
			return errno
		}
		errno = mkdir(path, mode)
	}
	if errno == syscall.EEXIST {
		return 0
	}
	if errno == 0 && mode&0o7000 != 0 { // the umask doesn't matter: it is 0; the sticky bit does
		_, _, errno = syscall.RawSyscall(syscall.SYS_FCHMODAT, atCWD, zpath(0, path), uintptr(mode))
	}
	return errno
}

// parents makes the folders above path.
func parents(path string) syscall.Errno {
	for i := 1; i < len(path); i++ {
		if path[i] == '/' {
			if errno := mkdir(path[:i], 0o755); errno != 0 && errno != syscall.EEXIST {
				return errno
			}
		}
	}
	return 0
}

func write(path, text string, mode uint32) syscall.Errno {
	if errno := parents(path); errno != 0 {
		return errno
	}
	fd, errno := openFile(path, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_EXCL, mode)
	if errno != 0 {
		return errno
	}
	for len(text) > 0 && errno == 0 {
		var n uintptr
		n, _, errno = syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.StringData(text))), uintptr(len(text)))
		if errno == 0 {
			text = text[n:]
		}
	}
	closeFD(fd)
	return errno
}

func attrs(flags uint32) (a uint64) {
	if flags&ReadOnly != 0 {
		a |= mountAttrRDONLY
	}
	if flags&NoSuid != 0 {
		a |= mountAttrNOSUID
	}
	if flags&NoDev != 0 {
		a |= mountAttrNODEV
	}
	if flags&NoExec != 0 {
		a |= mountAttrNOEXEC
	}
	return a
}

// bind attaches a folder or file of the old view at op.Dst. The path is resolved without following a link.
func (b *builder) bind(op *Op) syscall.Errno {
	tree := -1
	if op.FD >= 0 {
		if op.FD >= b.nmounts {
			return syscall.EBADF
		}
		tree = b.mounts[op.FD]
	} else {
		src, errno := openat2(b.oldRoot, trimRoot(op.Src), oPath, resolveNoSymlinks|resolveInRoot)
		if errno != 0 {
			if op.Flags&Optional != 0 && (errno == syscall.ENOENT || errno == syscall.EACCES) {
				return 0
			}
			return errno
		}
		tree, errno = openTree(src, "", openTreeClone|openTreeCloexec|atEmptyPath|atRecursive)
		closeFD(src)
		if errno != 0 {
			return errno
		}
	}
	errno := b.attach(tree, op.Dst, op.Flags)
	closeFD(tree)
	return errno
}

// rebind binds src of the new view at dst.
func (b *builder) rebind(src, dst string, flags uint32) syscall.Errno {
	from, errno := openat2(b.root, trimRoot(src), oPath, resolveNoSymlinks|resolveInRoot)
	if errno != 0 {
		return errno
	}
	tree, errno := openTree(from, "", openTreeClone|openTreeCloexec|atEmptyPath|atRecursive)
	closeFD(from)
	if errno != 0 {
		return errno
	}
	errno = b.attach(tree, dst, flags)
	closeFD(tree)
	return errno
}

// attach sets the flags of a detached mount and moves it to dst, which is made if it doesn't exist.
func (b *builder) attach(tree int, dst string, flags uint32) syscall.Errno {
	if a := attrs(flags); a != 0 {
		if errno := mountSetattr(tree, atRecursive, a); errno != 0 {
			return errno
		}
	}
	to, errno := openat2(b.root, trimRoot(dst), oPath, resolveNoSymlinks|resolveInRoot)
	if errno == syscall.ENOENT {
		if isDir(tree) {
			errno = mkdirs(dst, 0o755)
		} else {
			errno = write(dst, "", 0o644)
		}
		if errno != 0 {
			return errno
		}
		to, errno = openat2(b.root, trimRoot(dst), oPath, resolveNoSymlinks|resolveInRoot)
	}
	if errno != 0 {
		return errno
	}
	errno = moveMount(tree, to)
	closeFD(to)
	return errno
}

func isDir(fd int) bool {
	var st syscall.Stat_t
	_, _, errno := syscall.RawSyscall(syscall.SYS_FSTAT, uintptr(fd), uintptr(unsafe.Pointer(&st)), 0)
	return errno == 0 && st.Mode&syscall.S_IFMT == syscall.S_IFDIR
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
