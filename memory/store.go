package memory

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Embedder turns texts into vectors of one fixed dimension.
type Embedder interface {
	// Embed returns one vector for each text, in order.
	Embed(ctx context.Context, texts []string) ([][]float32, error)
	// ID names the model and its version; vectors of different IDs are never mixed.
	ID() string
}

// Options of a store.
type Options struct {
	Embedder Embedder         // nil: words alone
	Now      func() time.Time // nil: time.Now
}

// The buckets of a file. A generation of vectors (v1, v2, ...) has buckets of its own: reembedding fills the next one.
var (
	bucketMeta  = []byte("meta")  // format, counters, generation
	bucketItems = []byte("items") // id -> item
	bucketRows  = []byte("rows")  // segment -> ids
	bucketLive  = []byte("live")  // segment -> rows that searches may see
	bucketIndex = []byte("index") // segment -> words and attributes
	bucketAsk   = []byte("ask")   // ids of proposed items
	bucketF32   = []byte("f32")   // of a generation: segment, chunk -> vectors
	bucketI8    = []byte("int8")  // segment, chunk -> int8 codes
	bucketBits  = []byte("bits")  // segment -> 1-bit codes
	bucketHave  = []byte("have")  // segment -> rows that have a vector, where some have none
	bucketTail  = []byte("tail")  // id -> vector

	topBuckets        = [][]byte{bucketMeta, bucketItems, bucketRows, bucketLive, bucketIndex, bucketAsk}
	generationBuckets = [][]byte{bucketF32, bucketI8, bucketBits, bucketHave, bucketTail}
)

var (
	keyFormat = []byte("format")
	keyState  = []byte("state")
	keyModel  = []byte("model")
)

const format = "agentd memory 1"

// mapBytes is the address space that a file is mapped to: the file may grow up to it while snapshots are open.
const mapBytes = 64 << 30

// counters is the value of keyState.
type counters struct {
	NextID     ID     `json:"next_id"`
	NextSeg    uint32 `json:"next_segment"`
	Items      int    `json:"items"`
	Generation uint32 `json:"generation"` // 0: no vectors yet
}

// Store is an open memory file. It is safe for concurrent use.
//
// One goroutine writes; it owns the state below state. mu guards what readers take: cur and closed.
type Store struct {
	path  string
	emb   Embedder
	now   func() time.Time
	cache vectorCache

	ops    chan *op
	closes chan struct{}
	done   chan struct{}
	old    sync.WaitGroup // files that were compacted away and still have readers

	mu     sync.Mutex
	cur    *snapshot
	closed bool

	state state
	spare [][]byte // the writer's: see batch.buffer
}

// state is what the writer knows; a snapshot is made from it after each commit.
type state struct {
	db    *handle
	count counters
	gen   *generation
	segs  []*segment
	tail  *tail
	codes *arena
}

// handle is an open file, closed when the store and the last snapshot of it are.
type handle struct {
	db *bolt.DB
	wg sync.WaitGroup // snapshots
}

// Open opens the store at path, or makes one. It checks what it needs: that the file is this program's and version's, that
// no other process has it, and that its pages hold together.
func Open(path string, o Options) (*Store, error) {
	s := &Store{path: path, emb: o.Embedder, now: o.Now, ops: make(chan *op, 256), closes: make(chan struct{}), done: make(chan struct{})}
	if s.now == nil {
		s.now = time.Now
	}
	db, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("open memory %s: %w", path, err)
	}
	s.state.db = &handle{db: db}
	if err := s.state.load(); err != nil {
		db.Close()
		return nil, fmt.Errorf("open memory %s: %w", path, err)
	}
	if err := s.publish(); err != nil {
		db.Close()
		return nil, fmt.Errorf("open memory %s: %w", path, err)
	}
	go s.write()
	return s, nil
}

