package langchain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"agentd/llm"
)

// Patience with a server that has said everything.
const (
	graceAfterFinish = 5 * time.Second       // for the usage that follows the finish reason
	graceAfterDone   = 50 * time.Millisecond // for the end of the body, so that the connection can be used again
)

// call is one request on its way. It stands between langchaingo's client and the network, in the caller's goroutine.
type call struct {
	m     *model
	body  []byte
	ctx   context.Context // the caller's; a call lives as long as the Stream that made it
	yield func(llm.Delta, error) bool

	turn    turn
	err     *llm.Error // what went wrong, before langchaingo can reword it
	stopped bool       // the consumer broke off

	cancel context.CancelCauseFunc
	timer  *time.Timer
	resp   *http.Response
}

// emit hands a delta to the consumer and reports whether it wants more.
func (c *call) emit(d llm.Delta) bool {
	if !c.stopped && !c.yield(d, nil) {
		c.stopped = true
	}
	return !c.stopped
}

// Do sends the encoded body, reads the stream, and returns the reply as langchaingo expects it.
func (c *call) Do(req *http.Request) (*http.Response, error) {
	own, cancel := context.WithCancelCause(c.ctx)
	c.cancel = cancel
	c.turn.emit = c.emit
	why := errNoHeader
	c.timer = time.AfterFunc(c.m.cfg.HeaderTimeout, func() { cancel(why) })

	out := req.WithContext(own)
	out.Body = io.NopCloser(bytes.NewReader(c.body))
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(c.body)), nil }
	out.ContentLength = int64(len(c.body))
	out.Header.Set("User-Agent", "agentd")
	if c.m.cfg.Key == "" {
		out.Header.Del("Authorization")
		out.Header.Del("X-Api-Key")
	}
	resp, err := c.m.cfg.HTTPClient.Do(out)
	if err != nil {
		return c.fail(c.m.failed(err, c.ctx, own))
	}
	c.resp = resp
	if !c.timer.Stop() {
		return c.fail(c.m.failed(errNoHeader, c.ctx, own))
	}
	c.timer = time.AfterFunc(c.m.cfg.IdleTimeout, func() { cancel(errSilent) })
	if resp.StatusCode != http.StatusOK {
		return c.refused(resp)
	}
	if err := c.receive(resp); err != nil {
		return c.broken(err, own)
	}
	data, err := c.m.wire.synthesize(&c.turn)
	if err != nil {
		return c.fail(&llm.Error{Kind: llm.KindUnexpected, Model: c.m.name, Message: c.m.safe(err.Error()), Err: err})
	}
	return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(data)), ContentLength: int64(len(data))}, nil
}

func (c *call) fail(e *llm.Error) (*http.Response, error) {
	c.err = e
	return nil, errors.New(e.Error())
}

func (c *call) refused(resp *http.Response) (*http.Response, error) {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxFault)) // what could be read is what can be said
	f := parseFault(b)
	f.status = resp.StatusCode
	return c.fail(c.m.errorOf(f, resp.Header))
}

// receive reads the reply: a stream, or one object from a server that does not stream.
func (c *call) receive(resp *http.Response) error {
	t := &c.turn
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		b, err := io.ReadAll(io.LimitReader(resp.Body, maxEvent+1))
		switch {
		case err != nil:
			return err
		case len(b) > maxEvent:
			return errTooLong
		}
		return c.m.wire.whole(b, t)
	}
	ev := newEvents(resp.Body, func() {
		if t.finish == "" {
			c.timer.Reset(c.m.cfg.IdleTimeout)
		} else {
			c.timer.Reset(min(graceAfterFinish, c.m.cfg.IdleTimeout))
		}
	})
	err := c.m.wire.read(ev, t)
	if t.finish != "" && !errors.Is(err, errStopped) && !isFault(err) {
		err = nil // the reply is whole; only the account of it is missing
	}
	if err == nil && t.finish == "" {
		return io.ErrUnexpectedEOF
	}
	return err
}

// broken types what ended the stream before the reply did.
func (c *call) broken(err error, own context.Context) (*http.Response, error) {
	var f *streamFault
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.Is(err, errStopped):
		return nil, errStopped
	case errors.As(err, &f):
		return c.fail(c.m.errorOf(f.fault, nil))
	case c.ctx.Err() != nil || context.Cause(own) != nil:
		return c.fail(c.m.failed(err, c.ctx, own))
	case errors.As(err, &syntax), errors.As(err, &typ), errors.Is(err, errTooLong):
		return c.fail(&llm.Error{Kind: llm.KindUnexpected, Model: c.m.name, Message: "the reply can't be read: " + c.m.safe(err.Error()), Err: err})
	}
	return c.fail(&llm.Error{Kind: llm.KindTruncated, Model: c.m.name, Message: "the reply broke off before its end", Err: err})
}

// streamFault is an error that the provider reports inside of a stream.
type streamFault struct{ fault }

func (f *streamFault) Error() string { return f.message }

func isFault(err error) bool {
	var f *streamFault
	return errors.As(err, &f)
}

// close ends the call. A body read to its end leaves its connection for the next call.
func (c *call) close() {
	if c.resp != nil {
		if c.turn.finish != "" && !c.stopped {
			c.timer.Reset(graceAfterDone)
			_, _ = io.CopyN(io.Discard, c.resp.Body, 4<<10) // best effort
		}
		_ = c.resp.Body.Close()
	}
	if c.cancel != nil {
		c.timer.Stop()
		c.cancel(errStopped)
	}
}
