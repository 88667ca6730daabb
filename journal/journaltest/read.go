package journaltest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"agentd/journal"
)

func testRead(t *testing.T, st journal.Store) {
	const last = 700 // several pages of any implementation
	create(t, st, id(1))
	create(t, st, id(2))
	var events []journal.Event
	for i := 2; i <= last; i++ {
		events = append(events, Note(i))
	}
	appendTo(t, st, id(1), 1, events...)
	for _, after := range []journal.Seq{0, 1, 255, 256, 257, 699, 700, 701, 5000} {
		got := all(t, st, id(1), after)
		if want := max(0, last-int(after)); len(got) != want {
			t.Errorf("read after %d: got %d events, want %d", after, len(got), want)
		}
		for _, r := range got {
			if r.Seq > 1 && noteOf(t, r) != int(r.Seq) {
				t.Errorf("event %d holds %d", r.Seq, noteOf(t, r))
			}
		}
	}
	wantErr(t, "read of no run", readErr(st.Read(t.Context(), id(3), 0)), journal.ErrNotFound)
	wantErr(t, "read of a bad id", readErr(st.Read(t.Context(), "", 0)), journal.ErrNotFound)
}

// testReadStop appends from within a read and breaks out of one.
func testReadStop(t *testing.T, st journal.Store) {
	create(t, st, id(1))
	last := journal.Seq(1)
	n := 0
	for r, err := range st.Read(t.Context(), id(1), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; r.Seq != journal.Seq(n) {
			t.Fatalf("got event %d, want %d", r.Seq, n)
		}
		if n < 10 {
			last = appendTo(t, st, id(1), last, Note(n))
		}
	}
	if n < 1 || n > 10 {
		t.Errorf("read %d events", n)
	}
	n = 0
	for range st.Read(t.Context(), id(1), 0) {
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("a read that was left at 3 yielded %d", n)
	}
	appendTo(t, st, id(1), last, Note(99))
}

func testPage(t *testing.T, st journal.Store) {
	const last = 250
	create(t, st, id(1))
	create(t, st, id(2))
	create(t, st, id(3))
	events := make([]journal.Event, last-1)
	for i := range events {
		events[i] = Note(i + 2)
	}
	appendTo(t, st, id(2), 1, events...)
	for _, c := range []struct {
		before     journal.Seq
		limit      int
		from, upto journal.Seq // upto 0: nothing
	}{
		{0, 10, 241, 250},
		{0, 0, 151, 250}, // as for a list, 0 is 100
		{251, 10, 241, 250},
		{9999, 10, 241, 250},
		{250, 10, 240, 249},
		{100, 3, 97, 99},
		{5, 10, 1, 4},
		{2, 10, 1, 1},
		{1, 10, 0, 0},
		{0, 1000, 1, 250},
	} {
		got, err := st.Page(t.Context(), id(2), c.before, c.limit)
		if err != nil {
			t.Errorf("page of %d before %d: %v", c.limit, c.before, err)
			continue
		}
		var want []journal.Seq
		for s := c.from; s <= c.upto && s > 0; s++ {
			want = append(want, s)
		}
		var have []journal.Seq
		for _, r := range got {
			have = append(have, r.Seq)
		}
		if !slices.Equal(have, want) {
			t.Errorf("page of %d before %d: got %v, want %v", c.limit, c.before, have, want)
		}
	}
	if got, err := st.Page(t.Context(), id(3), 0, 10); err != nil || len(got) != 1 {
		t.Errorf("page of the last run: got %d, %v", len(got), err)
	}
	_, err := st.Page(t.Context(), id(4), 0, 10)
	wantErr(t, "page of no run", err, journal.ErrNotFound)
}

