package vec

import (
	"math"
)

// length is the norm of x, rounded up.
func length(x []float32) float32 {
	var n2 float64
	for _, v := range x {
		n2 += float64(v) * float64(v)
	}
	return float32(math.Sqrt(n2) * (1 + 0x1p-23))
}

// grid says what an integer copy of the query stands for: q is about step*z, and slack times a row's scale bounds what the
// copy and rounding may put an estimate wrong by.
type grid struct{ step, slack float32 }

// quantize makes the integer copies of the query.
func (s *searcher) quantize() {
	s.z, s.fine = toGrid(s.z[:0], s.q, min(math.MaxInt16, math.MaxInt32/(127*s.c.dim)), s.norm)
	s.z8, s.rough = toGrid(s.z8[:0], s.q, 127, s.norm)
}

func toGrid[T int8 | int16](z []T, q []float32, limit int, norm float32) ([]T, grid) {
	largest := k.maxAbs(&q[0], len(q))
	root := math.Sqrt(float64(len(q)))
	if largest < tiny { // nothing is known, and everything is looked at again
		return append(z, make([]T, len(q))...), grid{0, float32(float64(norm) * 130 * root)}
	}
	step := largest / float32(limit)
	inv := 1 / step
	var e float32
	for _, v := range q {
		f := v*inv + 0x1.8p23 // rounds to an integer
		f -= 0x1.8p23
		f = max(-float32(limit), min(float32(limit), f))
		z = append(z, T(f))
		d := v - f*step
		e += d * d
	}
	// |x| <= 127*scale*sqrt(dim) by the choice of scale; float32 sums of dim/32 terms and a few more are off by one ulp each.
	wrong := math.Sqrt(float64(e))*1.001 + float64(step)*float64(limit)*root*0x1p-22 + float64(len(q)/32+24)*0x1p-23*float64(norm)
	return z, grid{step, float32(wrong * 127 * root)}
}

// tables makes the lookup tables of the 1-bit scan. A table entry counts, in steps of inv, twice the magnitudes of those of
// its four dimensions whose sign agrees with the code's bit.
func (s *searcher) tables() {
	c := s.c
	s.rot = append(s.rot[:0], s.q...)
	s.base = k.dotF32(&s.q[0], &c.mean[0], c.dim)
	for i, m := range c.mean {
		s.rot[i] -= m
	}
	s.noise = float32(math.Sqrt(float64(k.dotF32(&s.rot[0], &s.rot[0], c.dim)) * (1 - 2/math.Pi)))
	c.rotate(s.rot)
	var most, sum float32
	for i := 0; i < c.dim; i += 4 {
		r := (*[4]float32)(s.rot[i:])
		t := abs32(r[0]) + abs32(r[1]) + abs32(r[2]) + abs32(r[3])
		sum += t
		most = max(most, t)
	}
	s.lo = -sum
	s.inv = 2 * most / 29 // four roundings up stay below 32
	scale := float32(0)
	if most > 0 {
		scale = 29 / most
	}
	if cap(s.lut) < c.dim*4 {
		s.lut = make([]byte, c.dim*4)
	}
	s.lut = s.lut[:c.dim*4]
	const ones = 0x0101010101010101
	pattern := [3]uint64{0xff00ff00ff00ff00, 0xffff0000ffff0000, 0xffffffff00000000}
	for i := 0; i < c.dim; i += 4 {
		r := (*[4]float32)(s.rot[i:])
		var t uint64
		for j, p := range pattern {
			u := uint64(abs32(r[j])*scale+0.5) * ones
			if r[j] > 0 {
				t += u & p
			} else {
				t += u &^ p
			}
		}
		a, b := t, t
		u := uint64(abs32(r[3])*scale+0.5) * ones
		if r[3] > 0 {
			b += u
		} else {
			a += u
		}
		out := (*[16]byte)(s.lut[i*4:])
		le64(out[:8], a)
		le64(out[8:], b)
	}
}

func le64(b []byte, v uint64) {
	_ = b[7]
	b[0], b[1], b[2], b[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
	b[4], b[5], b[6], b[7] = byte(v>>32), byte(v>>40), byte(v>>48), byte(v>>56)
}
