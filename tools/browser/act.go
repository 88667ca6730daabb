package browser

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
)

// actions are what a call can ask for, but for those on tabs and dialogs. Those that are nothing but a look say so.
var actions = map[string]func(*action, context.Context) (string, error){
	"open": (*action).open, "back": (*action).history, "forward": (*action).history, "reload": (*action).reload,
	"outline": (*action).outline, "find": (*action).find, "wait": (*action).wait,
	"click": (*action).click, "dblclick": (*action).click, "hover": (*action).click, "drag": (*action).drag,
	"type": (*action).typeText, "press": (*action).press, "select": (*action).choose, "check": (*action).check, "uncheck": (*action).check,
	"scroll": (*action).scroll, "upload": (*action).upload,
	"takeover": (*action).handedBack, "screenshot": (*action).screenshot, "extract": (*action).extract, "evaluate": (*action).evaluate,
}

// address checks what a model gives as an address. A browser opens the web and nothing of the machine.
func address(s string) (string, error) {
	s = strings.TrimSpace(s)
	if !strings.Contains(s, "://") && s != "about:blank" && !strings.HasPrefix(s, "data:") && !strings.HasPrefix(s, "javascript:") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil {
		return "", refuse("%s is not an address", quote(bounded(s, 200)))
	}
	if u.Scheme != "http" && u.Scheme != "https" && s != "about:blank" {
		return "", refuse("only http and https can be opened, not %s:", bounded(u.Scheme, 20))
	}
	return s, nil
}

func (x *action) open(ctx context.Context) (string, error) {
	to, err := address(x.a.URL)
	if err != nil {
		return "", err
	}
	x.b.mu.Lock()
	began, requested, files := x.t.began, x.t.requested, len(x.b.files)
	x.b.mu.Unlock()
	quick, cancel := context.WithTimeoutCause(ctx, x.limit()*3/4, errSlow) // so that what there is can be shown
	defer cancel()
	bad, err := x.t.navigate(quick, to)
	if errors.Is(err, errSlow) {
		post(x.c, x.session(), page.StopLoading, cdp.Empty{})
		return "", refuse("%s sent no page within %s", quote(to), x.limit()*3/4)
	}
	if err != nil {
		return "", err
	}
	x.b.mu.Lock()
	downloads := len(x.b.files) > files
	x.b.mu.Unlock()
	switch {
	case downloads || bad == "" && x.waitDownload(ctx, files):
		return "the address is a file and no page; it is downloaded\n", nil
	case strings.Contains(bad, "ERR_ABORTED") && x.waitDownload(ctx, files):
		return "the address is a file and no page; it is downloaded\n", nil
	case bad != "":
		return "", refuse("%s can not be opened: %s", quote(to), bad)
	}
	x.t.settle(ctx, min(began, x.t.began-1), requested)
	return x.t.view(ctx, 1, "")
}

func (x *action) session() (s sessionID) {
	x.b.mu.Lock()
	defer x.b.mu.Unlock()
	return x.t.session
}

func (x *action) history(ctx context.Context) (string, error) {
	h, err := call(ctx, x.c, x.session(), page.GetNavigationHistory, cdp.Empty{})
	if err != nil {
		return "", err
	}
	i := h.CurrentIndex - 1
	if x.a.Action == "forward" {
		i = h.CurrentIndex + 1
	}
	if i < 0 || i >= int64(len(h.Entries)) || i == 0 && h.Entries[0].URL == "about:blank" {
		return "", refuse("there is no page to go %s to", x.a.Action)
	}
	return x.moves(ctx, func() error {
		_, err := call(ctx, x.c, x.session(), page.NavigateToHistoryEntry, page.NavigateToHistoryEntryParams{EntryID: h.Entries[i].ID})
		return err
	})
}

func (x *action) reload(ctx context.Context) (string, error) {
	return x.moves(ctx, func() error {
		_, err := call(ctx, x.c, x.session(), page.Reload, page.ReloadParams{})
		return err
	})
}

// moves does what leads to a new document and shows it.
func (x *action) moves(ctx context.Context, do func() error) (string, error) {
	x.b.mu.Lock()
	began, requested, was := x.t.began, x.t.requested, x.t.navigated
	x.b.mu.Unlock()
	if err := do(); err != nil {
		return "", err
	}
	short, cancel := context.WithTimeout(ctx, 5*time.Second)
	x.b.until(short, func() bool { return x.t.navigated > was || x.t.dialog != nil || x.t.gone || x.t.crashed })
	cancel()
	x.t.settle(ctx, began, requested)
	return x.t.view(ctx, 1, "")
}

func (x *action) outline(ctx context.Context) (string, error) {
	return x.t.view(ctx, x.a.Page, strings.Trim(x.a.Ref, "[]@ "))
}

func (x *action) find(ctx context.Context) (string, error) {
	if strings.TrimSpace(x.a.Text) == "" {
		return "", refuse(`find needs "text"`)
	}
	return x.t.find(ctx, x.a.Text, x.a.Page)
}

var refForm = regexp.MustCompile(`^[\[@]?(?:f(\d{1,6}))?e(\d{1,9})\]?$`)

