package memory

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"os"
)

// The layout of bbolt's pages, which has been the same since its first version.
const (
	pageHead   = 16 // id, flags, count, overflow
	pageElem   = 16
	flagBranch = 1
	flagLeaf   = 2
	bucketElem = 1 // flag of a leaf's element that is a bucket: root page, sequence
)

// leavesBelow is the size of a file below which the heads of all leaves are read, too. In a larger one that would take
// longer than the rest of opening it; a broken leaf is then found when it is read.
const leavesBelow = 64 << 20

// checkTree reads a file's branch pages, and says whether everything they lead to is there: bbolt follows them through
// mapped memory, where a wrong number is a fault and not an error. It returns nil for a file that has no valid meta page:
// bbolt refuses that.
func checkTree(f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	t := tree{f: f, size: st.Size(), seen: map[uint64]bool{}}
	root, ok := t.meta()
	if !ok {
		return nil
	}
	if t.high*t.page > uint64(t.size) {
		return fmt.Errorf("%w: it is cut off: %d bytes, and pages up to %d", ErrDamaged, t.size, t.high*t.page)
	}
	return t.walk(root, 0)
}

type tree struct {
	f    *os.File
	size int64
	page uint64 // size of a page
	high uint64 // pages from here on are not in use
	seen map[uint64]bool
}

// meta finds the newer of the valid meta pages.
func (t *tree) meta() (root uint64, ok bool) {
	var newest uint64
	for _, at := range []int64{0, 4096, 8192, 16384, 65536} {
		b := make([]byte, pageHead+64)
		if _, err := t.f.ReadAt(b, at); err != nil {
			continue
		}
		m := b[pageHead:]
		sum := fnv.New64a()
		sum.Write(m[:56]) // a hash has no errors
		if binary.LittleEndian.Uint32(m) != 0xED0CDAED || binary.LittleEndian.Uint64(m[56:]) != sum.Sum64() {
			continue
		}
		if tx := binary.LittleEndian.Uint64(m[48:]); !ok || tx > newest {
			newest, ok = tx, true
			t.page = uint64(binary.LittleEndian.Uint32(m[8:]))
			root = binary.LittleEndian.Uint64(m[16:])
			t.high = binary.LittleEndian.Uint64(m[40:])
		}
	}
	return root, ok && t.page >= 1024
}

func (t *tree) walk(id uint64, depth int) error {
	bad := func(what string) error { return fmt.Errorf("%w: page %d %s", ErrDamaged, id, what) }
	switch {
	case id < 2 || id >= t.high:
		return bad("does not exist")
	case t.seen[id]:
		return bad("is referred to twice")
	case depth > 40:
		return bad("is too deep")
	}
	t.seen[id] = true
	b := make([]byte, t.page)
	if _, err := t.f.ReadAt(b, int64(id*t.page)); err != nil {
		return err
	}
	flags, n, over := binary.LittleEndian.Uint16(b[8:]), int(binary.LittleEndian.Uint16(b[10:])), uint64(binary.LittleEndian.Uint32(b[12:]))
	if binary.LittleEndian.Uint64(b) != id || flags != flagBranch && flags != flagLeaf || id+over >= t.high {
		return bad("is not what the tree says")
	}
	size := int((over + 1) * t.page)
	if pageHead+n*pageElem > size || flags == flagBranch && n == 0 {
		return bad(fmt.Sprintf("has %d elements", n))
	}
	if over > 0 && pageHead+n*pageElem > len(b) {
		b = make([]byte, size)
		if _, err := t.f.ReadAt(b, int64(id*t.page)); err != nil {
			return err
		}
	}
	skip := false
	for i := range n {
		e := b[pageHead+i*pageElem:]
		at := pageHead + i*pageElem
		if flags == flagBranch {
			pos, ks := int(binary.LittleEndian.Uint32(e)), int(binary.LittleEndian.Uint32(e[4:]))
			if at+pos+ks > size {
				return bad("has a key beyond its end")
			}
			child := binary.LittleEndian.Uint64(e[8:])
			if child < 2 || child >= t.high {
				return bad(fmt.Sprintf("refers to page %d, which does not exist", child))
			}
			if skip {
				continue
			}
			leaf, err := t.leaf(child)
			if err != nil {
				return err
			}
			if skip = leaf && t.size >= leavesBelow && depth > 0; skip {
				continue // so are its neighbours: all leaves are equally deep
			}
			if err := t.walk(child, depth+1); err != nil {
				return err
			}
			continue
		}
		kind, pos, ks, vs := binary.LittleEndian.Uint32(e), int(binary.LittleEndian.Uint32(e[4:])), int(binary.LittleEndian.Uint32(e[8:])), int(binary.LittleEndian.Uint32(e[12:]))
		if pos+ks+vs > size || at+pos+ks+vs > size {
			return bad("has a value beyond its end")
		}
		if kind&bucketElem == 0 {
			continue
		}
		if vs < 16 || at+pos+ks+16 > len(b) {
			return bad("has a bucket without a head")
		}
		if r := binary.LittleEndian.Uint64(e[pos+ks:]); r != 0 { // 0: the bucket is within the value
			if err := t.walk(r, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// leaf says whether a page is a leaf.
func (t *tree) leaf(id uint64) (bool, error) {
	var b [pageHead]byte
	_, err := t.f.ReadAt(b[:], int64(id*t.page))
	return binary.LittleEndian.Uint16(b[8:]) == flagLeaf, err
}
