package memory

import (
	"bytes"
	"hash/maphash"
	"slices"
)

// dictionary numbers byte strings in the order in which they first come. It is a hash table of its own as a row has dozens
// of words: the strings lie in one piece of memory, and one that is there already costs one look. The zero value is empty.
type dictionary struct {
	bytes []byte
	keys  []dictKey
	slots []uint32 // number + 1; 0 is free. A power of two, at most half full
}

type dictKey struct {
	hash    uint32
	at, len uint32 // in bytes
}

var dictSeed = maphash.MakeSeed()

func (d *dictionary) key(i uint32) []byte {
	k := d.keys[i]
	return d.bytes[k.at : k.at+k.len]
}

// find is a string's number.
func (d *dictionary) find(s []byte) (uint32, bool) {
	if len(d.slots) == 0 {
		return 0, false
	}
	_, i := d.look(s, uint32(maphash.Bytes(dictSeed, s)))
	return i - 1, i > 0
}

// look is the slot that has a string or would take it, and what is in it.
func (d *dictionary) look(s []byte, hash uint32) (slot, i uint32) {
	mask := uint32(len(d.slots) - 1)
	for slot = hash & mask; ; slot = (slot + 1) & mask {
		i = d.slots[slot]
		if i == 0 {
			return slot, 0
		}
		if k := &d.keys[i-1]; k.hash == hash && bytes.Equal(d.bytes[k.at:k.at+k.len], s) {
			return slot, i
		}
	}
}

// number is a string's number, a new one if it was not there.
func (d *dictionary) number(s []byte) (i uint32, isNew bool) {
	if 2*len(d.keys) >= len(d.slots) {
		d.grow()
	}
	hash := uint32(maphash.Bytes(dictSeed, s))
	slot, i := d.look(s, hash)
	if i > 0 {
		return i - 1, false
	}
	i = uint32(len(d.keys))
	d.keys = append(d.keys, dictKey{hash, uint32(len(d.bytes)), uint32(len(s))})
	d.bytes = append(d.bytes, s...)
	d.slots[slot] = i + 1
	return i, true
}

func (d *dictionary) grow() {
	d.slots = make([]uint32, max(64, 2*len(d.slots)))
	mask := uint32(len(d.slots) - 1)
	for i, k := range d.keys {
		slot := k.hash & mask
		for d.slots[slot] != 0 {
			slot = (slot + 1) & mask
		}
		d.slots[slot] = uint32(i) + 1
	}
}

// sorted is the numbers in the order of their strings.
func (d *dictionary) sorted() []uint32 {
	order := make([]uint32, len(d.keys))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return bytes.Compare(d.key(a), d.key(b)) })
	return order
}
