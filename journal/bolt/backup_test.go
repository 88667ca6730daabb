package bolt_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"agentd/journal"
	"agentd/journal/bolt"
	"agentd/journal/journaltest"
)

// TestBackup backs up while four runs are appended to and one is removed, and restores: all that was acknowledged before
// it began is there, and so is every blob.
func TestBackup(t *testing.T) {
	ctx := t.Context()
	st := open(t, t.TempDir())
	var hashes []string
	for i := range 5 {
		if _, _, err := st.Create(ctx, runID(i), "", journaltest.Started("a")); err != nil {
			t.Fatal(err)
		}
		hash, _, err := st.PutBlob(ctx, runID(i), strings.NewReader(fmt.Sprint("blob of ", i)))
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, hash)
	}
	before := make([]journal.Seq, 4)
	stop, cancel := context.WithCancel(ctx)
	var g, begun sync.WaitGroup
	for i := range 4 {
		begun.Add(1)
		g.Go(func() {
			for seq := journal.Seq(1); stop.Err() == nil; {
				var err error
				if seq, err = st.Append(ctx, runID(i), seq, journaltest.Note(int(seq)+1)); err != nil {
					t.Error(err)
					return
				}
				if seq == 5 {
					before[i] = seq
					begun.Done()
				}
			}
		})
	}
	begun.Wait()
	// The first byte that arrives removes a run: what the backup began with stays in it.
	var out bytes.Buffer
	w := &hookWriter{w: &out, hook: func() error { return st.Remove(ctx, runID(4)) }}
	if err := st.Backup(ctx, w); err != nil {
		t.Fatal(err)
	}
	cancel()
	g.Wait()
	if _, err := st.Blob(ctx, hashes[4]); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("the removed run's blob stays after the backup: %v", err)
	}

	dir := filepath.Join(t.TempDir(), "restored")
	if err := bolt.Restore(ctx, dir, bytes.NewReader(out.Bytes())); err != nil {
		t.Fatal(err)
	}
	back := open(t, dir)
	for i, want := range before {
		if last := check(t, back, runID(i)); last < want {
			t.Errorf("run %d has %d events, %d were acknowledged before the backup", i, last, want)
		}
	}
	check(t, back, runID(4))
	for _, hash := range hashes {
		r, err := back.Blob(ctx, hash)
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Error(err)
		}
		r.Close()
	}
	if err := bolt.Restore(ctx, dir, bytes.NewReader(out.Bytes())); err == nil {
		t.Error("restored over a journal that is in use")
	}
	if err := back.Close(); err != nil {
		t.Fatal(err)
	}
	if err := bolt.Restore(ctx, dir, bytes.NewReader(out.Bytes())); err == nil || !strings.Contains(err.Error(), "runs.db exists") {
		t.Errorf("restored over a journal: %v", err)
	}
}

// hookWriter calls hook before its first write.
type hookWriter struct {
	w    io.Writer
	hook func() error
}

func (h *hookWriter) Write(p []byte) (int, error) {
	if h.hook != nil {
		if err := h.hook(); err != nil {
			return 0, err
		}
		h.hook = nil
	}
	return h.w.Write(p)
}

func TestRestoreRefuses(t *testing.T) {
	db := string(sample(t, t.TempDir()))
	blob := strings.Repeat("0", 2) + "/" + strings.Repeat("0", 62)
	file := func(name, content string) tar.Header {
		return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(content)), Linkname: content}
	}
	for _, c := range []struct {
		name    string
		entries []tar.Header // Linkname is the content
		want    string
	}{
		{"nothing", nil, "no runs.db"},
		{"no journal", []tar.Header{file("blobs/2c/f24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", "hello")}, "no runs.db"},
		{"outside", []tar.Header{file("../evil", "x")}, "belongs to no backup"},
		{"absolute", []tar.Header{file("/etc/evil", "x")}, "belongs to no backup"},
		{"other file", []tar.Header{file("policy.yaml", "x")}, "belongs to no backup"},
		{"link", []tar.Header{{Typeflag: tar.TypeSymlink, Name: "runs.db", Linkname: "/etc/passwd"}}, "is not a file"},
		{"wrong blob", []tar.Header{file("runs.db", db), file("blobs/"+blob, "x")}, "its content has the hash"},
		{"broken journal", []tar.Header{file("runs.db", db[:len(db)/2])}, "is damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var buf bytes.Buffer
			out := tar.NewWriter(&buf)
			for _, h := range c.entries {
				content := h.Linkname
				if h.Typeflag == tar.TypeReg {
					h.Linkname = ""
				}
				if err := out.WriteHeader(&h); err != nil {
					t.Fatal(err)
				}
				if h.Typeflag == tar.TypeReg {
					if _, err := io.WriteString(out, content); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := out.Close(); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := bolt.Restore(t.Context(), dir, &buf); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if _, err := os.Lstat(filepath.Join(dir, "runs.db")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a journal was left: %v", err)
			}
		})
	}
}

// TestCompact removes most of a journal: the file shrinks, at once by Compact while it is in use, or at the next open.
func TestCompact(t *testing.T) {
	ctx := t.Context()
	for _, live := range []bool{true, false} {
		dir := t.TempDir()
		st := open(t, dir)
		text := strings.Repeat("x", 10_000)
		for i := range 20 {
			if _, _, err := st.Create(ctx, runID(i), fmt.Sprint("key", i), journaltest.Started("a")); err != nil {
				t.Fatal(err)
			}
			if _, err := st.Append(ctx, runID(i), 1, slices.Repeat([]journal.Event{journal.MessageSent{Text: text}}, 10)...); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 18 {
			if err := st.Remove(ctx, runID(i)); err != nil {
				t.Fatal(err)
			}
		}
		before := size(t, dir)
		if live {
			stop, cancel := context.WithCancel(ctx)
			var g sync.WaitGroup
			g.Go(func() {
				for stop.Err() == nil {
					check(t, st, runID(18))
				}
			})
			seq := journal.Seq(11)
			g.Go(func() {
				for stop.Err() == nil {
					var err error
					if seq, err = st.Append(ctx, runID(19), seq, journaltest.Note(int(seq)+1)); err != nil {
						t.Error(err)
						return
					}
				}
			})
			if err := st.Compact(ctx); err != nil {
				t.Fatal(err)
			}
			cancel()
			g.Wait()
			if last := check(t, st, runID(19)); last != seq {
				t.Errorf("got %d events, %d were acknowledged", last, seq)
			}
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
		} else {
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
			st = open(t, dir)
			if last := check(t, st, runID(19)); last != 11 {
				t.Errorf("got %d events, want 11", last)
			}
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
		}
		after := size(t, dir)
		t.Logf("live %v: %d -> %d bytes", live, before, after)
		if after > before/2 {
			t.Errorf("live %v: the file had %d bytes and has %d", live, before, after)
		}
		if err := bolt.CheckFile(filepath.Join(dir, "runs.db")); err != nil {
			t.Error(err)
		}
		if left, err := filepath.Glob(filepath.Join(dir, "*.compact")); err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	}
}

func size(t *testing.T, dir string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, "runs.db"))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
