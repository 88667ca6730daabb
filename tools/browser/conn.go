package browser

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/cdp"
	jsonv2 "github.com/chromedp/cdproto/cdp/jsonv2"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// errLost is returned for a call whose browser is gone.
var errLost = errors.New("the browser is gone")

// conn speaks the DevTools protocol over two pipes, with all sessions on one connection. Events are handled by the reader, in
// their order and before later replies are delivered, so what a handler records is there once a call returns.
type conn struct {
	pipe    *chromedp.PipeConn
	handle  func(*cdproto.Message) // must not block; it may post
	gone    chan struct{}          // closed when the browser is gone
	writes  chan struct{}          // wakes the writer
	workers sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	next    int64
	waiting map[int64]waiter
	queue   []*cdproto.Message
}

type waiter struct {
	session target.SessionID
	reply   chan *cdproto.Message
}

// dial starts to speak over r and w, which it closes at its end.
func dial(r io.ReadCloser, w *os.File, handle func(*cdproto.Message)) *conn {
	c := &conn{
		pipe: chromedp.NewPipeConn(r, w), handle: handle, gone: make(chan struct{}), writes: make(chan struct{}, 1),
		waiting: map[int64]waiter{},
	}
	c.workers.Go(c.read)
	c.workers.Go(c.write)
	return c
}

// close ends the connection, which ends the browser, and waits for the goroutines.
func (c *conn) close() {
	_ = c.pipe.Close() // either end may be closed already
	c.workers.Wait()
}

func (c *conn) read() {
	defer close(c.gone)
	for {
		msg := new(cdproto.Message)
		if err := c.pipe.Read(context.Background(), msg); err != nil {
			var syntax *jsonv2.SyntacticError
			if errors.As(err, &syntax) {
				continue // one broken message; the next begins behind its zero byte
			}
			return
		}
		if msg.Method != "" {
			c.handle(msg)
			if msg.Method == "Target.detachedFromTarget" {
				c.detached(msg)
			}
			continue
		}
		c.mu.Lock()
		w, ok := c.waiting[msg.ID]
		delete(c.waiting, msg.ID)
		c.mu.Unlock()
		if ok {
			w.reply <- msg
		}
	}
}

// detached fails the calls of a session that is gone.
func (c *conn) detached(msg *cdproto.Message) {
	var ev target.EventDetachedFromTarget
	if jsonv2.Unmarshal(msg.Params, &ev, chromedp.DefaultUnmarshalOptions) != nil {
		return
	}
	c.abort(ev.SessionID, "the page is gone")
}

// abort fails all calls that wait in a session.
func (c *conn) abort(session target.SessionID, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, w := range c.waiting {
		if w.session == session {
			delete(c.waiting, id)
			w.reply <- &cdproto.Message{Error: &cdproto.Error{Code: -1, Message: why}}
		}
	}
}

func (c *conn) write() {
	for {
		select {
		case <-c.gone:
			return
		case <-c.writes:
		}
		for {
			c.mu.Lock()
			batch := c.queue
			c.queue = nil
			c.mu.Unlock()
			if len(batch) == 0 {
				break
			}
			for _, m := range batch {
				if c.pipe.Write(context.Background(), m) != nil {
					_ = c.pipe.Close() // the reader then says that the browser is gone
					return
				}
			}
		}
	}
}

// send queues a command. reply may be nil.
func (c *conn) send(session target.SessionID, method string, params any, reply chan *cdproto.Message) (int64, error) {
	var body jsonv2.Value
	if params != nil {
		var err error
		if body, err = jsonv2.Marshal(params, chromedp.DefaultMarshalOptions); err != nil {
			return 0, fmt.Errorf("encode %s: %w", method, err)
		}
	}
	c.mu.Lock()
	c.next++
	id := c.next
	if reply != nil {
		c.waiting[id] = waiter{session, reply}
	}
	c.queue = append(c.queue, &cdproto.Message{ID: id, SessionID: session, Method: cdproto.MethodType(method), Params: body})
	c.mu.Unlock()
	select {
	case c.writes <- struct{}{}:
	default:
	}
	return id, nil
}

// post sends a command whose reply nobody needs.
func post[P, R any](c *conn, session target.SessionID, cmd cdp.Command[P, R], params P) {
	_, _ = c.send(session, cmd.Method, params, nil) // the structs of the protocol always encode
}

// call sends a command and waits for its reply, for as long as ctx lives.
func call[P, R any](ctx context.Context, c *conn, session target.SessionID, cmd cdp.Command[P, R], params P) (R, error) {
	var out R
	reply := make(chan *cdproto.Message, 1)
	id, err := c.send(session, cmd.Method, params, reply)
	if err != nil {
		return out, err
	}
	select {
	case msg := <-reply:
		if msg.Error != nil {
			return out, fmt.Errorf("%s: %w", cmd.Method, msg.Error)
		}
		if err := jsonv2.Unmarshal(msg.Result, &out, chromedp.DefaultUnmarshalOptions); err != nil {
			return out, fmt.Errorf("%s: %w", cmd.Method, err)
		}
		return out, nil
	case <-c.gone:
		return out, fmt.Errorf("%s: %w", cmd.Method, errLost)
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.waiting, id)
		c.mu.Unlock()
		return out, fmt.Errorf("%s: %w", cmd.Method, context.Cause(ctx))
	}
}

// protocolError says whether the browser itself refused with a text like this one.
func protocolError(err error, text string) bool {
	var e *cdproto.Error
	return errors.As(err, &e) && strings.Contains(e.Message, text)
}
