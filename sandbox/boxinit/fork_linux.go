package boxinit

import (
	"syscall"
	_ "unsafe" // for linkname
)

// A box's init is a fork of the nursery that never executes anything: executing a Go program costs a box more than its
// namespaces do. Only the forking thread lives on in it, so no lock of the runtime may be taken there: the code of an
// init allocates nothing, starts no goroutine, grows no stack and makes system calls without telling the scheduler.
// TestNothingEscapes holds it to that. The runtime's hooks around a fork are those that package syscall uses.

//go:linkname beforeFork syscall.runtime_BeforeFork
func beforeFork()

//go:linkname afterFork syscall.runtime_AfterFork
func afterFork()

//go:linkname afterForkInChild syscall.runtime_AfterForkInChild
func afterForkInChild()

// forked says that this process is a fork: it has one thread and no scheduler.
var forked bool

// fork clones this process. The child has default signal handlers and a stack that no request for preemption spoils.
//
//go:noinline
//go:norace
//go:nosplit
func fork(flags uintptr) (int, syscall.Errno) {
	beforeFork()
	pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, flags|uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if pid == 0 && errno == 0 {
		afterForkInChild()
		forked = true
	}
	afterFork()
	return int(pid), errno
}

// grow makes the stack as large as an init needs, while there is a runtime to do it.
//
//go:noinline
func grow(i int) byte {
	var room [32 << 10]byte
	room[i] = 1
	return room[len(room)-1-i]
}

// vfork clones this process so that the child shares its memory, and returns here when that has executed a program or
// ended. What the child runs must not return from the function that called vfork.
func vfork() (pid, errno uintptr)
