package vec

import (
	"cmp"
	"math"
	"slices"
)

var negInf = float32(math.Inf(-1))

// floor keeps the k largest of the numbers it is shown; its bound is the smallest of them. It is a binary heap.
type floor struct {
	k int
	h []float32
}

func (f *floor) reset(k int) {
	f.k = k
	f.h = f.h[:0]
}

// bound is the k-th largest number, or -Inf while there are fewer.
func (f *floor) bound() float32 {
	if len(f.h) < f.k {
		return negInf
	}
	return f.h[0]
}

func (f *floor) add(v float32) {
	h := f.h
	if len(h) < f.k {
		h = append(h, v)
		i := len(h) - 1
		for i > 0 && h[(i-1)/2] > v {
			h[i] = h[(i-1)/2]
			i = (i - 1) / 2
		}
		h[i] = v
		f.h = h
		return
	}
	if v <= h[0] {
		return
	}
	i := 0
	for {
		c := 2*i + 1
		if c >= len(h) {
			break
		}
		if c+1 < len(h) && h[c+1] < h[c] {
			c++
		}
		if h[c] >= v {
			break
		}
		h[i] = h[c]
		i = c
	}
	h[i] = v
}

// cand is a row that may be among the nearest, with an estimate or an upper bound of its score.
type cand struct {
	seg, row uint32
	s        float32
}

// selectTop moves the n largest of c to its front, in no order.
func selectTop(c []cand, n int) {
	lo, hi := 0, len(c)-1
	for lo < hi {
		// the middle of three keeps sorted input from being the worst case
		mid := int(uint(lo+hi) / 2)
		p := max(min(c[lo].s, c[mid].s), min(max(c[lo].s, c[mid].s), c[hi].s))
		i, j := lo, hi
		for i <= j {
			for c[i].s > p {
				i++
			}
			for c[j].s < p {
				j--
			}
			if i <= j {
				c[i], c[j] = c[j], c[i]
				i++
				j--
			}
		}
		switch {
		case n-1 <= j:
			hi = j
		case n-1 >= i:
			lo = i
		default:
			return
		}
	}
}

// Hit is one found row.
type Hit struct {
	Seg, Row int
	Score    float32
}

// order sorts hits best first; equal scores come in the order of their rows.
func order(h []Hit) {
	slices.SortFunc(h, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Seg, b.Seg), cmp.Compare(a.Row, b.Row))
	})
}
