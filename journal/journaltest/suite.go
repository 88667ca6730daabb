// Package journaltest is the suite that every journal.Store passes: what the contract's comments promise, as tests.
package journaltest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"agentd/goals"
	"agentd/journal"
)

// Run runs the suite. open returns a new, empty store and closes it when its test ends.
func Run(t *testing.T, open func(t *testing.T) journal.Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, journal.Store)
	}{
		{"create", testCreate},
		{"create with a key in a race", testCreateRace},
		{"append", testAppend},
		{"append in a race", testAppendRace},
		{"append with an ended context", testContext},
		{"read", testRead},
		{"read while appending", testReadStop},
		{"page", testPage},
		{"watch without drops", testWatch},
		{"watch ends", testWatchEnds},
		{"summary", testSummary},
		{"list", testList},
		{"remove", testRemove},
		{"blobs", testBlobs},
		{"blobs of two runs", testSharedBlobs},
		{"backup", testBackup},
		{"close", testClose},
		{"random operations", testRandom},
		{"concurrent runs", testConcurrent},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// Started is a RunStarted to begin a run with.
func Started(text string) journal.RunStarted {
	return journal.RunStarted{
		Goal: goals.Goal{Text: text, Budget: goals.Budget{Steps: 100}}, Workspace: "/ws/" + text, Model: "test/model", Version: "test",
	}
}

// Note is an event that changes nothing, with a number in it.
func Note(n int) journal.Noted {
	return journal.Noted{Topic: "test", Text: fmt.Sprint(n)}
}

// noteOf returns the number in a Note, -1 for another event.
func noteOf(t *testing.T, r journal.Record) int {
	t.Helper()
	e, err := r.Decode()
	if err != nil {
		t.Fatalf("decode event %d: %v", r.Seq, err)
	}
	n := -1
	if note, ok := e.(journal.Noted); ok {
		if _, err := fmt.Sscan(note.Text, &n); err != nil {
			t.Fatalf("event %d is not one of ours: %q", r.Seq, note.Text)
		}
	}
	return n
}

// id makes ids that sort by n.
func id(n int) journal.RunID { return journal.RunID(fmt.Sprintf("run%09d", n)) }

func create(t *testing.T, st journal.Store, run journal.RunID) {
	t.Helper()
	if got, fresh, err := st.Create(t.Context(), run, "", Started(string(run))); err != nil || got != run || !fresh {
		t.Fatalf("create %s: got %q, %v, %v", run, got, fresh, err)
	}
}

func appendTo(t *testing.T, st journal.Store, run journal.RunID, after journal.Seq, events ...journal.Event) journal.Seq {
	t.Helper()
	seq, err := st.Append(t.Context(), run, after, events...)
	if err != nil || seq != after+journal.Seq(len(events)) {
		t.Fatalf("append %d events after %d: got %d, %v", len(events), after, seq, err)
	}
	return seq
}

// all reads a run from a number to its end and checks the numbers.
func all(t *testing.T, st journal.Store, run journal.RunID, after journal.Seq) []journal.Record {
	t.Helper()
	var out []journal.Record
	for r, err := range st.Read(t.Context(), run, after) {
		if err != nil {
			t.Fatalf("read %s after %d: %v", run, after, err)
		}
		if want := after + journal.Seq(len(out)) + 1; r.Seq != want || r.Run != run {
			t.Fatalf("read %s after %d: got event %d of %s, want %d", run, after, r.Seq, r.Run, want)
		}
		out = append(out, r)
	}
	return out
}

// readErr returns the error that a sequence ends with.
func readErr(seq func(func(journal.Record, error) bool)) error {
	for _, err := range seq {
		if err != nil {
			return err
		}
	}
	return nil
}

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got error %v, want %v", what, got, want)
	}
}

func testCreate(t *testing.T, st journal.Store) {
	ctx := t.Context()
	first := Started("a")
	run, fresh, err := st.Create(ctx, id(1), "key", first)
	if err != nil || run != id(1) || !fresh {
		t.Fatalf("create: got %q, %v, %v", run, fresh, err)
	}
	run, fresh, err = st.Create(ctx, id(2), "key", Started("b"))
	if err != nil || run != id(1) || fresh {
		t.Errorf("create with a known key: got %q, %v, %v, want the first run", run, fresh, err)
	}
	if _, err := st.Get(ctx, id(2)); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("a known key stored something: %v", err)
	}
	if _, fresh, err := st.Create(ctx, id(3), "other", first); err != nil || !fresh {
		t.Errorf("create with another key: %v, %v", fresh, err)
	}
	create(t, st, id(4))
	create(t, st, id(5)) // no key is not a key
	if _, _, err := st.Create(ctx, id(4), "", first); err == nil {
		t.Error("a run was created over another")
	}
	if _, _, err := st.Create(ctx, "", "", first); err == nil {
		t.Error("a run without an id was created")
	}
	got := all(t, st, id(1), 0)
	if len(got) != 1 || got[0].Kind != journal.KindRunStarted || got[0].V != 1 || got[0].Time.IsZero() {
		t.Fatalf("first event: got %+v", got)
	}
	e, err := got[0].Decode()
	if err != nil {
		t.Fatal(err)
	}
	if s := e.(journal.RunStarted); s.Goal.Text != first.Goal.Text || s.Workspace != first.Workspace {
		t.Errorf("first event: got %+v, want %+v", s, first)
	}
}