// element resolves a ref to a frame and the number in it.
func (x *action) element(ref string) (cdp.FrameID, int, error) {
	m := refForm.FindStringSubmatch(strings.TrimSpace(ref))
	if m == nil {
		if ref == "" {
			return "", 0, refuse(`%s needs "ref", as it stands in the outline`, x.a.Action)
		}
		return "", 0, refuse("%s is no ref: take one from the outline, as e12", quote(bounded(ref, 60)))
	}
	n, err := strconv.Atoi(m[2])
	if err != nil {
		return "", 0, errStale
	}
	if m[1] == "" {
		return x.t.main, n, nil
	}
	num, err := strconv.Atoi(m[1])
	if err != nil {
		return "", 0, errStale
	}
	x.b.mu.Lock()
	defer x.b.mu.Unlock()
	for id, f := range x.t.frames {
		if f.number == num && id != x.t.main {
			return id, n, nil
		}
	}
	return "", 0, errStale
}

// point is where to act, in the tab's viewport.
type point struct {
	X, Y      float64
	Tag, Type string
	Name      string
	Stale     bool
	Bad       string
}

// aim finds a point of an element that can be acted on.
func (x *action) aim(ctx context.Context, ref string) (point, error) {
	var p point
	id, n, err := x.element(ref)
	if err != nil {
		return p, err
	}
	chain := x.chain(id)
	for _, step := range chain { // from the top frame down
		var shown point
		if err := x.t.js(ctx, step.in, &shown, "show", step.owner); err != nil {
			return p, err
		}
		if shown.Stale {
			return p, errStale
		}
	}
	wait := x.limit() / 4
	if err := x.t.js(ctx, id, &p, "aim", n, map[string]any{"wait": min(wait, 5*time.Second).Milliseconds(), "enabled": x.a.Action != "hover"}); err != nil {
		return p, err
	}
	if p.Stale {
		return p, errStale
	}
	if p.Bad != "" {
		return p, refuse("nothing was done: %s", p.Bad)
	}
	for i := len(chain) - 1; i >= 0; i-- {
		var at *struct{ X, Y float64 }
		if err := x.t.js(ctx, chain[i].in, &at, "place", chain[i].owner); err != nil {
			return p, err
		}
		if at == nil {
			return p, errStale
		}
		p.X, p.Y = p.X+at.X, p.Y+at.Y
		var over string
		if err := x.t.js(ctx, chain[i].in, &over, "over", chain[i].owner, p.X, p.Y); err != nil {
			return p, err
		}
		if over != "" {
			return p, refuse("nothing was done: the frame of %s is covered by %s", p.Name, over)
		}
	}
	return p, nil
}

type link struct {
	in    cdp.FrameID
	owner int
}

// chain lists the iframe elements that lead to a frame, from the top.
func (x *action) chain(id cdp.FrameID) []link {
	x.b.mu.Lock()
	defer x.b.mu.Unlock()
	var out []link
	for id != x.t.main && len(out) < 20 {
		f := x.t.frames[id]
		if f == nil || f.owner == 0 {
			break
		}
		out = append([]link{{f.parent, f.owner}}, out...)
		id = f.parent
	}
	return out
}

// stand notes where a tab stands before an action.
func (x *action) stand() (began, requested int) {
	x.b.mu.Lock()
	defer x.b.mu.Unlock()
	return x.t.began, x.t.requested
}

func (x *action) mouse(ctx context.Context, p input.DispatchMouseEventParams) error {
	_, err := call(ctx, x.c, x.session(), input.DispatchMouseEvent, p)
	return err
}

func (x *action) click(ctx context.Context) (string, error) {
	p, err := x.aim(ctx, x.a.Ref)
	if err != nil {
		return "", err
	}
	if p.Tag == "SELECT" && x.a.Action == "click" {
		return "", refuse("%s is a list: use the action select with the option as text", p.Name)
	}
	if p.Tag == "INPUT" && p.Type == "file" {
		return "", refuse("%s takes a file: use the action upload with its path as text", p.Name)
	}
	began, requested := x.stand()
	if err := x.hit(ctx, p, map[string]int{"hover": 0, "dblclick": 2}[x.a.Action], x.a.Action); err != nil && !errors.Is(context.Cause(ctx), errDialog) {
		return "", err
	}
	x.t.settle(ctx, began, requested)
	return x.after(ctx, map[string]string{"click": "clicked ", "dblclick": "double-clicked ", "hover": "the pointer is over "}[x.a.Action]+p.Name)
}

