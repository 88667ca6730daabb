package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"

	bbolt "go.etcd.io/bbolt"

	"agentd/journal"
)

// Compaction rewrites a file of at least compactMin bytes at the start when more than half of its pages are free.
const (
	compactMin = 1 << 20
	compactTx  = 8 << 20 // bytes a transaction of the copy
)

// compactIfSparse is called before the store is used.
func (s *Store) compactIfSparse() error {
	free, total, err := s.pages()
	if err != nil {
		return err
	}
	if total*os.Getpagesize() < compactMin || free*2 <= total {
		return nil
	}
	err = s.compact()
	if errors.Is(storageError(s.dir, err), journal.ErrFull) {
		// It needs room to make room: go on without.
		s.log.Warn("journal is not compacted: the disk is full", "path", s.path(), "err", err)
		return nil
	}
	return err
}

// pages counts the free pages of the file and all.
func (s *Store) pages() (free, total int, err error) {
	tx, err := s.db.Begin(true) // only the end of a write transaction refreshes the counts
	if err != nil {
		return 0, 0, err
	}
	total = int(tx.Size() / int64(s.db.Info().PageSize))
	if err := tx.Rollback(); err != nil {
		return 0, 0, err
	}
	return s.db.Stats().FreePageN, total, nil
}

// Compact rewrites the file without its free pages. Appends wait for it, readers only for the exchange at its end.
func (s *Store) Compact(ctx context.Context) error {
	if err := s.writer.do(&request{ctx: ctx, exclusive: s.compact}); err != nil {
		return fmt.Errorf("compact journal: %w", storageError(s.dir, err))
	}
	return nil
}

// compact copies the file and puts the copy in its place. Nobody else writes meanwhile.
func (s *Store) compact() (err error) {
	tmp := s.path() + ".compact"
	if err := remove(tmp); err != nil { // of an attempt that was cut off
		return err
	}
	if err := s.copyTo(tmp); err != nil {
		return errors.Join(err, remove(tmp))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.db.Close(); err != nil {
		return s.lost(errors.Join(err, remove(tmp)))
	}
	renamed := os.Rename(tmp, s.path())
	if renamed == nil {
		renamed = syncDir(s.dir)
	}
	if s.db, err = openDB(s.path()); err != nil {
		return s.lost(errors.Join(renamed, err))
	}
	return renamed
}

func (s *Store) copyTo(tmp string) (err error) {
	defer guard(s.path(), &err)()
	dst, err := openDB(tmp)
	if err != nil {
		return err
	}
	return errors.Join(bbolt.Compact(dst, s.db, compactTx), dst.Close())
}

// lost marks the store as unusable: its file is closed and can't be opened.
func (s *Store) lost(err error) error {
	s.writer.broken = fmt.Errorf("the journal in %s is closed since a compaction failed; restart agentd: %w", s.dir, err)
	return s.writer.broken
}
