#include "textflag.h"

// func cpuid(leaf, sub uint32) (a, b, c, d uint32)
TEXT ·cpuid(SB), NOSPLIT, $0-24
	MOVL leaf+0(FP), AX
	MOVL sub+4(FP), CX
	CPUID
	MOVL AX, a+8(FP)
	MOVL BX, b+12(FP)
	MOVL CX, c+16(FP)
	MOVL DX, d+20(FP)
	RET

// func xgetbv() uint32
TEXT ·xgetbv(SB), NOSPLIT, $0-4
	XORL CX, CX
	XGETBV
	MOVL AX, ret+0(FP)
	RET

// REDUCE adds the eight lanes of Y0 into the lowest of X0.
#define REDUCE \
	VEXTRACTF128 $1, Y0, X1 \
	VADDPS X1, X0, X0 \
	VHADDPS X0, X0, X0 \
	VHADDPS X0, X0, X0

// DOT adds to Y0 the products of the CX floats at SI and DI; it uses Y1 to Y7 and moves SI, DI and CX.
#define DOT(wide, narrow, tail, done) \
	VXORPS Y0, Y0, Y0 \
	VXORPS Y1, Y1, Y1 \
	VXORPS Y2, Y2, Y2 \
	VXORPS Y3, Y3, Y3 \
	SUBQ $32, CX \
	JLT tail \
wide: \
	VMOVUPS (SI), Y4 \
	VMOVUPS 32(SI), Y5 \
	VMOVUPS 64(SI), Y6 \
	VMOVUPS 96(SI), Y7 \
	VFMADD231PS (DI), Y4, Y0 \
	VFMADD231PS 32(DI), Y5, Y1 \
	VFMADD231PS 64(DI), Y6, Y2 \
	VFMADD231PS 96(DI), Y7, Y3 \
	ADDQ $128, SI \
	ADDQ $128, DI \
	SUBQ $32, CX \
	JGE wide \
tail: \
	ADDQ $32, CX \
	JZ done \
narrow: \
	VMOVUPS (SI), Y4 \
	VFMADD231PS (DI), Y4, Y0 \
	ADDQ $32, SI \
	ADDQ $32, DI \
	SUBQ $8, CX \
	JNZ narrow \
done: \
	VADDPS Y1, Y0, Y0 \
	VADDPS Y3, Y2, Y2 \
	VADDPS Y2, Y0, Y0

// func dotF32AVX2(a, b *float32, n int) float32
TEXT ·dotF32AVX2(SB), NOSPLIT, $0-28
	MOVQ a+0(FP), SI
	MOVQ b+8(FP), DI
	MOVQ n+16(FP), CX
	DOT(wide, narrow, tail, done)
	REDUCE
	VZEROUPPER
	VMOVSS X0, ret+24(FP)
	RET

// func gatherF32AVX2(rows *unsafe.Pointer, count int, q *float32, n int, out *float32)
// While a row is multiplied, the row two places on is fetched.
TEXT ·gatherF32AVX2(SB), NOSPLIT, $0-40
	MOVQ rows+0(FP), R8
	MOVQ count+8(FP), R9
	MOVQ n+24(FP), R11
	MOVQ out+32(FP), R12
	TESTQ R9, R9
	JLE out
row:
	CMPQ R9, $3
	JLT nofetch
	MOVQ 16(R8), AX
	LEAQ (AX)(R11*4), BX
fetch:
	PREFETCHT0 (AX)
	ADDQ $64, AX
	CMPQ AX, BX
	JLT fetch
nofetch:
	MOVQ (R8), SI
	MOVQ q+16(FP), DI
	MOVQ R11, CX
	DOT(wide, narrow, tail, done)
	REDUCE
	VMOVSS X0, (R12)
	ADDQ $8, R8
	ADDQ $4, R12
	DECQ R9
	JNZ row
out:
	VZEROUPPER
	RET

// func scanF32AVX2(base *float32, stride int, q *float32, n int, out *float32, rows int)
TEXT ·scanF32AVX2(SB), NOSPLIT, $0-48
	MOVQ base+0(FP), SI
	MOVQ stride+8(FP), R8
	SHLQ $2, R8
	MOVQ q+16(FP), DI
	MOVQ n+24(FP), R12
	SHLQ $2, R12
	MOVQ out+32(FP), DX
	MOVQ rows+40(FP), CX
	LEAQ (SI)(R8*1), R9
	LEAQ (R9)(R8*1), R10
	LEAQ (R10)(R8*1), R11
	MOVQ R12, R13
	ANDQ $-64, R13
	TESTQ CX, CX
	JLE out
