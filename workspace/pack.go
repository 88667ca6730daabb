package workspace

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Contents live in packs: one for all small files that a worker read (so that 100,000 files cost a handful of fsyncs) and one
// for each large file, which is cloned where the file system can share blocks. A pack is written once and then only read.

// bigFile is the size from which a file gets a pack of its own.
const bigFile = 4 << 20

// place is where a content is.
type place struct {
	pack int // index plus 1
	off  int64
}

// sink takes contents in. It is shared by the workers of one snapshot.
type sink struct {
	dir, id string

	mu     sync.Mutex // guards the fields below
	packs  []string
	known  map[sum]place
	made   []string // files to remove if the snapshot fails
	cloned bool
}

// create opens a new pack.
func (s *sink) create() (*os.File, int, error) {
	s.mu.Lock()
	name := fmt.Sprintf("%s-%d", s.id, len(s.made))
	path := filepath.Join(s.dir, name)
	s.packs = append(s.packs, name)
	s.made = append(s.made, path)
	n := len(s.packs)
	s.mu.Unlock()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	return f, n, err
}

// claim returns where a content is already, or notes that it will be at p.
func (s *sink) claim(h sum, p place) (place, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.known[h]; ok {
		return at, true
	}
	s.known[h] = p
	return p, false
}

func (s *sink) discard() {
	for _, path := range s.made {
		os.Remove(path) // what can't be removed is found by the next Sweep
	}
}

// reader is one worker: it hashes files and, with a sink, stores them.
type reader struct {
	root int
	sink *sink // nil: only hashes
	buf  []byte
	pack *os.File
	num  int
	off  int64
	w    *bufio.Writer
}

