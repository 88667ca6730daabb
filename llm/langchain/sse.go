package langchain

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// Bounds of what a server may send.
const (
	maxEvent  = 16 << 20 // one event
	maxStream = 64 << 20 // one reply
	maxFault  = 64 << 10 // the body of an error
)

var errTooLong = errors.New("the reply is too long")

// events reads server-sent events. A line may be as long as maxEvent.
type events struct {
	r     *bufio.Reader
	alive func() // called whenever something arrives, comments too
	line  []byte
	data  []byte
	total int
}

func newEvents(r io.Reader, alive func()) *events {
	return &events{r: bufio.NewReaderSize(r, 16<<10), alive: alive}
}

// next returns the data of the next event, which is valid until the following call; io.EOF at the end of the stream.
func (e *events) next() ([]byte, error) {
	e.data = e.data[:0]
	some := false
	for {
		line, err := e.readLine()
		if err != nil && len(line) == 0 {
			if err == io.EOF && some {
				return e.data, nil
			}
			return nil, err
		}
		if len(line) == 0 {
			if some {
				return e.data, nil
			}
			continue
		}
		value, ok := bytes.CutPrefix(line, []byte("data:"))
		if !ok {
			continue // a comment, or a field that no provider needs
		}
		if some {
			e.data = append(e.data, '\n')
		}
		e.data = append(e.data, bytes.TrimPrefix(value, []byte(" "))...)
		some = true
	}
}

// readLine returns one line without its end. An empty line with a nil error is a blank one.
func (e *events) readLine() ([]byte, error) {
	e.line = e.line[:0]
	for {
		part, err := e.r.ReadSlice('\n')
		if len(part) > 0 {
			e.alive()
		}
		e.line = append(e.line, part...)
		e.total += len(part)
		if len(e.line) > maxEvent || len(e.data) > maxEvent || e.total > maxStream {
			return nil, errTooLong
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		line := bytes.TrimRight(e.line, "\r\n")
		if err == io.EOF && len(line) > 0 {
			err = nil
		}
		return line, err
	}
}
