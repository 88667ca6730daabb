#include "textflag.h"

// Instructions that Go's assembler does not have, by the numbers of their registers; the order is Go's: sources, then
// destination.
#define FADD4(m, n, d)     WORD $(0x4e20d400 | (m)<<16 | (n)<<5 | (d)) // fadd d.4s, n.4s, m.4s
#define FSUB4(m, n, d)     WORD $(0x4ea0d400 | (m)<<16 | (n)<<5 | (d)) // fsub d.4s, n.4s, m.4s
#define FMUL4(m, n, d)     WORD $(0x6e20dc00 | (m)<<16 | (n)<<5 | (d)) // fmul d.4s, n.4s, m.4s
#define FADDP4(m, n, d)    WORD $(0x6e20d400 | (m)<<16 | (n)<<5 | (d)) // faddp d.4s, n.4s, m.4s
#define FMAX4(m, n, d)     WORD $(0x4e20f400 | (m)<<16 | (n)<<5 | (d)) // fmax d.4s, n.4s, m.4s
#define FCMGT4(m, n, d)    WORD $(0x6ea0e400 | (m)<<16 | (n)<<5 | (d)) // fcmgt d.4s, n.4s, m.4s
#define FABS4(n, d)        WORD $(0x4ea0f800 | (n)<<5 | (d))           // fabs d.4s, n.4s
#define FMAXV4(n, d)       WORD $(0x6e30f800 | (n)<<5 | (d))           // fmaxv d, n.4s
#define FCVTNS4(n, d)      WORD $(0x4e21a800 | (n)<<5 | (d))           // fcvtns d.4s, n.4s
#define SCVTF4(n, d)       WORD $(0x4e21d800 | (n)<<5 | (d))           // scvtf d.4s, n.4s
#define UCVTF4(n, d)       WORD $(0x6e21d800 | (n)<<5 | (d))           // ucvtf d.4s, n.4s
#define SMULL8(m, n, d)    WORD $(0x0e20c000 | (m)<<16 | (n)<<5 | (d)) // smull d.8h, n.8b, m.8b
#define SMLAL16(m, n, d)   WORD $(0x4e208000 | (m)<<16 | (n)<<5 | (d)) // smlal2 d.8h, n.16b, m.16b
#define SADALP8(n, d)      WORD $(0x4e606800 | (n)<<5 | (d))           // sadalp d.4s, n.8h
#define SXTL8(n, d)        WORD $(0x0f08a400 | (n)<<5 | (d))           // sxtl d.8h, n.8b
#define SMLAL4(m, n, d)    WORD $(0x0e608000 | (m)<<16 | (n)<<5 | (d)) // smlal d.4s, n.4h, m.4h
#define SMLAL8(m, n, d)    WORD $(0x4e608000 | (m)<<16 | (n)<<5 | (d)) // smlal2 d.4s, n.8h, m.8h
#define ADDV4(n, d)        WORD $(0x4eb1b800 | (n)<<5 | (d))           // addv d, n.4s
#define ADDP4(m, n, d)     WORD $(0x4ea0bc00 | (m)<<16 | (n)<<5 | (d)) // addp d.4s, n.4s, m.4s
#define UADDW8(m, n, d)    WORD $(0x2e201000 | (m)<<16 | (n)<<5 | (d)) // uaddw d.8h, n.8h, m.8b
#define UADDW16(m, n, d)   WORD $(0x6e201000 | (m)<<16 | (n)<<5 | (d)) // uaddw2 d.8h, n.8h, m.16b
#define SQXTN4(n, d)       WORD $(0x0e614800 | (n)<<5 | (d))           // sqxtn d.4h, n.4s
#define SQXTN4HI(n, d)     WORD $(0x4e614800 | (n)<<5 | (d))           // sqxtn2 d.8h, n.4s
#define SQXTN8(n, d)       WORD $(0x0e214800 | (n)<<5 | (d))           // sqxtn d.8b, n.8h
#define UXTL4(n, d)        WORD $(0x2f10a400 | (n)<<5 | (d))           // uxtl d.4s, n.4h
#define UXTL4HI(n, d)      WORD $(0x6f10a400 | (n)<<5 | (d))           // uxtl2 d.4s, n.8h
#define SHLL4(n, d)        WORD $(0x2e613800 | (n)<<5 | (d))           // shll d.4s, n.4h, #16
#define SHLL4HI(n, d)      WORD $(0x6e613800 | (n)<<5 | (d))           // shll2 d.4s, n.8h, #16

