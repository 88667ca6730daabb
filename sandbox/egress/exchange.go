package egress

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"
	"time"
)

func newReader(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, 4<<10) }

// idleConn moves the deadline of a connection with every read and write.
type idleConn struct {
	net.Conn
	in   io.Reader // reads of Conn, with what was read ahead
	idle time.Duration

	mu      sync.Mutex // guards stopped, and the order of deadlines
	stopped bool
}

func (c *idleConn) Read(b []byte) (int, error) {
	c.mu.Lock()
	if !c.stopped {
		c.Conn.SetReadDeadline(time.Now().Add(c.idle))
	}
	c.mu.Unlock()
	return c.in.Read(b)
}

// stop ends the read that waits, and those to come.
func (c *idleConn) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	c.Conn.SetReadDeadline(longAgo)
}

func (c *idleConn) Write(b []byte) (int, error) {
	c.Conn.SetWriteDeadline(time.Now().Add(c.idle))
	return c.Conn.Write(b)
}

// exchange sends one request on and its answer back. Then the connection ends, so that nothing can hide behind it.
func (s *session) exchange(ctx context.Context, h *head, path, authority string, up net.Conn, add []Secret) {
	client := &idleConn{Conn: s.conn, in: s.in, idle: s.proxy.rules.limits.Idle}
	if h.expect && h.length != 0 {
		if _, err := io.WriteString(client, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return
		}
	}
	if h.length != 0 {
		h.upgrade = ""
	}
	out := bufio.NewWriterSize(up, 4<<10)
	h.write(out, path, authority, add)
	if err := out.Flush(); err != nil {
		s.fail(err)
		return
	}
	sent := make(chan struct{})
	if h.length == 0 {
		close(sent)
	} else {
		go func() {
			defer close(sent)
			if err := sendBody(out, client, h.length); err != nil {
				up.Close() // a cut body must not pass for a whole one
			}
		}()
	}
	if hijacked := s.answer(ctx, h, client, up, add); !hijacked {
		closeWrite(s.conn)
		select {
		case <-sent:
			s.linger()
		case <-time.After(lingerTime): // answered before the body's end
		case <-ctx.Done():
		}
	}
	up.Close()
	client.stop()
	<-sent
}

// sendBody passes a request's body on.
func sendBody(out *bufio.Writer, client io.Reader, length int64) error {
	var err error
	if length > 0 {
		_, err = io.CopyN(out, client, length)
	} else {
		chunks := httputil.NewChunkedWriter(out)
		if err = flushCopy(chunks, httputil.NewChunkedReader(client), out); err == nil {
			err = chunks.Close()
			out.WriteString("\r\n")
		}
	}
	if err != nil {
		return err
	}
	return out.Flush()
}

// flushCopy copies, and flushes after every read: what streams must not wait.
func flushCopy(dst io.Writer, src io.Reader, out *bufio.Writer) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for {
		n, err := src.Read(*buf)
		if n > 0 {
			if _, werr := dst.Write((*buf)[:n]); werr != nil {
				return werr
			}
			if werr := out.Flush(); werr != nil {
				return werr
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// answer passes the host's answer on. It returns true if the connection became something else, which has ended.
func (s *session) answer(ctx context.Context, h *head, client *idleConn, up net.Conn, add []Secret) bool {
	limited := &io.LimitedReader{R: up, N: 4 * maxHead}
	in := newReader(limited)
	var res *http.Response
	for {
		var err error
		if res, err = http.ReadResponse(in, &http.Request{Method: h.method}); err != nil {
			s.fail(fmt.Errorf("read the answer of %s: %w", up.RemoteAddr(), err))
			return false
		}
		if res.StatusCode >= 200 || res.StatusCode == http.StatusSwitchingProtocols {
			break
		}
	}
	limited.N = math.MaxInt64
	defer res.Body.Close()
	switching := res.StatusCode == http.StatusSwitchingProtocols
	if switching && h.upgrade == "" {
		s.fail(fmt.Errorf("%s switched protocols unasked", up.RemoteAddr()))
		return false
	}
	out := bufio.NewWriterSize(client, 4<<10)
	chunked := s.writeHead(out, h, res, add)
	if err := out.Flush(); err != nil {
		return false
	}
	if switching {
		ahead, _ := in.Peek(in.Buffered())
		if _, err := client.Write(ahead); err == nil {
			said, _ := s.in.Peek(s.in.Buffered())
			relayAny(ctx, s.conn, said, up, s.proxy.rules.limits.Idle)
		}
		return true
	}
	if h.method == http.MethodHead {
		return false
	}
	body := io.Reader(res.Body)
	if len(add) > 0 {
		body = &redactor{src: body, hide: s.proxy.hide}
	}
	if !chunked {
		if err := flushCopy(out, body, out); err != nil {
			abort(s.conn)
		}
		return false
	}
	chunks := httputil.NewChunkedWriter(out)
	if err := flushCopy(chunks, body, out); err != nil {
		abort(s.conn) // without the last chunk the program knows that something is missing
		return false
	}
	chunks.Close()
	out.WriteString("\r\n")
	out.Flush()
	return false
}

// writeHead writes the head of an answer, and says whether its body goes in chunks.
func (s *session) writeHead(out *bufio.Writer, h *head, res *http.Response, add []Secret) (chunked bool) {
	fmt.Fprintf(out, "HTTP/1.1 %03d %s\r\n", res.StatusCode, http.StatusText(res.StatusCode))
	drop := map[string]bool{}
	for _, list := range [][]string{res.Header["Connection"], {strings.Join(ours, ",")}} {
		for _, v := range list {
			for word := range strings.SplitSeq(v, ",") {
				drop[http.CanonicalHeaderKey(strings.TrimSpace(word))] = true
			}
		}
	}
	upgrade := res.Header.Get("Upgrade")
	names := make([]string, 0, len(res.Header))
	for name := range res.Header {
		if !drop[name] && isToken(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		for _, v := range res.Header[name] {
			if len(add) > 0 {
				v = string(mask([]byte(v), s.proxy.hide))
			}
			if isFieldValue(v) {
				fmt.Fprintf(out, "%s: %s\r\n", name, v)
			}
		}
	}
	switch code := res.StatusCode; {
	case code == http.StatusSwitchingProtocols:
		fmt.Fprintf(out, "Connection: Upgrade\r\nUpgrade: %s\r\n\r\n", upgrade)
		return false
	case code == http.StatusNoContent, code == http.StatusNotModified:
	case res.ContentLength >= 0:
		fmt.Fprintf(out, "Content-Length: %d\r\n", res.ContentLength)
	case h.minor > 0 && h.method != http.MethodHead:
		chunked = true
		out.WriteString("Transfer-Encoding: chunked\r\n")
	}
	out.WriteString("Connection: close\r\n\r\n")
	return chunked
}

// abort makes a connection end in a reset: its reader must not take what it has for all.
func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}
