package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

// beat is how often a stream that waits says that it lives: computing a long prompt takes minutes on a small machine.
const beat = 3 * time.Second

// readTime is how long a client may leave a piece of its reply unread. The model waits for it, and others for the model.
const readTime = 30 * time.Second

// events writes server-sent events.
type events struct {
	mu   sync.Mutex
	w    http.ResponseWriter
	ctl  *http.ResponseController
	stop chan struct{}
	once sync.Once
	done sync.WaitGroup
}

// openEvents sends the header at once, and comments until the first event or the end.
func openEvents(w http.ResponseWriter) *events {
	e := &events{w: w, ctl: http.NewResponseController(w), stop: make(chan struct{})}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	e.write([]byte(": working\n\n")) //nolint:errcheck // the reply's own writes tell
	e.done.Go(func() {
		tick := time.NewTicker(beat)
		defer tick.Stop()
		for {
			select {
			case <-e.stop:
				return
			case <-tick.C:
				e.write([]byte(": working\n\n")) //nolint:errcheck // the reply's own writes tell
			}
		}
	})
	return e
}

func (e *events) write(b []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ctl.SetWriteDeadline(time.Now().Add(readTime)) //nolint:errcheck // a recorder in a test has none
	if _, err := e.w.Write(b); err != nil {
		return context.Canceled
	}
	e.ctl.Flush() //nolint:errcheck // as above
	return nil
}

// quiet ends the comments.
func (e *events) quiet() {
	e.once.Do(func() { close(e.stop) })
	e.done.Wait()
}

// send writes one event.
func (e *events) send(v any) error {
	e.quiet()
	var b bytes.Buffer
	b.WriteString("data: ")
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	b.WriteByte('\n')
	return e.write(b.Bytes())
}

// stream answers with server-sent events. What can be wrong with a request was found before; a fault from here on is an
// event with an error, and no [DONE].
func (s *Server) stream(w http.ResponseWriter, r *http.Request, req *chatRequest, g *generation, head chatReply) {
	ev := openEvents(w)
	defer ev.quiet()
	head.Object = "chat.completion.chunk"
	first := true
	chunk := func(d delta, reason *string) chatReply {
		if first {
			d.Role, first = "assistant", false
		}
		c := head
		c.Choices = []choice{{Delta: &d, FinishReason: reason}}
		return c
	}
	g.show = func(text string) error { return ev.send(chunk(delta{Content: text}, nil)) }
	out, err := s.chat.generate(r.Context(), g)
	if err != nil {
		ev.send(errorReply{*toAPI(err)}) //nolint:errcheck // the client went away
		return
	}
	_, calls := splitCalls(out.text, g)
	reason := out.reason
	for i, c := range calls {
		c.Index = &i
		reason = "tool_calls"
		if ev.send(chunk(delta{ToolCalls: []toolCall{c}}, nil)) != nil {
			return
		}
	}
	last := chunk(delta{}, &reason)
	last.Timings = &out.timings
	if ev.send(last) != nil {
		return
	}
	if req.StreamOptions != nil && req.StreamOptions.IncludeUsage {
		c := head
		c.Choices = []choice{}
		c.Usage = out.usage()
		if ev.send(c) != nil {
			return
		}
	}
	ev.write([]byte("data: [DONE]\n\n")) //nolint:errcheck // the client went away
}
