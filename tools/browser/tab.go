package browser

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
)

// tab is one page. Its fields are guarded by its Browser's mu, but for those that only its task's actions use.
type tab struct {
	b       *Browser
	id      string // t1, t2, …; never reused; given with task
	task    *Task  // nil for one that nobody uses yet
	taken   bool   // soon to be used
	opener  target.ID
	target  target.ID
	session target.SessionID
	main    cdp.FrameID
	popup   bool

	frames    map[cdp.FrameID]*frame
	nextFrame int

	url, title, mime string
	status           int
	auth             string
	loading          bool
	content, loaded  bool
	unreachable      bool
	began            int // navigations that started
	navigated        int // and those that led to a document
	requests         map[network.RequestID]bool
	requested        int
	traffic          time.Time
	dialog           *dialog
	dragged          *input.DragData
	crashed, gone    bool
	interrupt        context.CancelCauseFunc // of the action that runs
	picture          picture                 // of the screencast
	owners           map[string]cdp.FrameID  // frame of an iframe element, by its ref
	last             []line                  // the outline that the model saw last; of its task's actions alone
	lastDocument     int
	room             int // bytes of a page of an outline; of its task's actions alone
}

// frame is one document's place in a tab.
type frame struct {
	session   target.SessionID
	world     string // unique id of the isolated world's context, "" while there is none
	worldID   runtime.ExecutionContextID
	main      string // unique id of the page's own context
	parent    cdp.FrameID
	owner     int // ref of its element in the parent
	number    int // in refs: 0 for the top frame
	count     int // highest ref given
	documents int // worlds seen
}

type dialog struct {
	kind, message, preset string
	session               target.SessionID
}

func now() time.Time { return time.Now() }

func newTab(b *Browser, id target.ID) *tab {
	return &tab{
		b: b, target: id, main: cdp.FrameID(id),
		frames: map[cdp.FrameID]*frame{}, requests: map[network.RequestID]bool{}, owners: map[string]cdp.FrameID{},
	}
}

// reset makes a tab one without a target, for a browser that is started again.
func (t *tab) reset() {
	count := 0
	if f := t.frames[t.main]; f != nil {
		count = f.count
	}
	t.session, t.dialog, t.crashed, t.gone, t.loading = "", nil, false, false, false
	t.frames, t.requests, t.owners = map[cdp.FrameID]*frame{}, map[network.RequestID]bool{}, map[string]cdp.FrameID{}
	t.main = ""
	t.frames[""] = &frame{count: count}
	t.last = nil
}

// adopt takes the target of a tab that nobody uses.
func (t *tab) adopt(o *tab) {
	count := 0
	if f := t.frames[t.main]; f != nil {
		count = f.count
	}
	t.session, t.frames, t.target, t.main = o.session, o.frames, o.target, o.main
	if f := t.frames[t.main]; f != nil {
		f.count = max(f.count, count)
	} else {
		t.frames[t.main] = &frame{count: count}
	}
}

// frame returns a frame's record. mu is held.
func (t *tab) frame(id cdp.FrameID) *frame {
	f := t.frames[id]
	if f == nil {
		f = &frame{}
		if id != t.main {
			t.nextFrame++
			f.number = t.nextFrame
		}
		t.frames[id] = f
	}
	return f
}

// stop ends the action that runs in the tab. mu is held.
func (t *tab) stop(why error) {
	if t.interrupt != nil {
		t.interrupt(why)
	}
}

// say keeps a note for the result of the next action. mu is held.
func (t *tab) say(format string, a ...any) {
	if t.task != nil {
		t.task.say("in %s: "+format, append([]any{t.id}, a...)...)
	}
}

// errNoDocument is returned where a frame has no document that a script can run in.
var errNoDocument = errors.New("the frame has no document")

// ready returns a frame's isolated world, waiting for it a moment: a new document has it right away.
func (t *tab) ready(ctx context.Context, id cdp.FrameID) (*conn, frame, error) {
	short, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	var f frame
	var c *conn
	ok := t.b.until(short, func() bool {
		c = t.b.conn
		if g := t.frames[id]; g != nil {
			f = *g
		}
		return f.world != "" || c == nil || t.gone || t.crashed
	})
	switch {
	case c == nil:
		return nil, f, errLost
	case t.crashed:
		return nil, f, errCrashed
	case t.gone:
		return nil, f, errGone
	case !ok && ctx.Err() != nil:
		return nil, f, context.Cause(ctx)
	case !ok:
		return nil, f, errNoDocument
	}
	return c, f, nil
}

// js calls a function of the injected script and decodes what it returns.
func (t *tab) js(ctx context.Context, id cdp.FrameID, out any, name string, args ...any) error {
	var parts []string
	for _, a := range args {
		raw, err := json.Marshal(a)
		if err != nil {
			return err
		}
		parts = append(parts, string(raw))
	}
	c, f, err := t.ready(ctx, id)
	if err != nil {
		return err
	}
	return evaluate(ctx, c, f.session, f.world, "agentd."+name+"("+strings.Join(parts, ",")+")", out, false)
}

