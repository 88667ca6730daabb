package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch     = unix.AUDIT_ARCH_X86_64
	x32Bit        = 0x40000000
	lastKnownCall = 470
)

var archRefusedCalls = []uint32{
	unix.SYS_KEXEC_FILE_LOAD, unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_MODIFY_LDT, unix.SYS_CREATE_MODULE, unix.SYS_USELIB,
	unix.SYS_USTAT, unix.SYS_SYSFS, unix.SYS__SYSCTL, unix.SYS_GET_KERNEL_SYMS, unix.SYS_QUERY_MODULE,
}

var setidCalls = []setidCall{
	{unix.SYS_CHMOD, 1}, {unix.SYS_FCHMOD, 1}, {unix.SYS_FCHMODAT, 2}, {unix.SYS_FCHMODAT2, 2},
	{unix.SYS_CREAT, 1}, {unix.SYS_OPEN, 2}, {unix.SYS_OPENAT, 3}, {unix.SYS_MKDIR, 1}, {unix.SYS_MKDIRAT, 2},
	{unix.SYS_MKNOD, 1}, {unix.SYS_MKNODAT, 2},
}