row:
	XORQ AX, AX
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	VXORPS Y8, Y8, Y8
	VXORPS Y9, Y9, Y9
	VXORPS Y10, Y10, Y10
	VXORPS Y11, Y11, Y11
	CMPQ AX, R13
	JEQ narrow
wide:
	VMOVUPS (DI)(AX*1), Y4
	VMOVUPS 32(DI)(AX*1), Y5
	VFMADD231PS (SI)(AX*1), Y4, Y0
	VFMADD231PS 32(SI)(AX*1), Y5, Y8
	VFMADD231PS (R9)(AX*1), Y4, Y1
	VFMADD231PS 32(R9)(AX*1), Y5, Y9
	VFMADD231PS (R10)(AX*1), Y4, Y2
	VFMADD231PS 32(R10)(AX*1), Y5, Y10
	VFMADD231PS (R11)(AX*1), Y4, Y3
	VFMADD231PS 32(R11)(AX*1), Y5, Y11
	ADDQ $64, AX
	CMPQ AX, R13
	JNE wide
narrow:
	CMPQ AX, R12
	JEQ sum
	VMOVUPS (DI)(AX*1), Y4
	VFMADD231PS (SI)(AX*1), Y4, Y0
	VFMADD231PS (R9)(AX*1), Y4, Y1
	VFMADD231PS (R10)(AX*1), Y4, Y2
	VFMADD231PS (R11)(AX*1), Y4, Y3
sum:
	VADDPS Y8, Y0, Y0
	VADDPS Y9, Y1, Y1
	VADDPS Y10, Y2, Y2
	VADDPS Y11, Y3, Y3
	VHADDPS Y1, Y0, Y0
	VHADDPS Y3, Y2, Y2
	VHADDPS Y2, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VADDPS X1, X0, X0
	VMOVUPS X0, (DX)
	ADDQ $16, DX
	ADDQ R12, SI
	ADDQ R12, R9
	ADDQ R12, R10
	ADDQ R12, R11
	DECQ CX
	JNZ row
out:
	VZEROUPPER
	RET

// MULI8 adds to acc the products of the 32 codes at (row)(AX*1) and the query in Y4. |c|*(q with c's sign) is c*q, and
// two such products fit a word, as no code is -128.
#define MULI8(row, acc, c, p) \
	VMOVDQU (row)(AX*1), c \
	VPSIGNB c, Y4, p \
	VPABSB c, c \
	VPMADDUBSW p, c, p \
	VPMADDWD Y15, p, p \
	VPADDD p, acc, acc

// MULI8X8 is MULI8 for 8 codes.
#define MULI8X8(row, acc, x, c, p) \
	VMOVQ (row)(AX*1), x \
	VPSIGNB c, Y4, p \
	VPABSB c, c \
	VPMADDUBSW p, c, p \
	VPMADDWD Y15, p, p \
	VPADDD p, acc, acc

// func scanI8AVX2(base *int8, stride int, q *int8, n int, out *int32, rows int)
TEXT ·scanI8AVX2(SB), NOSPLIT, $0-48
	MOVQ base+0(FP), SI
	MOVQ stride+8(FP), R8
	MOVQ q+16(FP), DI
	MOVQ n+24(FP), R12
	MOVQ out+32(FP), DX
	MOVQ rows+40(FP), CX
	LEAQ (SI)(R8*1), R9
	LEAQ (R9)(R8*1), R10
	LEAQ (R10)(R8*1), R11
	MOVQ R12, R13
	ANDQ $-32, R13
	VPCMPEQW Y15, Y15, Y15
	VPSRLW $15, Y15, Y15
	TESTQ CX, CX
	JLE out
row:
	XORQ AX, AX
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3
	CMPQ AX, R13
	JEQ narrow
wide:
	VMOVDQU (DI)(AX*1), Y4
	MULI8(SI, Y0, Y5, Y6)
	MULI8(R9, Y1, Y7, Y8)
	MULI8(R10, Y2, Y9, Y10)
	MULI8(R11, Y3, Y11, Y12)
	ADDQ $32, AX
	CMPQ AX, R13
	JNE wide
