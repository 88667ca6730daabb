package memory

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"time"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// recordVersion is the first byte of a record after its checksum. Fields are only ever appended.
const recordVersion = 1

// recordSize is about the size of an item's record, and mostly more.
func recordSize(it *Item) int {
	return 96 + len(it.Text) + len(it.Namespace) + len(it.Source.File) + len(it.Source.URL)
}

// encodeItem writes everything of an item but its vector: checksum, version, fields.
func encodeItem(b []byte, it *Item) []byte {
	b = slices.Grow(b, recordSize(it))
	start := len(b)
	b = append(b, 0, 0, 0, 0, recordVersion)
	text := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	stamp := func(t time.Time) {
		if t.IsZero() {
			b = append(b, 0)
			return
		}
		b = binary.AppendVarint(b, t.UnixMilli())
	}
	ids := func(l []ID) {
		b = binary.AppendUvarint(b, uint64(len(l)))
		for _, id := range l {
			b = binary.AppendUvarint(b, uint64(id))
		}
	}
	text(string(it.Namespace))
	text(it.Text)
	b = append(b, byte(it.Trust), byte(it.State))
	stamp(it.Created)
	stamp(it.Updated)
	stamp(it.Expires)
	text(it.Source.Kind)
	text(it.Source.Run)
	b = binary.AppendVarint(b, int64(it.Source.Step))
	text(it.Source.File)
	text(it.Source.URL)
	b = binary.AppendUvarint(b, uint64(len(it.Source.Events)))
	for _, e := range it.Source.Events {
		b = binary.AppendVarint(b, e)
	}
	b = binary.AppendUvarint(b, uint64(len(it.Tags)))
	for _, t := range it.Tags {
		text(t)
	}
	ids(it.Supersedes)
	ids(it.Contradicts)
	b = binary.AppendUvarint(b, uint64(it.SupersededBy))
	binary.LittleEndian.PutUint32(b[start:], crc32.Checksum(b[start+4:], castagnoli))
	return b
}

// reader takes fields off a record; after the end it gives zeros and sets bad.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) text() string { return string(r.bytes(r.uint())) }

func (r *reader) byte() byte {
	if v := r.bytes(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) time() time.Time {
	if ms := r.int(); ms != 0 {
		return time.UnixMilli(ms).UTC()
	}
	return time.Time{}
}

// count reads the length of a list whose elements take a byte or more.
func (r *reader) count() int {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return 0
	}
	return int(n)
}

func (r *reader) ids() []ID {
	var l []ID
	for range r.count() {
		l = append(l, ID(r.uint()))
	}
	return l
}

var errRecord = errors.New("the record does not match its checksum")

// decodeItem reads what encodeItem wrote, and nothing else.
func decodeItem(b []byte, id ID) (*Item, error) {
	if len(b) < 5 || binary.LittleEndian.Uint32(b) != crc32.Checksum(b[4:], castagnoli) || b[4] != recordVersion {
		return nil, errRecord
	}
	r := &reader{b: b[5:]}
	it := &Item{ID: id, Namespace: Namespace(r.text()), Text: r.text()}
	it.Trust, it.State = Trust(r.byte()), State(r.byte())
	it.Created, it.Updated, it.Expires = r.time(), r.time(), r.time()
	it.Source.Kind, it.Source.Run, it.Source.Step = r.text(), r.text(), int(r.int())
	it.Source.File, it.Source.URL = r.text(), r.text()
	for range r.count() {
		it.Source.Events = append(it.Source.Events, r.int())
	}
	for range r.count() {
		it.Tags = append(it.Tags, r.text())
	}
	it.Supersedes, it.Contradicts, it.SupersededBy = r.ids(), r.ids(), ID(r.uint())
	if r.bad {
		return nil, errRecord
	}
	return it, nil
}
