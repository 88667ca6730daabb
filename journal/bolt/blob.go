package bolt

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	bbolt "go.etcd.io/bbolt"

	"agentd/journal"
)

// tmpPrefix begins the names of blobs being written; a clean-up after an unclean stop deletes what is left of them.
const tmpPrefix = "tmp-"

// blobPath is blobs/ab/cdef… in dir.
func blobPath(dir, hash string) string { return filepath.Join(dir, blobsName, hash[:2], hash[2:]) }

// checkHash refuses what can't be a blob's hash, so that a path can't lead elsewhere.
func checkHash(hash string) error {
	if len(hash) != sha256.Size*2 || strings.Trim(hash, "0123456789abcdef") != "" {
		return fmt.Errorf("blob %.80q: not a sha256 in hex: %w", hash, journal.ErrNotFound)
	}
	return nil
}

// PutBlob implements journal.Store.
func (s *Store) PutBlob(ctx context.Context, run journal.RunID, r io.Reader) (string, int64, error) {
	if err := errors.Join(checkRun(run), ctx.Err()); err != nil {
		return "", 0, err
	}
	if s.closing.Err() != nil {
		return "", 0, journal.ErrClosed
	}
	name, sum, size, err := s.writeTemp(ctx, r)
	if err != nil {
		return "", 0, fmt.Errorf("put blob of run %s: %w", run, storageError(s.dir, err))
	}
	if err := s.place(ctx, run, name, sum); err != nil {
		s.doom([]string{sum})
		return "", 0, fmt.Errorf("put blob of run %s: %w", run, storageError(s.dir, errors.Join(err, remove(name))))
	}
	return sum, size, nil
}

// writeTemp writes and syncs a temporary file.
func (s *Store) writeTemp(ctx context.Context, r io.Reader) (name, sum string, size int64, err error) {
	f, err := os.CreateTemp(filepath.Join(s.dir, blobsName), tmpPrefix)
	if err != nil {
		return "", "", 0, err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, remove(f.Name()))
		}
	}()
	h := sha256.New()
	size, err = io.Copy(io.MultiWriter(f, h), io.LimitReader(ctxReader{ctx, r}, s.maxBlob+1))
	if err == nil && size > s.maxBlob {
		err = fmt.Errorf("more than %d bytes", s.maxBlob)
	}
	if err == nil {
		err = f.Sync()
	}
	return f.Name(), hex.EncodeToString(h.Sum(nil)), size, err
}

// place moves a temporary file to its place and stores the reference. The file comes first: a reference without a file
// would be a lie, a file without a reference is deleted some day.
func (s *Store) place(ctx context.Context, run journal.RunID, name, sum string) error {
	s.blobMu.RLock()
	defer s.blobMu.RUnlock()
	path := blobPath(s.dir, sum)
	err := os.Mkdir(filepath.Dir(path), 0o700)
	if err == nil {
		err = syncDir(filepath.Join(s.dir, blobsName))
	} else if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	if err != nil {
		return err
	}
	// An equal file that is there already is replaced: it may be damaged.
	if err := os.Rename(name, path); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return err
	}
	raw, err := hex.DecodeString(sum)
	if err != nil {
		return err
	}
	return s.writer.do(&request{ctx: ctx, apply: func(tx *bbolt.Tx) error {
		if tx.Bucket(bucketRuns).Get([]byte(run)) == nil {
			return journal.ErrNotFound
		}
		if err := tx.Bucket(bucketRefs).Put(refKey(raw, run), []byte{}); err != nil {
			return fatalError{err}
		}
		if err := tx.Bucket(bucketBlobs).Put(append(append([]byte(run), 0), raw...), []byte{}); err != nil {
			return fatalError{err}
		}
		return nil
	}})
}

func refKey(raw []byte, run journal.RunID) []byte { return append(bytes.Clone(raw), run...) }

// referenced reports whether a run refers to the blob.
func referenced(tx *bbolt.Tx, raw []byte) bool {
	k, _ := tx.Bucket(bucketRefs).Cursor().Seek(raw)
	return bytes.HasPrefix(k, raw)
}

// Blob implements journal.Store.
func (s *Store) Blob(ctx context.Context, hash string) (io.ReadCloser, error) {
	if err := errors.Join(checkHash(hash), ctx.Err()); err != nil {
		return nil, err
	}
	if s.closing.Err() != nil {
		return nil, journal.ErrClosed
	}
	f, err := os.Open(blobPath(s.dir, hash))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("blob %s: %w", hash, journal.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("open blob: %w", err)
	}
	return &blobReader{f: f, name: hash, sum: sha256.New()}, nil
}

// blobReader checks the hash at the end.
type blobReader struct {
	f    *os.File
	name string
	sum  hash.Hash
}

func (b *blobReader) Read(p []byte) (int, error) {
	n, err := b.f.Read(p)
	b.sum.Write(p[:n])
	if err == io.EOF {
		if got := hex.EncodeToString(b.sum.Sum(nil)); got != b.name {
			return n, fmt.Errorf("blob %s has the hash %s: %w", b.name, got, journal.ErrCorrupt)
		}
	}
	return n, err
}

