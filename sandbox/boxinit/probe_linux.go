package boxinit

import "syscall"

// ProbeMarker is the environment variable that makes a program try what a box must refuse, and exit with the sum of
// what worked. Its value is "PORT PID CANARY": a TCP port on the host's loopback, a process of the host and a file
// outside the workspace.
const ProbeMarker = "AGENTD_BOXPROBE"

// What a probe may find. A box that holds gives 0.
const (
	ProbeWroteOutside = 1 << iota // the canary could be changed
	ProbeReadOutside              // the canary could be read
	ProbeConnected                // the host's loopback could be reached by TCP
	ProbeUDP                      // a datagram could be sent to the host's loopback
	ProbeSignalled                // a process of the host could be signalled
	ProbeNamespace                // a user namespace could be made
	ProbeNoWorkspace              // the workspace can't be written
)

func probe(arg string) {
	port, pid, canary := 0, 0, ""
	fields := 0
	from := 0
	for i := 0; i <= len(arg) && fields < 2; i++ {
		if i == len(arg) || arg[i] == ' ' {
			n := 0
			for _, c := range []byte(arg[from:i]) {
				n = n*10 + int(c-'0')
			}
			if fields == 0 {
				port = n
			} else {
				pid = n
			}
			fields, from = fields+1, i+1
		}
	}
	if from <= len(arg) {
		canary = arg[from:]
	}
	found := 0
	if fd, err := syscall.Open(canary, syscall.O_WRONLY|syscall.O_APPEND|syscall.O_CLOEXEC, 0); err == nil {
		syscall.Close(fd)
		found |= ProbeWroteOutside
	}
	if fd, err := syscall.Open(canary, syscall.O_RDONLY|syscall.O_CLOEXEC, 0); err == nil {
		syscall.Close(fd)
		found |= ProbeReadOutside
	}
	to := &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
	if s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0); err == nil {
		if syscall.Connect(s, to) == nil {
			found |= ProbeConnected
		}
		syscall.Close(s)
	}
	if s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0); err == nil {
		// In a network namespace of its own a datagram goes to the box's loopback, where nobody reads it: whether one
		// arrived is for the daemon to say. Without one the socket itself must be refused.
		syscall.Sendto(s, []byte("probe"), 0, to)
		syscall.Close(s)
	}
	if syscall.Kill(pid, 0) == nil {
		found |= ProbeSignalled
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_UNSHARE, 0x10000000, 0, 0); errno == 0 {
		found |= ProbeNamespace
	}
	fd, err := syscall.Open("probe", syscall.O_WRONLY|syscall.O_CREAT|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		found |= ProbeNoWorkspace
	} else {
		syscall.Close(fd)
		syscall.Unlink("probe")
	}
	syscall.Exit(found)
}