#define ZERO(v) VEOR v.B16, v.B16, v.B16

// DOT adds the products of the R2 floats at R0 and R1 into the lowest of V16; it moves R0, R1 and R2.
#define DOT(wide, narrow, done) \
	ZERO(V16) \
	ZERO(V17) \
	ZERO(V18) \
	ZERO(V19) \
	CMP $16, R2 \
	BLT narrow \
wide: \
	VLD1.P 64(R0), [V0.S4, V1.S4, V2.S4, V3.S4] \
	VLD1.P 64(R1), [V4.S4, V5.S4, V6.S4, V7.S4] \
	VFMLA V0.S4, V4.S4, V16.S4 \
	VFMLA V1.S4, V5.S4, V17.S4 \
	VFMLA V2.S4, V6.S4, V18.S4 \
	VFMLA V3.S4, V7.S4, V19.S4 \
	SUB $16, R2 \
	CMP $16, R2 \
	BGE wide \
narrow: \
	CBZ R2, done \
	VLD1 (R0), [V0.S4, V1.S4] \
	VLD1 (R1), [V4.S4, V5.S4] \
	VFMLA V0.S4, V4.S4, V16.S4 \
	VFMLA V1.S4, V5.S4, V17.S4 \
done: \
	FADD4(17, 16, 16) \
	FADD4(19, 18, 18) \
	FADD4(18, 16, 16) \
	FADDP4(16, 16, 16) \
	FADDP4(16, 16, 16)

// func dotF32NEON(a, b *float32, n int) float32
TEXT ·dotF32NEON(SB), NOSPLIT, $0-28
	MOVD a+0(FP), R0
	MOVD b+8(FP), R1
	MOVD n+16(FP), R2
	DOT(wide, narrow, done)
	FMOVS F16, ret+24(FP)
	RET

// func gatherF32NEON(rows *unsafe.Pointer, count int, q *float32, n int, out *float32)
TEXT ·gatherF32NEON(SB), NOSPLIT, $0-40
	MOVD rows+0(FP), R8
	MOVD count+8(FP), R9
	MOVD q+16(FP), R10
	MOVD n+24(FP), R11
	MOVD out+32(FP), R12
	CMP $0, R9
	BLE out
row:
	CMP $3, R9
	BLT nofetch
	MOVD 16(R8), R3
	LSL $2, R11, R4
	ADD R3, R4
fetch:
	PRFM (R3), PLDL1KEEP
	ADD $64, R3
	CMP R4, R3
	BLT fetch
nofetch:
	MOVD.P 8(R8), R0
	MOVD R10, R1
	MOVD R11, R2
	DOT(wide, narrow, done)
	FMOVS.P F16, 4(R12)
	SUB $1, R9
	CBNZ R9, row
out:
	RET

// func scanF32NEON(base *float32, stride int, q *float32, n int, out *float32, rows int)
TEXT ·scanF32NEON(SB), NOSPLIT, $0-48
	MOVD base+0(FP), R0
	MOVD stride+8(FP), R4
	MOVD q+16(FP), R5
	MOVD n+24(FP), R6
	MOVD out+32(FP), R7
	MOVD rows+40(FP), R8
	LSL $2, R4
	ADD R4, R0, R1
	ADD R4, R1, R2
	ADD R4, R2, R3
	CMP $0, R8
	BLE out