func (b *blobReader) Close() error { return b.f.Close() }

// Remove implements journal.Store.
func (s *Store) Remove(ctx context.Context, run journal.RunID) error {
	if err := checkRun(run); err != nil {
		return err
	}
	var freed []string
	err := s.writer.do(&request{ctx: ctx, run: run, apply: func(tx *bbolt.Tx) (err error) {
		freed, err = s.forget(tx, run)
		return err
	}})
	if err != nil {
		return fmt.Errorf("remove run %s: %w", run, err)
	}
	s.doom(freed)
	return nil
}

// forget deletes all of a run and returns the hashes that nobody refers to any more.
func (s *Store) forget(tx *bbolt.Tx, run journal.RunID) ([]string, error) {
	v := tx.Bucket(bucketRuns).Get([]byte(run))
	if v == nil {
		return nil, journal.ErrNotFound
	}
	key, err := keyOf(tx, run, v)
	if err != nil {
		return nil, err
	}
	prefix := append([]byte(run), 0)
	if _, err := deletePrefix(tx.Bucket(bucketEvents), prefix); err != nil {
		return nil, err
	}
	raws, err := deletePrefix(tx.Bucket(bucketBlobs), prefix)
	if err != nil {
		return nil, err
	}
	var freed []string
	for _, raw := range raws {
		if err := tx.Bucket(bucketRefs).Delete(refKey(raw, run)); err != nil {
			return nil, fatalError{err}
		}
		if !referenced(tx, raw) {
			freed = append(freed, hex.EncodeToString(raw))
		}
	}
	for _, d := range []struct{ bucket, key []byte }{{bucketKeys, key}, {bucketLive, []byte(run)}, {bucketRuns, []byte(run)}} {
		if len(d.key) == 0 {
			continue
		}
		if err := tx.Bucket(d.bucket).Delete(d.key); err != nil {
			return nil, fatalError{err}
		}
	}
	s.writer.states.drop(run)
	return freed, nil
}

// deletePrefix deletes the keys that begin with prefix and returns what follows it in them.
func deletePrefix(b *bbolt.Bucket, prefix []byte) ([][]byte, error) {
	var rest [][]byte
	cur := b.Cursor()
	for k, _ := cur.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = cur.Next() {
		rest = append(rest, bytes.Clone(k[len(prefix):]))
	}
	for _, r := range rest {
		if err := b.Delete(append(bytes.Clone(prefix), r...)); err != nil {
			return nil, fatalError{err}
		}
	}
	return rest, nil
}

// keyOf returns a copy of the idempotency key that a run was created with, searching for it when the head is damaged.
func keyOf(tx *bbolt.Tx, run journal.RunID, value []byte) ([]byte, error) {
	if h, err := decodeHead([]byte(run), value); err == nil {
		return bytes.Clone(h.key), nil
	}
	var key []byte
	err := tx.Bucket(bucketKeys).ForEach(func(k, v []byte) error {
		if string(v) == string(run) {
			key = bytes.Clone(k)
		}
		return nil
	})
	return key, err
}

// doom deletes the files of blobs that nothing refers to, now or when the backups that may be reading them are done. A
// file that can't be deleted costs space only, so it is logged.
func (s *Store) doom(hashes []string) {
	if len(hashes) == 0 {
		return
	}
	s.pinMu.Lock()
	if s.pins > 0 {
		s.doomed = append(s.doomed, hashes...)
		hashes = nil
	}
	s.pinMu.Unlock()
	s.blobMu.Lock()
	defer s.blobMu.Unlock()
	for _, h := range hashes {
		raw, err := hex.DecodeString(h)
		used := false
		if err == nil {
			err = s.view(func(tx *bbolt.Tx) error {
				used = referenced(tx, raw)
				return nil
			})
		}
		if err == nil && !used {
			err = remove(blobPath(s.dir, h))
		}
		if err != nil {
			s.log.Warn("blob is not deleted", "hash", h, "err", err)
		}
	}
}

// pin keeps all blobs until the function that it returns is called.
func (s *Store) pin() (unpin func()) {
	s.pinMu.Lock()
	s.pins++
	s.pinMu.Unlock()
	return func() {
		s.pinMu.Lock()
		var hashes []string
		if s.pins--; s.pins == 0 {
			hashes, s.doomed = s.doomed, nil
		}
		s.pinMu.Unlock()
		s.doom(hashes)
	}
}

// sweep deletes, before the store is used, temporary files and blobs without a reference: a stop between a blob's two
// steps leaves them.
func (s *Store) sweep() error {
	root := filepath.Join(s.dir, blobsName)
	return s.db.View(func(tx *bbolt.Tx) error {
		return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			raw, err := hex.DecodeString(strings.ReplaceAll(rel, string(filepath.Separator), ""))
			switch {
			case err == nil && len(raw) == sha256.Size && !referenced(tx, raw):
			case strings.HasPrefix(rel, tmpPrefix):
			default:
				return nil
			}
			s.log.Info("deleted a file that an unclean stop left", "path", path)
			return remove(path)
		})
	})
}

// remove deletes a file that may be gone already.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// ctxReader ends with its context.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
