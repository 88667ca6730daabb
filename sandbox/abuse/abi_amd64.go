//go:build linux

package abuse

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

const abiSignal = "SIGSYS"

// otherABI tries the x32 numbers, and then the 32-bit entry, which ends the process.
func otherABI(*world) error {
	if err := refused("x32 getpid", call(0x40000000|unix.SYS_GETPID), unix.ENOSYS); err != nil {
		return err
	}
	code, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	copy(code, []byte{0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3}) // mov eax, getpid; int 0x80; ret
	at := uintptr(unsafe.Pointer(&code[0]))
	entry := &at
	(*(*func())(unsafe.Pointer(&entry)))()
	return fmt.Errorf("int 0x80 returned")
}
