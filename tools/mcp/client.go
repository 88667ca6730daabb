package mcp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"agentd/sandbox"
	"agentd/tools"
)

// Bounds of a server's life.
const (
	startTimeout = 60 * time.Second // to start and say what it is
	listTimeout  = 30 * time.Second
	stopGrace    = 500 * time.Millisecond
	maxStarts    = 5                // in one run, without a call that worked between
	maxCall      = 30 * time.Minute // whatever progress it shows
	maxTools     = 1000
	maxList      = 4 << 20 // bytes of all descriptions and schemas of a server
)

// client is one server as a run uses it. The server is started at the first need, and again when it died.
type client struct {
	s    Server
	opts *Options
	ctx  context.Context // of the run's servers: its end ends them

	mu      sync.Mutex // guards the fields below; held while the server starts, so that it starts once
	session *sdk.ClientSession
	proc    *process // nil for a URL
	net     []string // where it could connect when it was started
	starts  int
	now     *Listing // what it offers now; nil before the first start

	stale atomic.Bool // it said that its lists changed

	calls sync.Mutex // guards asks
	asks  []asker    // of the calls under way, the newest last
	seen  map[any]func(sdk.ProgressNotificationParams)
	next  int
}

type asker struct {
	call int
	ask  func(ctx context.Context, text string) (string, error)
}

// errGone says that a server is not there, in words for a model.
type errGone struct{ server, why string }

func (e *errGone) Error() string { return "the MCP server " + e.server + " " + e.why }

// connect returns a session with the server, which it starts if it must, in a box of policy p.
func (c *client) connect(ctx context.Context, p sandbox.Policy) (*sdk.ClientSession, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != nil && c.alive() && !c.confined(p) {
		if c.stale.Swap(false) {
			if err := c.list(ctx); err != nil {
				c.drop()
				return nil, &errGone{c.s.Name, "can't say what it offers: " + err.Error()}
			}
		}
		return c.session, nil
	}
	if c.session != nil && c.confined(p) && c.starts > 0 {
		c.starts-- // it goes for our sake
	}
	c.drop()
	if c.starts >= maxStarts {
		return nil, &errGone{c.s.Name, fmt.Sprintf("was started %d times in this run and did not stay: it is not started again", c.starts)}
	}
	if err := c.ctx.Err(); err != nil {
		return nil, context.Cause(c.ctx)
	}
	c.starts++
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.opts.StartTimeout, startTimeout))
	defer cancel()
	if err := c.start(ctx, p); err != nil {
		c.drop()
		return nil, err
	}
	if err := c.list(ctx); err != nil {
		why := "can't say what it offers: " + c.why(err)
		c.drop()
		return nil, &errGone{c.s.Name, why}
	}
	return c.session, nil
}

// confined reports whether the run may connect to more than the server could when it was started: it is started anew then.
func (c *client) confined(p sandbox.Policy) bool {
	if c.s.Command == "" && !c.s.Strict {
		return false
	}
	return slices.ContainsFunc(p.Net.Allow, func(rule string) bool { return !slices.Contains(c.net, rule) })
}

// alive reports whether the process of a stdio server still runs and can be understood.
func (c *client) alive() bool {
	if c.proc == nil {
		return true
	}
	select {
	case <-c.proc.done:
		return false
	default:
		return c.proc.fault.Load() == nil
	}
}

// start makes the connection and the handshake.
func (c *client) start(ctx context.Context, p sandbox.Policy) error {
	var t sdk.Transport
	c.net = slices.Clone(p.Net.Allow)
	if c.s.Command != "" {
		caches, err := c.opts.caches(c.s)
		if err != nil {
			return err
		}
		proc, err := startProcess(c.ctx, c.opts.Box, p, c.s, caches)
		if err != nil {
			return &errGone{c.s.Name, "can't be started: " + err.Error()}
		}
		c.proc, t = proc, proc
	} else {
		var err error
		if t, err = c.opts.dial(c.s, p.Net.Allow); err != nil {
			return &errGone{c.s.Name, "can't be reached: " + err.Error()}
		}
	}
	session, err := c.sdkClient().Connect(ctx, t, nil)
	if err != nil {
		return &errGone{c.s.Name, "did not begin: " + c.why(err)}
	}
	c.session = session
	return nil
}