// evaluate runs an expression in one context. What it returns must fit out.
func evaluate(ctx context.Context, c *conn, s target.SessionID, unique, expr string, out any, api bool) error {
	yes := true
	p := runtime.EvaluateParams{Expression: expr, UniqueContextID: unique, ReturnByValue: &yes, AwaitPromise: &yes, IncludeCommandLineAPI: &api, Silent: &yes}
	res, err := call(ctx, c, s, runtime.Evaluate, p)
	if err != nil {
		return err
	}
	if e := res.ExceptionDetails; e != nil {
		text := e.Text
		if e.Exception != nil && e.Exception.Description != "" {
			text = e.Exception.Description
		}
		return &scriptError{bounded(text, 1000)}
	}
	if out == nil || res.Result == nil || len(res.Result.Value) == 0 {
		return nil
	}
	return json.Unmarshal(res.Result.Value, out)
}

// scriptError is an exception of a script.
type scriptError struct{ text string }

func (e *scriptError) Error() string { return e.text }

// navigate goes to an address and waits for the document. Its text says how that ended, if not well.
func (t *tab) navigate(ctx context.Context, url string) (string, error) {
	t.b.mu.Lock()
	c, s, before := t.b.conn, t.session, t.navigated
	t.crashed, t.status, t.auth = false, 0, ""
	t.b.mu.Unlock()
	if c == nil {
		return "", errLost
	}
	res, err := call(ctx, c, s, page.Navigate, page.NavigateParams{URL: url})
	switch {
	case err != nil:
		return "", err
	case res.IsDownload:
		return "", nil
	case res.ErrorText != "":
		return netError(res.ErrorText), nil
	case res.LoaderID == "":
		return "", nil // within the document
	}
	t.b.until(ctx, func() bool { return t.navigated > before || t.gone || t.crashed })
	return "", nil
}

// netError explains the browser's words for a failed navigation.
func netError(text string) string {
	for _, e := range []struct{ in, say string }{
		{"ERR_TOO_MANY_REDIRECTS", "the server redirects in a loop"},
		{"ERR_CERT", "the server's certificate is not valid, and the page was not opened"},
		{"ERR_SSL", "no secure connection can be made"},
		{"ERR_NAME_NOT_RESOLVED", "there is no such host"},
		{"ERR_CONNECTION_REFUSED", "nothing answers at that address"},
		{"ERR_CONNECTION_RESET", "the server broke the connection off"},
		{"ERR_EMPTY_RESPONSE", "the server sent nothing"},
		{"ERR_TUNNEL_CONNECTION_FAILED", "the way out of the sandbox does not lead there"},
		{"ERR_PROXY_CONNECTION_FAILED", "the sandbox has no way out"},
		{"ERR_INVALID_AUTH_CREDENTIALS", "the server wants a login"},
		{"ERR_INVALID_URL", "that is not an address"},
		{"ERR_ABORTED", "the server has no page for it, or it was stopped"},
	} {
		if strings.Contains(text, e.in) {
			return e.say + " (" + text + ")"
		}
	}
	return text
}

// pending says whether requests of the tab are under way. mu is held.
func (t *tab) pending() bool { return len(t.requests) > 0 || t.loading }

// settle waits until what an action began has come to an end, as far as it is worth waiting for: a navigation up to 5 s, requests
// up to 2 s, a changing document up to half a second. Where nothing began within 50 ms, that is all.
func (t *tab) settle(ctx context.Context, began, requested int) {
	stopped := func() bool { return t.dialog != nil || t.gone || t.crashed }
	still := t.still(ctx)
	defer func() { still(false) }()
	first, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	moved := t.b.until(first, func() bool { return t.began > began || t.requested > requested || stopped() })
	cancel()
	if moved {
		t.b.mu.Lock()
		nav := t.began > began
		t.b.mu.Unlock()
		idle := 200 * time.Millisecond
		if nav {
			idle = 60 * time.Millisecond // once it is loaded, what it fetches on its own begins at once
			long, cancel := context.WithTimeout(ctx, 5*time.Second)
			t.b.until(long, func() bool { return stopped() || !t.loading && t.loaded || t.content && long.Err() != nil })
			cancel()
			still(false)
			still = t.still(ctx) // of the new document
		}
		t.quiet(ctx, idle, 2*time.Second)
	}
	t.b.mu.Lock()
	over := stopped()
	t.b.mu.Unlock()
	still(!over)
}

// still watches the document until it has not changed for a moment. The function that it returns waits for that, or ends it.
func (t *tab) still(ctx context.Context) func(wait bool) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = t.js(ctx, t.main, nil, "quiet", 40, 500) // a document that goes away is a change too
	}()
	return func(wait bool) {
		if !wait {
			cancel()
		}
		<-done
		cancel()
	}
}

// quiet waits until no request was under way for a while, and says whether that came.
func (t *tab) quiet(ctx context.Context, idle, most time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for {
		if !t.b.until(ctx, func() bool { return !t.pending() || t.dialog != nil || t.gone || t.crashed }) {
			return false
		}
		t.b.mu.Lock()
		left, over := idle-time.Since(t.traffic), t.dialog != nil || t.gone || t.crashed
		t.b.mu.Unlock()
		if left <= 0 || over {
			return true
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}