row:
	MOVD R5, R9
	MOVD R6, R10
	ZERO(V16)
	ZERO(V17)
	ZERO(V18)
	ZERO(V19)
	ZERO(V20)
	ZERO(V21)
	ZERO(V22)
	ZERO(V23)
loop:
	VLD1.P 32(R9), [V24.S4, V25.S4]
	VLD1.P 32(R0), [V0.S4, V1.S4]
	VLD1.P 32(R1), [V2.S4, V3.S4]
	VLD1.P 32(R2), [V4.S4, V5.S4]
	VLD1.P 32(R3), [V6.S4, V7.S4]
	VFMLA V24.S4, V0.S4, V16.S4
	VFMLA V25.S4, V1.S4, V20.S4
	VFMLA V24.S4, V2.S4, V17.S4
	VFMLA V25.S4, V3.S4, V21.S4
	VFMLA V24.S4, V4.S4, V18.S4
	VFMLA V25.S4, V5.S4, V22.S4
	VFMLA V24.S4, V6.S4, V19.S4
	VFMLA V25.S4, V7.S4, V23.S4
	SUBS $8, R10
	BNE loop
	FADD4(20, 16, 16)
	FADD4(21, 17, 17)
	FADD4(22, 18, 18)
	FADD4(23, 19, 19)
	FADDP4(17, 16, 16)
	FADDP4(19, 18, 18)
	FADDP4(18, 16, 16)
	VST1.P [V16.S4], 16(R7)
	SUBS $1, R8
	BNE row
out:
	RET

// func scanI8NEON(base *int8, stride int, q *int8, n int, out *int32, rows int)
// Two products of at most 127 * 127 fit a halfword; they are added up as words.
TEXT ·scanI8NEON(SB), NOSPLIT, $0-48
	MOVD base+0(FP), R0
	MOVD stride+8(FP), R4
	MOVD q+16(FP), R5
	MOVD n+24(FP), R6
	MOVD out+32(FP), R7
	MOVD rows+40(FP), R8
	ADD R4, R0, R1
	ADD R4, R1, R2
	ADD R4, R2, R3
	CMP $0, R8
	BLE out
row:
	MOVD R5, R9
	MOVD R6, R10
	ZERO(V16)
	ZERO(V17)
	ZERO(V18)
	ZERO(V19)
	CMP $16, R10
	BLT narrow
wide:
	VLD1.P 16(R9), [V24.B16]
	VLD1.P 16(R0), [V0.B16]
	VLD1.P 16(R1), [V1.B16]
	VLD1.P 16(R2), [V2.B16]
	VLD1.P 16(R3), [V3.B16]
	SMULL8(24, 0, 4)
	SMULL8(24, 1, 5)
	SMULL8(24, 2, 6)
	SMULL8(24, 3, 7)
	SMLAL16(24, 0, 4)
	SMLAL16(24, 1, 5)
	SMLAL16(24, 2, 6)
	SMLAL16(24, 3, 7)
	SADALP8(4, 16)
	SADALP8(5, 17)
	SADALP8(6, 18)
	SADALP8(7, 19)
	SUB $16, R10
	CMP $16, R10
	BGE wide
narrow:
	CBZ R10, sum
	VLD1 (R9), [V24.B8]
	VLD1.P 8(R0), [V0.B8]
	VLD1.P 8(R1), [V1.B8]
	VLD1.P 8(R2), [V2.B8]
	VLD1.P 8(R3), [V3.B8]
	SMULL8(24, 0, 4)
	SMULL8(24, 1, 5)
	SMULL8(24, 2, 6)
	SMULL8(24, 3, 7)
	SADALP8(4, 16)
	SADALP8(5, 17)
	SADALP8(6, 18)
	SADALP8(7, 19)
sum:
	ADDP4(17, 16, 16)
	ADDP4(19, 18, 18)
	ADDP4(18, 16, 16)
	VST1.P [V16.S4], 16(R7)
	SUBS $1, R8
	BNE row
out:
	RET