narrow:
	CMPQ AX, R12
	JEQ sum
	VMOVQ (DI)(AX*1), X4
	MULI8X8(SI, Y0, X5, Y5, Y6)
	MULI8X8(R9, Y1, X7, Y7, Y8)
	MULI8X8(R10, Y2, X9, Y9, Y10)
	MULI8X8(R11, Y3, X11, Y11, Y12)
	ADDQ $8, AX
	JMP narrow
sum:
	VPHADDD Y1, Y0, Y0
	VPHADDD Y3, Y2, Y2
	VPHADDD Y2, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	VPADDD X1, X0, X0
	VMOVDQU X0, (DX)
	ADDQ $16, DX
	ADDQ R12, SI
	ADDQ R12, R9
	ADDQ R12, R10
	ADDQ R12, R11
	DECQ CX
	JNZ row
out:
	VZEROUPPER
	RET

// func gatherI8AVX2(rows *unsafe.Pointer, count int, q *int16, n int, out *int32)
// While a row is multiplied, the row eight places on is fetched.
TEXT ·gatherI8AVX2(SB), NOSPLIT, $0-40
	MOVQ rows+0(FP), R8
	MOVQ count+8(FP), R9
	MOVQ q+16(FP), DI
	MOVQ n+24(FP), R12
	MOVQ out+32(FP), DX
	MOVQ R12, R13
	ANDQ $-16, R13
	TESTQ R9, R9
	JLE out
row:
	CMPQ R9, $9
	JLT nofetch
	MOVQ 64(R8), AX
	LEAQ (AX)(R12*1), BX
fetch:
	PREFETCHT0 (AX)
	ADDQ $64, AX
	CMPQ AX, BX
	JLT fetch
	PREFETCHT0 -1(BX)
nofetch:
	MOVQ (R8), SI
	XORQ AX, AX
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	MOVQ R12, R11
	ANDQ $-32, R11
	CMPQ AX, R11
	JEQ mid
wide:
	VPMOVSXBW (SI)(AX*1), Y5
	VPMOVSXBW 16(SI)(AX*1), Y6
	VPMADDWD (DI)(AX*2), Y5, Y5
	VPMADDWD 32(DI)(AX*2), Y6, Y6
	VPADDD Y5, Y0, Y0
	VPADDD Y6, Y1, Y1
	ADDQ $32, AX
	CMPQ AX, R11
	JNE wide
mid:
	CMPQ AX, R13
	JEQ narrow
	VPMOVSXBW (SI)(AX*1), Y5
	VPMADDWD (DI)(AX*2), Y5, Y5
	VPADDD Y5, Y0, Y0
	ADDQ $16, AX
narrow:
	CMPQ AX, R12
	JEQ sum
	VMOVDQU (DI)(AX*2), X4
	VPMOVSXBW (SI)(AX*1), X5
	VPMADDWD Y4, Y5, Y5
	VPADDD Y5, Y1, Y1
sum:
	VPADDD Y1, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	VPADDD X1, X0, X0
	VPHADDD X0, X0, X0
	VPHADDD X0, X0, X0
	VMOVD X0, (DX)
	ADDQ $8, R8
	ADDQ $4, DX
	DECQ R9
	JNZ row
out:
	VZEROUPPER
	RET

DATA nibbles<>+0(SB)/8, $0x0f0f0f0f0f0f0f0f
GLOBL nibbles<>(SB), RODATA|NOPTR, $8

// LOOKUP looks up the 64 codes at SI+off in the tables at DI+off: low nibbles to Y4, high nibbles to Y6.
#define LOOKUP(off) \
	VMOVDQU off(SI), Y4 \
	VMOVDQU off(DI), Y5 \
	VPSRLW $4, Y4, Y6 \
	VPAND Y15, Y4, Y4 \
	VPAND Y15, Y6, Y6 \
	VPSHUFB Y4, Y5, Y4 \
	VPSHUFB Y6, Y5, Y6

#define LOOKUPADD(off) \
	LOOKUP(off) \
	VPADDB Y4, Y8, Y8 \
	VPADDB Y6, Y9, Y9

// WIDEN adds the byte sums Y8 and Y9 to the word sums Y0 to Y3. Y0 and Y2 keep whole words: the odd bytes' part, 256 times
// Y1 and Y3, is taken off at the end of the block.
#define WIDEN \
	VPADDW Y8, Y0, Y0 \
	VPSRLW $8, Y8, Y8 \
	VPADDW Y8, Y1, Y1 \
	VPADDW Y9, Y2, Y2 \
	VPSRLW $8, Y9, Y9 \
	VPADDW Y9, Y3, Y3

