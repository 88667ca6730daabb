package vec

import "unsafe"

// k: every arm64 processor that Go runs on has NEON.
var k = kernels{
	name: "neon", dotF32: dotF32NEON, scanF32: scanF32NEON, scanI8: scanI8NEON, gatherF32: gatherF32NEON, gatherI8: gatherI8NEON,
	scanBits: scanBitsNEON, mulFHT: mulFHTNEON, maxAbs: maxAbsNEON, quantize: quantizeNEON, signs: signsNEON, centre: centreNEON,
}

//go:noescape
func dotF32NEON(a, b *float32, n int) float32

//go:noescape
func scanF32NEON(base *float32, stride int, q *float32, n int, out *float32, rows int)

//go:noescape
func scanI8NEON(base *int8, stride int, q *int8, n int, out *int32, rows int)

//go:noescape
func gatherF32NEON(rows *unsafe.Pointer, count int, q *float32, n int, out *float32)

//go:noescape
func gatherI8NEON(rows *unsafe.Pointer, count int, q *int16, n int, out *int32)

//go:noescape
func scanBitsNEON(a *scanArgs)

//go:noescape
func mulFHTNEON(x, m *float32, n int)

//go:noescape
func maxAbsNEON(x *float32, n int) float32

//go:noescape
func quantizeNEON(x *float32, n int, inv, scale float32, c *int8) float32

//go:noescape
func signsNEON(x *float32, n int, bits *byte) (l1, l2 float32)

// centreNEON subtracts in Go, which is bound by memory all the same.
func centreNEON(x, m, d *float32, n int) float32 {
	out, mean := unsafe.Slice(d, n), unsafe.Slice(m, n)
	for i, v := range unsafe.Slice(x, n) {
		out[i] = v - mean[i]
	}
	return dotF32NEON(d, m, n)
}