// func gatherI8NEON(rows *unsafe.Pointer, count int, q *int16, n int, out *int32)
TEXT ·gatherI8NEON(SB), NOSPLIT, $0-40
	MOVD rows+0(FP), R8
	MOVD count+8(FP), R9
	MOVD q+16(FP), R10
	MOVD n+24(FP), R11
	MOVD out+32(FP), R12
	CMP $0, R9
	BLE out
row:
	CMP $9, R9
	BLT nofetch
	MOVD 64(R8), R3
	ADD R3, R11, R4
fetch:
	PRFM (R3), PLDL1KEEP
	ADD $64, R3
	CMP R4, R3
	BLT fetch
nofetch:
	MOVD.P 8(R8), R0
	MOVD R10, R1
	MOVD R11, R2
	ZERO(V16)
	ZERO(V17)
loop:
	VLD1.P 8(R0), [V0.B8]
	VLD1.P 16(R1), [V1.H8]
	SXTL8(0, 0)
	SMLAL4(1, 0, 16)
	SMLAL8(1, 0, 17)
	SUBS $8, R2
	BNE loop
	VADD V17.S4, V16.S4, V16.S4
	ADDV4(16, 16)
	FMOVS.P F16, 4(R12)
	SUB $1, R9
	CBNZ R9, row
out:
	RET

DATA lanes<>+0(SB)/4, $1
DATA lanes<>+4(SB)/4, $2
DATA lanes<>+8(SB)/4, $4
DATA lanes<>+12(SB)/4, $8
GLOBL lanes<>(SB), RODATA|NOPTR, $16

// LOOKUP looks up 32 codes in a table of 16 and adds the bytes to V4 (low nibbles) and V5 (high ones).
#define LOOKUP \
	VLD1.P 16(R1), [V6.B16] \
	VLD1.P 16(R2), [V7.B16] \
	VAND V31.B16, V6.B16, V8.B16 \
	VUSHR $4, V6.B16, V9.B16 \
	VTBL V8.B16, [V7.B16], V8.B16 \
	VTBL V9.B16, [V7.B16], V9.B16 \
	VADD V8.B16, V4.B16, V4.B16 \
	VADD V9.B16, V5.B16, V5.B16

#define WIDEN \
	UADDW8(4, 0, 0) \
	UADDW16(4, 1, 1) \
	UADDW8(5, 2, 2) \
	UADDW16(5, 3, 3)

// SCORE makes scores of four sums in V10 with the factors in V12 and the offsets in V13, stores them at R9, and adds the
// mask of those above the threshold to R6.
#define SCORE(shift) \
	UCVTF4(10, 10) \
	VMOV V28.B16, V11.B16 \
	VFMLA V27.S4, V10.S4, V11.S4 \
	VFMLA V11.S4, V12.S4, V13.S4 \
	VST1.P [V13.S4], 16(R9) \
	FCMGT4(29, 13, 13) \
	VAND V30.B16, V13.B16, V13.B16 \
	ADDV4(13, 13) \
	FMOVS F13, R4 \
	LSL $shift, R4 \
	ORR R4, R6

// SCORE8 makes scores of the eight sums in halfwords of v.
#define SCORE8(v, shift) \
	VLD1.P 16(R1), [V14.H8] \
	VLD1.P 16(R3), [V15.H8] \
	UXTL4(v, 10) \
	SHLL4(14, 12) \
	SHLL4(15, 13) \
	SCORE(shift) \
	UXTL4HI(v, 10) \
	SHLL4HI(14, 12) \
	SHLL4HI(15, 13) \
	SCORE(shift+4)