func testAppend(t *testing.T, st journal.Store) {
	ctx := t.Context()
	create(t, st, id(1))
	if seq := appendTo(t, st, id(1), 1, Note(1), Note(2), Note(3)); seq != 4 {
		t.Fatalf("got %d, want 4", seq)
	}
	for _, after := range []journal.Seq{0, 1, 3, 5, 1 << 40} {
		_, err := st.Append(ctx, id(1), after, Note(9))
		wantErr(t, fmt.Sprintf("append after %d of 4", after), err, journal.ErrConflict)
	}
	if seq, err := st.Append(ctx, id(1), 4); err != nil || seq != 4 {
		t.Errorf("append of nothing: got %d, %v", seq, err)
	}
	_, err := st.Append(ctx, id(1), 3)
	wantErr(t, "append of nothing after 3 of 4", err, journal.ErrConflict)
	_, err = st.Append(ctx, id(2), 0, Note(1))
	wantErr(t, "append to no run", err, journal.ErrNotFound)
	_, err = st.Append(ctx, "../x", 0, Note(1))
	wantErr(t, "append to a bad id", err, journal.ErrNotFound)
	if got := all(t, st, id(1), 0); len(got) != 4 || noteOf(t, got[1]) != 1 || noteOf(t, got[3]) != 3 {
		t.Errorf("events: got %+v", got)
	}
	// A run whose id begins like another's is another.
	create(t, st, id(1)+"x")
	appendTo(t, st, id(1), 4, Note(4))
	if n := len(all(t, st, id(1)+"x", 0)); n != 1 {
		t.Errorf("got %d events of a run with a longer id, want 1", n)
	}
	// Large events and odd text come back as they were.
	long := strings.Repeat("long \u2028\x00<&> ", 20_000)
	seq := appendTo(t, st, id(1), 5, journal.MessageSent{Text: long})
	e, err := all(t, st, id(1), seq-1)[0].Decode()
	if err != nil || e.(journal.MessageSent).Text != long {
		t.Errorf("a long event changed: %v", err)
	}
}

func testContext(t *testing.T, st journal.Store) {
	create(t, st, id(1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := st.Append(ctx, id(1), 1, Note(1))
	wantErr(t, "append", err, context.Canceled)
	_, _, err = st.Create(ctx, id(2), "", Started("b"))
	wantErr(t, "create", err, context.Canceled)
	wantErr(t, "read", readErr(st.Read(ctx, id(1), 0)), context.Canceled)
	_, _, err = st.PutBlob(ctx, id(1), strings.NewReader("x"))
	wantErr(t, "put blob", err, context.Canceled)
	if n := len(all(t, st, id(1), 0)); n != 1 {
		t.Errorf("got %d events, want 1", n)
	}
}

func testSummary(t *testing.T, st journal.Store) {
	create(t, st, id(1))
	seq := journal.Seq(1)
	for _, e := range Samples() {
		if e.Kind() == journal.KindRunStarted {
			continue
		}
		seq = appendTo(t, st, id(1), seq, e)
		got, err := st.Get(t.Context(), id(1))
		if err != nil {
			t.Fatal(err)
		}
		state, err := journal.Fold(all(t, st, id(1), 0))
		if err != nil {
			t.Fatal(err)
		}
		if want := state.Summary(); got.Last != seq || !sameSummary(got, want) {
			t.Errorf("after %s: got  %+v\nwant %+v", e.Kind(), got, want)
		}
	}
	_, err := st.Get(t.Context(), id(2))
	wantErr(t, "get of no run", err, journal.ErrNotFound)
}

// sameSummary compares with the times as instants.
func sameSummary(a, b journal.Summary) bool {
	same := a.Started.Equal(b.Started) && a.Updated.Equal(b.Updated)
	a.Started, a.Updated, b.Started, b.Updated = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	return same && a == b
}

func testClose(t *testing.T, st journal.Store) {
	ctx := t.Context()
	create(t, st, id(1))
	hash, _, err := st.PutBlob(ctx, id(1), strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := st.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
	_, err = st.Append(ctx, id(1), 1, Note(1))
	wantErr(t, "append", err, journal.ErrClosed)
	_, _, err = st.Create(ctx, id(2), "", Started("b"))
	wantErr(t, "create", err, journal.ErrClosed)
	wantErr(t, "read", readErr(st.Read(ctx, id(1), 0)), journal.ErrClosed)
	wantErr(t, "watch", readErr(st.Watch(ctx, id(1), 0)), journal.ErrClosed)
	_, err = st.Page(ctx, id(1), 0, 1)
	wantErr(t, "page", err, journal.ErrClosed)
	_, err = st.Get(ctx, id(1))
	wantErr(t, "get", err, journal.ErrClosed)
	_, err = st.List(ctx, journal.Filter{})
	wantErr(t, "list", err, journal.ErrClosed)
	wantErr(t, "remove", st.Remove(ctx, id(1)), journal.ErrClosed)
	_, _, err = st.PutBlob(ctx, id(1), strings.NewReader("x"))
	wantErr(t, "put blob", err, journal.ErrClosed)
	_, err = st.Blob(ctx, hash)
	wantErr(t, "blob", err, journal.ErrClosed)
	wantErr(t, "backup", st.Backup(ctx, new(strings.Builder)), journal.ErrClosed)
}
