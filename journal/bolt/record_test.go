package bolt

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"agentd/journal"
)

// FuzzDecodeValue decodes values of any content under any key: none panics, and what is accepted is what was sealed.
func FuzzDecodeValue(f *testing.F) {
	at := time.Unix(1, 2).UTC()
	key := eventKey("r", 7)
	f.Add(key, encodeRecord(key, journal.Record{Time: at, Kind: "noted", V: 1, Data: []byte(`{"topic":"x"}`)}), true)
	head, err := encodeHead("r", journal.Summary{Run: "r", Status: "queued", Workspace: "/w", Last: 7}, []byte("key"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("r"), head, false)
	f.Add([]byte{}, []byte{0, 0, 0, 0}, true)
	f.Fuzz(func(t *testing.T, key, value []byte, reseal bool) {
		if reseal && len(value) >= sumLen {
			value = seal(key, bytes.Clone(value)) // past the checksum, into the decoders
		}
		r, err := decodeRecord("r", 7, key, value)
		if err != nil && !errors.Is(err, journal.ErrCorrupt) {
			t.Fatalf("got %v, want ErrCorrupt", err)
		}
		if err == nil {
			again, err := decodeRecord("r", 7, key, encodeRecord(key, r))
			if err != nil || !again.Time.Equal(r.Time) || again.Kind != r.Kind || again.V != r.V || !bytes.Equal(again.Data, r.Data) {
				t.Fatalf("%+v became %+v, %v", r, again, err)
			}
		}
		if h, err := decodeHead(key, value); err == nil {
			_, _ = h.decode() // its error is the caller's to handle; it must not panic
		}
	})
}

func TestRecordRoundTrip(t *testing.T) {
	key := eventKey("run1", 1<<40)
	want := journal.Record{Run: "run1", Seq: 1 << 40, Time: time.Unix(1e9, 123456789).UTC(), Kind: journal.KindNoted, V: 300, Data: []byte(`{"a":1}`)}
	value := encodeRecord(key, want)
	got, err := decodeRecord("run1", 1<<40, key, value)
	if err != nil || got.Run != want.Run || got.Seq != want.Seq || !got.Time.Equal(want.Time) || got.Kind != want.Kind || got.V != want.V || !bytes.Equal(got.Data, want.Data) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	// Every bit counts, and so does the key.
	for i := range value {
		for bit := range 8 {
			value[i] ^= 1 << bit
			if _, err := decodeRecord("run1", 1<<40, key, value); !errors.Is(err, journal.ErrCorrupt) {
				t.Fatalf("bit %d of byte %d flipped: %v", bit, i, err)
			}
			value[i] ^= 1 << bit
		}
	}
	if _, err := decodeRecord("run1", 2, eventKey("run1", 2), value); !errors.Is(err, journal.ErrCorrupt) {
		t.Errorf("under another key: %v", err)
	}
	if seq, ok := eventSeq("run1", key); !ok || seq != 1<<40 {
		t.Errorf("key: got %d, %v", seq, ok)
	}
	for _, other := range []journal.RunID{"run", "run10", "run2", ""} {
		if _, ok := eventSeq(other, key); ok {
			t.Errorf("the key is one of %q", other)
		}
	}
}
