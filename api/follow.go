package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"strconv"
	"strings"
	"time"

	"agentd/journal"
)

// Item is one thing that following a run yields: exactly one field is set.
type Item struct {
	Record *journal.Record
	Delta  *Delta
	Down   error // the daemon went away; the stream goes on when it is back
}

// Events yields the events of a run after a number, in order and each once, and ends when the run has ended. While the
// daemon is away it waits, up to Patience, and goes on where it was.
func (c *Client) Events(ctx context.Context, run journal.RunID, after journal.Seq) iter.Seq2[journal.Record, error] {
	return func(yield func(journal.Record, error) bool) {
		for it, err := range c.Follow(ctx, run, after, false) {
			if err != nil {
				yield(journal.Record{}, err)
				return
			}
			if it.Record != nil && !yield(*it.Record, nil) {
				return
			}
		}
	}
}

// Follow is Events with the news in between: the reply being written (where deltas is set), and that the daemon is away.
func (c *Client) Follow(ctx context.Context, run journal.RunID, after journal.Seq, deltas bool) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		s := stream{c: c, run: run, last: after, deltas: deltas, yield: yield}
		patience := c.Patience
		if patience == 0 {
			patience = time.Minute
		}
		var lost time.Time
		wait := 20 * time.Millisecond
		for {
			before := s.last
			end, err := s.once(ctx)
			if end {
				return
			}
			if ctx.Err() != nil {
				yield(Item{}, ctx.Err())
				return
			}
			if err != nil && !errors.Is(err, ErrNotRunning) {
				yield(Item{}, err)
				return
			}
			if s.last != before || lost.IsZero() {
				lost, wait = time.Now(), 20*time.Millisecond
			}
			if time.Since(lost) > patience {
				yield(Item{}, err)
				return
			}
			if wait == 80*time.Millisecond && !yield(Item{Down: err}, nil) {
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
			wait = min(2*wait, time.Second)
		}
	}
}

// stream is one Follow: where it stands, over all its connections.
type stream struct {
	c      *Client
	run    journal.RunID
	last   journal.Seq
	deltas bool
	yield  func(Item, error) bool
}

// once follows over one connection. end says that nothing more will be yielded. A connection that was cut is ErrNotRunning.
func (s *stream) once(ctx context.Context) (end bool, err error) {
	q := url.Values{}
	if s.deltas {
		q.Set("deltas", "1")
	}
	resp, err := s.c.send(ctx, "GET", runPath(s.run, "events"), q, nil, "Last-Event-ID", strconv.FormatUint(uint64(s.last), 10), "Accept", "text/event-stream")
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	r := bufio.NewReaderSize(resp.Body, 16<<10)
	for {
		name, data, err := readEvent(r)
		if err != nil {
			if errors.Is(err, errEventSize) {
				return false, err
			}
			return false, Errorf(ErrNotRunning, "the run goes on when the daemon is started again: agentctl daemon start", "the daemon at %s went away", s.c.where)
		}
		switch name {
		case "":
			var rec journal.Record
			if err := json.Unmarshal(data, &rec); err != nil {
				return false, fmt.Errorf("event after %d of run %s: %w", s.last, s.run, err)
			}
			if rec.Seq <= s.last {
				continue
			}
			if rec.Seq != s.last+1 {
				return false, fmt.Errorf("event %d of run %s came after %d: %w", rec.Seq, s.run, s.last, journal.ErrCorrupt)
			}
			s.last = rec.Seq
			if !s.yield(Item{Record: &rec}, nil) {
				return true, nil
			}
		case "delta":
			var d Delta
			if json.Unmarshal(data, &d) == nil && !s.yield(Item{Delta: &d}, nil) {
				return true, nil
			}
		case "error":
			var e Error
			if err := json.Unmarshal(data, &e); err != nil {
				return false, fmt.Errorf("the stream's error: %w", err)
			}
			return false, &e
		case "end":
			return true, nil
		}
	}
}

// maxEvent bounds one event of a stream: a model's reply of a million tokens fits.
const maxEvent = 16 << 20

var errEventSize = fmt.Errorf("an event is larger than %d bytes", maxEvent)

// readEvent reads one event of an SSE stream with its name and its data; comments and unknown fields are skipped.
func readEvent(r *bufio.Reader) (name string, data []byte, err error) {
	some, size := false, 0
	for {
		line, err := readLine(r, maxEvent-size)
		if err != nil {
			return "", nil, err
		}
		size += len(line)
		if len(line) == 0 {
			if some {
				return name, data, nil
			}
			continue
		}
		field, value, _ := strings.Cut(string(line), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			name, some = value, true
		case "data":
			if data != nil {
				data = append(data, '\n')
			}
			data, some = append(data, value...), true
		}
	}
}

// readLine reads a line without its end, of at most limit bytes.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > limit {
			return nil, errEventSize
		}
		line = append(line, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == io.EOF && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		}
		line = line[:len(line)-1]
		if n := len(line); n > 0 && line[n-1] == '\r' {
			line = line[:n-1]
		}
		return line, nil
	}
}
