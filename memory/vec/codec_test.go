package vec

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestInterleave compares the block that codes make with their bits taken one by one.
func TestInterleave(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{1, 3, 8, 9, 16, 48, 50, 512} {
		bits := make([]byte, 32*n)
		for i := range bits {
			bits[i] = byte(r.Uint32())
		}
		got, want := make([]byte, 32*n), make([]byte, 32*n)
		interleave(got, bits, n)
		for row := range 32 {
			for j := range n {
				b := bits[row*n+j]
				want[j*32+row%16] |= b & 15 << (row / 16 * 4)
				want[j*32+16+row%16] |= b >> 4 << (row / 16 * 4)
			}
		}
		if !bytes.Equal(got, want) {
			t.Errorf("codes of %d bytes: the block differs", n)
		}
	}
}
