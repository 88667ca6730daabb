package bolt

import (
	"bytes"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	bbolt "go.etcd.io/bbolt"

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

// TestNoOpenTransaction proves that no transaction is open while the consumer of a Read or Watch works: an open one keeps
// old pages from being used again.
func TestNoOpenTransaction(t *testing.T) {
	s, err := Open(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := t.Context()
	if _, _, err := s.Create(ctx, "r", "", journal.RunStarted{}); err != nil {
		t.Fatal(err)
	}
	events := make([]journal.Event, 3*pageRecords)
	for i := range events {
		events[i] = journal.Noted{}
	}
	last, err := s.Append(ctx, "r", 1, events...)
	if err != nil {
		t.Fatal(err)
	}
	for name, seq := range map[string]iter.Seq2[journal.Record, error]{"read": s.Read(ctx, "r", 0), "watch": s.Watch(ctx, "r", 0)} {
		for r, err := range seq {
			if err != nil {
				t.Fatal(err)
			}
			if n := s.db.Stats().OpenTxN; n != 0 {
				t.Fatalf("%s: %d transactions are open at event %d", name, n, r.Seq)
			}
			if r.Seq == last {
				break
			}
		}
	}
	if len(s.hub.ears) != 0 {
		t.Errorf("a watcher that left is still listened for: %v", s.hub.ears)
	}
}

// TestBroken proves that nothing is written once it is unknown what is on disk, that reading goes on, and that the next
// open checks the file.
func TestBroken(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if _, _, err := s.Create(ctx, "r", "", journal.RunStarted{}); err != nil {
		t.Fatal(err)
	}
	failed := errors.New("input/output error")
	err = s.writer.do(&request{ctx: ctx, apply: func(*bbolt.Tx) error { return fatalError{failed} }})
	if !errors.Is(err, failed) {
		t.Fatalf("got %v, want %v", err, failed)
	}
	for range 2 {
		if _, err := s.Append(ctx, "r", 1, journal.Noted{}); !errors.Is(err, failed) || !strings.Contains(err.Error(), "restart agentd") {
			t.Errorf("append: got %v, want the first error and what to do", err)
		}
	}
	if sum, err := s.Get(ctx, "r"); err != nil || sum.Last != 1 {
		t.Errorf("get: got %+v, %v", sum, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var checked *DamagedError
	if _, err := Open(Options{Dir: dir, CheckCommand: []string{"false"}}); !errors.As(err, &checked) {
		t.Errorf("the next open does not check: %v", err)
	}
	s, err = Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Append(ctx, "r", 1, journal.Noted{}); err != nil {
		t.Errorf("append after a restart: %v", err)
	}
}
