package memory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"agentd/memory/vec"
)

// MaxHits is the most that one query may ask for.
const MaxHits = 1000

// Query is what is looked for. Only Text (or Vector) and K are needed.
type Query struct {
	Namespaces []Namespace // any of them; empty is all
	Text       string
	Vector     []float32 // of Text, if the caller has it
	K          int       // hits wanted, 1 to MaxHits
	MinScore   float64   // least cosine similarity of a hit that has a vector; 0 is none
	MaxChars   int       // least upper bound of all hits' texts in characters; 0 is none
	Filter     Filter
	WordsOnly  bool // leave the vectors out
	Exact      bool // provably the nearest vectors, at some cost
}

// Filter keeps items by field: tag, kind, run, file, url or trust. An item passes if for each field it has one of the
// values.
type Filter map[string][]string

// Hit is a found item and why it was found.
type Hit struct {
	Item       Item    `json:"item"`
	Score      float64 `json:"score"`                 // of the fused ranking
	WordRank   int     `json:"word_rank,omitempty"`   // place among the finds by words, from 1; 0: not found by them
	VectorRank int     `json:"vector_rank,omitempty"` // place among the finds by meaning
	Words      float64 `json:"words,omitempty"`       // BM25 score
	Cosine     float64 `json:"cosine,omitempty"`      // similarity to the query
}

// Receipt says how an answer came about. It holds no texts, so that a journal can keep it.
type Receipt struct {
	Mode    string        `json:"mode"`           // "words and vectors", "words" or "vectors"
	Note    string        `json:"note,omitempty"` // why an arm was left out
	Model   string        `json:"model,omitempty"`
	Hits    []ReceiptHit  `json:"hits,omitempty"`
	Dropped []ReceiptDrop `json:"dropped,omitempty"` // ranked, but not given
	Took    time.Duration `json:"took"`
}

// ReceiptHit is one recalled item, without its text.
type ReceiptHit struct {
	ID         ID      `json:"id"`
	Score      float64 `json:"score"`
	WordRank   int     `json:"word_rank,omitempty"`
	VectorRank int     `json:"vector_rank,omitempty"`
	Cosine     float64 `json:"cosine,omitempty"`
	Trust      Trust   `json:"trust"`
	Run        string  `json:"run,omitempty"`
}

// ReceiptDrop is an item that was ranked among the hits but left out.
type ReceiptDrop struct {
	ID     ID     `json:"id"`
	Reason string `json:"reason"` // "expired", "min_score", "duplicate", "budget" or "damaged"
}

const (
	armSize = 50 // finds of each arm that are fused
	rrfK    = 60
)

// found is a row on its way to a hit.
type found struct {
	seg, row int
	hit      Hit
	vec      []float32
}

// Recall finds the items that belong to a query, best first: by words (BM25) and by meaning (cosine), fused by reciprocal
// rank. Equal scores go to the more trusted, then to the newer item. Untrusted items must be shown as quoted data.
func (s *Store) Recall(ctx context.Context, q Query) ([]Hit, Receipt, error) {
	start := time.Now()
	var r Receipt
	if err := q.validate(); err != nil {
		return nil, r, err
	}
	qv, err := s.queryVector(ctx, &q, &r)
	if err != nil {
		return nil, r, err
	}
	n, err := s.view()
	if err != nil {
		return nil, r, err
	}
	defer n.release()
	masks, err := n.masks(q.Namespaces, q.Filter)
	if err != nil {
		return nil, r, err
	}
	depth := max(armSize, q.K)
	all := map[[2]int]*found{}
	at := func(seg, row int) *found {
		f := all[[2]int{seg, row}]
		if f == nil {
			f = &found{seg: seg, row: row}
			all[[2]int{seg, row}] = f
		}
		return f
	}
	if qv != nil {
		mode := vec.Cascade
		if q.Exact {
			mode = vec.Exact
		}
		hits, _ := n.gen.codec.Search(n.masked(masks), qv, vec.Options{K: depth, Mode: mode})
		for i, h := range hits {
			f := at(h.Seg, h.Row)
			f.hit.VectorRank, f.hit.Cosine = i+1, float64(h.Score)
		}
	}
	if q.Text != "" {
		for i, h := range n.bm25(q.Text, masks, depth) {
			f := at(h.seg, h.row)
			f.hit.WordRank, f.hit.Words = i+1, h.score
		}
	}
	ranked := n.rank(all, qv, &r)
	hits := s.choose(ranked, q, &r)
	for _, h := range hits {
		r.Hits = append(r.Hits, ReceiptHit{ID: h.Item.ID, Score: h.Score, WordRank: h.WordRank, VectorRank: h.VectorRank, Cosine: h.Cosine, Trust: h.Item.Trust, Run: h.Item.Source.Run})
	}
	r.Took = time.Since(start)
	return hits, r, nil
}

