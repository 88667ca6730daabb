package llm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"
)

// A recording is a folder with one file for each request, named by the hash of its exact bytes.

// recorded is the content of such a file. The body is there for a person who wonders what was asked.
type recorded struct {
	Model  string          `json:"model"`
	Body   json.RawMessage `json:"body,omitempty"`
	Deltas []recordedDelta `json:"deltas"`
	Reply  *Reply          `json:"reply,omitempty"`
	Error  *recordedError  `json:"error,omitempty"`
}

type recordedDelta struct {
	Kind  DeltaKind `json:"kind"`
	Text  string    `json:"text,omitempty"`
	Name  string    `json:"name,omitempty"`
	Index int       `json:"index,omitempty"`
}

type recordedError struct {
	Kind       Kind   `json:"kind"`
	Status     int    `json:"status,omitempty"`
	RetryAfter int64  `json:"retry_after_ms,omitempty"`
	Message    string `json:"message"`
	Hint       string `json:"hint,omitempty"`
}

// WithRecord writes each call of m, its reply or its failure, to a file of dir. A call that its consumer broke off, or that was
// cancelled, leaves no file. A recording that can't be written fails the call.
func WithRecord(m Model, dir string) Model { return &recorder{m, dir} }

type recorder struct {
	Model
	dir string
}

func (w *recorder) Stream(ctx context.Context, r *Request) iter.Seq2[Delta, error] {
	return func(yield func(Delta, error) bool) {
		body, err := w.Model.Encode(r)
		if err != nil {
			yield(Delta{}, AsError(err))
			return
		}
		rec := recorded{Model: w.Model.Info().Name}
		if json.Valid(body) {
			rec.Body = body
		}
		for d, err := range w.Model.Stream(ctx, r) {
			switch {
			case err != nil:
				e := AsError(err)
				rec.Error = &recordedError{e.Kind, e.Status, e.RetryAfter.Milliseconds(), e.Message, e.Hint}
				if e.Kind != KindCanceled {
					if werr := rec.write(w.dir, body); werr != nil {
						err = errors.Join(err, werr)
					}
				}
				yield(Delta{}, err)
				return
			case d.Kind == DeltaDone:
				rec.Reply = d.Reply
				if err := rec.write(w.dir, body); err != nil {
					yield(Delta{}, err)
					return
				}
				yield(d, nil)
				return
			}
			rec.Deltas = append(rec.Deltas, recordedDelta{d.Kind, d.Text, d.Name, d.Index})
			if !yield(d, nil) {
				return
			}
		}
		yield(Delta{}, &Error{Kind: KindTruncated, Model: rec.Model, Message: "the stream ended without a reply"})
	}
}

func recordPath(dir string, body []byte) string {
	sum := sha256.Sum256(body)
	return filepath.Join(dir, hex.EncodeToString(sum[:16])+".json")
}

// write replaces the file at once, so that a reader never sees half of it.
func (rec *recorded) write(dir string, body []byte) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(rec); err != nil {
		return fmt.Errorf("record a call: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("record a call: %w", err)
	}
	f, err := os.CreateTemp(dir, ".call-*")
	if err != nil {
		return fmt.Errorf("record a call: %w", err)
	}
	defer os.Remove(f.Name()) // after the rename there is nothing to remove
	_, err = f.Write(b.Bytes())
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), recordPath(dir, body))
	}
	if err != nil {
		return fmt.Errorf("record a call: %w", err)
	}
	return nil
}

// ErrNotRecorded is returned when a replay is asked for a call that its folder does not hold.
var ErrNotRecorded = errors.New("the call is not recorded")

// Replay answers from a recording in dir, and never asks m: that one only encodes the requests, and so needs no key.
func Replay(m Model, dir string) Model { return &replayer{m, dir} }

type replayer struct {
	Model
	dir string
}

func (p *replayer) Stream(ctx context.Context, r *Request) iter.Seq2[Delta, error] {
	return func(yield func(Delta, error) bool) {
		rec, err := p.find(r)
		if err != nil {
			yield(Delta{}, err)
			return
		}
		for _, d := range rec.Deltas {
			if err := ctx.Err(); err != nil {
				yield(Delta{}, AsError(err))
				return
			}
			if !yield(Delta{Kind: d.Kind, Text: d.Text, Name: d.Name, Index: d.Index}, nil) {
				return
			}
		}
		switch e := rec.Error; {
		case e != nil:
			yield(Delta{}, &Error{Kind: e.Kind, Model: rec.Model, Status: e.Status, RetryAfter: time.Duration(e.RetryAfter) * time.Millisecond, Message: e.Message, Hint: e.Hint})
		case rec.Reply == nil:
			yield(Delta{}, &Error{Kind: KindInvalid, Model: rec.Model, Message: "the recording holds neither a reply nor an error"})
		default:
			yield(Delta{Kind: DeltaDone, Reply: rec.Reply}, nil)
		}
	}
}

func (p *replayer) find(r *Request) (*recorded, error) {
	body, err := p.Model.Encode(r)
	if err != nil {
		return nil, AsError(err)
	}
	name := p.Model.Info().Name
	path := recordPath(p.dir, body)
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &Error{Kind: KindInvalid, Model: name, Message: fmt.Sprintf("no recording of this call: %s", path), Hint: "record it first", Err: ErrNotRecorded}
	case err != nil:
		return nil, &Error{Kind: KindInvalid, Model: name, Message: err.Error(), Err: err}
	}
	var rec recorded
	if err := json.Unmarshal(b, &rec); err != nil {
		return nil, &Error{Kind: KindInvalid, Model: name, Message: fmt.Sprintf("recording %s: %v", path, err), Err: err}
	}
	return &rec, nil
}