// SCORE turns the eight words of x into scores, with factors at off(SI) and offsets at off+64(SI); the lanes above the
// threshold go to the low byte of reg.
#define SCORE(x, y, off, reg) \
	VPMOVZXWD x, y \
	VPMOVZXWD off(SI), Y10 \
	VPMOVZXWD off+64(SI), Y11 \
	VCVTDQ2PS y, y \
	VPSLLD $16, Y10, Y10 \
	VPSLLD $16, Y11, Y11 \
	VFMADD213PS Y14, Y13, y \
	VFMADD213PS Y11, Y10, y \
	VCMPPS $0x1e, Y12, y, Y10 \
	VMOVMSKPS Y10, reg

// func scanBitsAVX2(a *scanArgs)
TEXT ·scanBitsAVX2(SB), NOSPLIT, $0-8
	MOVQ a+0(FP), R15
	MOVQ 0(R15), R8  // next block
	MOVQ 8(R15), R9  // blocks
	MOVQ 24(R15), R10 // steps of 32 bytes
	MOVQ 32(R15), R11 // live masks or nil
	XORQ R12, R12    // done
	XORQ R13, R13    // hits
	VBROADCASTSS 40(R15), Y13
	VBROADCASTSS 44(R15), Y14
	VBROADCASTSS 48(R15), Y12
	VPBROADCASTQ nibbles<>(SB), Y15
	CMPQ R12, R9
	JGE out
block:
	MOVQ R8, SI
	MOVQ R10, CX
	TESTQ R11, R11
	JZ all
	MOVL (R11)(R12*4), AX
	TESTL AX, AX
	JZ skip
all:
	MOVQ 16(R15), DI
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3
	SUBQ $8, CX
	JLT few
eight:
	PREFETCHT0 8192(SI)
	PREFETCHT0 8256(SI)
	PREFETCHT0 8320(SI)
	PREFETCHT0 8384(SI)
	LOOKUP(0)
	VMOVDQA Y4, Y8
	VMOVDQA Y6, Y9
	LOOKUPADD(32)
	LOOKUPADD(64)
	LOOKUPADD(96)
	LOOKUPADD(128)
	LOOKUPADD(160)
	LOOKUPADD(192)
	LOOKUPADD(224)
	WIDEN
	ADDQ $256, SI
	ADDQ $256, DI
	SUBQ $8, CX
	JGE eight
few:
	ADDQ $8, CX
	JZ fold
	VPXOR Y8, Y8, Y8
	VPXOR Y9, Y9, Y9
one:
	LOOKUPADD(0)
	ADDQ $32, SI
	ADDQ $32, DI
	DECQ CX
	JNZ one
	WIDEN
fold:
	PREFETCHT0 8192(SI)
	PREFETCHT0 8256(SI)
	VPSLLW $8, Y1, Y4
	VPSUBW Y4, Y0, Y0
	VPSLLW $8, Y3, Y5
	VPSUBW Y5, Y2, Y2
	VEXTRACTI128 $1, Y0, X4
	VEXTRACTI128 $1, Y1, X5
	VEXTRACTI128 $1, Y2, X6
	VEXTRACTI128 $1, Y3, X7
	VPADDW X4, X0, X0
	VPADDW X5, X1, X1
	VPADDW X6, X2, X2
	VPADDW X7, X3, X3
	VPUNPCKLWD X1, X0, X4
	VPUNPCKHWD X1, X0, X5
	VPUNPCKLWD X3, X2, X6
	VPUNPCKHWD X3, X2, X7
	SCORE(X4, Y4, 0, AX)
	SCORE(X5, Y5, 16, BX)
	SCORE(X6, Y6, 32, CX)
	SCORE(X7, Y7, 48, DX)
	SHLL $8, BX
	SHLL $16, CX
	SHLL $24, DX
	ORL BX, AX
	ORL CX, AX
	ORL DX, AX
	JZ next
	TESTQ R11, R11
	JZ hit
	ANDL (R11)(R12*4), AX
	JZ next
