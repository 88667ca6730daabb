package memory

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// Check compares every value of the store with its checksum and returns a *CorruptError for each that does not match.
func (s *Store) Check() ([]error, error) {
	n, err := s.view()
	if err != nil {
		return nil, err
	}
	defer n.release()
	var bad []error
	report := func(format string, a ...any) { bad = append(bad, &CorruptError{What: fmt.Sprintf(format, a...)}) }
	for _, err := range s.All() {
		if err != nil {
			bad = append(bad, err)
		}
	}
	for _, g := range n.segs {
		key := segKey(g.no, 0)
		if !wholeValue(n.tx.Bucket(bucketRows).Get(key)) {
			report("the rows of segment %d", g.no)
		}
		if !wholeValue(n.tx.Bucket(bucketLive).Get(key)) {
			report("the live rows of segment %d", g.no)
		}
		if !g.index.whole() {
			report("the word index of segment %d", g.no)
		}
	}
	if n.gen == nil {
		return bad, nil
	}
	b := n.gen.bucket(n.tx)
	for _, name := range generationBuckets {
		err := b.Bucket(name).ForEach(func(k, v []byte) error {
			switch {
			case wholeValue(v):
			case len(k) == 8 && string(name) == string(bucketTail):
				first := ID(binary.BigEndian.Uint64(k))
				if more := tailRunOf(v, n.gen.codec.Dim()) - 1; more > 0 {
					report("the vectors of memory %s to %s", first, first+ID(more))
				} else {
					report("the vector of memory %s", first)
				}
			case len(k) == 8 && string(name) == string(bucketF32):
				report("the vectors of segment %d, part %d", binary.BigEndian.Uint32(k), binary.BigEndian.Uint32(k[4:]))
			case len(k) == 8:
				report("the %s codes of segment %d", name, binary.BigEndian.Uint32(k))
			}
			return nil
		})
		if err != nil {
			return bad, err
		}
	}
	return bad, nil
}

// Salvage is what Repair saved.
type Salvage struct {
	Items   int  `json:"items"`
	Vectors int  `json:"vectors"` // items saved with their vector; the others' are made again by reembed
	Lost    int  `json:"lost"`    // records that did not match their checksum
	Broken  bool `json:"broken"`  // the tree could not be walked, and pages were read one by one
}

// Repair writes what is whole of a damaged file to a new file, which must not exist. The damaged one is not changed. Items
// keep their ids.
func Repair(path, to string) (sv Salvage, err error) {
	if _, err := os.Stat(to); err == nil {
		return sv, fmt.Errorf("repair memory: %s exists", to)
	}
	fail := func(err error) (Salvage, error) { return sv, fmt.Errorf("repair memory %s: %w", path, err) }
	raw, err := os.ReadFile(path)
	if err != nil {
		return fail(err)
	}
	found := salvage{items: map[ID][]byte{}, vectors: map[ID][]float32{}}
	if err := found.walk(path); err != nil {
		sv.Broken = true
	}
	// Pages that the tree does not lead to any more can hold what was forgotten, so they are read only if it is broken.
	if sv.Broken {
		found.pages(raw)
	}
	sv.Lost = found.lost
	if err := found.write(to, &sv); err != nil {
		os.Remove(to)
		return fail(err)
	}
	return sv, nil
}

// salvage collects whole records.
type salvage struct {
	items   map[ID][]byte
	vectors map[ID][]float32
	model   string
	dim     int
	next    ID
	lost    int
}

func (f *salvage) item(k, v []byte) {
	id := ID(binary.BigEndian.Uint64(k))
	f.next = max(f.next, id+1)
	if _, err := decodeItem(v, id); err != nil {
		f.lost++
		return
	}
	f.items[id] = append([]byte(nil), v...)
}

// walk reads the file as a tree.
func (f *salvage) walk(path string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: 1})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(func(tx *bolt.Tx) error {
		if string(tx.Bucket(bucketMeta).Get(keyFormat)) != format {
			return ErrVersion
		}
		err := tx.Bucket(bucketItems).ForEach(func(k, v []byte) error {
			if len(k) == 8 {
				f.item(k, v)
			}
			return nil
		})
		if err != nil {
			return err
		}
		f.readVectors(tx)
		return nil
	})
}

