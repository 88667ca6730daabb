package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// The layout of a bbolt file, version 2: pages of a header (id, flags, count, overflow) and elements; numbers in the
// machine's byte order. Pages 0 and 1 are the two headers of the file, of which the newer valid one counts.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	pageHeader = 16
	element    = 16
	metaLen    = 64

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagMeta     = 0x04
	flagFreelist = 0x10

	noFreelist = ^uint64(0)
	maxDepth   = 64
)

// meta is one of the file's two headers.
type meta struct {
	pageSize                        int64
	root, freelist, highWater, txid uint64
}

// decodeMeta reads the header in the page p with an id.
func decodeMeta(p []byte, id uint64) (meta, error) {
	var m meta
	if len(p) < pageHeader+metaLen {
		return m, errShort
	}
	e := binary.NativeEndian
	b := p[pageHeader:]
	h := fnv.New64a()
	h.Write(b[:metaLen-8])
	switch {
	case e.Uint32(b) != boltMagic:
		return m, errors.New("not a bbolt file")
	case e.Uint32(b[4:]) != boltVersion:
		return m, fmt.Errorf("bbolt format %d, this program knows %d", e.Uint32(b[4:]), boltVersion)
	case e.Uint64(b[56:]) != h.Sum64():
		return m, errors.New("wrong checksum")
	case e.Uint64(p) != id || e.Uint16(p[8:]) != flagMeta:
		return m, errors.New("wrong page header")
	}
	m = meta{pageSize: int64(e.Uint32(b[8:])), root: e.Uint64(b[16:]), freelist: e.Uint64(b[32:]), highWater: e.Uint64(b[40:]), txid: e.Uint64(b[48:])}
	if m.pageSize < 512 || m.pageSize > 1<<20 || m.pageSize&(m.pageSize-1) != 0 {
		return m, fmt.Errorf("page size %d", m.pageSize)
	}
	return m, nil
}

// readMeta returns the newer valid header. fault says what is wrong with the other one, "" for nothing.
func readMeta(f io.ReaderAt, size int64) (m meta, fault string, err error) {
	head := make([]byte, 4096)
	if _, err := f.ReadAt(head[:pageHeader+metaLen], 0); err != nil && !errors.Is(err, io.EOF) {
		return m, "", err
	}
	m0, err0 := decodeMeta(head[:pageHeader+metaLen], 0)
	// The second is a page later; while the first is broken, the page's size is a guess.
	sizes := []int64{m0.pageSize}
	if err0 != nil {
		sizes = []int64{int64(os.Getpagesize()), 4096, 8192, 16384, 65536}
	}
	var m1 meta
	err1 := errShort
	for _, n := range sizes {
		if _, err := f.ReadAt(head[:pageHeader+metaLen], n); err != nil {
			if !errors.Is(err, io.EOF) {
				return m, "", err
			}
			continue
		}
		if m1, err1 = decodeMeta(head[:pageHeader+metaLen], 1); err1 == nil && m1.pageSize != n {
			err1 = fmt.Errorf("page size %d", m1.pageSize)
		}
		if err1 == nil {
			break
		}
	}
	switch {
	case err0 != nil && err1 != nil:
		return m, "", fmt.Errorf("both headers are broken: %w; %w", err0, err1)
	case err0 != nil:
		m, fault = m1, fmt.Sprintf("header 0: %v", err0)
	case err1 != nil:
		m, fault = m0, fmt.Sprintf("header 1: %v", err1)
	case m1.txid > m0.txid:
		m = m1
	default:
		m = m0
	}
	switch {
	case size%m.pageSize != 0:
		return m, fault, fmt.Errorf("cut off: %d bytes are no whole number of pages of %d", size, m.pageSize)
	case m.highWater < 3 || m.highWater > uint64(size/m.pageSize):
		return m, fault, fmt.Errorf("cut off: %d bytes, its header says %d pages of %d", size, m.highWater, m.pageSize)
	case m.root < 2 || m.root >= m.highWater:
		return m, fault, fmt.Errorf("its root is page %d of %d", m.root, m.highWater)
	case m.freelist != noFreelist && (m.freelist < 2 || m.freelist >= m.highWater):
		return m, fault, fmt.Errorf("its list of free pages is page %d of %d", m.freelist, m.highWater)
	}
	return m, fault, nil
}

