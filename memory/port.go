package memory

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Export writes every item as one line of JSON, with its vector if vectors is set. A damaged item is left out and named in
// the error, which comes after the rest is written.
func (s *Store) Export(w io.Writer, vectors bool) error {
	b := bufio.NewWriter(w)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	var damage error
	for it, err := range s.All() {
		if damaged := (*CorruptError)(nil); errors.As(err, &damaged) {
			damage = errors.Join(damage, err)
			continue
		}
		if err != nil {
			return err
		}
		if vectors {
			if it.Vector, err = s.Vector(it.ID); err != nil {
				damage = errors.Join(damage, err)
			}
		}
		if err := enc.Encode(it); err != nil {
			return fmt.Errorf("export memory: %w", err)
		}
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("export memory: %w", err)
	}
	return damage
}

// importBatch is how many lines are added at once.
const importBatch = 1024

// Import adds the items of lines that Export wrote. They get new ids, and links among them follow; a link to an item that
// comes later or not at all is dropped. It returns how many were added.
func (s *Store) Import(ctx context.Context, r io.Reader) (int, error) {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	ids := map[ID]ID{}
	var items []Item
	var old []ID
	added := 0
	flush := func() error {
		got, err := s.Add(ctx, items...)
		for i, id := range got {
			if old[i] != 0 {
				ids[old[i]] = id
			}
		}
		added += len(got)
		items, old = items[:0], old[:0]
		return err
	}
	links := func(l []ID) []ID {
		var out []ID
		for _, id := range l {
			if n, ok := ids[id]; ok {
				out = append(out, n)
			}
		}
		return out
	}
	for line := 1; sc.Scan(); line++ {
		if len(sc.Bytes()) == 0 {
			continue
		}
		var it Item
		if err := json.Unmarshal(sc.Bytes(), &it); err != nil {
			return added, fmt.Errorf("import memory: line %d: %w: %w", line, ErrItem, err)
		}
		if err := it.validate(); err != nil {
			return added, fmt.Errorf("import memory: line %d: %w", line, err)
		}
		if len(it.Supersedes)+len(it.Contradicts) > 0 && len(items) > 0 {
			if err := flush(); err != nil {
				return added, fmt.Errorf("import memory: before line %d: %w", line, err)
			}
		}
		it.Supersedes, it.Contradicts = links(it.Supersedes), links(it.Contradicts)
		items, old = append(items, it), append(old, it.ID)
		if len(items) == importBatch {
			if err := flush(); err != nil {
				return added, fmt.Errorf("import memory: up to line %d: %w", line, err)
			}
		}
	}
	if err := sc.Err(); err != nil {
		return added, fmt.Errorf("import memory: %w", err)
	}
	if len(items) > 0 {
		if err := flush(); err != nil {
			return added, fmt.Errorf("import memory: %w", err)
		}
	}
	return added, nil
}
