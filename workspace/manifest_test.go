package workspace

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// framed puts sums that fit around a header and entries, so that a fuzzer gets past them.
func framed(head, entries []byte) []byte {
	b := []byte(magic)
	b = append(b, head...)
	b = append(b, '\n')
	sum := sha256.Sum256(head)
	b = append(hex.AppendEncode(b, sum[:]), '\n')
	b = append(b, entries...)
	all := sha256.Sum256(b)
	return append(b, all[:]...)
}

func FuzzDecode(f *testing.F) {
	var entries []byte
	for _, e := range []entry{
		{path: "a", mode: unix.S_IFREG | 0o644, size: 3, mtime: -1, ctime: 5, pack: 1, off: 7, sure: true},
		{path: "d", mode: unix.S_IFDIR | 0o755, ino: 1 << 63},
		{path: "d/l", mode: unix.S_IFLNK | 0o777, link: "../a"},
	} {
		entries = e.append(entries)
	}
	f.Add(`{"id":"0123456789abcdef","root":"/w","packs":["p"],"entries":3}`, entries)
	f.Add(`{"packs":["../p"],"entries":0}`, []byte{})
	f.Add(`{"entries":1000000}`, []byte{1, 'a'})
	f.Fuzz(func(t *testing.T, head string, entries []byte) {
		s, err := decode(framed([]byte(head), entries))
		if err != nil {
			return
		}
		for i := range s.entries {
			e := &s.entries[i]
			if e.pack < 0 || e.pack > len(s.packs) || e.off < 0 || e.size < 0 {
				t.Fatalf("entry %+v points nowhere", e)
			}
		}
		first, err := s.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := decode(first)
		if err != nil {
			t.Fatalf("an encoded snapshot does not decode: %v", err)
		}
		second, err := again.encode()
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("encode(decode(x)) differs from x: %v", err)
		}
	})
}

func TestDecodeRefusesPathsThatLeadOutside(t *testing.T) {
	for _, p := range []string{"../x", "/x", "a/../../x", "", ".", "a/", "a//b", "./a"} {
		e := entry{path: p, mode: unix.S_IFREG}
		if _, err := decode(framed([]byte(`{"entries":1}`), e.append(nil))); err == nil {
			t.Errorf("path %q is accepted", p)
		}
	}
	for _, p := range []string{"..x", "a/..b", "a"} {
		e := entry{path: p, mode: unix.S_IFREG}
		if _, err := decode(framed([]byte(`{"entries":1}`), e.append(nil))); err != nil {
			t.Errorf("path %q is refused: %v", p, err)
		}
	}
}

func TestOpenStepwise(t *testing.T) {
	dir := t.TempDir()
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, err := range []error{unix.Mkdirat(fd, "a", 0o755), unix.Mkdirat(fd, "a/b", 0o755), unix.Symlinkat("a", fd, "link"), unix.Symlinkat("/etc", fd, "out")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for p, want := range map[string]bool{"a/b": true, "a": true, "link/b": false, "out/passwd": false, "a/../..": false, "none": false} {
		for name, open := range map[string]func(int, string, int) (int, error){"openat2": openBeneath, "stepwise": func(d int, p string, f int) (int, error) {
			return openStepwise(d, p, f|unix.O_NOFOLLOW|unix.O_CLOEXEC)
		}} {
			got, err := open(fd, p, unix.O_RDONLY)
			if err == nil {
				unix.Close(got)
			}
			if (err == nil) != want {
				t.Errorf("%s(%q): %v, want it to open: %v", name, p, err, want)
			}
		}
	}
	open, _ := unixOpenFiles()
	for range 50 {
		openStepwise(fd, "a/none/x", unix.O_RDONLY)
		openStepwise(fd, "a/../x", unix.O_RDONLY)
	}
	if now, err := unixOpenFiles(); err != nil || now != open {
		t.Errorf("%d descriptors are open, %d were before: %v", now, open, err)
	}
}

// unixOpenFiles counts this process's descriptors.
func unixOpenFiles() (n int, err error) {
	for fd := range 1024 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			n++
		}
	}
	if n == 0 {
		return 0, fmt.Errorf("no descriptor is open")
	}
	return n, nil
}
