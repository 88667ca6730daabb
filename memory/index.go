package memory

import (
	"cmp"
	"encoding/binary"
	"hash/crc32"
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

// attributes calls yield for each of an item's attributes.
func attributes(it *Item, yield func(field, value string)) {
	yield("namespace", string(it.Namespace))
	yield("trust", it.Trust.String())
	for _, f := range [...]struct{ name, value string }{{"kind", it.Source.Kind}, {"run", it.Source.Run}, {"file", it.Source.File}, {"url", it.Source.URL}} {
		if f.value != "" {
			yield(f.name, f.value)
		}
	}
	for _, t := range it.Tags {
		yield("tag", t)
	}
}

func appendAttribute(b []byte, field, value string) []byte {
	b = append(b, attribute...)
	b = append(b, field...)
	b = append(b, 0)
	return append(b, value...)
}

func attributeKey(field, value string) string { return string(appendAttribute(nil, field, value)) }

// tailIndex is the index of the rows that are not sealed yet, and the builder of a segment's index. Rows are only ever
// added, so a reader that ignores rows from its snapshot's end on sees its own state.
type tailIndex struct {
	mu    sync.RWMutex // guards the fields below
	keys  dictionary
	lists [][]post // by the key's number
	free  []post   // where lists begin
	lens  []uint16

	scan scanner // of the writer
	key  []byte
}

func newTailIndex() *tailIndex { return &tailIndex{} }

// firstPosts is how many rows a list has room for before it moves out of what it shares with others.
const firstPosts = 2

// add indexes the next row.
func (x *tailIndex) add(it *Item) {
	x.mu.Lock()
	defer x.mu.Unlock()
	row := uint32(len(x.lens))
	n := 0
	add := func(key []byte) {
		i, isNew := x.keys.number(key)
		if isNew {
			if len(x.free) < firstPosts {
				x.free = make([]post, 512*firstPosts)
			}
			x.lists = append(x.lists, x.free[0:0:firstPosts])
			x.free = x.free[firstPosts:]
		}
		l := x.lists[i]
		if last := len(l) - 1; last >= 0 && l[last].row == row {
			// The last entry is beyond every snapshot, as the row is.
			l[last].n++
			return
		}
		x.lists[i] = append(l, post{row, 1})
	}
	x.scan.words(it.Text, func(w []byte) {
		n++
		add(w)
	})
	attributes(it, func(field, value string) {
		x.key = appendAttribute(x.key[:0], field, value)
		add(x.key)
	})
	x.lens = append(x.lens, uint16(min(n, 1<<16-1)))
}

// list is the rows that have a key.
func (x *tailIndex) list(key string) []post {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if i, ok := x.keys.find([]byte(key)); ok {
		return x.lists[i]
	}
	return nil
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

// encode writes the sealed form of the first rows.
func (x *tailIndex) encode(rows int) []byte {
	order := x.keys.sorted()
	b := make([]byte, 4, 64+2*rows+24*len(order)+4*len(x.keys.bytes))
	b = binary.LittleEndian.AppendUint32(b, uint32(rows))
	b = append(b, 0, 0, 0, 0) // the number of keys
	for _, n := range x.lens[:rows] {
		b = binary.LittleEndian.AppendUint16(b, n)
	}
	offsets := len(b)
	order = slices.DeleteFunc(order, func(i uint32) bool { return x.lists[i][0].row >= uint32(rows) })
	binary.LittleEndian.PutUint32(b[8:], uint32(len(order)))
	b = append(b, make([]byte, 4*len(order))...)
	for at, i := range order {
		binary.LittleEndian.PutUint32(b[offsets+4*at:], uint32(len(b)))
		k := x.keys.key(i)
		b = binary.AppendUvarint(b, uint64(len(k)))
		b = append(b, k...)
		l := x.lists[i]
		if int(l[len(l)-1].row) >= rows {
			n, _ := slices.BinarySearchFunc(l, uint32(rows), func(p post, row uint32) int { return cmp.Compare(p.row, row) })
			l = l[:n]
		}
		b = binary.AppendUvarint(b, uint64(len(l)))
		last := uint32(0)
		for _, p := range l {
			if d := (p.row - last) << 1; p.n == 1 && d < 0x80 {
				b = append(b, byte(d))
			} else if p.n == 1 {
				b = binary.AppendUvarint(b, uint64(d))
			} else {
				b = binary.AppendUvarint(b, uint64(d)|1)
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
func (x index) entry(i int) (key, rest []byte) {
	at := binary.LittleEndian.Uint32(x.b[12+2*x.rows+4*i:])
	if int64(at) > int64(len(x.b)) {
		return nil, nil
	}
	r := reader{b: x.b[at:]}
	key = r.bytes(r.uint())
	return key, r.b
}

// find is what follows a key: the number of its rows, and the rows. It is empty if the key is not there.
func (x index) find(key string) []byte {
	i := sort.Search(x.keys, func(i int) bool { k, _ := x.entry(i); return string(k) >= key })
	if i == x.keys {
		return nil
	}
	k, rest := x.entry(i)
	if string(k) != key {
		return nil
	}
	return rest
}

func (x index) listLen(key string) int {
	r := reader{b: x.find(key)}
	return r.count()
}

// list appends the rows that have a key, in order, to buf.
func (x index) list(key string, buf []post) []post {
	r := reader{b: x.find(key)}
	n := r.count()
	row := uint32(0)
	for b := r.b; n > 0 && len(b) > 0; n-- {
		d := uint32(b[0])
		if d < 0x80 {
			b = b[1:]
		} else {
			v, used := binary.Uvarint(b)
			if used <= 0 {
				return buf
			}
			d, b = uint32(v), b[used:]
		}
		row += d >> 1
		p := post{row, 1}
		if d&1 == 1 {
			v, used := binary.Uvarint(b)
			if used <= 0 {
				return buf
			}
			p.n, b = uint32(v), b[used:]
		}
		if int(row) >= x.rows {
			return buf
		}
		buf = append(buf, p)
	}
	return buf
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
