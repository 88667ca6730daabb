package workspace

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"
)

// A manifest is a line of magic, a JSON header, the header's sha256 in hex, the entries in binary, and the sha256 of all that.
// The header has a sum of its own because Sweep reads headers alone and deletes what none of them names.

const (
	magic    = "agentd snapshot 1\n"
	packDir  = "packs"
	snapDir  = "snaps"
	sealed   = ".after"
	maxPath  = 1 << 16
	maxBytes = 1 << 31 // of one manifest
)

// ErrNotFound is wrapped by the error for a snapshot that isn't stored.
var ErrNotFound = errors.New("no such snapshot")

type header struct {
	ID      string    `json:"id"`
	Root    string    `json:"root"`
	Time    time.Time `json:"time"`
	Mode    string    `json:"mode"`
	Files   int       `json:"files"`
	Bytes   int64     `json:"bytes"`
	Perm    uint32    `json:"perm"`
	Packs   []string  `json:"packs,omitempty"`
	Skipped []Skip    `json:"skipped,omitempty"`
	Entries int       `json:"entries"`
	Gone    []string  `json:"gone,omitempty"` // of a mark: paths that are no longer there
}

func (s *Snapshot) encode() ([]byte, error) {
	head, err := json.Marshal(header{s.ID, s.Root, s.Time, s.Mode, s.Files, s.Bytes, s.mode, s.packs, s.Skipped, len(s.entries), s.gone})
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, len(head)+200+len(s.entries)*120)
	b = append(b, magic...)
	b = append(b, head...)
	b = append(b, '\n')
	sum := sha256.Sum256(head)
	b = hex.AppendEncode(b, sum[:])
	b = append(b, '\n')
	for i := range s.entries {
		b = s.entries[i].append(b)
	}
	all := sha256.Sum256(b)
	return append(b, all[:]...), nil
}

func (e *entry) append(b []byte) []byte {
	str := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	str(e.path)
	sure := uint64(0)
	if e.sure {
		sure = 1
	}
	for _, v := range []uint64{uint64(e.mode), uint64(e.uid), uint64(e.gid), uint64(e.size), uint64(e.mtime), uint64(e.ctime), e.dev, e.ino, sure} {
		b = binary.AppendUvarint(b, v)
	}
	switch {
	case e.isFile():
		b = append(b, e.hash[:]...)
		b = binary.AppendUvarint(b, uint64(e.pack))
		b = binary.AppendUvarint(b, uint64(e.off))
	case e.isLink():
		str(e.link)
	}
	return b
}

// cursor reads what append wrote. The first fault ends it.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) uint(most uint64) uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 || v > most {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) bytes(n uint64) []byte {
	if n > uint64(len(c.b)) {
		c.bad, c.b = true, nil
		return nil
	}
	p := c.b[:n]
	c.b = c.b[n:]
	return p
}

func (c *cursor) entry(packs int) entry {
	e := entry{path: string(c.bytes(c.uint(maxPath)))}
	e.mode, e.uid, e.gid = uint32(c.uint(math.MaxUint32)), uint32(c.uint(math.MaxUint32)), uint32(c.uint(math.MaxUint32))
	e.size = int64(c.uint(math.MaxInt64))
	e.mtime, e.ctime = int64(c.uint(math.MaxUint64)), int64(c.uint(math.MaxUint64))
	e.dev, e.ino = c.uint(math.MaxUint64), c.uint(math.MaxUint64)
	e.sure = c.uint(1) == 1
	switch {
	case e.isFile():
		copy(e.hash[:], c.bytes(uint64(len(e.hash))))
		e.pack = int(c.uint(uint64(packs)))
		e.off = int64(c.uint(math.MaxInt64))
	case e.isLink():
		e.link = string(c.bytes(c.uint(maxPath)))
	}
	if !filepath.IsLocal(e.path) || filepath.Clean(e.path) != e.path || e.path == "." {
		c.bad = true
	}
	return e
}

// decodeHead reads the header and returns the rest.
func decodeHead(b []byte) (h header, rest []byte, err error) {
	rest, ok := bytes.CutPrefix(b, []byte(magic))
	if !ok {
		return h, nil, errors.New("it is not a snapshot of this version")
	}
	head, rest, ok := bytes.Cut(rest, []byte("\n"))
	sumHex, rest, ok2 := bytes.Cut(rest, []byte("\n"))
	sum := sha256.Sum256(head)
	if !ok || !ok2 || string(sumHex) != hex.EncodeToString(sum[:]) {
		return h, nil, errDamaged
	}
	if err := json.Unmarshal(head, &h); err != nil {
		return h, nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	for _, p := range h.Packs {
		if p == "" || p != filepath.Base(p) {
			return h, nil, fmt.Errorf("%w: pack %q", errDamaged, p)
		}
	}
	return h, rest, nil
}

func decode(b []byte) (*Snapshot, error) {
	if len(b) < sha256.Size {
		return nil, errDamaged
	}
	body, want := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if got := sha256.Sum256(body); !bytes.Equal(got[:], want) {
		return nil, errDamaged
	}
	h, rest, err := decodeHead(body)
	if err != nil {
		return nil, err
	}
	if h.Entries < 0 || h.Entries > len(rest) {
		return nil, errDamaged
	}
	s := &Snapshot{ID: h.ID, Root: h.Root, Time: h.Time, Mode: h.Mode, Files: h.Files, Bytes: h.Bytes, Skipped: h.Skipped, mode: h.Perm, packs: h.Packs, gone: h.Gone}
	s.entries = make([]entry, 0, h.Entries)
	c := &cursor{b: rest}
	for range h.Entries {
		e := c.entry(len(h.Packs))
		if n := len(s.entries); c.bad || n > 0 && s.entries[n-1].path >= e.path {
			return nil, errDamaged
		}
		s.entries = append(s.entries, e)
	}
	if len(c.b) != 0 {
		return nil, errDamaged
	}
	return s, nil
}

// save writes the manifest so that it is whole or not there, and durable.
func (s *Snapshot) save(name string) error {
	b, err := s.encode()
	if err != nil {
		return err
	}
	dir := filepath.Join(s.store, snapDir)
	tmp, err := os.CreateTemp(dir, ".tmp-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // fails when it was renamed, as it should be
	_, err = tmp.Write(b)
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), filepath.Join(dir, name)); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func readManifest(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxBytes {
		return nil, errDamaged
	}
	b := make([]byte, info.Size())
	_, err = io.ReadFull(f, b)
	return b, err
}
