package egress

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// bufferSize is what one direction of a connection holds while bytes are under way, and only then: two of them and
// what else a connection needs stay within 64 KiB.
const bufferSize = 28 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}

// liveness ends a connection on which nothing has moved, in either direction, for too long.
type liveness struct {
	idle time.Duration
	last atomic.Int64 // nanoseconds of the epoch
}

// errStalled ends a direction whose reader is gone, too slow or over its limit.
var errStalled = errors.New("can't be passed on")

func newLiveness(idle time.Duration) *liveness {
	l := &liveness{idle: idle}
	l.last.Store(time.Now().UnixNano())
	return l
}

// pump copies until src ends, and then ends dst in this direction. On an error it closes both.
func (l *liveness) pump(dst, src net.Conn, count func(int) error) {
	read := sourceOf(src)
	for {
		now := time.Now()
		src.SetReadDeadline(now.Add(l.idle))
		buf, n, err := read()
		if n > 0 {
			now = time.Now()
			l.last.Store(now.UnixNano())
			dst.SetWriteDeadline(now.Add(l.idle))
			werr := count(n)
			if werr == nil {
				_, werr = dst.Write((*buf)[:n])
			}
			if werr != nil {
				err = errStalled // part of it may be gone: never go on
			}
		}
		if buf != nil {
			buffers.Put(buf)
		}
		switch {
		case err == nil:
		case err == io.EOF:
			closeWrite(dst)
			return
		case timedOut(err) && time.Since(time.Unix(0, l.last.Load())) < l.idle:
			// The other direction moves.
		default:
			dst.Close()
			src.Close()
			return
		}
	}
}

// bufferedSource reads a connection that has no descriptor to wait on.
func bufferedSource(c net.Conn) func() (*[]byte, int, error) {
	return func() (*[]byte, int, error) {
		buf := buffers.Get().(*[]byte)
		n, err := c.Read(*buf)
		return buf, n, err
	}
}

// closeWrite ends one direction, or both where a connection has no halves.
func closeWrite(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
		return
	}
	c.Close()
}

// relay copies both ways until both are done or ctx ends. said goes to the host first.
func relay(ctx context.Context, client net.Conn, said []byte, up *upstream) {
	both(ctx, client, said, up.Conn, up.proxy.rules.limits.Idle, up.sent, up.received)
}

// relayAny is relay for a connection that counts by itself.
func relayAny(ctx context.Context, client net.Conn, said []byte, up net.Conn, idle time.Duration) {
	free := func(int) error { return nil }
	both(ctx, client, said, up, idle, free, free)
}

func both(ctx context.Context, client net.Conn, said []byte, up net.Conn, idle time.Duration, sent, received func(int) error) {
	stop := context.AfterFunc(ctx, func() { client.Close(); up.Close() })
	defer stop()
	live := newLiveness(idle)
	client.SetDeadline(time.Now().Add(idle))
	up.SetDeadline(time.Now().Add(idle))
	if len(said) > 0 {
		err := sent(len(said))
		if err == nil {
			_, err = up.Write(said)
		}
		if err != nil {
			return
		}
	}
	var group sync.WaitGroup
	group.Go(func() { live.pump(client, up, received) })
	live.pump(up, client, sent)
	group.Wait()
}