func testList(t *testing.T, st journal.Store) {
	const n = 30
	for i := range n {
		create(t, st, id(i))
		if i%3 == 0 {
			appendTo(t, st, id(i), 1, journal.RunFinished{Status: journal.StatusAccepted})
		} else if i%5 == 1 {
			appendTo(t, st, id(i), 1, journal.DriverClaimed{Epoch: 1})
		}
	}
	pick := func(keep func(i int) bool) []journal.RunID {
		var out []journal.RunID
		for i := n - 1; i >= 0; i-- {
			if keep(i) {
				out = append(out, id(i))
			}
		}
		return out
	}
	for _, c := range []struct {
		name   string
		filter journal.Filter
		want   []journal.RunID // newest first
	}{
		{"all", journal.Filter{}, pick(func(int) bool { return true })},
		{"live", journal.Filter{Live: true}, pick(func(i int) bool { return i%3 != 0 })},
		{"queued", journal.Filter{Status: journal.StatusQueued}, pick(func(i int) bool { return i%3 != 0 && i%5 != 1 })},
		{"running", journal.Filter{Status: journal.StatusRunning}, pick(func(i int) bool { return i%3 != 0 && i%5 == 1 })},
		{"accepted", journal.Filter{Status: journal.StatusAccepted}, pick(func(i int) bool { return i%3 == 0 })},
		{"accepted and live", journal.Filter{Status: journal.StatusAccepted, Live: true}, nil},
		{"workspace", journal.Filter{Workspace: "/ws/" + string(id(7))}, pick(func(i int) bool { return i == 7 })},
		{"no workspace", journal.Filter{Workspace: "/ws"}, nil},
	} {
		for _, oldest := range []bool{false, true} {
			for _, limit := range []int{0, 1, 4, n} {
				f := c.filter
				f.Oldest, f.Limit = oldest, limit
				want := slices.Clone(c.want)
				if oldest {
					slices.Reverse(want)
				}
				if got := pages(t, st, f); !slices.Equal(got, want) {
					t.Errorf("%s, oldest %v, by %d: got %v, want %v", c.name, oldest, limit, got, want)
				}
			}
		}
	}
	// A page goes on where the last one ended, even if that run was removed meanwhile.
	if err := st.Remove(t.Context(), id(10)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		f    journal.Filter
		want journal.RunID
	}{
		{journal.Filter{After: id(10), Limit: 1}, id(9)},
		{journal.Filter{After: id(10), Limit: 1, Oldest: true}, id(11)},
		{journal.Filter{After: id(n + 5), Limit: 1}, id(n - 1)},
		{journal.Filter{After: id(n + 5), Limit: 1, Oldest: true}, ""},
		{journal.Filter{After: id(0), Limit: 1}, ""},
	} {
		got, err := st.List(t.Context(), c.f)
		if err != nil || (c.want == "") != (len(got) == 0) || len(got) > 0 && got[0].Run != c.want {
			t.Errorf("list %+v: got %v, %v; want %q", c.f, got, err, c.want)
		}
	}
}

// pages lists all pages of a filter.
func pages(t *testing.T, st journal.Store, f journal.Filter) []journal.RunID {
	t.Helper()
	var out []journal.RunID
	for {
		page, err := st.List(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if f.Limit > 0 && len(page) > f.Limit {
			t.Fatalf("a page of %d, asked for %d", len(page), f.Limit)
		}
		if len(page) == 0 {
			return out
		}
		for _, s := range page {
			out = append(out, s.Run)
		}
		f.After = page[len(page)-1].Run
	}
}

func testRemove(t *testing.T, st journal.Store) {
	ctx := t.Context()
	create(t, st, id(1))
	if _, _, err := st.Create(ctx, id(2), "key", Started("b")); err != nil {
		t.Fatal(err)
	}
	create(t, st, id(3))
	appendTo(t, st, id(2), 1, Note(1), Note(2))
	if err := st.Remove(ctx, id(2)); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "remove twice", st.Remove(ctx, id(2)), journal.ErrNotFound)
	_, err := st.Get(ctx, id(2))
	wantErr(t, "get", err, journal.ErrNotFound)
	wantErr(t, "read", readErr(st.Read(ctx, id(2), 0)), journal.ErrNotFound)
	_, err = st.Append(ctx, id(2), 3, Note(3))
	wantErr(t, "append", err, journal.ErrNotFound)
	if got := pages(t, st, journal.Filter{}); !slices.Equal(got, []journal.RunID{id(3), id(1)}) {
		t.Errorf("list: got %v", got)
	}
	for _, run := range []journal.RunID{id(1), id(3)} {
		if n := len(all(t, st, run, 0)); n != 1 {
			t.Errorf("run %s has %d events, want 1", run, n)
		}
	}
	// Its id and key are free again, and nothing of it is left.
	if run, fresh, err := st.Create(ctx, id(2), "key", Started("c")); err != nil || !fresh || run != id(2) {
		t.Errorf("create anew: got %q, %v, %v", run, fresh, err)
	}
	if n := len(all(t, st, id(2), 0)); n != 1 {
		t.Errorf("the new run has %d events, want 1", n)
	}
}

