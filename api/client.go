package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"agentd/journal"
)

// maxAnswer bounds what the client reads of one JSON answer.
const maxAnswer = 256 << 20

// Client talks to a daemon. It is safe for concurrent use.
type Client struct {
	// By is how this client signs what it changes.
	By string
	// Patience is how long Follow tries to reach a daemon that went away; 0 is a minute.
	Patience time.Duration

	http  *http.Client
	base  string
	token string
	where string // for messages
	dial  func(context.Context) (net.Conn, error)
	first chan net.Conn // the connection that Dial made, until a request uses it
}

// Dial returns a client of the daemon that listens at a socket. It returns ErrNotRunning when none answers there and
// ErrForbidden when it is another user's.
func Dial(socket string) (*Client, error) {
	if err := (Places{Socket: socket}).check(); err != nil {
		return nil, err
	}
	c := newClient("http://agentd", socket, func(ctx context.Context) (net.Conn, error) { return dialUnix(ctx, socket) })
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	c.first <- conn
	return c, nil
}

// DialTCP returns a client of a daemon that listens on a TCP address, with its token.
func DialTCP(addr, token string) *Client {
	c := newClient("http://"+addr, addr, func(ctx context.Context) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, Errorf(ErrNotRunning, "check the address", "no daemon answers at %s: %v", addr, err)
		}
		return conn, nil
	})
	c.token = token
	return c
}

func newClient(base, where string, dial func(context.Context) (net.Conn, error)) *Client {
	first := make(chan net.Conn, 1)
	return &Client{By: "api client", base: base, where: where, dial: dial, first: first, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			select {
			case conn := <-first:
				return conn, nil
			default:
				return dial(ctx)
			}
		},
		DisableCompression: true,
		MaxIdleConns:       4,
		IdleConnTimeout:    time.Minute,
	}}}
}

func dialUnix(ctx context.Context, socket string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, Errorf(ErrNotRunning, "start one: agentctl daemon start", "no daemon answers at %s", socket)
	case errors.Is(err, fs.ErrPermission):
		owner := "another user"
		if fi, err := os.Stat(socket); err == nil {
			if st, ok := fi.Sys().(*syscall.Stat_t); ok {
				owner = fmt.Sprintf("uid %d", st.Uid)
			}
		}
		return nil, Errorf(ErrForbidden, "set AGENTD_HOME to a folder of your own and start a daemon there", "the socket %s belongs to %s", socket, owner)
	case err != nil:
		return nil, fmt.Errorf("connect to the daemon: %w", err)
	}
	p, err := peerOf(conn)
	if err == nil && !p.trusted() && os.Getuid() != 0 {
		err = Errorf(ErrForbidden, "set AGENTD_HOME to a folder of your own and start a daemon there", "the daemon at %s is uid %d's", socket, p.uid)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// PID is the process that listens at the client's socket, as the kernel says.
func (c *Client) PID(ctx context.Context) (int, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	p, err := peerOf(conn)
	return p.pid, err
}

// Close closes idle connections.
func (c *Client) Close() {
	select {
	case conn := <-c.first:
		conn.Close()
	default:
	}
	c.http.CloseIdleConnections()
}

// send makes a request and returns a response that is a success; others become errors.
func (c *Client) send(ctx context.Context, method, path string, q url.Values, body any, header ...string) (*http.Response, error) {
	var r io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encode a request: %w", err)
		}
		r = bytes.NewReader(data)
	}
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, r)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	if r != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return c.do(req)
}

// upload sends a body as it is.
func (c *Client) upload(ctx context.Context, path, kind string, r io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", c.base+path, io.NopCloser(r))
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	req.Header.Set("Content-Type", kind)
	return c.do(req)
}

