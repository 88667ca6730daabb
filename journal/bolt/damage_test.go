package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"agentd/journal"
	"agentd/journal/bolt"
	"agentd/journal/journaltest"
)

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	st := open(t, dir)
	_, err := bolt.Open(bolt.Options{Dir: dir})
	var locked *bolt.LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() || locked.Dir != dir {
		t.Fatalf("second open: got %v, want a LockedError with our pid", err)
	}
	argv := append(self(t, "open"), dir)
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if want := fmt.Sprintf("the data folder %s is in use by process %d", dir, os.Getpid()); err == nil || !strings.Contains(string(out), want) {
		t.Errorf("open in another process: got %q, %v; want %q", out, err, want)
	}
	// The lock file is gone: bbolt's own lock holds.
	if err := os.Remove(filepath.Join(dir, "runs.lock")); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(bolt.Options{Dir: dir}); !errors.As(err, &locked) {
		t.Errorf("second open without the lock file: got %v, want a LockedError", err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Errorf("open in another process after close: %s, %v", out, err)
	}
}

// sample makes a closed journal with a few runs of many events, and returns its file's bytes.
func sample(t testing.TB, dir string) []byte {
	t.Helper()
	st := open(t, dir)
	for i := range 3 {
		if _, _, err := st.Create(t.Context(), runID(i), fmt.Sprint("key", i), journaltest.Started("a goal")); err != nil {
			t.Fatal(err)
		}
		var events []journal.Event
		for n := 2; n <= 200; n++ {
			events = append(events, needle(i, n))
		}
		if _, err := st.Append(t.Context(), runID(i), 1, events...); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "runs.db"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func needle(run, n int) journal.Noted {
	return journal.Noted{Topic: "test", Text: fmt.Sprintf("needle %d of %d.", n, run)}
}

// write puts a file's bytes into a new folder, and leaves the folder as an unclean stop does if asked to.
func write(t testing.TB, data []byte, unclean bool) (dir string) {
	t.Helper()
	dir = t.TempDir()
	lock := ""
	if unclean {
		lock = "4194305\n"
	}
	for name, content := range map[string][]byte{"runs.db": data, "runs.lock": []byte(lock)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestDamagedFile(t *testing.T) {
	whole := sample(t, t.TempDir())
	page := os.Getpagesize()
	for _, c := range []struct {
		name  string
		spoil func(b []byte) []byte
		want  string
	}{
		{"half", func(b []byte) []byte { return b[:len(b)/2/page*page] }, "cut off"},
		{"odd length", func(b []byte) []byte { return b[:len(b)-100] }, "cut off"},
		{"two pages", func(b []byte) []byte { return b[:2*page] }, "cut off"},
		{"empty", func([]byte) []byte { return nil }, "not a bbolt file"},
		{"text", func([]byte) []byte { return []byte("hello\n") }, "not a bbolt file"},
		{"zeros", func(b []byte) []byte { return make([]byte, len(b)) }, "not a bbolt file"},
		{"no magic", func(b []byte) []byte { b[16] ^= 1; b[page+16] ^= 1; return b }, "not a bbolt file"},
		{"other version", func(b []byte) []byte { b[20] ^= 1; b[page+20] ^= 1; return b }, "bbolt format 3"},
		{"both headers", func(b []byte) []byte { b[16+40] ^= 4; b[page+16+40] ^= 4; return b }, "wrong checksum"},
		{"first header", func(b []byte) []byte { b[16+40] ^= 4; return b }, "header 0: wrong checksum"},
		{"second header", func(b []byte) []byte { b[page+16+40] ^= 4; return b }, "header 1: wrong checksum"},
		{"all pages zero", func(b []byte) []byte { clear(b[2*page:]); return b }, "page"},
		{"all pages ones", func(b []byte) []byte {
			for i := 2 * page; i < len(b); i++ {
				b[i] = 0xFF
			}
			return b
		}, "page"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := write(t, c.spoil(bytes.Clone(whole)), false)
			before, err := os.ReadFile(filepath.Join(dir, "runs.db"))
			if err != nil {
				t.Fatal(err)
			}
			_, err = bolt.Open(bolt.Options{Dir: dir})
			var damaged *bolt.DamagedError
			if !errors.As(err, &damaged) || !errors.Is(err, journal.ErrCorrupt) {
				t.Fatalf("got %v, want a DamagedError", err)
			}
			if damaged.Path != filepath.Join(dir, "runs.db") || !strings.Contains(err.Error(), c.want) || !strings.Contains(damaged.Hint(), "backup") {
				t.Errorf("got %q with the hint %q, want the path, %q and a hint at backups", err, damaged.Hint(), c.want)
			}
			after, err := os.ReadFile(filepath.Join(dir, "runs.db"))
			if err != nil || !bytes.Equal(before, after) {
				t.Errorf("the damaged file was changed: %v", err)
			}
			// It stays refused.
			if _, err := bolt.Open(bolt.Options{Dir: dir}); !errors.As(err, &damaged) {
				t.Errorf("second open: got %v", err)
			}
		})
	}
}

// TestUnclean opens what a kill leaves: a folder whose lock file names a process that is gone.
func TestUnclean(t *testing.T) {
	whole := sample(t, t.TempDir())
	page := os.Getpagesize()
	// A page of events, found by what it holds, whose header is spoilt: the light check does not read it.
	at := bytes.Index(whole, []byte("needle 90 of 1.")) / page * page
	torn := bytes.Clone(whole)
	clear(torn[at : at+16])
	oneHeader := bytes.Clone(whole)
	oneHeader[16+40] ^= 4
	for _, c := range []struct {
		name    string
		data    []byte
		command []string
		want    string // in a DamagedError, "" for none
		other   error  // or this
	}{
		{name: "whole", data: whole},
		{name: "whole, checked by bbolt", data: whole, command: self(t, "check")},
		{name: "one header", data: oneHeader, command: self(t, "check")},
		{name: "torn page", data: torn, want: "page"},
		{name: "check fails", data: whole, command: []string{"sh", "-c", "echo it is bad >&2; exit 1"}, want: "exit status 1: it is bad"},
		{name: "check dies", data: whole, command: []string{"sh", "-c", "kill -SEGV $$"}, want: "segmentation fault"},
		{name: "no such check", data: whole, command: []string{filepath.Join(t.TempDir(), "no-such-program")}, other: fs.ErrNotExist},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := write(t, c.data, true)
			for range 2 { // a refusal does not make the folder clean
				st, err := bolt.Open(bolt.Options{Dir: dir, CheckCommand: c.command})
				var damaged *bolt.DamagedError
				switch {
				case c.other != nil:
					if !errors.Is(err, c.other) || errors.As(err, &damaged) {
						t.Errorf("got %v, want %v", err, c.other)
					}
				case c.want == "" && err == nil:
					if err := st.Close(); err != nil {
						t.Error(err)
					}
				case c.want == "" || !errors.As(err, &damaged) || !strings.Contains(err.Error(), c.want):
					t.Errorf("got %v, want a DamagedError with %q", err, c.want)
				}
			}
		})
	}
	if err := bolt.CheckFile(filepath.Join(write(t, torn, false), "runs.db")); !errors.Is(err, journal.ErrCorrupt) {
		t.Errorf("check of a torn page: got %v", err)
	}
	if err := bolt.CheckFile(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, journal.ErrCorrupt) {
		t.Errorf("check of no file: got %v", err)
	}
}

// TestFlippedBit flips a bit in an event and in a summary: the event is named, the rest is as it was.
func TestFlippedBit(t *testing.T) {
	whole := sample(t, t.TempDir())
	flip := func(b []byte, text string) []byte {
		b = bytes.Clone(b)
		n := 0
		for at := 0; ; n++ {
			i := bytes.Index(b[at:], []byte(text))
			if i < 0 {
				break
			}
			at += i
			b[at] ^= 0x10
		}
		if n == 0 {
			t.Fatalf("the file does not hold %q", text)
		}
		return b
	}
	ctx := t.Context()
	t.Run("event", func(t *testing.T) {
		st := open(t, write(t, flip(whole, "needle 90 of 1."), false))
		wantErr := fmt.Sprintf("event 90 of run %s: corrupt", runID(1))
		seq := journal.Seq(0)
		for r, err := range st.Read(ctx, runID(1), 0) {
			if seq++; r.Seq != seq || (err != nil) != (seq == 90) {
				t.Fatalf("event %d: got %d, %v", seq, r.Seq, err)
			}
			if err != nil && (!errors.Is(err, journal.ErrCorrupt) || !strings.Contains(err.Error(), wantErr)) {
				t.Errorf("got %v, want %q", err, wantErr)
			}
		}
		if seq != 200 {
			t.Errorf("read ended at %d of 200", seq)
		}
		if _, err := st.Page(ctx, runID(1), 95, 10); !errors.Is(err, journal.ErrCorrupt) {
			t.Errorf("page with it: got %v", err)
		}
		if got, err := st.Page(ctx, runID(1), 90, 10); err != nil || len(got) != 10 {
			t.Errorf("page before it: got %d, %v", len(got), err)
		}
		if sum, err := st.Get(ctx, runID(1)); err != nil || sum.Last != 200 {
			t.Errorf("summary: got %+v, %v", sum, err)
		}
	})
	t.Run("number", func(t *testing.T) {
		// A key of event 90 that says 65626: its page is out of order from there.
		spoilt := bytes.ReplaceAll(whole, append([]byte(runID(1)), 0, 0, 0, 0, 0, 0, 0, 0, 90), append([]byte(runID(1)), 0, 0, 0, 0, 0, 0, 1, 0, 90))
		if bytes.Equal(whole, spoilt) {
			t.Fatal("the file does not hold the key")
		}
		st := open(t, write(t, spoilt, false))
		good, bad := 0, 0
		for r, err := range st.Read(ctx, runID(1), 0) {
			if err == nil {
				good++
				continue
			}
			if bad++; !errors.Is(err, journal.ErrCorrupt) || r.Seq > 200 {
				t.Errorf("event %d: %v", r.Seq, err)
			}
		}
		if good == 0 || bad == 0 || good+bad > 200 {
			t.Errorf("got %d events and %d errors of 200", good, bad)
		}
	})
	t.Run("summary", func(t *testing.T) {
		st := open(t, write(t, flip(whole, `{"run":"`+string(runID(1))+`","status"`), false))
		for i := range 3 {
			sum, err := st.Get(ctx, runID(i))
			if err != nil || sum.Last != 200 || sum.Goal != "a goal" {
				t.Errorf("get %d: got %+v, %v", i, sum, err)
			}
		}
		if got, err := st.List(ctx, journal.Filter{Live: true}); err != nil || len(got) != 3 || got[1].Goal != "a goal" {
			t.Errorf("list: got %+v, %v", got, err)
		}
		if got, err := st.Page(ctx, runID(1), 0, 5); err != nil || len(got) != 5 || got[4].Seq != 200 {
			t.Errorf("page: got %+v, %v", got, err)
		}
		if _, err := st.Append(ctx, runID(1), 200, needle(1, 201)); err != nil {
			t.Errorf("append: %v", err)
		}
		if _, err := st.Append(ctx, runID(1), 200, needle(1, 201)); !errors.Is(err, journal.ErrConflict) {
			t.Errorf("append twice: %v", err)
		}
	})
	t.Run("summary of a run to remove", func(t *testing.T) {
		st := open(t, write(t, flip(whole, `{"run":"`+string(runID(1))+`","status"`), false))
		if err := st.Remove(ctx, runID(1)); err != nil {
			t.Fatal(err)
		}
		if _, fresh, err := st.Create(ctx, runID(7), "key1", journaltest.Started("anew")); err != nil || !fresh {
			t.Errorf("its key is not free: %v, %v", fresh, err)
		}
	})
	t.Run("blob", func(t *testing.T) {
		dir := t.TempDir()
		st := open(t, dir)
		if _, _, err := st.Create(ctx, runID(1), "", journaltest.Started("a")); err != nil {
			t.Fatal(err)
		}
		hash, _, err := st.PutBlob(ctx, runID(1), strings.NewReader("content"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "blobs", hash[:2], hash[2:]), []byte("c0ntent"), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := st.Blob(ctx, hash)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := new(bytes.Buffer).ReadFrom(r); !errors.Is(err, journal.ErrCorrupt) || !strings.Contains(err.Error(), hash) {
			t.Errorf("got %v, want ErrCorrupt with the hash", err)
		}
		if again, _, err := st.PutBlob(ctx, runID(1), strings.NewReader("content")); err != nil || again != hash {
			t.Fatal(again, err)
		}
		r2, err := st.Blob(ctx, hash)
		if err != nil {
			t.Fatal(err)
		}
		defer r2.Close()
		if _, err := new(bytes.Buffer).ReadFrom(r2); err != nil {
			t.Errorf("putting it again did not mend it: %v", err)
		}
	})
}

// TestRandomFlips flips random bits anywhere: whatever is still answered is right, and nothing panics or goes round in
// circles.
func TestRandomFlips(t *testing.T) {
	whole := sample(t, t.TempDir())
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	refused, opened := 0, 0
	for range 50 {
		data := bytes.Clone(whole)
		for range 1 + rng.IntN(3) {
			data[rng.IntN(len(data))] ^= 1 << rng.IntN(8)
		}
		dir := write(t, data, rng.IntN(4) == 0)
		st, err := bolt.Open(bolt.Options{Dir: dir})
		if err != nil {
			if !errors.Is(err, journal.ErrCorrupt) && !strings.Contains(err.Error(), "format") && !strings.Contains(err.Error(), "is no journal") {
				t.Errorf("seed %d: open: %v", seed, err)
			}
			refused++
			continue
		}
		opened++
		readable(t, st)
		_, err = st.Append(context.Background(), runID(1), 200, needle(1, 201))
		if err != nil && !errors.Is(err, journal.ErrCorrupt) && !errors.Is(err, journal.ErrNotFound) {
			t.Errorf("seed %d: append: %v", seed, err)
		}
		readable(t, st)
		if err := st.Close(); err != nil {
			t.Errorf("seed %d: close: %v", seed, err)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("seed %d: %d refused, %d opened", seed, refused, opened)
}

// readable reads all that can be read of a sample: each event is right or an error.
func readable(t *testing.T, st journal.Store) {
	t.Helper()
	ctx := context.Background()
	for i := range 3 {
		for r, err := range st.Read(ctx, runID(i), 0) {
			if err != nil {
				if !errors.Is(err, journal.ErrCorrupt) && !errors.Is(err, journal.ErrNotFound) {
					t.Errorf("read: %v", err)
				}
				continue
			}
			if r.Seq == 1 {
				continue
			}
			e, err := r.Decode()
			if err != nil || e != journal.Event(needle(i, int(r.Seq))) {
				t.Errorf("event %d of run %d: got %v, %v", r.Seq, i, e, err)
			}
		}
		if _, err := st.Page(ctx, runID(i), 0, 500); err != nil && !errors.Is(err, journal.ErrCorrupt) && !errors.Is(err, journal.ErrNotFound) {
			t.Errorf("page: %v", err)
		}
		if _, err := st.Get(ctx, runID(i)); err != nil && !errors.Is(err, journal.ErrCorrupt) && !errors.Is(err, journal.ErrNotFound) {
			t.Errorf("get: %v", err)
		}
	}
	if _, err := st.List(ctx, journal.Filter{}); err != nil && !errors.Is(err, journal.ErrCorrupt) {
		t.Errorf("list: %v", err)
	}
}
