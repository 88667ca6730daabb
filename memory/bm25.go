package memory

import (
	"cmp"
	"math"
	"slices"
)

// The usual constants of BM25: how soon more of a word counts less, and how much longer texts lose.
const (
	bm25K = 1.2
	bm25B = 0.75
)

// scored is a row and its score by words.
type scored struct {
	seg, row int
	score    float64
}

// bm25 ranks rows by the words they share with a text, among those of the masks. How rare a word is, and how long a text is
// usually, are counted among the same rows.
func (n *snapshot) bm25(text string, masks []bitmap, k int) []scored {
	var terms []string
	for _, w := range wordList(text) {
		if !slices.Contains(terms, w) {
			terms = append(terms, w)
		}
	}
	var buf []post
	list := func(seg int, term string) []post {
		l := n.list(seg, term, buf)
		if seg < len(n.segs) {
			buf = l
		}
		return l
	}
	visible := func(seg int) bitmap {
		if masks != nil {
			return masks[seg]
		}
		return n.live(seg)
	}
	views := len(n.segs) + 1
	df := make([]int, len(terms))
	rows, length := 0, 0
	lens := n.tail.index.rowLens()
	rowLen := func(seg, row int) int {
		if seg < len(n.segs) {
			return n.segs[seg].index.rowLen(row)
		}
		return int(lens[row])
	}
	for seg := range views {
		m := visible(seg)
		c := m.count()
		if c == 0 {
			continue
		}
		rows += c
		switch {
		case c < n.viewRows(seg) && masks != nil:
			for row := range n.viewRows(seg) {
				if m.has(row) {
					length += rowLen(seg, row)
				}
			}
		case seg < len(n.segs):
			length += n.segs[seg].words
		default:
			length += n.tail.words
		}
		for i, t := range terms {
			if masks == nil { // forgotten rows are counted until they are compacted away
				df[i] += n.listLen(seg, t)
				continue
			}
			for _, p := range list(seg, t) {
				if m.has(int(p.row)) {
					df[i]++
				}
			}
		}
	}
	if rows == 0 {
		return nil
	}
	for i := range df {
		df[i] = min(df[i], rows)
	}
	mean := max(float64(length)/float64(rows), 1)
	perWord := bm25K * bm25B / mean
	var best []scored
	least := 0.0 // of the best k, once there are many
	score := make([]float64, segmentRows)
	var touched []uint32
	for seg := range views {
		m := visible(seg)
		if m.count() == 0 {
			continue
		}
		if need := n.viewRows(seg); need > len(score) {
			score = make([]float64, need)
		}
		touched = touched[:0]
		for i, t := range terms {
			if df[i] == 0 {
				continue
			}
			idf := math.Log(1+(float64(rows-df[i])+0.5)/(float64(df[i])+0.5)) * (bm25K + 1)
			for _, p := range list(seg, t) {
				if !m.has(int(p.row)) {
					continue
				}
				if score[p.row] == 0 {
					touched = append(touched, p.row)
				}
				f := float64(p.n)
				score[p.row] += idf * f / (f + bm25K*(1-bm25B) + perWord*float64(rowLen(seg, int(p.row))))
			}
		}
		for _, row := range touched {
			if score[row] >= least {
				best = append(best, scored{seg, int(row), score[row]})
			}
			score[row] = 0
		}
		if len(best) > 8*k {
			best = topScored(best, k)
			least = best[k-1].score
		}
	}
	return topScored(best, k)
}

// topScored sorts and cuts; equal scores put newer rows first.
func topScored(s []scored, k int) []scored {
	slices.SortFunc(s, func(a, b scored) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(b.seg, a.seg), cmp.Compare(b.row, a.row))
	})
	return s[:min(k, len(s))]
}
