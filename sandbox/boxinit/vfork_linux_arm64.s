#include "textflag.h"

// func vfork() (pid, errno uintptr)
//
// The return address is in R30 all the time, where each process has its own.
TEXT ·vfork(SB),NOSPLIT|NOFRAME,$0-16
	MOVD	$0x4111, R0	// CLONE_VFORK|CLONE_VM|SIGCHLD
	MOVD	ZR, R1
	MOVD	ZR, R2
	MOVD	ZR, R3
	MOVD	ZR, R4
	MOVD	$220, R8	// clone
	SVC
	MOVD	ZR, R1
	CMN	$4095, R0
	BCC	done
	NEG	R0, R1
	MOVD	$-1, R0
done:
	MOVD	R0, pid+0(FP)
	MOVD	R1, errno+8(FP)
	RET
