package acceptance

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"
)

// ends keeps the first and the last bytes written to it, keep of each. It is safe for concurrent writers.
type ends struct {
	keep int

	mu   sync.Mutex // guards the fields below
	head []byte
	last []byte
	n    int64
}

// Write never fails.
func (e *ends) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	whole := len(p)
	e.n += int64(whole)
	m := min(e.keep-len(e.head), len(p))
	e.head, p = append(e.head, p[:m]...), p[m:]
	if len(p) > e.keep {
		p = p[len(p)-e.keep:]
	}
	e.last = append(e.last, p...)
	if len(e.last) > 2*e.keep {
		e.last = bytes.Clone(e.last[len(e.last)-e.keep:])
	}
	return whole, nil
}

// text is what was kept, with a line that says how much is missing.
func (e *ends) text() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	last := e.last[max(0, len(e.last)-e.keep):]
	missing := e.n - int64(len(e.head)+len(last))
	if missing == 0 {
		return valid(string(e.head) + string(last))
	}
	return valid(string(e.head)) + fmt.Sprintf("\n… %d bytes left out …\n", missing) + valid(string(last))
}

// tail is the end of what was written, at most n bytes, from the start of a line where that loses little.
func (e *ends) tail(n int) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := string(e.last)
	if len(s) < n {
		s = string(e.head) + s // there is no gap between them while last is short
	}
	if len(s) <= n {
		return valid(s)
	}
	s = s[len(s)-n:]
	if i := strings.IndexByte(s, '\n'); i >= 0 && i < n/4 {
		s = s[i+1:]
	}
	for len(s) > 0 && !utf8.RuneStart(s[0]) {
		s = s[1:]
	}
	return valid(s)
}

func valid(s string) string { return strings.ToValidUTF8(s, "\ufffd") }

// capped keeps up to most bytes and notes whether there were more.
type capped struct {
	most int

	mu   sync.Mutex // guards the fields below
	buf  []byte
	over bool
}

// Write never fails.
func (c *capped) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over = c.over || len(c.buf)+len(p) > c.most; !c.over {
		c.buf = append(c.buf, p...)
	}
	return len(p), nil
}
