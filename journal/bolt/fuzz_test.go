package bolt_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentd/journal"
	"agentd/journal/bolt"
)

// FuzzCheckFile changes eight bytes of a small journal and cuts it: its check ends, without a panic, and what it passes
// can be opened and read.
func FuzzCheckFile(f *testing.F) {
	whole := sample(f, f.TempDir())
	page := uint32(os.Getpagesize())
	f.Add(uint32(0), uint64(0), uint32(0))
	f.Add(uint32(0), uint64(0), page)
	f.Add(uint32(0), uint64(0), uint32(1))
	for at := uint32(0); int(at) < len(whole); at += 3 * page {
		f.Add(at, uint64(1), uint32(0))        // number
		f.Add(at+8, uint64(3), uint32(0))      // flags
		f.Add(at+10, uint64(0x100), uint32(0)) // count
		f.Add(at+12, uint64(1), uint32(0))     // overflow
		f.Add(at+16, ^uint64(0), uint32(0))    // first element
	}
	f.Fuzz(func(t *testing.T, at uint32, flip uint64, cut uint32) {
		data := bytes.Clone(whole)
		if int64(at)+8 <= int64(len(data)) {
			b := data[at : at+8]
			binary.NativeEndian.PutUint64(b, binary.NativeEndian.Uint64(b)^flip)
		}
		data = data[:len(data)-int(cut)%len(data)]
		dir := write(t, data, true)
		if err := bolt.CheckFile(filepath.Join(dir, "runs.db")); err != nil {
			if !errors.Is(err, journal.ErrCorrupt) {
				t.Fatalf("got %v, want ErrCorrupt", err)
			}
			return
		}
		st, err := bolt.Open(bolt.Options{Dir: dir})
		if err != nil {
			if strings.Contains(err.Error(), "format") || strings.Contains(err.Error(), "is no journal") {
				return // a bit of the buckets' names or of the version: whole, but not ours
			}
			t.Fatalf("the check passed, but: %v", err)
		}
		readable(t, st)
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
