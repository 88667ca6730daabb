// Package bolt keeps the journals of all runs in one bbolt file, with large outputs in files beside it.
package bolt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	bbolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"agentd/journal"
)

// The names in a data folder.
const (
	dbName    = "runs.db"
	lockName  = "runs.lock"
	blobsName = "blobs"
)

// The buckets of the file.
var (
	bucketMeta   = []byte("meta")   // format -> version
	bucketRuns   = []byte("runs")   // run -> head; ids sort by start
	bucketLive   = []byte("live")   // run -> nothing, of those that have not ended
	bucketEvents = []byte("events") // run 0 seq -> record
	bucketKeys   = []byte("keys")   // idempotency key -> run
	bucketRefs   = []byte("refs")   // blob's hash, run -> nothing
	bucketBlobs  = []byte("blobs")  // run 0 hash -> nothing
	buckets      = [][]byte{bucketMeta, bucketRuns, bucketLive, bucketEvents, bucketKeys, bucketRefs, bucketBlobs}

	keyFormat = []byte("format")
)

// format is the version of the layout above.
const format = "1"

// Options say how to open a journal.
type Options struct {
	// Dir is the data folder; it is made if it does not exist.
	Dir string
	// Logger gets what an operator would act on; nil discards.
	Logger *slog.Logger
	// Now is the clock of the records; nil is time.Now.
	Now func() time.Time
	// LockWait is how long to wait for another process to leave the folder; 0 is 250 ms.
	LockWait time.Duration
	// CheckCommand is the command, to which the file's path is added, that runs CheckFile after an unclean stop. It is
	// a process of its own because bbolt can take its process down on a broken file. Empty: only our own check is made.
	CheckCommand []string
	// MaxBlob bounds one blob; 0 is 1 GiB.
	MaxBlob int64
}

// Store is a journal.Store in a data folder. It is safe for concurrent use. Locks are taken in the order blobMu, mu;
// writes are made by one goroutine, which owns the folded states.
type Store struct {
	dir     string
	log     *slog.Logger
	now     func() time.Time
	maxBlob int64
	lock    *folderLock
	hub     hub
	writer  writer

	// mu guards db against being swapped by Compact: held for reading by every short transaction.
	mu sync.RWMutex
	db *bbolt.DB

	// blobMu keeps a blob's file and its references together: held for reading from before a file is put in place
	// until its reference is stored, for writing while files without a reference are deleted.
	blobMu sync.RWMutex
	// pinMu guards the fields below.
	pinMu  sync.Mutex
	pins   int      // backups that are reading blobs: nothing is deleted meanwhile
	doomed []string // hashes to delete after the last of them

	closing   context.Context // done when Close begins
	stop      context.CancelCauseFunc
	closeOnce sync.Once
	closeErr  error
}

var _ journal.Store = (*Store)(nil)

// Open opens the journal of a data folder, alone: *LockedError names another process that has it. *DamagedError is
// returned, before bbolt sees the file, when it is not whole.
func Open(o Options) (*Store, error) {
	if o.Dir == "" {
		return nil, errors.New("open journal: no data folder given")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	s := &Store{dir: dir, log: o.Logger, now: o.Now, maxBlob: o.MaxBlob}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.maxBlob <= 0 {
		s.maxBlob = 1 << 30
	}
	if o.LockWait <= 0 {
		o.LockWait = 250 * time.Millisecond
	}
	if err := s.open(o); err != nil {
		return nil, fmt.Errorf("open journal: %w", storageError(dir, err))
	}
	s.closing, s.stop = context.WithCancelCause(context.Background())
	s.writer.start(s)
	return s, nil
}

func (s *Store) open(o Options) (err error) {
	if err := os.MkdirAll(filepath.Join(s.dir, blobsName), 0o700); err != nil {
		return err
	}
	if s.lock, err = lockFolder(s.dir, o.LockWait); err != nil {
		return err
	}
	unclean := s.lock.unclean
	claimed := false
	defer func() {
		if err == nil {
			return
		}
		if s.db != nil {
			err = errors.Join(err, s.db.Close())
		}
		// What was found stays to be checked again: only a journal that was closed before is closed now.
		err = errors.Join(err, s.lock.release(claimed && !unclean))
	}()
	cut, err := s.check(unclean, o.CheckCommand)
	if err != nil {
		return err
	}
	if err := s.lock.claim(); err != nil {
		return err
	}
	claimed = true
	if _, err := os.Lstat(s.path()); errors.Is(err, fs.ErrNotExist) {
		if err := s.make(); err != nil {
			return err
		}
	}
	if s.db, err = openDB(s.path()); errors.Is(err, berrors.ErrTimeout) {
		return &LockedError{Dir: s.dir} // somebody removed the lock file
	} else if err != nil {
		return err
	}
	if cut {
		// The next commit, of nothing, writes the broken header anew.
		if err := s.db.Update(func(*bbolt.Tx) error { return nil }); err != nil {
			return err
		}
	}
	if err := s.prepare(); err != nil {
		return err
	}
	if unclean {
		return s.sweep()
	}
	return nil
}

// path is the file's.
func (s *Store) path() string { return filepath.Join(s.dir, dbName) }

// openDB opens a file that was checked.
func openDB(path string) (*bbolt.DB, error) {
	return bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType})
}

