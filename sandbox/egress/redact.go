package egress

import (
	"bytes"
	"io"
	"slices"
	"strings"
)

// minHidden is the shortest value that is looked for in answers: a shorter one would mask ordinary text.
const minHidden = 8

// hidden are the values that a host must not send back into the box: each secret, and each word of it.
func hidden(secrets []Secret) [][]byte {
	var out [][]byte
	for _, s := range secrets {
		for _, v := range append([]string{s.Value}, strings.Fields(s.Value)...) {
			if len(v) >= minHidden && !slices.ContainsFunc(out, func(b []byte) bool { return string(b) == v }) {
				out = append(out, []byte(v))
			}
		}
	}
	slices.SortFunc(out, func(a, b []byte) int { return len(b) - len(a) })
	return out
}

// mask overwrites values in b with as many asterisks.
func mask(b []byte, hide [][]byte) []byte {
	for _, h := range hide {
		for at := 0; ; {
			i := bytes.Index(b[at:], h)
			if i < 0 {
				break
			}
			at += i
			for j := range h {
				b[at+j] = '*'
			}
			at += len(h)
		}
	}
	return b
}

// redactor masks values in what it reads, also where they span reads. It holds back no more than what may be the
// beginning of one.
type redactor struct {
	src  io.Reader
	hide [][]byte
	buf  []byte // read, not yet given out
	free int    // of buf, what is known to hold no part of a value to come
	err  error
}

func (r *redactor) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for r.free == 0 {
		if r.err != nil {
			return 0, r.err
		}
		at := len(r.buf)
		r.buf = slices.Grow(r.buf, len(b))[:at+len(b)]
		n, err := r.src.Read(r.buf[at:])
		r.buf, r.err = mask(r.buf[:at+n], r.hide), err
		r.free = len(r.buf)
		if err == nil {
			r.free -= r.begun()
		}
	}
	n := copy(b, r.buf[:r.free])
	r.buf = r.buf[:copy(r.buf, r.buf[n:])]
	r.free -= n
	return n, nil
}

// begun is the length of the longest end of buf that is the beginning of a value.
func (r *redactor) begun() int {
	longest := 0
	for _, h := range r.hide {
		for n := min(len(h)-1, len(r.buf)); n > longest; n-- {
			if bytes.HasSuffix(r.buf, h[:n]) {
				longest = n
			}
		}
	}
	return longest
}

// Masked reads src with asterisks in place of the values, also where one spans reads.
func Masked(src io.Reader, values []string) io.Reader {
	hide := make([][]byte, 0, len(values))
	for _, v := range values {
		if len(v) >= minHidden {
			hide = append(hide, []byte(v))
		}
	}
	return &redactor{src: src, hide: hide}
}
