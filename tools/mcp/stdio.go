package mcp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"agentd/sandbox"
)

// Starter starts long-lived commands in boxes. *sandbox.Box is one.
type Starter interface {
	Start(ctx context.Context, p sandbox.Policy, c sandbox.Command) (*sandbox.Proc, error)
}

// Bounds of what one server may send and make us keep.
const (
	maxMessage = 8 << 20 // bytes of one message
	maxQueue   = 8 << 20 // bytes to a server that doesn't read
	burst      = 2000    // messages at once
	perSecond  = 200     // messages, over time
	maxStderr  = 4 << 10 // bytes kept of the end of stderr
)

// limits are those of a server's box: it lives as long as its run.
var limits = sandbox.Limits{Wall: 7 * 24 * time.Hour, CPU: 4 * time.Hour, Memory: 2 << 30, Output: 4 << 30, Procs: 256, Files: 4096}

// process is a stdio server in its box.
type process struct {
	in, out *pipe
	proc    *sandbox.Proc
	done    chan struct{} // closed when the box is gone and end is set
	end     string        // how it ended, in words
	stderr  tail
	fault   atomic.Pointer[error] // why nothing can be read any more
}

// startProcess starts a server's command in a box. What it may connect to is the run's rules and the server's own.
func startProcess(ctx context.Context, box Starter, p sandbox.Policy, s Server, caches map[string]string) (*process, error) {
	p.Limits = limits
	p.Net.Allow = append(append([]string(nil), p.Net.Allow...), s.Net...)
	p.ReadOnly = append(append([]string(nil), p.ReadOnly...), s.ReadOnly...)
	env := map[string]string{}
	for k, v := range p.Env {
		env[k] = v
	}
	for k, v := range s.Env {
		env[k] = v
	}
	p.Env, p.Caches = env, caches
	x := &process{in: newPipe(maxQueue, false), out: newPipe(1<<20, true), done: make(chan struct{})}
	proc, err := box.Start(ctx, p, sandbox.Command{
		Argv: append([]string{s.Command}, s.Args...), Dir: s.Cwd, Stdin: x.in, Stdout: x.out, Stderr: &x.stderr,
	})
	if err != nil {
		return nil, err
	}
	x.proc = proc
	go func() { // ends with the box, which stop waits for
		res, err := proc.Wait()
		x.end = ended(res, err, x.stderr.String())
		x.in.Close()
		x.out.Close()
		close(x.done)
	}()
	return x, nil
}

// ended says how a box ended.
func ended(res sandbox.Result, err error, stderr string) string {
	what := fmt.Sprintf("exit %d", res.Exit)
	switch {
	case err != nil:
		what = err.Error()
	case res.Killed != "" && res.Detail != "":
		what = "killed: " + res.Detail
	case res.Killed != "":
		what = "killed: " + string(res.Killed)
	case res.Signal != "":
		what = res.Signal
	}
	for _, d := range res.Denied {
		what += fmt.Sprintf("; it wanted %s: %s", d.Target, d.Reason)
		break
	}
	if last := lastLines(stderr, 6); last != "" {
		what += "; it wrote: " + last
	}
	return what
}

// stop closes the server's input, gives it a moment and kills its box. It returns when nothing of it is left.
func (x *process) stop(grace time.Duration) {
	x.in.Close()
	x.out.Close() // what it still says is dropped, so that it can't wait for a reader
	select {
	case <-x.done:
	case <-time.After(grace):
		x.proc.Kill()
		<-x.done
	}
}

// Connect lets the SDK speak over the box's descriptors.
func (x *process) Connect(ctx context.Context) (sdk.Connection, error) {
	t := &sdk.IOTransport{Reader: &gauge{pipe: x.out, tokens: burst, last: time.Now()}, Writer: x.in, MaxLineLength: maxMessage}
	conn, err := t.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &watched{Connection: conn, process: x}, nil
}

// watched notes the first fault of a connection: from then on nothing more is read from it.
type watched struct {
	sdk.Connection
	process *process
}

func (w *watched) Read(ctx context.Context) (jsonrpc.Message, error) {
	m, err := w.Connection.Read(ctx)
	if err != nil {
		w.process.fault.CompareAndSwap(nil, &err)
	}
	return m, err
}

// errFlood ends a connection whose server sends more than anyone could want.
var errFlood = errors.New("the server floods: it sent more messages than can be read")

// gauge lets so many lines a second through. It is read by one goroutine.
type gauge struct {
	*pipe
	tokens float64
	last   time.Time
}

func (g *gauge) Read(p []byte) (int, error) {
	n, err := g.pipe.Read(p)
	now := time.Now()
	g.tokens = min(burst, g.tokens+now.Sub(g.last).Seconds()*perSecond) - float64(bytes.Count(p[:n], []byte("\n")))
	g.last = now
	if g.tokens < 0 {
		return 0, errFlood
	}
	return n, err
}

// pipe is a bounded buffer between a writer and a reader. When it is full, a blocking one makes the writer wait and another
// gives an error: the side that must not hang is the daemon's.
type pipe struct {
	mu     sync.Mutex // guards the fields below
	cond   *sync.Cond
	buf    bytes.Buffer
	most   int
	block  bool
	closed bool
}

func newPipe(most int, block bool) *pipe {
	p := &pipe{most: most, block: block}
	p.cond = sync.NewCond(&p.mu)
	return p
}

func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	written := 0
	for {
		room := p.most - p.buf.Len()
		switch {
		case p.closed:
			return written, io.ErrClosedPipe
		case room >= len(b)-written:
			p.buf.Write(b[written:])
			p.cond.Broadcast()
			return len(b), nil
		case !p.block:
			return written, errors.New("the server doesn't read what it is sent")
		}
		if room > 0 {
			p.buf.Write(b[written : written+room])
			written += room
			p.cond.Broadcast()
		}
		p.cond.Wait()
	}
}

func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.buf.Len() == 0 {
		if p.closed {
			return 0, io.EOF
		}
		p.cond.Wait()
	}
	n, err := p.buf.Read(b)
	p.cond.Broadcast()
	return n, err
}

// Close ends both sides; what is buffered can still be read.
func (p *pipe) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.cond.Broadcast()
	return nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex // guards buf
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*maxStderr {
		t.buf = append([]byte(nil), t.buf[len(t.buf)-maxStderr:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf[max(0, len(t.buf)-maxStderr):])
}

// lastLines is the end of a text, as one line.
func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(strings.ToValidUTF8(s, "�")), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return clip(visible(strings.Join(lines, " / ")), 600)
}