func (q *Query) validate() error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: %s", ErrQuery, fmt.Sprintf(format, a...))
	}
	switch {
	case strings.TrimSpace(q.Text) == "" && q.Vector == nil:
		return bad("it has no text")
	case len(q.Text) > MaxText:
		return bad("its text has %d bytes; the most is %d", len(q.Text), MaxText)
	case !utf8.ValidString(q.Text):
		return bad("its text is not UTF-8")
	case q.K < 1 || q.K > MaxHits:
		return bad("%d hits wanted; 1 to %d can be had", q.K, MaxHits)
	case !(q.MinScore >= -1 && q.MinScore <= 1):
		return bad("a least score of %v; cosines are -1 to 1", q.MinScore)
	case q.MaxChars < 0:
		return bad("a budget of %d characters", q.MaxChars)
	}
	for f := range q.Filter {
		if !slices.Contains(filterFields, f) {
			return bad("no field %q to filter by; known are %s", f, strings.Join(filterFields, ", "))
		}
	}
	return nil
}

// queryVector makes the query's unit vector; nil, with a note, where there cannot be one.
func (s *Store) queryVector(ctx context.Context, q *Query, r *Receipt) ([]float32, error) {
	r.Mode = "words"
	n, err := s.view()
	if err != nil {
		return nil, err
	}
	g := n.gen
	n.release()
	switch {
	case q.WordsOnly:
		r.Note = "asked for words only"
		return nil, nil
	case g == nil && s.emb == nil:
		r.Note = "no embedder"
		return nil, nil
	case g == nil:
		r.Note = "no vectors in the store"
		return nil, nil
	}
	r.Model = g.model
	v := q.Vector
	switch {
	case v != nil:
		if len(v) != g.codec.Dim() {
			return nil, fmt.Errorf("%w: the query has %d values, the store's vectors %d", ErrModel, len(v), g.codec.Dim())
		}
		if err := vec.Check(v, len(v)); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrQuery, err)
		}
		v = slices.Clone(v)
		vec.Normalize(v)
	case s.emb == nil:
		r.Note = "no embedder"
		return nil, nil
	case s.emb.ID() != g.model:
		r.Note = fmt.Sprintf("the store's vectors are of %q, the embedder is %q; migrate with reembed", g.model, s.emb.ID())
		return nil, nil
	default:
		made, err := s.cache.embed(ctx, s.emb, []string{q.Text})
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			r.Note = "the embedder failed: " + err.Error()
			return nil, nil
		}
		if v = made[0]; len(v) != g.codec.Dim() {
			return nil, fmt.Errorf("%w: %s made a vector of %d values, the store's have %d", ErrModel, g.model, len(v), g.codec.Dim())
		}
	}
	r.Mode = "words and vectors"
	if strings.TrimSpace(q.Text) == "" {
		r.Mode = "vectors"
	}
	return v, nil
}

// masks are the rows of each view that pass a filter and may be seen; nil for all is no filter.
func (n *snapshot) masks(spaces []Namespace, f Filter) ([]bitmap, error) {
	var groups [][]string
	if len(spaces) > 0 {
		var keys []string
		for _, s := range spaces {
			keys = append(keys, attributeKey("namespace", string(s)))
		}
		groups = append(groups, keys)
	}
	for field, values := range f {
		var keys []string
		for _, v := range values {
			key, err := filterValue(field, v)
			if err != nil {
				return nil, fmt.Errorf("%w: filter %s=%.40q: %w", ErrQuery, field, v, err)
			}
			keys = append(keys, key)
		}
		groups = append(groups, keys)
	}
	if groups == nil {
		return nil, nil
	}
	slices.SortFunc(groups, slices.Compare) // a map has no order
	name := fmt.Sprintf("%q", groups)
	if out := n.recentMasks(name); out != nil {
		return out, nil
	}
	out := make([]bitmap, len(n.segs)+1)
	var buf []post
	for i := range out {
		var m bitmap
		for _, keys := range groups {
			g := newBitmap(n.viewRows(i))
			for _, key := range keys {
				l := n.list(i, key, buf)
				for _, p := range l {
					g.set(int(p.row))
				}
				if i < len(n.segs) {
					buf = l
				}
			}
			if m == nil {
				m = g
			} else {
				m.and(g)
			}
		}
		m.and(n.live(i))
		out[i] = m
	}
	n.keepMasks(name, out)
	return out, nil
}

// maskCache is how many filters' masks a snapshot keeps: a run asks in the same namespaces again and again.
const maskCache = 8

func (n *snapshot) recentMasks(name string) []bitmap {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.filters[name]
}

func (n *snapshot) keepMasks(name string, m []bitmap) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.filters == nil || len(n.filters) >= maskCache {
		n.filters = map[string][]bitmap{}
	}
	n.filters[name] = m
}

// viewRows is the number of rows of segment i; the tail is the last.
func (n *snapshot) viewRows(i int) int {
	if i < len(n.segs) {
		return n.segs[i].rows
	}
	return n.tail.rows
}

func (n *snapshot) live(i int) bitmap {
	if i < len(n.segs) {
		return n.segs[i].live
	}
	return n.tail.live
}

func (n *snapshot) id(seg, row int) ID {
	if seg < len(n.segs) {
		return n.segs[seg].id(row)
	}
	return n.tail.ids[row]
}