// why says what is behind an error: the process's own end where there was one, or what could not be read.
func (c *client) why(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "it gave no answer in time"
	}
	if c.proc != nil {
		select {
		case <-c.proc.done:
			return "it ended: " + c.proc.end
		case <-time.After(100 * time.Millisecond):
		}
		if f := c.proc.fault.Load(); f != nil && !errors.Is(*f, io.EOF) {
			err = fmt.Errorf("what it sent can't be read: %w", *f)
		}
	}
	return clip(visible(err.Error()), 600)
}

// drop ends the process and the connection.
func (c *client) drop() {
	if c.proc != nil {
		c.proc.stop(stopGrace)
		c.proc = nil
	}
	if s := c.session; s != nil {
		c.session = nil
		closeSoon(s)
	}
}

// closeSoon closes a session, which may have to tell a server over HTTP, and waits for no longer than a moment.
func closeSoon(s *sdk.ClientSession) {
	done := make(chan struct{})
	go func() { // its requests end with the transport's own timeout at the latest
		s.Close()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(2 * time.Second):
	}
}

// stop ends the server; a later call starts it again.
func (c *client) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop()
	c.starts = 0
}

// sdkClient is the SDK's client of this server.
func (c *client) sdkClient() *sdk.Client {
	caps := &sdk.ClientCapabilities{Elicitation: &sdk.ElicitationCapabilities{Form: &sdk.FormElicitationCapabilities{}, URL: &sdk.URLElicitationCapabilities{}}}
	if c.s.Command != "" {
		//lint:ignore SA1019 servers of files still learn their folder only so
		caps.RootsV2 = &sdk.RootCapabilities{}
	}
	changed := func() { c.stale.Store(true) }
	cl := sdk.NewClient(&sdk.Implementation{Name: "agentd", Version: c.opts.Version}, &sdk.ClientOptions{
		Logger: slog.New(slog.DiscardHandler), Capabilities: caps, ElicitationHandler: c.elicit,
		ToolListChangedHandler:     func(context.Context, *sdk.ToolListChangedRequest) { changed() },
		PromptListChangedHandler:   func(context.Context, *sdk.PromptListChangedRequest) { changed() },
		ResourceListChangedHandler: func(context.Context, *sdk.ResourceListChangedRequest) { changed() },
		ProgressNotificationHandler: func(_ context.Context, r *sdk.ProgressNotificationClientRequest) {
			c.calls.Lock()
			f := c.seen[fmt.Sprint(r.Params.ProgressToken)]
			c.calls.Unlock()
			if f != nil {
				f(*r.Params)
			}
		},
	})
	if c.s.Command != "" {
		//lint:ignore SA1019 as above
		cl.AddRoots(&sdk.Root{URI: "file:///workspace", Name: "workspace"})
	}
	return cl
}

// list asks what the server offers.
func (c *client) list(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	l := &Listing{Server: c.s.Name, Key: c.s.Key(), Where: c.s.Where()}
	init := c.session.InitializeResult()
	if init.ServerInfo != nil {
		l.Version = clip(visible(init.ServerInfo.Name+" "+init.ServerInfo.Version), 100)
	}
	l.Protocol = clip(visible(init.ProtocolVersion), 20)
	l.Instructions = clip(visible(init.Instructions), maxDescription)
	if caps := init.Capabilities; caps != nil {
		l.Resources, l.Prompts = caps.Resources != nil, caps.Prompts != nil
		if caps.Tools == nil {
			c.now = l
			return nil
		}
	}
	size, names := 0, map[string]bool{}
	for t, err := range c.session.Tools(ctx, nil) {
		if err != nil {
			return err
		}
		if len(names) == maxTools {
			return fmt.Errorf("it has more than %d tools", maxTools)
		}
		if names[t.Name] {
			return fmt.Errorf("it names the tool %.100q twice", t.Name)
		}
		names[t.Name] = true
		tool, err := newTool(t)
		if err != nil {
			l.Faults = append(l.Faults, fmt.Sprintf("%.100s: %v", visible(t.Name), err))
			continue
		}
		if size += len(tool.Description) + len(tool.Schema); size > maxList {
			return fmt.Errorf("its tools take more than %d bytes", maxList)
		}
		l.Tools = append(l.Tools, tool)
	}
	c.now = l.sorted()
	return nil
}