hit:
	MOVL R12, 72(R15)(R13*4)
	MOVL AX, 328(R15)(R13*4)
	MOVQ R13, BX
	SHLQ $7, BX
	VMOVUPS Y4, 584(R15)(BX*1)
	VMOVUPS Y5, 616(R15)(BX*1)
	VMOVUPS Y6, 648(R15)(BX*1)
	VMOVUPS Y7, 680(R15)(BX*1)
	INCQ R13
next:
	LEAQ 128(SI), R8
	INCQ R12
	CMPQ R13, $64
	JEQ out
	CMPQ R12, R9
	JLT block
out:
	MOVQ R12, 56(R15)
	MOVQ R13, 64(R15)
	VZEROUPPER
	RET
skip:
	MOVQ R10, AX
	SHLQ $5, AX
	LEAQ 128(R8)(AX*1), R8
	INCQ R12
	CMPQ R12, R9
	JLT block
	JMP out

DATA flip<>+0(SB)/4, $1.0
DATA flip<>+4(SB)/4, $-1.0
DATA flip<>+8(SB)/4, $1.0
DATA flip<>+12(SB)/4, $-1.0
DATA flip<>+16(SB)/4, $1.0
DATA flip<>+20(SB)/4, $-1.0
DATA flip<>+24(SB)/4, $1.0
DATA flip<>+28(SB)/4, $-1.0
DATA flip<>+32(SB)/4, $1.0
DATA flip<>+36(SB)/4, $1.0
DATA flip<>+40(SB)/4, $-1.0
DATA flip<>+44(SB)/4, $-1.0
DATA flip<>+48(SB)/4, $1.0
DATA flip<>+52(SB)/4, $1.0
DATA flip<>+56(SB)/4, $-1.0
DATA flip<>+60(SB)/4, $-1.0
DATA flip<>+64(SB)/4, $1.0
DATA flip<>+68(SB)/4, $1.0
DATA flip<>+72(SB)/4, $1.0
DATA flip<>+76(SB)/4, $1.0
DATA flip<>+80(SB)/4, $-1.0
DATA flip<>+84(SB)/4, $-1.0
DATA flip<>+88(SB)/4, $-1.0
DATA flip<>+92(SB)/4, $-1.0
GLOBL flip<>(SB), RODATA|NOPTR, $96

// func mulFHTAVX2(x, m *float32, n int)
// The steps of 1, 2 and 4 are made within a register: swap neighbours, negate one of each pair, add.
TEXT ·mulFHTAVX2(SB), NOSPLIT, $0-24
	MOVQ x+0(FP), SI
	MOVQ m+8(FP), DI
	MOVQ n+16(FP), CX
	VMOVUPS flip<>+0(SB), Y13
	VMOVUPS flip<>+32(SB), Y14
	VMOVUPS flip<>+64(SB), Y15
	LEAQ (SI)(CX*4), R8 // end
	MOVQ SI, AX
first:
	VMOVUPS (AX), Y0
	VMULPS (DI), Y0, Y0
	VPERMILPS $0xb1, Y0, Y1
	VFMADD231PS Y13, Y0, Y1
	VPERMILPS $0x4e, Y1, Y0
	VFMADD231PS Y14, Y1, Y0
	VPERM2F128 $1, Y0, Y0, Y1
	VFMADD231PS Y15, Y0, Y1
	VMOVUPS Y1, (AX)
	ADDQ $32, AX
	ADDQ $32, DI
	CMPQ AX, R8
	JLT first
	SHLQ $2, CX  // n in bytes
	MOVQ $32, R9 // step in bytes
level:
	CMPQ R9, CX
	JGE out
	MOVQ SI, AX
pair:
	LEAQ (AX)(R9*1), BX
	MOVQ BX, R10
inner:
	VMOVUPS (AX), Y0
	VMOVUPS (BX), Y1
	VADDPS Y1, Y0, Y2
	VSUBPS Y1, Y0, Y3
	VMOVUPS Y2, (AX)
	VMOVUPS Y3, (BX)
	ADDQ $32, AX
	ADDQ $32, BX
	CMPQ AX, R10
	JLT inner
	MOVQ BX, AX
	CMPQ AX, R8
	JLT pair
	SHLQ $1, R9
	JMP level
out:
	VZEROUPPER
	RET

// func maxAbsAVX2(x *float32, n int) float32
TEXT ·maxAbsAVX2(SB), NOSPLIT, $0-20
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), CX
	VPCMPEQD Y15, Y15, Y15
	VPSRLD $1, Y15, Y15
	VXORPS Y0, Y0, Y0