// func scanBitsNEON(a *scanArgs)
TEXT ·scanBitsNEON(SB), NOSPLIT, $0-8
	MOVD a+0(FP), R20
	MOVD 0(R20), R0   // next block
	MOVD 8(R20), R21  // blocks
	MOVD 24(R20), R22 // steps of two groups
	MOVD 32(R20), R23 // live masks or nil
	MOVD $0, R24      // done
	MOVD $0, R25      // hits
	FMOVS 40(R20), F27
	FMOVS 44(R20), F28
	FMOVS 48(R20), F29
	VDUP V27.S[0], V27.S4
	VDUP V28.S[0], V28.S4
	VDUP V29.S[0], V29.S4
	MOVD $lanes<>(SB), R4
	VLD1 (R4), [V30.S4]
	VMOVI $15, V31.B16
	LSL $5, R22, R26 // bytes of codes
	CMP R21, R24
	BGE out
block:
	MOVD R0, R1
	MOVD $0xffffffff, R7
	CBZ R23, all
	MOVWU (R23)(R24<<2), R7
	CBZ R7, next
all:
	MOVD 16(R20), R2
	LSL $1, R22, R5 // groups
	ZERO(V0)
	ZERO(V1)
	ZERO(V2)
	ZERO(V3)
	CMP $8, R5
	BLT few
eight:
	ADD $4096, R1, R4
	PRFM (R4), PLDL1KEEP
	PRFM 64(R4), PLDL1KEEP
	ZERO(V4)
	ZERO(V5)
	LOOKUP
	LOOKUP
	LOOKUP
	LOOKUP
	LOOKUP
	LOOKUP
	LOOKUP
	LOOKUP
	WIDEN
	SUB $8, R5
	CMP $8, R5
	BGE eight
few:
	CBZ R5, score
	ZERO(V4)
	ZERO(V5)
one:
	LOOKUP
	SUBS $1, R5
	BNE one
	WIDEN
score:
	MOVD $0, R6
	ADD $64, R1, R3
	LSL $7, R25, R9
	ADD $584, R9
	ADD R20, R9
	SCORE8(0, 0)
	SCORE8(1, 8)
	SCORE8(2, 16)
	SCORE8(3, 24)
	ANDW R7, R6
	CBZW R6, next
	LSL $2, R25, R4
	ADD R20, R4
	MOVW R24, 72(R4)
	MOVW R6, 328(R4)
	ADD $1, R25
next:
	ADD R26, R0
	ADD $128, R0
	ADD $1, R24
	CMP $64, R25
	BEQ out
	CMP R21, R24
	BLT block
out:
	MOVD R24, 56(R20)
	MOVD R25, 64(R20)
	RET

DATA flip<>+0(SB)/4, $1.0
DATA flip<>+4(SB)/4, $-1.0
DATA flip<>+8(SB)/4, $1.0
DATA flip<>+12(SB)/4, $-1.0
DATA flip<>+16(SB)/4, $1.0
DATA flip<>+20(SB)/4, $1.0
DATA flip<>+24(SB)/4, $-1.0
DATA flip<>+28(SB)/4, $-1.0
GLOBL flip<>(SB), RODATA|NOPTR, $32

// func mulFHTNEON(x, m *float32, n int)
TEXT ·mulFHTNEON(SB), NOSPLIT, $0-24
	MOVD x+0(FP), R0
	MOVD m+8(FP), R1
	MOVD n+16(FP), R2
	MOVD $flip<>(SB), R3
	VLD1 (R3), [V30.S4, V31.S4]
	LSL $2, R2 // bytes
	ADD R0, R2, R3 // end
	MOVD R0, R4
first:
	VLD1 (R4), [V0.S4]
	VLD1.P 16(R1), [V1.S4]
	FMUL4(1, 0, 0)
	VREV64 V0.S4, V1.S4
	VFMLA V30.S4, V0.S4, V1.S4
	VEXT $8, V1.B16, V1.B16, V0.B16
	VFMLA V31.S4, V1.S4, V0.S4
	VST1.P [V0.S4], 16(R4)
	CMP R3, R4
	BLT first
	MOVD $16, R5 // step
level:
	CMP R2, R5
	BGE out
	MOVD R0, R4
pair:
	ADD R5, R4, R6
	MOVD R6, R7
