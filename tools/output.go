package tools

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"os"
	"sync"
)

// Output keeps the head and tail of what is written to it, its length and its hash, and, when there is more than head
// and tail hold, spills the whole to a temporary file. It is safe for concurrent writers.
type Output struct {
	mu         sync.Mutex
	keep       int
	head, tail []byte
	n          int64
	sum        hash.Hash
	spill      *os.File
	lost       error // why the middle could not be kept
}

// NewOutput keeps up to keep bytes of head and as many of tail.
func NewOutput(keep int) *Output { return &Output{keep: keep, sum: sha256.New()} }

// Text returns an output that holds s.
func Text(s string) *Output {
	o := NewOutput(DefaultKeep)
	_, _ = o.Write([]byte(s)) // Write never fails
	return o
}

// DefaultKeep is the head and the tail kept of an ordinary tool's output, in bytes.
const DefaultKeep = 4 << 10

// Write never fails and never blocks on a reader. When the whole can't be spilled, for want of disk space, head, tail, length
// and hash are kept all the same, and Spilled says why the middle is lost.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	whole := len(p)
	o.sum.Write(p)
	o.n += int64(whole)
	if o.spill != nil {
		o.keepWhole(p)
	}
	if room := o.keep - len(o.head); room > 0 {
		m := min(room, len(p))
		o.head = append(o.head, p[:m]...)
		p = p[m:]
	}
	if len(p) == 0 {
		return whole, nil
	}
	if o.spill == nil && o.lost == nil && len(o.tail)+len(p) > o.keep {
		f, err := os.CreateTemp("", "agentd-out-")
		if err != nil {
			o.lost = err
		} else {
			os.Remove(f.Name()) // the descriptor keeps it; nothing is left behind
			o.spill = f
			o.keepWhole(o.head, o.tail, p)
		}
	}
	o.tail = append(o.tail, p...)
	if len(o.tail) > 2*o.keep {
		o.tail = bytes.Clone(o.tail[len(o.tail)-o.keep:])
	}
	return whole, nil
}

// keepWhole adds to the spill file, or gives it up.
func (o *Output) keepWhole(parts ...[]byte) {
	for _, b := range parts {
		if _, err := o.spill.Write(b); err != nil {
			o.lost = errors.Join(err, o.spill.Close())
			o.spill = nil
			return
		}
	}
}

// Head returns the first bytes kept.
func (o *Output) Head() string { o.mu.Lock(); defer o.mu.Unlock(); return string(o.head) }

// Tail returns the last bytes kept, without any that Head holds.
func (o *Output) Tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.tail) > o.keep {
		return string(o.tail[len(o.tail)-o.keep:])
	}
	return string(o.tail)
}

// Len is the number of bytes written.
func (o *Output) Len() int64 { o.mu.Lock(); defer o.mu.Unlock(); return o.n }

// Hash is the sha256 of all bytes written, in hex.
func (o *Output) Hash() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return hex.EncodeToString(o.sum.Sum(nil))
}

// Spilled returns the file with the whole output, positioned at its start, or nil when head and tail are all of it. Its error
// says why the whole could not be kept.
func (o *Output) Spilled() (*os.File, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.spill == nil {
		return nil, o.lost
	}
	_, err := o.spill.Seek(0, 0)
	return o.spill, err
}

// Close frees the spill file.
func (o *Output) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.spill == nil {
		return nil
	}
	return o.spill.Close()
}
