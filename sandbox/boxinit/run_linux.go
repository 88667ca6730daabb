package boxinit

import (
	"runtime"
	"syscall"
	"unsafe"
)

// run starts the payload, serves the daemon's requests and ends when the payload has and nothing else is left.
func run(s *Spec, x *Exec, fds []int) {
	if len(fds) != 3+int(x.Extra) && !(x.TTY && len(fds) == int(x.Extra)) {
		fail(wireError("exec"))
	}
	attr := &syscall.ProcAttr{Dir: x.Dir, Env: x.Env, Sys: &syscall.SysProcAttr{Setsid: true}}
	var started []int
	if x.TTY {
		master, slave, err := openPTY(x.Rows, x.Cols)
		if err != nil {
			fail(stageError("open terminal", err))
		}
		attr.Sys.Setctty, attr.Sys.Ctty = true, 0
		attr.Files = []uintptr{uintptr(slave), uintptr(slave), uintptr(slave)}
		started = []int{master}
		fds = append([]int{slave, slave, slave}, fds...)
	} else {
		attr.Files = []uintptr{uintptr(fds[0]), uintptr(fds[1]), uintptr(fds[2])}
	}
	for _, fd := range fds[3:] {
		attr.Files = append(attr.Files, uintptr(fd))
	}
	var path string
	var errno error = syscall.ENOENT
	if len(x.Argv) > 0 {
		path, errno = look(x.Argv[0], x.Env)
	}
	pid := 0
	if errno == nil {
		pid, errno = syscall.ForkExec(path, x.Argv, attr)
	}
	if errno != nil {
		Send(control, FrameMissing, []byte(errno.Error()))
		syscall.Exit(1)
	}
	for _, fd := range fds {
		syscall.Close(fd)
	}
	if err := Send(control, FrameStarted, nil, started...); err != nil {
		syscall.Exit(1)
	}
	for _, fd := range started {
		syscall.Close(fd)
	}
	go obey(pid)
	reap(s, pid)
}

// look finds a program in the PATH of env.
func look(name string, env []string) (string, error) {
	for i := range len(name) {
		if name[i] == '/' {
			return name, nil
		}
	}
	if name == "" {
		return "", syscall.ENOENT
	}
	list := "/usr/bin:/bin"
	for _, kv := range env {
		if len(kv) > 5 && kv[:5] == "PATH=" {
			list = kv[5:]
		}
	}
	var denied error = syscall.ENOENT
	for len(list) > 0 {
		n := 0
		for n < len(list) && list[n] != ':' {
			n++
		}
		dir := list[:n]
		list = list[min(n+1, len(list)):]
		if dir == "" || dir[0] != '/' {
			continue
		}
		path := dir + "/" + name
		var st syscall.Stat_t
		if syscall.Stat(path, &st) != nil || st.Mode&syscall.S_IFMT != syscall.S_IFREG {
			continue
		}
		if err := syscall.Access(path, 1); err != nil {
			denied = err
			continue
		}
		return path, nil
	}
	return "", denied
}

// obey serves the daemon. The control socket is the box's lifeline: when the daemon's end closes, by whatever death,
// this process ends, and the kernel ends all others of the box.
func obey(payload int) {
	for {
		kind, body, fds, err := Receive(control)
		if err != nil {
			for !inPidNamespace { // reap ends this process when no descendant is left
				killAll()
				syscall.Nanosleep(&syscall.Timespec{Nsec: 2e6}, nil)
			}
			syscall.Exit(1)
		}
		for _, fd := range fds {
			syscall.Close(fd)
		}
		switch kind {
		case FrameSignal:
			if n, err := DecodeNums(body, 1); err == nil && n[0] > 0 && n[0] < 65 {
				syscall.Kill(-payload, syscall.Signal(n[0]))
			}
		case FrameDial:
			if n, err := DecodeNums(body, 2); err == nil {
				dial(n[0], int(n[1]))
			}
		}
	}
}

// dial connects to a port of the box's loopback and hands the socket to the daemon.
func dial(id uint64, port int) {
	s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err == nil {
		// A listener with a full backlog must not hold up the lifeline.
		tv := syscall.Timeval{Sec: 1}
		syscall.SetsockoptTimeval(s, syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, &tv)
		err = syscall.Connect(s, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	}
	if err != nil {
		Send(control, FrameConn, append(EncodeNums(id), err.Error()...))
	} else {
		zero := syscall.Timeval{}
		syscall.SetsockoptTimeval(s, syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, &zero)
		Send(control, FrameConn, EncodeNums(id), s)
	}
	if s >= 0 {
		syscall.Close(s)
	}
}

// reap waits for every process of the box. When the payload has ended, the others are killed and waited for too, so
// that the daemon's answer means that nothing is left.
func reap(s *Spec, payload int) {
	var status syscall.WaitStatus
	var ended bool
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if err == syscall.ECHILD {
			break
		}
		if pid == payload {
			status, ended = ws, true
			killAll()
		} else if ended && inPidNamespace {
			continue
		} else if ended {
			killAll()
		}
	}
	var ru syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_CHILDREN, &ru)
	x := Exit{Status: uint32(status), UserUS: micros(ru.Utime), SysUS: micros(ru.Stime), MaxRSSKB: uint64(ru.Maxrss)}
	Send(control, FrameExit, x.Encode())
	syscall.Exit(0)
	runtime.KeepAlive(s)
}

func micros(t syscall.Timeval) uint64 { return uint64(t.Sec)*1e6 + uint64(t.Usec) }

// inPidNamespace says that this process is the first of a pid namespace: kill(-1) then means "all of the box". It is
// asked of the kernel and never assumed, because elsewhere kill(-1) would reach all processes of the user.
var inPidNamespace = syscall.Getpid() == 1

func killAll() {
	if inPidNamespace {
		syscall.Kill(-1, syscall.SIGKILL)
		return
	}
	killChildren()
}

// openPTY opens a terminal of the box's private devpts.
func openPTY(rows, cols uint32) (master, slave int, err error) {
	master, err = syscall.Open("/dev/pts/ptmx", syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return -1, -1, err
	}
	var unlock, number int32
	if err := ioctl(master, tiocsptlck, unsafe.Pointer(&unlock)); err != nil {
		return -1, -1, err
	}
	if err := ioctl(master, tiocgptn, unsafe.Pointer(&number)); err != nil {
		return -1, -1, err
	}
	slave, err = syscall.Open("/dev/pts/"+itoa(int(number)), syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return -1, -1, err
	}
	if rows > 0 && cols > 0 {
		size := [4]uint16{uint16(rows), uint16(cols)}
		if err := ioctl(master, tiocswinsz, unsafe.Pointer(&size)); err != nil {
			return -1, -1, err
		}
	}
	return master, slave, nil
}
