package memory

import (
	"encoding/binary"
	"hash/crc32"
	"iter"
	"math/bits"
	"slices"
	"sort"
	"strconv"
	"sync"
)

// post is one row that has a word, and how often.
type post struct {
	row uint32
	n   uint32
}

// Attribute keys share the word index's dictionary. They start with a byte that no word has.
const attribute = "\x01"

// filterFields are the fields that a filter may name.
var filterFields = []string{"file", "kind", "run", "tag", "trust", "url"}

// attributes calls yield for the dictionary key of each of an item's attributes.
func attributes(it *Item, yield func(string)) {
	yield(attributeKey("namespace", string(it.Namespace)))
	yield(attributeKey("trust", it.Trust.String()))
	for _, f := range []struct{ name, value string }{{"kind", it.Source.Kind}, {"run", it.Source.Run}, {"file", it.Source.File}, {"url", it.Source.URL}} {
		if f.value != "" {
			yield(attributeKey(f.name, f.value))
		}
	}
	for _, t := range it.Tags {
		yield(attributeKey("tag", t))
	}
}

func attributeKey(field, value string) string { return attribute + field + "\x00" + value }

// tailIndex is the index of the rows that are not sealed yet, and the builder of a segment's index. Rows are only ever
// added, so a reader that ignores rows from its snapshot's end on sees its own state.
type tailIndex struct {
	mu    sync.RWMutex // guards the fields below
	lists map[string][]post
	lens  []uint16
}

func newTailIndex() *tailIndex { return &tailIndex{lists: map[string][]post{}} }

// add indexes the next row.
func (x *tailIndex) add(it *Item) {
	x.mu.Lock()
	defer x.mu.Unlock()
	row := uint32(len(x.lens))
	n := 0
	add := func(key string) {
		l := x.lists[key]
		if len(l) > 0 && l[len(l)-1].row == row {
			// The last entry is beyond every snapshot, as the row is.
			l[len(l)-1].n++
			return
		}
		x.lists[key] = append(l, post{row, 1})
	}
	words(it.Text, func(w string) {
		n++
		add(w)
	})
	attributes(it, add)
	x.lens = append(x.lens, uint16(min(n, 1<<16-1)))
}

// list is the rows that have a key.
func (x *tailIndex) list(key string) []post {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.lists[key]
}

func (x *tailIndex) rowLens() []uint16 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.lens
}

// index is a sealed segment's index: a checksum, the number of rows, each row's number of words, and a sorted dictionary
// of words and attributes with their rows. It may be mapped memory.
type index struct {
	b    []byte
	rows int
	keys int
}

// encode writes the sealed form.
func (x *tailIndex) encode() []byte {
	keys := make([]string, 0, len(x.lists))
	for k := range x.lists {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	b := make([]byte, 4, 64+2*len(x.lens)+24*len(keys))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(x.lens)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(keys)))
	for _, n := range x.lens {
		b = binary.LittleEndian.AppendUint16(b, n)
	}
	offsets := len(b)
	b = append(b, make([]byte, 4*len(keys))...)
	for i, k := range keys {
		binary.LittleEndian.PutUint32(b[offsets+4*i:], uint32(len(b)))
		b = binary.AppendUvarint(b, uint64(len(k)))
		b = append(b, k...)
		l := x.lists[k]
		b = binary.AppendUvarint(b, uint64(len(l)))
		last := uint32(0)
		for _, p := range l {
			more := uint64(0)
			if p.n > 1 {
				more = 1
			}
			b = binary.AppendUvarint(b, uint64(p.row-last)<<1|more)
			if more == 1 {
				b = binary.AppendUvarint(b, uint64(p.n))
			}
			last = p.row
		}
	}
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return b
}

// openIndex views an encoded index without checking its checksum.
func openIndex(b []byte) (index, bool) {
	if len(b) < 12 {
		return index{}, false
	}
	x := index{b: b, rows: int(binary.LittleEndian.Uint32(b[4:])), keys: int(binary.LittleEndian.Uint32(b[8:]))}
	if x.rows > segmentRows || x.keys > len(b)/4 || len(b) < 12+2*x.rows+4*x.keys {
		return index{}, false
	}
	return x, true
}

// whole says whether the index matches its checksum.
func (x index) whole() bool {
	return len(x.b) >= 4 && binary.LittleEndian.Uint32(x.b) == crc32.Checksum(x.b[4:], castagnoli)
}

func (x index) rowLen(row int) int { return int(binary.LittleEndian.Uint16(x.b[12+2*row:])) }

// entry is the i-th key and the bytes from its list on.
func (x index) entry(i int) (string, []byte) {
	at := binary.LittleEndian.Uint32(x.b[12+2*x.rows+4*i:])
	if int64(at) > int64(len(x.b)) {
		return "", nil
	}
	r := reader{b: x.b[at:]}
	key := r.bytes(r.uint())
	return string(key), r.b
}

// list yields the rows that have a key, in order.
func (x index) list(key string) iter.Seq[post] {
	return func(yield func(post) bool) {
		i := sort.Search(x.keys, func(i int) bool { k, _ := x.entry(i); return k >= key })
		if i == x.keys {
			return
		}
		k, rest := x.entry(i)
		if k != key {
			return
		}
		r := reader{b: rest}
		row := uint32(0)
		for range r.count() {
			d := r.uint()
			row += uint32(d >> 1)
			p := post{row: row, n: 1}
			if d&1 == 1 {
				p.n = uint32(r.uint())
			}
			if r.bad || int(row) >= x.rows || !yield(p) {
				return
			}
		}
	}
}

// bitmap has one bit for each row of a segment, 32 to a word.
type bitmap []uint32

func newBitmap(rows int) bitmap { return make(bitmap, (rows+31)/32) }

func (b bitmap) set(row int)      { b[row/32] |= 1 << (row % 32) }
func (b bitmap) unset(row int)    { b[row/32] &^= 1 << (row % 32) }
func (b bitmap) has(row int) bool { return b[row/32]>>(row%32)&1 == 1 }

func (b bitmap) count() int {
	n := 0
	for _, w := range b {
		n += bits.OnesCount32(w)
	}
	return n
}

func (b bitmap) and(o bitmap) {
	for i := range b {
		if i < len(o) {
			b[i] &= o[i]
		} else {
			b[i] = 0
		}
	}
}

// filterValue checks one value of a filter.
func filterValue(field, value string) (string, error) {
	if field == "trust" {
		var t Trust
		if err := t.UnmarshalText([]byte(value)); err != nil {
			return "", err
		}
	}
	if len(value) > maxField {
		return "", strconv.ErrRange
	}
	return attributeKey(field, value), nil
}