// precheck checks what bbolt trusts blindly: the size, the headers, the list of free pages, and the branch pages, of which
// a wrong one could lead it round in circles. Leaf pages, all but a few of the file's, are not read. fault is one broken
// header of the two: the file can be opened, but its last commit may be lost.
func precheck(path string) (fault string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	m, fault, err := readMeta(f, info.Size())
	if err == nil {
		err = (&tree{f: f, meta: m, seen: make(map[uint64]bool), light: true}).check()
	}
	if err != nil {
		return "", damaged(path, err)
	}
	return fault, nil
}

// damaged makes a fault of the content a DamagedError, and leaves what the system says as it is.
func damaged(path string, err error) error {
	if pe := (*os.PathError)(nil); errors.As(err, &pe) {
		return err
	}
	return &DamagedError{Path: path, What: err.Error()}
}

// checkTree walks all pages of a file without trusting any number in them.
func checkTree(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	m, _, err := readMeta(f, info.Size())
	if err == nil {
		err = (&tree{f: f, meta: m, seen: make(map[uint64]bool)}).check()
	}
	if err != nil {
		return damaged(path, err)
	}
	return nil
}

// tree is a walk through a file's pages.
type tree struct {
	f    io.ReaderAt
	meta meta
	seen map[uint64]bool // pages in use
	// light leaves out the leaf pages below a branch page, but for its first.
	light bool
}

// page reads a page with what overflows from it.
func (t *tree) page(id uint64) ([]byte, error) {
	if id < 2 || id >= t.meta.highWater {
		return nil, fmt.Errorf("page %d is beyond the end (%d)", id, t.meta.highWater)
	}
	p := make([]byte, t.meta.pageSize)
	if _, err := t.f.ReadAt(p, int64(id)*t.meta.pageSize); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	if got := binary.NativeEndian.Uint64(p); got != id {
		return nil, fmt.Errorf("page %d calls itself %d", id, got)
	}
	more := uint64(binary.NativeEndian.Uint32(p[12:]))
	if more >= t.meta.highWater-id {
		return nil, fmt.Errorf("page %d overflows beyond the end", id)
	}
	if more > 0 {
		p = append(p, make([]byte, int64(more)*t.meta.pageSize)...)
		if _, err := t.f.ReadAt(p[t.meta.pageSize:], int64(id+1)*t.meta.pageSize); err != nil {
			return nil, fmt.Errorf("page %d: %w", id, err)
		}
	}
	return p, nil
}

// use marks a page and its overflow as in use.
func (t *tree) use(id uint64, p []byte) error {
	for i := range uint64(len(p)) / uint64(t.meta.pageSize) {
		if t.seen[id+i] {
			return fmt.Errorf("page %d is used twice", id+i)
		}
		t.seen[id+i] = true
	}
	return nil
}

// free returns the page numbers in the list of free pages p.
func (t *tree) free(p []byte) ([]uint64, error) {
	if f := flags(p); f != flagFreelist {
		return nil, fmt.Errorf("the list of free pages, page %d, has the flags %#x", t.meta.freelist, f)
	}
	n, body := uint64(binary.NativeEndian.Uint16(p[10:])), p[pageHeader:]
	if n == 0xFFFF { // then the first number is the count
		n, body = binary.NativeEndian.Uint64(body), body[8:]
	}
	if n > uint64(len(body))/8 {
		return nil, fmt.Errorf("the list of free pages names %d in %d bytes", n, len(body))
	}
	ids := make([]uint64, n)
	for i := range ids {
		ids[i] = binary.NativeEndian.Uint64(body[i*8:])
		if ids[i] < 2 || ids[i] >= t.meta.highWater || i > 0 && ids[i] <= ids[i-1] {
			return nil, fmt.Errorf("the list of free pages names page %d", ids[i])
		}
	}
	return ids, nil
}