// openFile opens or makes a file with its buckets.
func openFile(path string) (*bolt.DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := checkFile(path); err != nil {
		return nil, err
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{
		Timeout: 100 * time.Millisecond, FreelistType: bolt.FreelistMapType, InitialMmapSize: mapBytes, MaxSize: mapBytes,
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, ErrLocked
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrChecksum):
		return nil, fmt.Errorf("%w: %v", ErrVersion, err)
	case err != nil:
		return nil, err
	}
	db.AllocSize = 4 << 20
	if err := initFile(db); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// checkFile looks at an existing file before bbolt maps it.
func checkFile(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if !shareLock(f) {
		return ErrLocked
	}
	if st, err := f.Stat(); err != nil || st.Size() == 0 {
		return err // an empty file is made a store
	} else if st.Size() < 8192 {
		return fmt.Errorf("%w: %d bytes", ErrVersion, st.Size())
	}
	return checkTree(f)
}

// initFile makes the buckets of an empty file, and checks that one which is not empty is a store's.
func initFile(db *bolt.DB) error {
	var found []byte
	err := db.View(func(tx *bolt.Tx) error {
		n := 0
		if err := tx.ForEach(func([]byte, *bolt.Bucket) error { n++; return nil }); err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		found = []byte("another program's file")
		if b := tx.Bucket(bucketMeta); b != nil && b.Get(keyFormat) != nil {
			found = append([]byte(nil), b.Get(keyFormat)...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if found != nil {
		if string(found) != format {
			return fmt.Errorf("%w: found %.40q, want %q", ErrVersion, found, format)
		}
		return nil
	}
	return db.Update(func(tx *bolt.Tx) error {
		for _, n := range topBuckets {
			if _, err := tx.CreateBucket(n); err != nil {
				return err
			}
		}
		if err := tx.Bucket(bucketMeta).Put(keyFormat, []byte(format)); err != nil {
			return err
		}
		return putCounters(tx, counters{NextID: 1, NextSeg: 1})
	})
}

func putCounters(tx *bolt.Tx, c counters) error {
	v, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return tx.Bucket(bucketMeta).Put(keyState, v)
}

// load reads the state of a file.
func (st *state) load() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, r)
		}
	}()
	return st.db.db.View(func(tx *bolt.Tx) error {
		for _, n := range topBuckets {
			if tx.Bucket(n) == nil {
				return fmt.Errorf("%w: bucket %s is missing", ErrDamaged, n)
			}
		}
		if err := json.Unmarshal(tx.Bucket(bucketMeta).Get(keyState), &st.count); err != nil {
			return fmt.Errorf("%w: counters: %v", ErrDamaged, err)
		}
		st.gen = nil
		if st.count.Generation > 0 {
			var err error
			if st.gen, err = readGeneration(tx, st.count.Generation); err != nil {
				return err
			}
		}
		if err := st.readSegments(tx); err != nil {
			return err
		}
		return st.readTail(tx)
	})
}

// readSegments views all segments anew, as writing one moves others' pages.
func (st *state) readSegments(tx *bolt.Tx) error {
	old := map[uint32]*segment{}
	for _, s := range st.segs {
		old[s.no] = s
	}
	var nos []uint32
	size := 0
	c := tx.Bucket(bucketRows).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		no := binary.BigEndian.Uint32(k)
		nos = append(nos, no)
		if st.gen == nil || old[no] != nil {
			continue
		}
		if b := st.gen.bucket(tx).Bucket(bucketBits).Get(k); b != nil {
			size += len(b) + 64
			willNeed(b)
		}
		willNeed(v)
	}
	if st.codes == nil || st.codes.used+size > len(st.codes.b) {
		st.codes = newArena(max(size, 1))
	}
	segs := make([]*segment, 0, len(nos))
	for _, no := range nos {
		s, err := readSegment(tx, no, st.gen, old[no], st.codes)
		if err != nil {
			return err
		}
		segs = append(segs, s)
	}
	st.segs = segs
	return nil
}

// sealed is the last id in a segment.
func (st *state) sealed() ID {
	if len(st.segs) == 0 {
		return 0
	}
	s := st.segs[len(st.segs)-1]
	return s.id(s.rows - 1)
}

// readTail collects the items after the last segment.
func (st *state) readTail(tx *bolt.Tx) error {
	st.tail = newTail(st.gen)
	rows, err := st.tailRows(tx, math.MaxUint64)
	if err != nil {
		return err
	}
	for _, r := range rows {
		st.tail.add(r)
	}
	return nil
}

func idKey(id ID) []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }

// Close waits for writes under way, and for readers, and closes the file.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	close(s.closes)
	<-s.done
	s.mu.Lock()
	last := s.cur
	s.cur = nil
	s.mu.Unlock()
	last.release()
	s.state.db.wg.Wait()
	s.old.Wait()
	return s.state.db.db.Close()
}