// do sends a request and returns a response that is a success.
func (c *Client) do(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	req.Header.Set(headerAPI, strconv.Itoa(Version))
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok {
			return nil, e
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, Errorf(ErrNotRunning, "agentctl daemon status", "the daemon at %s went away: %v", c.where, errors.Unwrap(err))
	}
	if err := c.check(resp); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// check turns a response that is no success into its error.
func (c *Client) check(resp *http.Response) error {
	if resp.StatusCode < 400 {
		if v := resp.Header.Get(headerAPI); v != strconv.Itoa(Version) {
			return c.versionError(v, resp.Header.Get(headerBuild))
		}
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var e Error
	if err != nil || json.Unmarshal(data, &e) != nil || e.Code == "" {
		if v := resp.Header.Get(headerAPI); v != strconv.Itoa(Version) {
			return c.versionError(v, resp.Header.Get(headerBuild))
		}
		return Errorf(ErrInternal, "agentctl daemon log", "the daemon at %s answered %s", c.where, resp.Status)
	}
	if e.Code == "version" {
		return c.versionError(resp.Header.Get(headerAPI), resp.Header.Get(headerBuild))
	}
	return &e
}

func (c *Client) versionError(v, build string) error {
	if v == "" {
		return Errorf(ErrVersion, "check AGENTD_HOME", "what answers at %s is no agentd", c.where)
	}
	return Errorf(ErrVersion, "agentctl daemon stop, then again: its runs go on with the new daemon",
		"the daemon at %s is version %.60s (interface %.10s), this program is %s (interface %d)", c.where, build, v, Build(), Version)
}

// call makes a request and decodes the answer.
func call[T any](ctx context.Context, c *Client, method, path string, q url.Values, body any, header ...string) (T, error) {
	var v T
	resp, err := c.send(ctx, method, path, q, body, header...)
	if err != nil {
		return v, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return v, fmt.Errorf("read the daemon's answer: %w", err)
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return v, fmt.Errorf("the daemon's answer to %s %s: %w", method, path, err)
	}
	return v, nil
}

func runPath(run journal.RunID, more ...string) string {
	p := "/v1/runs/" + url.PathEscape(string(run))
	for _, m := range more {
		p += "/" + url.PathEscape(m)
	}
	return p
}

// Start starts a run. With a key it is safe to repeat: the same key starts one run.
func (c *Client) Start(ctx context.Context, r StartRequest, key string) (Started, error) {
	if key == "" {
		return call[Started](ctx, c, "POST", "/v1/runs", nil, r)
	}
	return call[Started](ctx, c, "POST", "/v1/runs", nil, r, headerKey, key)
}

// List returns a page of runs.
func (c *Client) List(ctx context.Context, f journal.Filter) ([]journal.Summary, error) {
	q := url.Values{}
	set := func(name, v string) {
		if v != "" {
			q.Set(name, v)
		}
	}
	flag := func(name string, v bool) {
		if v {
			q.Set(name, "1")
		}
	}
	flag("live", f.Live)
	flag("oldest", f.Oldest)
	set("status", string(f.Status))
	set("workspace", f.Workspace)
	set("after", string(f.After))
	if f.Limit != 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	l, err := call[RunList](ctx, c, "GET", "/v1/runs", q, nil)
	return l.Runs, err
}

// Get returns a run with its whole state.
func (c *Client) Get(ctx context.Context, run journal.RunID) (RunView, error) {
	return call[RunView](ctx, c, "GET", runPath(run), nil, nil)
}

// Recent is Get with only the last turns of each task: what a long run's display needs.
func (c *Client) Recent(ctx context.Context, run journal.RunID, turns int) (RunView, error) {
	return call[RunView](ctx, c, "GET", runPath(run), url.Values{"turns": {strconv.Itoa(turns)}}, nil)
}

// Summary returns what a list shows of a run.
func (c *Client) Summary(ctx context.Context, run journal.RunID) (journal.Summary, error) {
	v, err := call[RunView](ctx, c, "GET", runPath(run), url.Values{"brief": {"1"}}, nil)
	return v.Summary, err
}

// Resolve finds the run that a person means: a whole id, a beginning of one that only one of the newest 1000 runs has, or
// "last" for the newest.
func (c *Client) Resolve(ctx context.Context, name string) (journal.RunID, error) {
	if len(name) == 12 {
		return journal.RunID(name), nil
	}
	if name == "last" {
		runs, err := c.List(ctx, journal.Filter{Limit: 1})
		if err == nil && len(runs) == 0 {
			err = Errorf(journal.ErrNotFound, "agentctl run starts one", "there is no run yet")
		}
		if err != nil {
			return "", err
		}
		return runs[0].Run, nil
	}
	runs, err := c.List(ctx, journal.Filter{Limit: 1000})
	if err != nil {
		return "", err
	}
	var found []string
	for _, r := range runs {
		if name != "" && strings.HasPrefix(string(r.Run), name) {
			found = append(found, string(r.Run))
		}
	}
	switch len(found) {
	case 1:
		return journal.RunID(found[0]), nil
	case 0:
		return "", Errorf(journal.ErrNotFound, "agentctl ls shows the runs", "no run %.64q", name)
	}
	return "", Errorf(ErrInvalid, "give more of the id", "%.64q is the beginning of %d runs: %s", name, len(found), strings.Join(found[:min(5, len(found))], ", "))
}

// Page returns up to limit events before a number (0: the last ones), in order.
func (c *Client) Page(ctx context.Context, run journal.RunID, before journal.Seq, limit int) ([]journal.Record, error) {
	q := url.Values{"follow": {"0"}, "limit": {strconv.Itoa(limit)}}
	if before != 0 {
		q.Set("before", strconv.FormatUint(uint64(before), 10))
	}
	p, err := call[Page](ctx, c, "GET", runPath(run, "events"), q, nil)
	return p.Records, err
}

// Answer closes an ask of a run.
func (c *Client) Answer(ctx context.Context, run journal.RunID, ask string, a Answer) error {
	if a.By == "" {
		a.By = c.By
	}
	_, err := call[Appended](ctx, c, "POST", runPath(run, "answers", ask), nil, a)
	return err
}

// AskRules proposes rules that would answer an open ask and others like it.
func (c *Client) AskRules(ctx context.Context, run journal.RunID, ask string) (AskRules, error) {
	return call[AskRules](ctx, c, "GET", runPath(run, "answers", ask), nil, nil)
}

// Say steers a run.
func (c *Client) Say(ctx context.Context, run journal.RunID, text string) error {
	_, err := call[Appended](ctx, c, "POST", runPath(run, "messages"), nil, Message{Text: text, By: c.By})
	return err
}

// Patch pauses or resumes a run or changes its limits.
func (c *Client) Patch(ctx context.Context, run journal.RunID, p Patch) error {
	if p.By == "" {
		p.By = c.By
	}
	_, err := call[Appended](ctx, c, "PATCH", runPath(run), nil, p)
	return err
}

// Cancel asks a run to end.
func (c *Client) Cancel(ctx context.Context, run journal.RunID) error {
	_, err := call[Appended](ctx, c, "DELETE", runPath(run), url.Values{"by": {c.By}}, nil)
	return err
}

// Purge removes an ended run.
func (c *Client) Purge(ctx context.Context, run journal.RunID) error {
	_, err := call[Appended](ctx, c, "DELETE", runPath(run), url.Values{"purge": {"1"}}, nil)
	return err
}

// Context returns what was sent to the model at a step.
func (c *Client) Context(ctx context.Context, run journal.RunID, step int) (Context, error) {
	return call[Context](ctx, c, "GET", runPath(run, "context"), url.Values{"step": {strconv.Itoa(step)}}, nil)
}

// Diff compares the workspace with the run's snapshot.
func (c *Client) Diff(ctx context.Context, run journal.RunID) (Diff, error) {
	return call[Diff](ctx, c, "GET", runPath(run, "diff"), nil, nil)
}

// Undo puts the workspace back as it was before the run, or with a step before that step.
func (c *Client) Undo(ctx context.Context, run journal.RunID, step int) (journal.Undone, error) {
	return call[journal.Undone](ctx, c, "POST", runPath(run, "undo"), nil, map[string]any{"by": c.By, "step": step})
}

// Apply brings what a run did in its copy to its workspace.
func (c *Client) Apply(ctx context.Context, run journal.RunID) (journal.Applied, error) {
	return call[journal.Applied](ctx, c, "POST", runPath(run, "apply"), nil, map[string]string{"by": c.By})
}

// Models lists the models.
func (c *Client) Models(ctx context.Context) ([]ModelInfo, error) {
	l, err := call[ModelList](ctx, c, "GET", "/v1/models", nil, nil)
	return l.Models, err
}

// Pull fetches a local model.
func (c *Client) Pull(ctx context.Context, name string, progress func(PullProgress)) error {
	resp, err := c.send(ctx, "POST", "/v1/models/pull", nil, Pull{Name: name})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(resp.Body)
	for {
		var l PullLine
		if err := dec.Decode(&l); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return Errorf(ErrNotRunning, "run it again: it goes on where it was", "the daemon went away during the fetch: %v", err)
		}
		if l.Error != nil {
			return l.Error
		}
		progress(l.PullProgress)
		if l.State == "done" && l.File == "" {
			return nil
		}
	}
}

// RemoveModel deletes a local model's files.
func (c *Client) RemoveModel(ctx context.Context, name string) error {
	_, err := call[Appended](ctx, c, "DELETE", "/v1/models/"+name, nil, nil)
	return err
}

// Info describes the daemon.
func (c *Client) Info(ctx context.Context) (Info, error) {
	return call[Info](ctx, c, "GET", "/v1/info", nil, nil)
}

// Backup copies a consistent image of the journal to w and returns its size.
func (c *Client) Backup(ctx context.Context, w io.Writer) (int64, error) {
	return c.copy(ctx, "/v1/backup", w)
}

// Blob copies stored output to w.
func (c *Client) Blob(ctx context.Context, hash string, w io.Writer) (int64, error) {
	return c.copy(ctx, "/v1/blobs/"+url.PathEscape(hash), w)
}

func (c *Client) copy(ctx context.Context, path string, w io.Writer) (int64, error) {
	resp, err := c.send(ctx, "GET", path, nil, nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	n, err := io.Copy(w, resp.Body)
	if err != nil {
		return n, fmt.Errorf("after %d bytes: %w", n, err)
	}
	return n, nil
}