// hit moves the mouse to a point and clicks there.
func (x *action) hit(ctx context.Context, p point, times int, what string) error {
	if err := x.mouse(ctx, input.DispatchMouseEventParams{Type: input.DispatchMouseEventTypeMouseMoved, X: p.X, Y: p.Y}); err != nil {
		return err
	}
	if what == "hover" {
		return nil
	}
	for i := range max(times, 1) {
		e := input.DispatchMouseEventParams{Type: input.DispatchMouseEventTypeMousePressed, X: p.X, Y: p.Y, Button: input.MouseButtonLeft, Buttons: 1, ClickCount: int64(i + 1)}
		if err := x.mouse(ctx, e); err != nil {
			return err
		}
		e.Type, e.Buttons = input.DispatchMouseEventTypeMouseReleased, 0
		if err := x.mouse(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func (x *action) check(ctx context.Context) (string, error) {
	id, n, err := x.element(x.a.Ref)
	if err != nil {
		return "", err
	}
	want := x.a.Action == "check"
	var is struct{ Stale, On bool }
	if err := x.t.js(ctx, id, &is, "checked", n); err != nil {
		return "", err
	}
	if is.Stale {
		return "", errStale
	}
	word := map[bool]string{true: "checked", false: "not checked"}
	if is.On == want {
		return "it is " + word[want] + " already\n", nil
	}
	p, err := x.aim(ctx, x.a.Ref)
	if err != nil {
		return "", err
	}
	began, requested := x.stand()
	if err := x.hit(ctx, p, 1, "click"); err != nil {
		return "", err
	}
	x.t.settle(ctx, began, requested)
	if err := x.t.js(ctx, id, &is, "checked", n); err == nil && !is.Stale && is.On != want {
		text, err := x.after(ctx, "")
		if err != nil {
			return "", err
		}
		return "", refuse("%s was clicked and is still %s\n%s", p.Name, word[is.On], text)
	}
	return x.after(ctx, p.Name+" is "+word[want])
}

func (x *action) scroll(ctx context.Context) (string, error) {
	id, n := x.t.main, 0
	if x.a.Ref != "" {
		var err error
		if id, n, err = x.element(x.a.Ref); err != nil {
			return "", err
		}
	}
	dx, dy := 0.0, 0.0
	switch x.a.Text {
	case "", "down":
		dy = .85
	case "up":
		dy = -.85
	case "top":
		dy = -1e6
	case "bottom":
		dy = 1e6
	case "left":
		dx = -.85
	case "right":
		dx = .85
	default:
		return "", refuse("scroll takes up, down, left, right, top or bottom as text, not %s", quote(bounded(x.a.Text, 40)))
	}
	began, requested := x.stand()
	var got struct {
		Stale         bool
		Moved, At, Of int
	}
	if err := x.t.js(ctx, id, &got, "scroll", n, dx, dy); err != nil {
		return "", err
	}
	if got.Stale {
		return "", errStale
	}
	x.t.settle(ctx, began, requested)
	_ = x.t.js(ctx, x.t.main, nil, "quiet", 200, 1000) // lists that grow at their end take a moment; a page that went away is seen below
	if got.Moved == 0 {
		return x.after(ctx, "it is at its end and did not scroll")
	}
	return x.after(ctx, fmt.Sprintf("scrolled to %d of %d px", got.At, got.Of))
}

// wait waits for a text, an element, an address, or for the network to be quiet.
func (x *action) wait(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, x.limit()-min(x.limit()/4, 2*time.Second), errSlow)
	defer cancel()
	what, ok, err := x.condition()
	if err != nil {
		return "", err
	}
	show, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer done()
	if ok == nil {
		if !x.t.quiet(ctx, 300*time.Millisecond, x.limit()) {
			x.b.mu.Lock()
			n := len(x.t.requests)
			x.b.mu.Unlock()
			return x.after(show, fmt.Sprintf("the page is not quiet: %d requests are under way", n))
		}
		return x.after(show, "the network is quiet")
	}
	for {
		yes, err := ok(ctx)
		if err == nil && yes {
			return x.after(show, what)
		}
		timer := time.NewTimer(100 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			if !errors.Is(context.Cause(ctx), errSlow) {
				return "", context.Cause(ctx)
			}
			text, err := x.after(show, "")
			if err != nil {
				return "", err
			}
			return "", refuse("it did not come: %s\n%s", what, text)
		}
	}
}

// condition is what wait waits for, in words and as a test; a nil test is a quiet network.
func (x *action) condition() (string, func(context.Context) (bool, error), error) {
	switch {
	case x.a.Ref != "":
		id, n, err := x.element(x.a.Ref)
		return x.a.Ref + " is there", func(ctx context.Context) (yes bool, err error) {
			err = x.t.js(ctx, id, &yes, "present", n)
			return
		}, err
	case x.a.Text != "":
		return "the page has the text " + quote(x.a.Text), func(ctx context.Context) (bool, error) {
			x.b.mu.Lock()
			var ids []cdp.FrameID
			for id, f := range x.t.frames {
				if f.world != "" {
					ids = append(ids, id)
				}
			}
			x.b.mu.Unlock()
			var last error
			for _, id := range ids {
				var yes bool
				if last = x.t.js(ctx, id, &yes, "has", x.a.Text); yes {
					return true, nil
				}
			}
			return false, last
		}, nil
	case x.a.URL != "":
		return "the address holds " + quote(x.a.URL), func(context.Context) (bool, error) {
			x.b.mu.Lock()
			defer x.b.mu.Unlock()
			return strings.Contains(x.t.url, x.a.URL), nil
		}, nil
	}
	return "", nil, nil
}
