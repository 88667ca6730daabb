package tools

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
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
}

// NewOutput keeps up to keep bytes of head and as many of tail.
func NewOutput(keep int) *Output { return &Output{keep: keep, sum: sha256.New()} }

// Text returns an output that holds s.
func Text(s string) *Output {
	o := NewOutput(DefaultKeep)
	o.Write([]byte(s)) // never fails before it spills; a failed spill only loses the middle
	return o
}

// DefaultKeep is the head and the tail kept of an ordinary tool's output, in bytes.
const DefaultKeep = 4 << 10

// Write never blocks on a reader.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	whole := len(p)
	o.sum.Write(p)
	o.n += int64(whole)
	if o.spill != nil {
		if _, err := o.spill.Write(p); err != nil {
			return 0, err
		}
	}
	if room := o.keep - len(o.head); room > 0 {
		m := min(room, len(p))
		o.head = append(o.head, p[:m]...)
		p = p[m:]
	}
	if len(p) == 0 {
		return whole, nil
	}
	if o.spill == nil && len(o.tail)+len(p) > o.keep {
		f, err := os.CreateTemp("", "agentd-out-")
		if err != nil {
			return 0, err
		}
		os.Remove(f.Name()) // the descriptor keeps it; nothing is left behind
		o.spill = f
		for _, b := range [][]byte{o.head, o.tail, p} {
			if _, err := f.Write(b); err != nil {
				return 0, err
			}
		}
	}
	o.tail = append(o.tail, p...)
	if len(o.tail) > 2*o.keep {
		o.tail = bytes.Clone(o.tail[len(o.tail)-o.keep:])
	}
	return whole, nil
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

// Spilled returns the file with the whole output, positioned at its start, or nil when head and tail are all of it.
func (o *Output) Spilled() (*os.File, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.spill == nil {
		return nil, nil
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
