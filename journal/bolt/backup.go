package bolt

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	bbolt "go.etcd.io/bbolt"
)

// Backup implements journal.Store. It writes a tar of runs.db and the blobs that it refers to, as they were at one
// moment. Restore, or tar -x into an empty data folder while no daemon uses it, brings it back.
func (s *Store) Backup(ctx context.Context, w io.Writer) error {
	defer s.pin()()
	// The file is copied first, so that a slow reader of the backup holds up neither the transaction nor, through it,
	// the appends.
	tmp, err := os.CreateTemp(s.dir, "backup-")
	if err != nil {
		return fmt.Errorf("back up: %w", storageError(s.dir, err))
	}
	defer tmp.Close()
	if err := remove(tmp.Name()); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	var hashes []string
	err = s.view(func(tx *bbolt.Tx) error {
		if _, err := tx.WriteTo(ctxWriter{ctx, tmp}); err != nil {
			return err
		}
		var last []byte
		return tx.Bucket(bucketRefs).ForEach(func(k, _ []byte) error {
			if len(k) > 32 && !bytes.Equal(k[:32], last) {
				last = bytes.Clone(k[:32])
				hashes = append(hashes, hex.EncodeToString(last))
			}
			return nil
		})
	})
	if err == nil {
		_, err = tmp.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("back up: %w", storageError(s.dir, err))
	}
	out := tar.NewWriter(ctxWriter{ctx, w})
	if err := s.addFile(out, dbName, tmp); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	for _, h := range hashes {
		if err := s.addBlob(out, h); err != nil {
			return fmt.Errorf("back up: %w", err)
		}
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	return nil
}

func (s *Store) addBlob(out *tar.Writer, hash string) error {
	f, err := os.Open(blobPath(s.dir, hash))
	if errors.Is(err, os.ErrNotExist) {
		// It was lost before; the rest is worth keeping.
		s.log.Warn("backup is without a blob that is missing", "hash", hash)
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return s.addFile(out, path.Join(blobsName, hash[:2], hash[2:]), f)
}

func (s *Store) addFile(out *tar.Writer, name string, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: info.Size(), ModTime: s.now().UTC()}
	if err := out.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(out, f)
	return err
}

// Restore unpacks a backup into a data folder that has no journal yet, and checks it.
func Restore(ctx context.Context, dir string, r io.Reader) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("restore into %s: %w", dir, storageError(dir, err))
		}
	}()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	lock, err := lockFolder(dir, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.release(false)) }()
	if _, err := os.Lstat(filepath.Join(dir, dbName)); !errors.Is(err, os.ErrNotExist) {
		return errors.Join(fmt.Errorf("%s exists: choose an empty folder, or move it away", dbName), err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	// The file gets its name last: a restore that was cut off leaves no journal.
	const partial = dbName + ".restore"
	found := false
	in := tar.NewReader(ctxReader{ctx, r})
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		name := h.Name
		switch {
		case h.Typeflag != tar.TypeReg:
			return fmt.Errorf("%q is not a file", name)
		case name == dbName:
			name, found = partial, true
		case !isBlobName(name):
			return fmt.Errorf("%q belongs to no backup", name)
		}
		if err := unpack(root, name, in); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	if !found {
		return fmt.Errorf("the backup has no %s", dbName)
	}
	if err := CheckFile(filepath.Join(dir, partial)); err != nil {
		return errors.Join(err, root.Remove(partial))
	}
	if err := root.Rename(partial, dbName); err != nil {
		return err
	}
	return syncDir(dir)
}

// isBlobName reports whether a backup's entry is blobs/ab/cdef….
func isBlobName(name string) bool {
	parts := strings.Split(name, "/")
	return len(parts) == 3 && parts[0] == blobsName && len(parts[1]) == 2 && checkHash(parts[1]+parts[2]) == nil
}

// unpack writes one durable file, and checks a blob's hash.
func unpack(root *os.Root, name string, r io.Reader) error {
	dir := path.Dir(name)
	if err := root.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, h), r)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if parts := strings.Split(name, "/"); len(parts) == 3 && parts[1]+parts[2] != hex.EncodeToString(h.Sum(nil)) {
		return fmt.Errorf("its content has the hash %x", h.Sum(nil))
	}
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// ctxWriter ends with its context.
type ctxWriter struct {
	ctx context.Context
	w   io.Writer
}

func (c ctxWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}