// readVectors collects the vectors whose checksums hold; what is in the way of one does not stop the others.
func (f *salvage) readVectors(tx *bolt.Tx) {
	defer func() { _ = recover() }() // a broken page of vectors: reembed makes them anew
	st := state{}
	if err := json.Unmarshal(tx.Bucket(bucketMeta).Get(keyState), &st.count); err != nil || st.count.Generation == 0 {
		return
	}
	f.next = max(f.next, st.count.NextID)
	g, err := readGeneration(tx, st.count.Generation)
	if err != nil {
		return
	}
	f.model, f.dim = g.model, g.codec.Dim()
	_ = eachInTail(g.bucket(tx).Bucket(bucketTail), f.dim, func(id ID, v []float32) { f.vectors[id] = slices.Clone(v) })
	_ = tx.Bucket(bucketRows).ForEach(func(k, _ []byte) error {
		s, err := readSegment(tx, binary.BigEndian.Uint32(k), g, nil, newArena(g.codec.BlockBytes()*segmentRows/32))
		if err != nil || s.vec == nil || len(s.vec.view.Chunks)*1024 < s.rows {
			return nil
		}
		for r := range s.rows {
			if s.vec.have != nil && !s.vec.have.has(r) {
				continue
			}
			if v, err := s.vec.vector(r, f.dim); err == nil {
				f.vectors[s.id(r)] = slices.Clone(v)
			}
		}
		return nil
	})
}

// pages reads every page that looks like a leaf, for records whose checksum holds.
func (f *salvage) pages(raw []byte) {
	const page, head, elem, leaf = 4096, 16, 16, 2
	for at := 0; at+page <= len(raw); at += page {
		p := raw[at:]
		if binary.LittleEndian.Uint16(p[8:]) != leaf {
			continue
		}
		n := int(binary.LittleEndian.Uint16(p[10:]))
		for i := 0; i < n && head+(i+1)*elem <= len(p); i++ {
			e := p[head+i*elem:]
			pos, ks, vs := int(binary.LittleEndian.Uint32(e[4:])), int(binary.LittleEndian.Uint32(e[8:])), int(binary.LittleEndian.Uint32(e[12:]))
			if ks != 8 || vs < 5 || pos < 0 || vs > 1<<20 || pos+ks+vs > len(e) {
				continue
			}
			k, v := e[pos:pos+ks], e[pos+ks:pos+ks+vs]
			id := ID(binary.BigEndian.Uint64(k))
			if _, err := decodeItem(v, id); err == nil && f.items[id] == nil {
				f.items[id] = append([]byte(nil), v...)
				f.next = max(f.next, id+1)
			}
		}
	}
}

// write makes the new file: all items are unsealed in it, and the first write seals them.
func (f *salvage) write(to string, sv *Salvage) (err error) {
	db, err := openFile(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.Update(func(tx *bolt.Tx) error {
		count := counters{NextID: max(f.next, 1), NextSeg: 1, Items: len(f.items)}
		var g *generation
		if f.dim > 0 {
			var err error
			if g, err = firstGeneration(f.model, f.dim); err != nil {
				return err
			}
			count.Generation = 1
			if err := g.put(tx); err != nil {
				return err
			}
		}
		for id, v := range f.items {
			sv.Items++
			if err := tx.Bucket(bucketItems).Put(idKey(id), v); err != nil {
				return err
			}
			if it, err := decodeItem(v, id); err == nil && it.State == Proposed {
				if err := tx.Bucket(bucketAsk).Put(idKey(id), nil); err != nil {
					return err
				}
			}
			if w := f.vectors[id]; w != nil && g != nil {
				sv.Vectors++
				if err := putTail(g.bucket(tx).Bucket(bucketTail), []row{{&Item{ID: id}, w}}); err != nil {
					return err
				}
			}
		}
		return putCounters(tx, count)
	})
}