loop:
	VANDPS (SI), Y15, Y1
	VMAXPS Y0, Y1, Y0
	ADDQ $32, SI
	SUBQ $8, CX
	JNZ loop
	VEXTRACTF128 $1, Y0, X1
	VMAXPS X1, X0, X0
	VPERMILPS $0x4e, X0, X1
	VMAXPS X1, X0, X0
	VPERMILPS $0xb1, X0, X1
	VMAXPS X1, X0, X0
	VZEROUPPER
	VMOVSS X0, ret+16(FP)
	RET

// func quantizeAVX2(x *float32, n int, inv, scale float32, c *int8) float32
TEXT ·quantizeAVX2(SB), NOSPLIT, $0-36
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), CX
	VBROADCASTSS inv+16(FP), Y13
	VBROADCASTSS scale+20(FP), Y14
	MOVQ c+24(FP), DX
	VXORPS Y0, Y0, Y0
loop:
	VMOVUPS (SI), Y1
	VMULPS Y13, Y1, Y2
	VCVTPS2DQ Y2, Y2
	VCVTDQ2PS Y2, Y3
	VFNMADD231PS Y14, Y3, Y1
	VFMADD231PS Y1, Y1, Y0
	VEXTRACTI128 $1, Y2, X3
	VPACKSSDW X3, X2, X2
	VPACKSSWB X2, X2, X2
	VMOVQ X2, (DX)
	ADDQ $32, SI
	ADDQ $8, DX
	SUBQ $8, CX
	JNZ loop
	REDUCE
	VZEROUPPER
	VMOVSS X0, ret+32(FP)
	RET

// func signsAVX2(x *float32, n int, bits *byte) (l1, l2 float32)
TEXT ·signsAVX2(SB), NOSPLIT, $0-32
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), CX
	MOVQ bits+16(FP), DX
	VPCMPEQD Y15, Y15, Y15
	VPSRLD $1, Y15, Y15
	VXORPS Y14, Y14, Y14
	VXORPS Y8, Y8, Y8
	VXORPS Y9, Y9, Y9
loop:
	VMOVUPS (SI), Y1
	VCMPPS $0x1e, Y14, Y1, Y2
	VMOVMSKPS Y2, AX
	MOVB AX, (DX)
	VANDPS Y15, Y1, Y3
	VADDPS Y3, Y8, Y8
	VFMADD231PS Y1, Y1, Y9
	ADDQ $32, SI
	INCQ DX
	SUBQ $8, CX
	JNZ loop
	VMOVAPS Y8, Y0
	REDUCE
	VMOVSS X0, l1+24(FP)
	VMOVAPS Y9, Y0
	REDUCE
	VMOVSS X0, l2+28(FP)
	VZEROUPPER
	RET

// func centreAVX2(x, m, d *float32, n int) float32
TEXT ·centreAVX2(SB), NOSPLIT, $0-36
	MOVQ x+0(FP), SI
	MOVQ m+8(FP), DI
	MOVQ d+16(FP), DX
	MOVQ n+24(FP), CX
	SHLQ $2, CX
	XORQ AX, AX
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	SUBQ $64, CX
	JLT tail
wide:
	VMOVUPS (SI)(AX*1), Y4
	VMOVUPS 32(SI)(AX*1), Y5
	VMOVUPS (DI)(AX*1), Y6
	VMOVUPS 32(DI)(AX*1), Y7
	VSUBPS Y6, Y4, Y4
	VSUBPS Y7, Y5, Y5
	VMOVUPS Y4, (DX)(AX*1)
	VMOVUPS Y5, 32(DX)(AX*1)
	VFMADD231PS Y6, Y4, Y0
	VFMADD231PS Y7, Y5, Y1
	ADDQ $64, AX
	CMPQ AX, CX
	JLE wide
tail:
	ADDQ $64, CX
	CMPQ AX, CX
	JEQ done
	VMOVUPS (SI)(AX*1), Y4
	VMOVUPS (DI)(AX*1), Y6
	VSUBPS Y6, Y4, Y4
	VMOVUPS Y4, (DX)(AX*1)
	VFMADD231PS Y6, Y4, Y0
done:
	VADDPS Y1, Y0, Y0
	REDUCE
	VZEROUPPER
	VMOVSS X0, ret+32(FP)
	RET