// listing is what the server offers now, nil if it was not asked yet.
func (c *client) listing() *Listing {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// call makes one request with a deadline that progress puts off. do gets the token that the server may name in its progress.
func (c *client) call(ctx context.Context, env tools.Env, do func(ctx context.Context, s *sdk.ClientSession, token string) error) error {
	s, err := c.connect(ctx, env.Policy)
	if err != nil {
		return err
	}
	wait := c.s.Timeout
	if wait == 0 {
		wait = DefaultTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, maxCall, errTimeout)
	defer cancel()
	ctx, expire := context.WithCancelCause(ctx)
	defer expire(nil)
	timer := time.AfterFunc(wait, func() { expire(errTimeout) })
	defer timer.Stop()

	c.calls.Lock()
	c.next++
	id := c.next
	token := fmt.Sprintf("c%d", id)
	if c.seen == nil {
		c.seen = map[any]func(sdk.ProgressNotificationParams){}
	}
	c.seen[token] = func(p sdk.ProgressNotificationParams) {
		timer.Reset(wait)
		if env.Out != nil {
			_, _ = fmt.Fprintln(env.Out, progressLine(p)) // for display only
		}
	}
	if env.Ask != nil {
		c.asks = append(c.asks, asker{id, func(ctx context.Context, text string) (string, error) {
			timer.Stop() // a person takes the time that they need
			defer timer.Reset(wait)
			return env.Ask(ctx, text)
		}})
	}
	c.calls.Unlock()
	defer func() {
		c.calls.Lock()
		defer c.calls.Unlock()
		delete(c.seen, token)
		for i, a := range c.asks {
			if a.call == id {
				c.asks = append(c.asks[:i:i], c.asks[i+1:]...)
				break
			}
		}
	}()
	err = do(ctx, s, token)
	switch {
	case err == nil:
		c.mu.Lock()
		c.starts = 0
		c.mu.Unlock()
		return nil
	case errors.Is(context.Cause(ctx), errTimeout):
		return fmt.Errorf("%w within %s without progress; it was told to stop", errTimeout, wait)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case !c.aliveNow() || c.lost(err):
		c.mu.Lock()
		why := c.why(err)
		c.drop()
		c.mu.Unlock()
		return &errGone{c.s.Name, "is gone: " + why + ". It is started again at the next call"}
	}
	return err
}

// lost reports whether an error is one of the connection and not the server's answer.
func (c *client) lost(err error) bool {
	var answer *jsonrpc.Error
	return errors.Is(err, sdk.ErrConnectionClosed) || c.s.URL != "" && !errors.As(err, &answer)
}

func (c *client) aliveNow() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.alive()
}

var errTimeout = errors.New("the server gave no answer")

func progressLine(p sdk.ProgressNotificationParams) string {
	s := fmt.Sprintf("%g", p.Progress)
	if p.Total > 0 {
		s += fmt.Sprintf(" of %g", p.Total)
	}
	if p.Message != "" {
		s += ": " + clip(visible(p.Message), 200)
	}
	return s
}

// dial makes the transport of a server at a URL.
func (o *Options) dial(s Server, run []string) (sdk.Transport, error) {
	kept, more, err := o.oauth(s)
	if err != nil {
		return nil, err
	}
	client, err := o.httpClient(s, run, more)
	if err != nil {
		return nil, err
	}
	if s.SSE {
		return &sdk.SSEClientTransport{Endpoint: s.URL, HTTPClient: client}, nil
	}
	t := &sdk.StreamableClientTransport{Endpoint: s.URL, HTTPClient: client, MaxEventSize: maxMessage, MaxRetries: 2}
	for name := range s.Headers {
		if strings.EqualFold(name, "Authorization") {
			return t, nil // the configuration says how requests are authorized
		}
	}
	if err := kept.use(client); err != nil {
		return nil, err
	}
	t.OAuthHandler = kept
	return t, nil
}

// httpClient sends to one server, through the egress package's decisions: its own host and where its tokens are renewed. A goal's
// server gets what the run may reach and nothing more.
func (o *Options) httpClient(s Server, run, more []string) (*http.Client, error) {
	if s.Strict {
		return o.client(sandbox.Net{Allow: append(slices.Clone(s.Net), run...)}, s)
	}
	allow, err := hostRule(s.URL)
	if err != nil {
		return nil, err
	}
	return o.client(sandbox.Net{Allow: append([]string{allow}, more...)}, s)
}