// put stores a blob and returns its hash.
func put(t *testing.T, st journal.Store, run journal.RunID, text string) string {
	t.Helper()
	hash, size, err := st.PutBlob(t.Context(), run, strings.NewReader(text))
	if err != nil || size != int64(len(text)) {
		t.Fatalf("put blob: got size %d, %v; want %d", size, err, len(text))
	}
	return hash
}

// blob reads a blob.
func blob(t *testing.T, st journal.Store, hash string) (string, error) {
	t.Helper()
	r, err := st.Blob(t.Context(), hash)
	if err != nil {
		return "", err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	return string(data), err
}

func testBlobs(t *testing.T, st journal.Store) {
	ctx := t.Context()
	create(t, st, id(1))
	for _, text := range []string{"", "hello", strings.Repeat("0123456789", 100_000)} {
		hash := put(t, st, id(1), text)
		if got, err := blob(t, st, hash); err != nil || got != text {
			t.Errorf("blob of %d bytes: got %d bytes, %v", len(text), len(got), err)
		}
		if again := put(t, st, id(1), text); again != hash {
			t.Errorf("the same bytes have the hashes %s and %s", hash, again)
		}
	}
	if got, want := put(t, st, id(1), "hello"), "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"; got != want {
		t.Errorf("hash: got %s, want sha256 in hex, %s", got, want)
	}
	for _, hash := range []string{"", "00", strings.Repeat("0", 64), "../../../../etc/passwd", strings.Repeat("../", 21) + "x"} {
		_, err := blob(t, st, hash)
		wantErr(t, "blob "+hash, err, journal.ErrNotFound)
	}
	_, _, err := st.PutBlob(ctx, id(9), strings.NewReader("orphan"))
	wantErr(t, "put blob of no run", err, journal.ErrNotFound)
	broken := errors.New("broken")
	_, _, err = st.PutBlob(ctx, id(1), io.MultiReader(strings.NewReader("half"), errReader{broken}))
	wantErr(t, "put blob from a broken reader", err, broken)
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func testSharedBlobs(t *testing.T, st journal.Store) {
	ctx := t.Context()
	create(t, st, id(1))
	create(t, st, id(2))
	shared := put(t, st, id(1), "shared")
	if put(t, st, id(2), "shared") != shared {
		t.Fatal("another hash")
	}
	mine, other := put(t, st, id(1), "mine"), put(t, st, id(2), "other")
	if err := st.Remove(ctx, id(1)); err != nil {
		t.Fatal(err)
	}
	_, err := blob(t, st, mine)
	wantErr(t, "blob of a removed run", err, journal.ErrNotFound)
	for hash, want := range map[string]string{shared: "shared", other: "other"} {
		if got, err := blob(t, st, hash); err != nil || got != want {
			t.Errorf("blob %s: got %q, %v", want, got, err)
		}
	}
	if err := st.Remove(ctx, id(2)); err != nil {
		t.Fatal(err)
	}
	_, err = blob(t, st, shared)
	wantErr(t, "blob that nobody uses", err, journal.ErrNotFound)
}

// testBackup makes a backup while runs are appended to. What a backup looks like is the implementation's, so whether it
// can be restored is tested there.
func testBackup(t *testing.T, st journal.Store) {
	create(t, st, id(1))
	put(t, st, id(1), "blob")
	done := make(chan error, 1)
	go func() {
		for i := range 20 {
			if _, err := st.Append(t.Context(), id(1), journal.Seq(i+1), Note(i)); err != nil {
				done <- fmt.Errorf("append while backing up: %w", err)
				return
			}
		}
		done <- nil
	}()
	var out bytes.Buffer
	if err := st.Backup(t.Context(), &out); err != nil {
		t.Errorf("backup: %v", err)
	}
	if out.Len() == 0 {
		t.Error("the backup is empty")
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	broken := errors.New("broken")
	wantErr(t, "backup to a broken writer", st.Backup(t.Context(), errWriter{broken}), broken)
}

type errWriter struct{ err error }

func (w errWriter) Write([]byte) (int, error) { return 0, w.err }
