package memory

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"agentd/memory/vec"
)

// Proposal is what became of one proposed item.
type Proposal struct {
	ID          ID `json:"id"`                     // of the item, or of the one it repeats
	DuplicateOf ID `json:"duplicate_of,omitempty"` // it was not stored, as this one says the same
}

// sameMeaning is the similarity from which two texts with the same numbers and negations say the same.
const sameMeaning = 0.97

// Propose stores items for review, or accepts them at once. An item that repeats an accepted or proposed one of its
// namespace is not stored again. A contradiction is linked and never resolved: those that the caller names by Contradicts, and
// items that say the same of other numbers or with a "not".
func (s *Store) Propose(ctx context.Context, accept bool, items ...Item) ([]Proposal, error) {
	out := make([]Proposal, len(items))
	for i, it := range items {
		it.State = Proposed
		if accept {
			it.State = Accepted
		}
		if err := it.validate(); err != nil {
			return out[:i], fmt.Errorf("propose memory %d of %d: %w", i+1, len(items), err)
		}
		same, against, err := s.duplicate(ctx, &it)
		if err != nil {
			return out[:i], fmt.Errorf("propose memory %d of %d: %w", i+1, len(items), err)
		}
		if same != 0 {
			out[i] = Proposal{ID: same, DuplicateOf: same}
			continue
		}
		for _, id := range against {
			if !slices.Contains(it.Contradicts, id) && len(it.Supersedes)+len(it.Contradicts) < maxLinks {
				it.Contradicts = append(slices.Clip(it.Contradicts), id)
			}
		}
		ids, err := s.Add(ctx, it)
		if err != nil {
			return out[:i], err
		}
		out[i] = Proposal{ID: ids[0]}
	}
	return out, nil
}

// duplicate finds an item that says what it says, and those that say the contrary.
func (s *Store) duplicate(ctx context.Context, it *Item) (same ID, against []ID, err error) {
	hits, _, err := s.Recall(ctx, Query{Namespaces: []Namespace{it.Namespace}, Text: it.Text, Vector: it.Vector, K: 5})
	if err != nil {
		return 0, nil, err
	}
	compare := func(o *Item, cosine float64) bool {
		if says(o.Text, it.Text, cosine) {
			return true
		}
		if denies(o.Text, it.Text) {
			against = append(against, o.ID)
		}
		return false
	}
	for _, h := range hits {
		if compare(&h.Item, h.Cosine) {
			return h.Item.ID, nil, nil
		}
	}
	waiting, err := s.Waiting()
	if err != nil {
		return 0, nil, err
	}
	var v []float32
	if vs, _, err := s.vectors(ctx, []Item{*it}); err == nil {
		v = vs[0]
	}
	for _, w := range waiting {
		if w.Namespace != it.Namespace {
			continue
		}
		cosine := 0.0
		if v != nil {
			if o, err := s.Vector(w.ID); err == nil && len(o) == len(v) {
				cosine = float64(vec.Dot(o, v))
			}
		}
		if compare(w, cosine) {
			return w.ID, nil, nil
		}
	}
	return 0, against, nil
}

// says says whether two texts say the same: the same words, or nearly the same meaning with the same numbers and negations.
func says(a, b string, cosine float64) bool {
	x, y := wordList(a), wordList(b)
	if slices.Equal(x, y) {
		return true
	}
	return cosine >= sameMeaning && slices.Equal(slices.DeleteFunc(x, plain), slices.DeleteFunc(y, plain))
}

// denies says whether two texts have the same words but for numbers, negations and what grammar makes of them.
func denies(a, b string) bool {
	x, y := wordList(a), wordList(b)
	if slices.Equal(slices.DeleteFunc(slices.Clone(x), plain), slices.DeleteFunc(slices.Clone(y), plain)) {
		return false
	}
	meant := func(l []string) []string {
		l = slices.DeleteFunc(l, func(w string) bool { return !plain(w) || slices.Contains(grammar, w) })
		slices.Sort(l)
		return slices.Compact(l)
	}
	x, y = meant(x), meant(y)
	return len(x) > 0 && slices.Equal(x, y)
}

var grammar = []string{"a", "an", "the", "is", "are", "was", "be", "do", "does", "don", "doesn", "isn", "aren", "to", "of"}

// plain is a word that is no number and no negation.
func plain(w string) bool {
	return !strings.ContainsFunc(w, unicode.IsDigit) && !slices.Contains([]string{"no", "not", "never", "none", "without", "cannot", "t"}, w)
}

// Waiting lists the proposed items, oldest first.
func (s *Store) Waiting() ([]*Item, error) {
	n, err := s.view()
	if err != nil {
		return nil, err
	}
	defer n.release()
	var out []*Item
	c := n.ask.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		it, err := n.item(ID(binary.BigEndian.Uint64(k)))
		if damaged := (*CorruptError)(nil); errors.As(err, &damaged) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, it)
	}
	return out, nil
}

// Accept lets recall see items, and Reject hides them; both are kept.
func (s *Store) Accept(ctx context.Context, ids ...ID) error { return s.decide(ctx, Accepted, ids) }

// Reject keeps items out of recall.
func (s *Store) Reject(ctx context.Context, ids ...ID) error { return s.decide(ctx, Rejected, ids) }

func (s *Store) decide(ctx context.Context, to State, ids []ID) error {
	now := s.now().UTC()
	return s.do(ctx, &op{apply: func(b *batch) error {
		for _, id := range ids {
			it, err := b.get(id)
			if err != nil {
				return fmt.Errorf("review %w", err)
			}
			it.State, it.Updated = to, now
			if err := b.update(it); err != nil {
				return err
			}
		}
		return nil
	}})
}
