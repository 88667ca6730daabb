package bolt

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"agentd/journal"
)

// castagnoli is the checksum of every stored value. It covers the key too, so that a value under another's key is found.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sumLen is the length of the checksum in front of every value.
const sumLen = 4

// maxEvent bounds one event's JSON; larger things are blobs.
const maxEvent = 16 << 20

var errShort = errors.New("value is too short")

// seal puts the checksum of key and body in front of body, which has sumLen bytes of room at its start.
func seal(key, value []byte) []byte {
	binary.BigEndian.PutUint32(value, sum(key, value[sumLen:]))
	return value
}

// unseal checks a value and returns its body, which aliases it.
func unseal(key, value []byte) ([]byte, error) {
	if len(value) < sumLen {
		return nil, errShort
	}
	if want, got := binary.BigEndian.Uint32(value), sum(key, value[sumLen:]); want != got {
		return nil, fmt.Errorf("checksum is %08x, stored as %08x", got, want)
	}
	return value[sumLen:], nil
}

func sum(key, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, body)
}

// eventKey is the run's id, a zero byte and the big-endian number, so that a run's events lie together in order.
func eventKey(run journal.RunID, seq journal.Seq) []byte {
	k := make([]byte, 0, len(run)+9)
	k = append(append(k, run...), 0)
	return binary.BigEndian.AppendUint64(k, uint64(seq))
}

// eventSeq returns the number in a key if it is one of run's.
func eventSeq(run journal.RunID, key []byte) (journal.Seq, bool) {
	if len(key) != len(run)+9 || string(key[:len(run)]) != string(run) || key[len(run)] != 0 {
		return 0, false
	}
	return journal.Seq(binary.BigEndian.Uint64(key[len(run)+1:])), true
}

// encodeRecord is checksum, time in nanoseconds, version, length of the kind, kind, JSON.
func encodeRecord(key []byte, r journal.Record) []byte {
	v := make([]byte, sumLen, sumLen+8+2+1+len(r.Kind)+len(r.Data))
	v = binary.BigEndian.AppendUint64(v, uint64(r.Time.UnixNano()))
	v = binary.AppendUvarint(v, uint64(r.V))
	v = append(v, byte(len(r.Kind)))
	v = append(v, r.Kind...)
	v = append(v, r.Data...)
	return seal(key, v)
}

// decodeRecord copies everything out of value, which may be memory of a transaction.
func decodeRecord(run journal.RunID, seq journal.Seq, key, value []byte) (journal.Record, error) {
	r := journal.Record{Run: run, Seq: seq}
	body, err := unseal(key, value)
	if err != nil {
		return r, damagedEvent(run, seq, err)
	}
	if len(body) < 8 {
		return r, damagedEvent(run, seq, errShort)
	}
	r.Time = time.Unix(0, int64(binary.BigEndian.Uint64(body))).UTC()
	body = body[8:]
	v, n := binary.Uvarint(body)
	if n <= 0 || v > 1<<30 || len(body) < n+1 || len(body) < n+1+int(body[n]) {
		return r, damagedEvent(run, seq, errShort)
	}
	r.V = int(v)
	kind, rest := body[n+1:n+1+int(body[n])], body[n+1+int(body[n]):]
	r.Kind, r.Data = journal.Kind(kind), bytes.Clone(rest)
	return r, nil
}

func damagedEvent(run journal.RunID, seq journal.Seq, why error) error {
	return fmt.Errorf("event %d of run %s: %w: %w", seq, run, journal.ErrCorrupt, why)
}

// head is a run's entry in the bucket of runs: its summary, and in front of it what filters and appends need of it
// without parsing the summary.
type head struct {
	last      journal.Seq
	status    journal.Status
	workspace []byte
	key       []byte // idempotency
	summary   []byte // JSON
}

func encodeHead(run journal.RunID, sum journal.Summary, key []byte) ([]byte, error) {
	data, err := json.Marshal(sum)
	if err != nil {
		return nil, fmt.Errorf("summarise run %s: %w", run, err)
	}
	v := make([]byte, sumLen, sumLen+32+len(sum.Workspace)+len(key)+len(data))
	v = binary.BigEndian.AppendUint64(v, uint64(sum.Last))
	for _, field := range [][]byte{[]byte(sum.Status), []byte(sum.Workspace), key} {
		v = append(binary.AppendUvarint(v, uint64(len(field))), field...)
	}
	return seal([]byte(run), append(v, data...)), nil
}

// decodeHead returns slices that alias value.
func decodeHead(run []byte, value []byte) (head, error) {
	var h head
	body, err := unseal(run, value)
	if err != nil {
		return h, err
	}
	if len(body) < 8 {
		return h, errShort
	}
	h.last, body = journal.Seq(binary.BigEndian.Uint64(body)), body[8:]
	var fields [3][]byte
	for i := range fields {
		n, used := binary.Uvarint(body)
		if used <= 0 || n > uint64(len(body)-used) {
			return h, errShort
		}
		fields[i], body = body[used:used+int(n)], body[used+int(n):]
	}
	h.status, h.workspace, h.key, h.summary = journal.Status(fields[0]), fields[1], fields[2], body
	return h, nil
}

func (h head) decode() (journal.Summary, error) {
	var s journal.Summary
	err := json.Unmarshal(h.summary, &s)
	return s, err
}