// check walks the tree and the list of free pages: each page is used once or free.
func (t *tree) check() error {
	t.seen[0], t.seen[1] = true, true
	if err := t.walk(t.meta.root, nil, nil, 0); err != nil {
		return err
	}
	if t.meta.freelist == noFreelist {
		return nil
	}
	p, err := t.page(t.meta.freelist)
	if err != nil {
		return err
	}
	if err := t.use(t.meta.freelist, p); err != nil {
		return err
	}
	ids, err := t.free(p)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if t.seen[id] {
			return fmt.Errorf("page %d is used and free", id)
		}
		t.seen[id] = true
	}
	for id := range t.meta.highWater {
		if !t.seen[id] && !t.light {
			return fmt.Errorf("page %d is neither used nor free", id)
		}
	}
	return nil
}

// walk checks a page and what is below it. Its keys are at least low and, unless high is nil, less than high.
func (t *tree) walk(id uint64, low, high []byte, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("page %d is too deep", id)
	}
	p, err := t.page(id)
	if err != nil {
		return err
	}
	if err := t.use(id, p); err != nil {
		return err
	}
	return t.elements(id, p, low, high, depth)
}

// elements checks the elements of a branch or leaf page, or of a bucket that is kept inside of an element.
func (t *tree) elements(id uint64, p, low, high []byte, depth int) error {
	e := binary.NativeEndian
	branch := flags(p) == flagBranch
	if !branch && flags(p) != flagLeaf {
		return fmt.Errorf("page %d has the flags %#x", id, flags(p))
	}
	n := int(e.Uint16(p[10:]))
	if pageHeader+n*element > len(p) || branch && n == 0 {
		return fmt.Errorf("page %d has %d elements", id, n)
	}
	keys, children := make([][]byte, n), make([]uint64, n)
	for i := range n {
		at := pageHeader + i*element
		el := p[at : at+element]
		var pos, ksize, vsize, fl uint32
		if branch {
			pos, ksize, children[i] = e.Uint32(el), e.Uint32(el[4:]), e.Uint64(el[8:])
		} else {
			fl, pos, ksize, vsize = e.Uint32(el), e.Uint32(el[4:]), e.Uint32(el[8:]), e.Uint32(el[12:])
		}
		start, end := uint64(at)+uint64(pos), uint64(at)+uint64(pos)+uint64(ksize)+uint64(vsize)
		if start < uint64(pageHeader+n*element) || end > uint64(len(p)) {
			return fmt.Errorf("element %d of page %d is outside of it", i, id)
		}
		k, v := p[start:start+uint64(ksize)], p[start+uint64(ksize):end]
		keys[i] = k
		if i > 0 && bytes.Compare(keys[i-1], k) >= 0 || i == 0 && bytes.Compare(k, low) < 0 || high != nil && bytes.Compare(k, high) >= 0 {
			return fmt.Errorf("element %d of page %d is out of order", i, id)
		}
		if branch {
			continue
		}
		switch fl {
		case 0:
		case 1:
			if err := t.bucket(id, v, depth); err != nil {
				return err
			}
		default:
			return fmt.Errorf("element %d of page %d has the flags %#x", i, id, fl)
		}
	}
	if !branch {
		return nil
	}
	leaves := false
	if t.light {
		p, err := t.page(children[0])
		if err != nil {
			return err
		}
		leaves = flags(p) == flagLeaf // and then so are the others: all leaves are at one depth
	}
	for i, child := range children {
		next := high
		if i+1 < n {
			next = keys[i+1]
		}
		if i > 0 && leaves {
			if child < 2 || child >= t.meta.highWater {
				return fmt.Errorf("page %d leads to page %d, beyond the end (%d)", id, child, t.meta.highWater)
			}
			if t.seen[child] {
				return fmt.Errorf("page %d is used twice", child)
			}
			t.seen[child] = true
			continue
		}
		if err := t.walk(child, keys[i], next, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// bucket checks a bucket: a root page elsewhere, or a page inside of the value.
func (t *tree) bucket(id uint64, v []byte, depth int) error {
	if len(v) < 16 {
		return fmt.Errorf("a bucket in page %d has %d bytes", id, len(v))
	}
	if root := binary.NativeEndian.Uint64(v); root != 0 {
		return t.walk(root, nil, nil, depth+1)
	}
	p := v[16:]
	if len(p) < pageHeader || flags(p) != flagLeaf {
		return fmt.Errorf("a small bucket in page %d is no leaf", id)
	}
	return t.elements(id, p, nil, nil, depth+1)
}

func flags(p []byte) uint16 { return binary.NativeEndian.Uint16(p[8:]) }