// ingest fills in the hashes, and with a sink the places, of the entries at idx.
func ingest(ctx context.Context, root int, entries []entry, idx []int, s *sink) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, workers())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	const chunk = 64
	for w := range errs {
		wg.Go(func() {
			r := &reader{root: root, sink: s, buf: make([]byte, 64<<10)}
			err := r.run(ctx, entries, idx, &next, chunk)
			if cerr := r.close(err == nil); err == nil {
				err = cerr
			}
			if errs[w] = err; err != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	var first error
	for _, err := range errs { // the cause before the cancellations that it led to
		if err != nil && (first == nil || errors.Is(first, context.Canceled)) {
			first = err
		}
	}
	return first
}

func (r *reader) run(ctx context.Context, entries []entry, idx []int, next *atomic.Int64, chunk int64) error {
	for {
		to := int(next.Add(chunk))
		from := to - int(chunk)
		if from >= len(idx) {
			return nil
		}
		for _, i := range idx[from:min(to, len(idx))] {
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			if err := r.file(ctx, &entries[i]); err != nil {
				return fmt.Errorf("read %s: %w", entries[i].path, err)
			}
		}
	}
}

// file reads one file. What changes while it is read is read again, and in the end kept as it was read but not trusted later.
func (r *reader) file(ctx context.Context, e *entry) error {
	for try := range 3 {
		f, err := openFile(r.root, e.path)
		switch err {
		case nil:
		case unix.EACCES:
			e.gone, e.why = true, shutFile
			return nil
		case unix.ENOENT:
			e.gone = true
			return nil
		default:
			return err
		}
		var st unix.Stat_t
		n, h, at, err := r.content(ctx, f, e.size)
		if err == nil {
			err = unix.Fstat(int(f.Fd()), &st)
		}
		f.Close()
		if err != nil {
			return err
		}
		now := entry{}
		now.stat(&st)
		calm := sameStat(e, &now) && n == e.size
		e.stat(&st)
		e.size, e.hash, e.pack, e.off = n, h, at.pack, at.off
		// A change within one tick of the clock leaves the times as they are, so that young files are not trusted.
		e.sure = calm && time.Now().UnixNano()-e.ctime > int64(tick)
		if calm || try == 2 {
			return nil
		}
	}
	return nil
}

// content reads one open file to its end and stores it.
func (r *reader) content(ctx context.Context, f *os.File, size int64) (int64, sum, place, error) {
	if size > bigFile {
		return r.big(ctx, f)
	}
	n := 0
	for {
		if n == len(r.buf) {
			if n > bigFile { // it grew
				if _, err := f.Seek(0, io.SeekStart); err != nil {
					return 0, sum{}, place{}, err
				}
				return r.big(ctx, f)
			}
			r.buf = append(r.buf, make([]byte, len(r.buf))...)
		}
		m, err := f.Read(r.buf[n:])
		n += m
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, sum{}, place{}, err
		}
		if int64(n) == size && n < len(r.buf) { // the usual case spares one read: fstat tells whether it grew
			break
		}
	}
	h := sum(sha256.Sum256(r.buf[:n]))
	if r.sink == nil {
		return int64(n), h, place{}, nil
	}
	if r.pack == nil {
		var err error
		if r.pack, r.num, err = r.sink.create(); err != nil {
			return 0, sum{}, place{}, err
		}
		r.w = bufio.NewWriterSize(r.pack, 1<<20)
	}
	at, known := r.sink.claim(h, place{r.num, r.off})
	if !known {
		if _, err := r.w.Write(r.buf[:n]); err != nil {
			return 0, sum{}, place{}, err
		}
		r.off += int64(n)
	}
	return int64(n), h, at, nil
}

// big clones or copies a large file into a pack of its own.
func (r *reader) big(ctx context.Context, f *os.File) (int64, sum, place, error) {
	hash := sha256.New()
	if r.sink == nil {
		n, err := copyData(ctx, hash, f)
		return n, sum(hash.Sum(nil)), place{}, err
	}
	pack, num, err := r.sink.create()
	if err != nil {
		return 0, sum{}, place{}, err
	}
	pack, cloned, err := sharePack(pack, f)
	if err != nil {
		return 0, sum{}, place{}, err
	}
	defer pack.Close()
	var n int64
	if cloned {
		n, err = copyData(ctx, hash, pack) // hashes the clone: the file itself may change meanwhile
		r.sink.mu.Lock()
		r.sink.cloned = true
		r.sink.mu.Unlock()
	} else {
		n, err = copyData(ctx, io.MultiWriter(pack, hash), f)
	}
	if err == nil {
		err = pack.Sync()
	}
	if err != nil {
		return 0, sum{}, place{}, err
	}
	h := sum(hash.Sum(nil))
	at, known := r.sink.claim(h, place{num, 0})
	if known {
		os.Remove(pack.Name()) // the same content again; an unused pack is never listed
	}
	return n, h, at, nil
}

// copyData copies until the end of src, or of ctx.
func copyData(ctx context.Context, dst io.Writer, src io.Reader) (int64, error) {
	buf := make([]byte, 1<<20)
	var n int64
	for {
		if ctx.Err() != nil {
			return n, context.Cause(ctx)
		}
		m, err := src.Read(buf)
		if _, werr := dst.Write(buf[:m]); werr != nil {
			return n, werr
		}
		n += int64(m)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// close makes the worker's pack durable.
func (r *reader) close(good bool) error {
	if r.pack == nil {
		return nil
	}
	defer r.pack.Close()
	if !good {
		return nil
	}
	if err := r.w.Flush(); err != nil {
		return err
	}
	return r.pack.Sync()
}

// errDamaged is wrapped by the error for a stored content that is not what was stored.
var errDamaged = errors.New("the stored copy is damaged")

// fetch writes a stored content to w, checked.
func (s *Snapshot) fetch(ctx context.Context, w io.Writer, e *entry) error {
	f, err := s.open(e)
	if err != nil {
		return err
	}
	defer f.Close()
	hash := sha256.New()
	n, err := copyData(ctx, io.MultiWriter(w, hash), io.NewSectionReader(f, e.off, e.size))
	if err != nil {
		return err
	}
	if n != e.size || !bytes.Equal(hash.Sum(nil), e.hash[:]) {
		return fmt.Errorf("%s in %s: %w", e.path, f.Name(), errDamaged)
	}
	return nil
}

func (s *Snapshot) open(e *entry) (*os.File, error) {
	if e.pack < 1 || e.pack > len(s.packs) {
		return nil, fmt.Errorf("%s: its content was not stored", e.path)
	}
	return os.Open(filepath.Join(s.store, packDir, s.packs[e.pack-1]))
}
