package schedule

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"agentd/goals"
)

// maxWatched bounds the files and folders that one trigger looks at.
const maxWatched = 100_000

// defaultSettle is how long files must be still before a change counts.
const defaultSettle = 2 * time.Second

// change is a change of files that may go on.
type change struct {
	print string
	since time.Time
}

// fingerprint is a hash of the names, sizes and times of the files that match.
func fingerprint(root string, globs []string) (string, error) {
	h := sha256.New()
	n := 0
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if n++; n > maxWatched {
			return fmt.Errorf("more than %d files and folders: watch a smaller workspace", maxWatched)
		}
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
				return nil // gone meanwhile, or not ours to see
			}
			return err
		}
		if d.IsDir() {
			if d.Name() == ".git" {
				return fs.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		for _, g := range globs {
			if ok, err := doublestar.Match(g, rel); err != nil || !ok {
				continue
			}
			if info, err := d.Info(); err == nil {
				fmt.Fprintf(h, "%s\x00%d\x00%d\n", rel, info.Size(), info.ModTime().UnixNano())
			}
			break
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("watch files of %s: %w", root, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// files decides about a change of files. What changes while a run of the job waits or goes on counts as that run's own.
func (s *Scheduler) files(j *Job, i int, t goals.Trigger, print string, busy bool, now time.Time) bool {
	m, at := &j.Marks[i], fmt.Sprintf("%s/%d", j.Name, i)
	if print == m.Print {
		delete(s.still, at)
		return false
	}
	if busy {
		m.Print = print
		return true
	}
	seen, ok := s.still[at]
	if !ok || seen.print != print || now.Before(seen.since) {
		s.still[at] = change{print, now}
		return false
	}
	settle := t.Settle
	if settle == 0 {
		settle = defaultSettle
	}
	if now.Sub(seen.since) < settle {
		return false
	}
	delete(s.still, at)
	m.Print = print
	m.Count++
	j.add(Slot{Key: fmt.Sprintf("schedule/%s/%d/files/%d/%.16s", j.ID, i, m.Count, print), Trigger: i, At: now, Overlap: t.Overlap})
	return true
}