inner:
	VLD1 (R4), [V0.S4]
	VLD1 (R6), [V1.S4]
	FADD4(1, 0, 2)
	FSUB4(1, 0, 3)
	VST1.P [V2.S4], 16(R4)
	VST1.P [V3.S4], 16(R6)
	CMP R7, R4
	BLT inner
	MOVD R6, R4
	CMP R3, R4
	BLT pair
	LSL $1, R5
	B level
out:
	RET

// func maxAbsNEON(x *float32, n int) float32
TEXT ·maxAbsNEON(SB), NOSPLIT, $0-20
	MOVD x+0(FP), R0
	MOVD n+8(FP), R1
	ZERO(V0)
loop:
	VLD1.P 32(R0), [V1.S4, V2.S4]
	FABS4(1, 1)
	FABS4(2, 2)
	FMAX4(1, 0, 0)
	FMAX4(2, 0, 0)
	SUBS $8, R1
	BNE loop
	FMAXV4(0, 0)
	FMOVS F0, ret+16(FP)
	RET

// func quantizeNEON(x *float32, n int, inv, scale float32, c *int8) float32
TEXT ·quantizeNEON(SB), NOSPLIT, $0-36
	MOVD x+0(FP), R0
	MOVD n+8(FP), R1
	FMOVS inv+16(FP), F30
	FMOVS scale+20(FP), F31
	MOVD c+24(FP), R2
	VDUP V30.S[0], V30.S4
	VDUP V31.S[0], V31.S4
	ZERO(V16)
	ZERO(V17)
loop:
	VLD1.P 32(R0), [V0.S4, V1.S4]
	FMUL4(30, 0, 2)
	FMUL4(30, 1, 3)
	FCVTNS4(2, 2)
	FCVTNS4(3, 3)
	SCVTF4(2, 4)
	SCVTF4(3, 5)
	VFMLS V31.S4, V4.S4, V0.S4
	VFMLS V31.S4, V5.S4, V1.S4
	VFMLA V0.S4, V0.S4, V16.S4
	VFMLA V1.S4, V1.S4, V17.S4
	SQXTN4(2, 2)
	SQXTN4HI(3, 2)
	SQXTN8(2, 2)
	VST1.P [V2.B8], 8(R2)
	SUBS $8, R1
	BNE loop
	FADD4(17, 16, 16)
	FADDP4(16, 16, 16)
	FADDP4(16, 16, 16)
	FMOVS F16, ret+32(FP)
	RET

// func signsNEON(x *float32, n int, bits *byte) (l1, l2 float32)
TEXT ·signsNEON(SB), NOSPLIT, $0-32
	MOVD x+0(FP), R0
	MOVD n+8(FP), R1
	MOVD bits+16(FP), R2
	MOVD $lanes<>(SB), R3
	VLD1 (R3), [V30.S4]
	ZERO(V31)
	ZERO(V16)
	ZERO(V17)
loop:
	VLD1.P 32(R0), [V0.S4, V1.S4]
	FCMGT4(31, 0, 2)
	FCMGT4(31, 1, 3)
	VAND V30.B16, V2.B16, V2.B16
	VAND V30.B16, V3.B16, V3.B16
	VSHL $4, V3.S4, V3.S4
	VORR V3.B16, V2.B16, V2.B16
	ADDV4(2, 2)
	FMOVS F2, R3
	MOVB.P R3, 1(R2)
	VFMLA V0.S4, V0.S4, V17.S4
	VFMLA V1.S4, V1.S4, V17.S4
	FABS4(0, 0)
	FABS4(1, 1)
	FADD4(0, 16, 16)
	FADD4(1, 16, 16)
	SUBS $8, R1
	BNE loop
	FADDP4(16, 16, 16)
	FADDP4(16, 16, 16)
	FADDP4(17, 17, 17)
	FADDP4(17, 17, 17)
	FMOVS F16, l1+24(FP)
	FMOVS F17, l2+28(FP)
	RET
