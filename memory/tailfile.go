package memory

import (
	"bytes"
	"encoding/binary"
	"slices"

	bolt "go.etcd.io/bbolt"

	"agentd/memory/vec"
)

// In the file, the vectors of the tail are values of up to tailRun vectors of items whose ids follow each other, by the first
// one's id: items that come together share a value, and one that comes alone has its own.
const tailRun = 64

// putTail writes the vectors of rows, ids ascending.
func putTail(b *bolt.Bucket, rows []row) error {
	for i := 0; i < len(rows); {
		n := 0
		for i+n < len(rows) && n < tailRun && rows[i+n].vec != nil && rows[i+n].item.ID == rows[i].item.ID+ID(n) {
			n++
		}
		if n == 0 {
			i++
			continue
		}
		dim := len(rows[i].vec)
		v := make([]byte, headBytes+4*n*dim)
		for j := range n {
			copy(v[headBytes+4*j*dim:], vec.BytesOf(rows[i+j].vec))
		}
		putHead(v, n, dim)
		if err := b.Put(idKey(rows[i].item.ID), v); err != nil {
			return err
		}
		i += n
	}
	return nil
}

// tailRunOf is how many vectors a value of the tail has.
func tailRunOf(v []byte, dim int) int {
	if len(v) < headBytes+4*dim || (len(v)-headBytes)%(4*dim) != 0 {
		return 0
	}
	return (len(v) - headBytes) / (4 * dim)
}

// eachInTail calls yield for each whole vector of the tail; it must not keep the memory.
func eachInTail(b *bolt.Bucket, dim int, yield func(ID, []float32)) error {
	return b.ForEach(func(k, v []byte) error {
		n := tailRunOf(v, dim)
		if len(k) != 8 || n == 0 || !wholeValue(v) {
			return nil
		}
		f := vec.FloatsOf(v[headBytes:])
		for i := range n {
			yield(ID(binary.BigEndian.Uint64(k))+ID(i), f[i*dim:(i+1)*dim])
		}
		return nil
	})
}

// dropFromTail removes one vector. Others that share its value are written again, unless it is damaged and they are lost already.
func dropFromTail(b *bolt.Bucket, id ID, dim int) error {
	c := b.Cursor()
	k, v := c.Seek(idKey(id))
	if k == nil {
		k, v = c.Last()
	} else if !bytes.Equal(k, idKey(id)) {
		k, v = c.Prev()
	}
	if len(k) != 8 {
		return nil
	}
	first, n := ID(binary.BigEndian.Uint64(k)), tailRunOf(v, dim)
	if id < first || id != first && id >= first+ID(n) {
		return nil
	}
	whole := wholeValue(v)
	f := slices.Clone(vec.FloatsOf(v[headBytes:]))
	if err := b.Delete(idKey(first)); err != nil || !whole {
		return err
	}
	rows := make([]row, n)
	for i := range rows {
		rows[i] = row{&Item{ID: first + ID(i)}, f[i*dim : (i+1)*dim]}
	}
	return putTail(b, slices.Delete(rows, int(id-first), int(id-first)+1))
}

// tailRows reads the unsealed items with ids below end, and their vectors. A record that is damaged is passed over: Get and Check name it.
func (st *state) tailRows(tx *bolt.Tx, end ID) ([]row, error) {
	vectors := map[ID][]float32{}
	if st.gen != nil {
		err := eachInTail(st.gen.bucket(tx).Bucket(bucketTail), st.gen.codec.Dim(), func(id ID, v []float32) { vectors[id] = slices.Clone(v) })
		if err != nil {
			return nil, err
		}
	}
	var rows []row
	last := idKey(end)
	c := tx.Bucket(bucketItems).Cursor()
	for k, v := c.Seek(idKey(st.sealed() + 1)); k != nil && bytes.Compare(k, last) < 0; k, v = c.Next() {
		id := ID(binary.BigEndian.Uint64(k))
		if it, err := decodeItem(v, id); err == nil {
			rows = append(rows, row{it, vectors[id]})
		}
	}
	return rows, nil
}
