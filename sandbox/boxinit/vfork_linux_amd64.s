#include "textflag.h"

// func vfork() (pid, errno uintptr)
//
// The child runs on this stack first and spoils what lies below the caller's frame: the return address is kept in a
// register, where each process has its own.
TEXT ·vfork(SB),NOSPLIT|NOFRAME,$0-16
	MOVQ	$0x4111, DI	// CLONE_VFORK|CLONE_VM|SIGCHLD
	XORL	SI, SI
	XORL	DX, DX
	XORL	R10, R10
	XORL	R8, R8
	MOVQ	$56, AX	// clone
	POPQ	R12
	SYSCALL
	PUSHQ	R12
	XORL	CX, CX
	CMPQ	AX, $0xfffffffffffff001
	JLS	done
	MOVQ	AX, CX
	NEGQ	CX
	MOVQ	$-1, AX
done:
	MOVQ	AX, pid+0(FP)
	MOVQ	CX, errno+8(FP)
	RET