// make makes a new file under another name, so that an empty or half-made file always is damage.
func (s *Store) make() error {
	tmp := s.path() + ".new"
	if err := remove(tmp); err != nil {
		return err
	}
	db, err := openDB(tmp)
	if err != nil {
		return errors.Join(err, remove(tmp))
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range buckets {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return tx.Bucket(bucketMeta).Put(keyFormat, []byte(format))
	})
	if err = errors.Join(err, db.Close()); err != nil {
		return errors.Join(err, remove(tmp))
	}
	if err := os.Rename(tmp, s.path()); err != nil {
		return err
	}
	return syncDir(s.dir)
}

// prepare refuses a file of another format, and compacts one that is mostly free pages.
func (s *Store) prepare() (err error) {
	defer guard(s.path(), &err)()
	err = s.db.View(func(tx *bbolt.Tx) error {
		for _, name := range buckets {
			if tx.Bucket(name) == nil {
				return fmt.Errorf("%s is no journal: it has no bucket %q", s.path(), name)
			}
		}
		if have := tx.Bucket(bucketMeta).Get(keyFormat); string(have) != format {
			return fmt.Errorf("%s has the format %.20q, this program knows %s: use a newer agentd", s.path(), have, format)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.compactIfSparse()
}

// Close ends all watches, waits for appends that were accepted, and closes the file.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.stop(journal.ErrClosed)
		s.writer.wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		err := s.db.Close()
		s.closeErr = errors.Join(err, s.lock.release(err == nil && s.writer.broken == nil))
	})
	return s.closeErr
}

// view runs a short read transaction. A page that bbolt can't read becomes an error, not the end of the process.
func (s *Store) view(fn func(*bbolt.Tx) error) (err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closing.Err() != nil {
		return journal.ErrClosed
	}
	defer guard(s.path(), &err)()
	return s.db.View(fn)
}

// guard makes a panic of bbolt, or a fault in its mapped memory, an error. It is deferred as guard(path, &err)().
func guard(path string, err *error) func() {
	old := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			*err = &DamagedError{Path: path, What: fmt.Sprint(r)}
		}
	}
}

// storageError gives the sentinels for what a file system can say, naming the folder.
func storageError(dir string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, journal.ErrFull), errors.Is(err, journal.ErrReadOnly):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG), saysFull(err):
		return fmt.Errorf("%w %s: %w", journal.ErrFull, dir, err)
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %s: %w", journal.ErrReadOnly, dir, err)
	}
	return err
}

// saysFull finds a full disk in the two errors that bbolt formats instead of wrapping (file resize and file sync).
func saysFull(err error) bool {
	return strings.HasSuffix(err.Error(), syscall.ENOSPC.Error()) || strings.HasSuffix(err.Error(), syscall.EDQUOT.Error())
}

// syncDir makes a folder's entries durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