// list is the rows of segment i that have a key; buf may be used for it.
func (n *snapshot) list(i int, key string, buf []post) []post {
	if i < len(n.segs) {
		return n.segs[i].index.list(key, buf[:0])
	}
	l := n.tail.index.list(key)
	for len(l) > 0 && int(l[len(l)-1].row) >= n.tail.rows {
		l = l[:len(l)-1]
	}
	return l
}

// listLen is the number of rows of segment i that have a key.
func (n *snapshot) listLen(i int, key string) int {
	if i < len(n.segs) {
		return n.segs[i].index.listLen(key)
	}
	return len(n.list(i, key, nil))
}

// masked are the views with only the masks' rows live.
func (n *snapshot) masked(masks []bitmap) []vec.Segment {
	if masks == nil {
		return n.views
	}
	views := slices.Clone(n.views)
	for i := range views {
		v := &views[i]
		if v.Rows == 0 {
			continue
		}
		m := masks[i]
		if v.Live != nil {
			m = slices.Clone(m)
			m.and(v.Live)
		}
		v.Live = m
	}
	return views
}

// rank fuses the arms and reads the items.
func (n *snapshot) rank(all map[[2]int]*found, qv []float32, r *Receipt) []*found {
	ranked := make([]*found, 0, len(all))
	for _, f := range all {
		id := n.id(f.seg, f.row)
		it, err := n.item(id)
		if err == nil && n.gen != nil {
			f.vec, err = n.vector(f.seg, f.row)
		}
		if err != nil {
			r.Dropped = append(r.Dropped, ReceiptDrop{id, "damaged"})
			continue
		}
		f.hit.Item = *it
		if f.vec != nil && qv != nil && f.hit.VectorRank == 0 {
			f.hit.Cosine = float64(vec.Dot(f.vec, qv))
		}
		for _, rank := range []int{f.hit.WordRank, f.hit.VectorRank} {
			if rank > 0 {
				f.hit.Score += 1 / float64(rrfK+rank)
			}
		}
		if f.vec == nil && qv != nil {
			f.hit.Score *= 2 // only the words can speak for it
		}
		ranked = append(ranked, f)
	}
	slices.SortFunc(ranked, func(a, b *found) int {
		x, y := &a.hit, &b.hit
		return cmp.Or(cmp.Compare(y.Score, x.Score), cmp.Compare(y.Item.Trust, x.Item.Trust), y.Item.Created.Compare(x.Item.Created), cmp.Compare(y.Item.ID, x.Item.ID))
	})
	return ranked
}

// vector is a row's checked vector; nil if it has none.
func (n *snapshot) vector(seg, row int) ([]float32, error) {
	v := &n.views[seg]
	if v.Rows == 0 || v.Live != nil && v.Live[row/32]>>(row%32)&1 == 0 {
		return nil, nil
	}
	dim := n.gen.codec.Dim()
	if seg < len(n.segs) {
		return n.segs[seg].vec.vector(row, dim)
	}
	return v.Chunks[row/vec.ChunkRows].F32[row%vec.ChunkRows*dim:][:dim], nil
}

// Near-duplicates of a chosen hit count less, from a similarity of nearDuplicate on; a copy is left out.
const nearDuplicate = 0.9

// choose takes the best of the ranked, each made worse by its likeness to those before it, within the query's bounds.
func (s *Store) choose(ranked []*found, q Query, r *Receipt) []Hit {
	now := s.now()
	drop := func(f *found, why string) { r.Dropped = append(r.Dropped, ReceiptDrop{f.hit.Item.ID, why}) }
	rest := ranked[:0:0]
	for _, f := range ranked {
		switch {
		case f.hit.Item.expired(now):
			drop(f, "expired")
		case f.vec != nil && q.MinScore != 0 && f.hit.Cosine < q.MinScore:
			drop(f, "min_score")
		default:
			rest = append(rest, f)
		}
	}
	var hits []Hit
	chars := 0
	like := make([]float64, len(rest)) // likeness to the nearest chosen one
	for len(hits) < q.K {
		best := -1
		var bestScore float64
		for i, f := range rest {
			if f == nil {
				continue
			}
			score := f.hit.Score
			if like[i] > nearDuplicate {
				score *= 1 - (like[i]-nearDuplicate)/(1-nearDuplicate)
			}
			if best < 0 || score > bestScore {
				best, bestScore = i, score
			}
		}
		if best < 0 {
			break
		}
		f := rest[best]
		rest[best] = nil
		if like[best] >= 0.9999 {
			drop(f, "duplicate")
			continue
		}
		n := utf8.RuneCountInString(f.hit.Item.Text)
		if q.MaxChars > 0 && chars+n > q.MaxChars {
			drop(f, "budget")
			continue
		}
		chars += n
		hits = append(hits, f.hit)
		for i, o := range rest {
			if o == nil {
				continue
			}
			switch {
			case f.vec != nil && o.vec != nil:
				like[i] = max(like[i], float64(vec.Dot(f.vec, o.vec)))
			case f.hit.Item.Text == o.hit.Item.Text:
				like[i] = 1
			}
		}
	}
	return hits
}
