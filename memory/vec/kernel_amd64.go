package vec

import "unsafe"

var k = choose()

// choose takes the AVX2 loops where the processor and the system have AVX2 and FMA.
func choose() kernels {
	if !hasAVX2() {
		return plain
	}
	return kernels{
		name: "avx2", dotF32: dotF32AVX2, scanF32: scanF32AVX2, scanI8: scanI8AVX2, gatherF32: gatherF32AVX2, gatherI8: gatherI8AVX2,
		scanBits: scanBitsAVX2, mulFHT: mulFHTAVX2, maxAbs: maxAbsAVX2, quantize: quantizeAVX2, signs: signsAVX2, centre: centreAVX2,
	}
}

func hasAVX2() bool {
	const osxsave, fma, avx = 1 << 27, 1 << 12, 1 << 28
	if top, _, _, _ := cpuid(0, 0); top < 7 {
		return false
	}
	_, _, c, _ := cpuid(1, 0)
	if c&(osxsave|fma|avx) != osxsave|fma|avx {
		return false
	}
	if xgetbv()&6 != 6 { // the system saves xmm and ymm
		return false
	}
	_, b, _, _ := cpuid(7, 0)
	return b&(1<<5) != 0
}

//go:noescape
func cpuid(leaf, sub uint32) (a, b, c, d uint32)

//go:noescape
func xgetbv() uint32

//go:noescape
func dotF32AVX2(a, b *float32, n int) float32

//go:noescape
func scanF32AVX2(base *float32, stride int, q *float32, n int, out *float32, rows int)

//go:noescape
func scanI8AVX2(base *int8, stride int, q *int8, n int, out *int32, rows int)

//go:noescape
func gatherF32AVX2(rows *unsafe.Pointer, count int, q *float32, n int, out *float32)

//go:noescape
func gatherI8AVX2(rows *unsafe.Pointer, count int, q *int16, n int, out *int32)

//go:noescape
func scanBitsAVX2(a *scanArgs)

//go:noescape
func mulFHTAVX2(x, m *float32, n int)

//go:noescape
func maxAbsAVX2(x *float32, n int) float32

//go:noescape
func quantizeAVX2(x *float32, n int, inv, scale float32, c *int8) float32

//go:noescape
func signsAVX2(x *float32, n int, bits *byte) (l1, l2 float32)

//go:noescape
func centreAVX2(x, m, d *float32, n int) float32
