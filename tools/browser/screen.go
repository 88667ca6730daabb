package browser

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"

	"agentd/tools"
)

const (
	screenWidth, screenHeight = 1280, 900
	screenPace                = 60 * time.Millisecond // between two pictures
	maxPages                  = 20                    // of a visit that are named
	maxInputs                 = 200                   // at once
)

// picture is the newest frame of a tab's screencast.
type picture struct {
	data          []byte
	width, height float64 // of the page's visible part, in its pixels
	number        int     // counts up
	ack           int64   // what the browser wants to hear before it sends the next
	open          bool    // it has not heard it
}

// shoot keeps a frame of the screencast. mu is held.
func (t *tab) shoot(ev *page.EventScreencastFrame) {
	p := &t.picture
	p.data, p.ack, p.open = ev.Data, ev.SessionID, true
	p.number++
	if m := ev.Metadata; m != nil {
		p.width, p.height = m.DeviceWidth, m.DeviceHeight
	}
}

// screen is a person's view of a task's tabs.
type screen struct {
	k *Task

	using sync.Mutex // held by one Input at a time

	// Guarded by b.mu.
	tab     *tab
	session sessionID   // of tab, when its screencast was started
	number  int         // of the picture that was seen last
	seen    tools.Frame // what was last returned, without its picture
	taken   bool
	began   time.Time
	visit   tools.Visit
	closed  bool
	ready   bool // the browser was started, and its tabs opened again
	last    time.Time
}

// Screen opens a view of a task's tabs for a person.
func (b *Browser) Screen(task string) tools.Screen {
	k, ok := b.Tabs(task).(*Task)
	if !ok {
		panic("browser: a task of another kind") // Tabs makes no other
	}
	return &screen{k: k}
}

// prepare starts the browser and opens what an earlier one had open. Where an action runs, that was done.
func (s *screen) prepare(ctx context.Context) error {
	s.k.b.mu.Lock()
	ready, taken := s.ready, s.taken
	s.k.b.mu.Unlock()
	if ready {
		return nil
	}
	if !taken {
		select {
		case s.k.acting <- struct{}{}:
			defer s.k.finish()
		default:
			return nil
		}
	}
	c, err := s.k.b.live(ctx)
	if err != nil {
		return err
	}
	(&action{Task: s.k, c: c}).reopen(ctx)
	s.k.b.mu.Lock()
	defer s.k.b.mu.Unlock()
	s.ready = true
	return nil
}

// Next waits until there is something new to see.
func (s *screen) Next(ctx context.Context) (tools.Frame, error) {
	if err := s.prepare(ctx); err != nil {
		return tools.Frame{}, err
	}
	b := s.k.b
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(b.ctx, func() { cancel(ErrClosed) })()
	b.mu.Lock()
	wait := screenPace - time.Since(s.last)
	b.mu.Unlock()
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return tools.Frame{}, context.Cause(ctx)
		}
	}
	var f tools.Frame
	if !b.until(ctx, func() bool { return s.closed || b.tasks[s.k.name] != s.k || s.look(&f) }) {
		return f, context.Cause(ctx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.closed || b.tasks[s.k.name] != s.k {
		return f, ErrClosed
	}
	s.last = time.Now()
	return f, nil
}

// look says whether there is something new, and what. mu is held.
func (s *screen) look(f *tools.Frame) bool {
	b, t := s.k.b, s.k.current
	if t != s.tab || t != nil && t.session != s.session {
		s.cast(t)
	}
	now := tools.Frame{Taken: s.taken}
	for _, o := range s.k.tabs {
		now.Tabs = append(now.Tabs, tools.Sight{ID: o.id, Title: o.title, Front: o == t})
	}
	if t != nil {
		now.URL = t.url
		if t.dialog != nil {
			now.Dialog = t.dialog.String()
		}
		s.note(t.url)
	}
	same := slices.Equal(now.Tabs, s.seen.Tabs) && now.URL == s.seen.URL && now.Dialog == s.seen.Dialog && now.Taken == s.seen.Taken
	s.seen = now
	if t != nil && t.picture.number != s.number {
		p := &t.picture
		now.Picture, s.number, same = p.data, p.number, false
		if p.open && b.conn != nil {
			p.open = false
			post(b.conn, t.session, page.ScreencastFrameAck, page.ScreencastFrameAckParams{SessionID: p.ack})
		}
	}
	*f = now
	return !same || s.last.IsZero()
}

// cast starts the screencast of a tab instead of the last one's. mu is held.
func (s *screen) cast(t *tab) {
	b := s.k.b
	if s.tab != nil && s.tab.session == s.session && b.conn != nil {
		post(b.conn, s.session, page.StopScreencast, cdp.Empty{})
	}
	s.tab, s.session, s.number = t, "", 0
	if t == nil || t.session == "" || b.conn == nil {
		return
	}
	s.session = t.session
	t.picture = picture{}
	quality, last := int64(70), true
	b.front = t
	post(b.conn, t.session, page.BringToFront, cdp.Empty{}) // one that is behind another draws nothing
	post(b.conn, t.session, page.StartScreencast, page.StartScreencastParams{
		Format: page.StartScreencastFormatJpeg, Quality: &quality, MaxWidth: screenWidth, MaxHeight: screenHeight, EveryNthFrame: 1, MaxFramesInFlight: 1, SendLastFrame: &last,
	})
}

// note keeps an address that is seen while a person uses the tabs. mu is held.
func (s *screen) note(address string) {
	if !s.taken || len(s.visit.Pages) >= maxPages {
		return
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return
	}
	p := bounded((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String(), 300)
	if n := len(s.visit.Pages); n == 0 || s.visit.Pages[n-1] != p {
		s.visit.Pages = append(s.visit.Pages, p)
	}
}

// Take waits for the action that runs, and keeps the task from acting.
func (s *screen) Take(ctx context.Context) error {
	b := s.k.b
	b.mu.Lock()
	done := s.taken
	b.mu.Unlock()
	if done {
		return nil
	}
	if err := s.k.begin(ctx); err != nil {
		return err
	}
	b.mu.Lock()
	if s.closed {
		b.mu.Unlock()
		s.k.finish()
		return ErrClosed
	}
	s.taken, s.began, s.visit = true, time.Now(), tools.Visit{}
	b.notify()
	b.mu.Unlock()
	return s.prepare(ctx)
}

// Give lets the task act again.
func (s *screen) Give() (tools.Visit, bool) {
	b := s.k.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if !s.taken {
		return tools.Visit{}, false
	}
	s.taken = false
	s.visit.Time = time.Since(s.began)
	s.k.say("a person used the browser, and gave it back")
	s.k.finish()
	b.notify()
	return s.visit, true
}

// Close ends the view.
func (s *screen) Close() {
	s.Give()
	b := s.k.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	s.cast(nil)
	b.notify()
}

// Input does what a person does.
func (s *screen) Input(ctx context.Context, in []tools.Input) error {
	if len(in) > maxInputs {
		return errors.New("that is too much at once")
	}
	s.using.Lock()
	defer s.using.Unlock()
	b := s.k.b
	b.mu.Lock()
	taken := s.taken
	b.mu.Unlock()
	if !taken {
		return tools.ErrNotTaken
	}
	c, err := b.live(ctx)
	if err != nil {
		return err
	}
	for _, one := range in {
		if err := s.do(ctx, c, one); err != nil {
			return err
		}
	}
	return nil
}

// do does one thing. What goes to the page is sent and not waited for: a page that hangs would hold up the person.
func (s *screen) do(ctx context.Context, c *conn, in tools.Input) error {
	b := s.k.b
	b.mu.Lock()
	t := s.k.current
	if in.Kind == "tab" {
		for _, o := range s.k.tabs {
			if o.id == in.Text {
				s.k.current = o
			}
		}
		b.notify()
		b.mu.Unlock()
		return nil
	}
	if t == nil && in.Kind != "open" || t != nil && t.session == "" {
		b.mu.Unlock()
		return nil // it is gone since the person saw it
	}
	var session sessionID
	var d *dialog
	x, y := 0.0, 0.0
	if t != nil {
		session, d = t.session, t.dialog
		x, y = min(max(in.X, 0), 1)*t.picture.width, min(max(in.Y, 0), 1)*t.picture.height
	}
	switch in.Kind {
	case "down":
		s.visit.Clicks++
	case "keydown":
		if in.Text != "" || len(in.Key) > 1 {
			s.visit.Keys++
		}
	case "text":
		s.visit.Keys += len([]rune(in.Text))
	case "accept", "dismiss":
		if d != nil {
			t.dialog = nil
		}
	}
	b.mu.Unlock()
	switch in.Kind {
	case "move", "down", "up", "wheel":
		post(c, session, input.DispatchMouseEvent, mouseOf(in, x, y))
	case "keydown", "keyup":
		post(c, session, input.DispatchKeyEvent, keyOf(in))
	case "text":
		post(c, session, input.InsertText, input.InsertTextParams{Text: bounded(in.Text, maxText)})
	case "reload":
		post(c, session, page.Reload, page.ReloadParams{})
	case "accept", "dismiss":
		if d != nil {
			post(c, d.session, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: in.Kind == "accept", PromptText: bounded(in.Text, 4096)})
		}
	case "back", "forward":
		return s.history(ctx, c, session, in.Kind)
	case "open":
		return s.open(ctx, c, t, in.Text)
	default:
		return errors.New("a person can't do " + quote(bounded(in.Kind, 20)) + " here")
	}
	return nil
}

func (s *screen) history(ctx context.Context, c *conn, session sessionID, kind string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	h, err := call(ctx, c, session, page.GetNavigationHistory, cdp.Empty{})
	if err != nil {
		return nil // the page is about to go away, or hangs
	}
	i := h.CurrentIndex - 1
	if kind == "forward" {
		i = h.CurrentIndex + 1
	}
	if i >= 0 && i < int64(len(h.Entries)) {
		post(c, session, page.NavigateToHistoryEntry, page.NavigateToHistoryEntryParams{EntryID: h.Entries[i].ID})
	}
	return nil
}

// open goes to an address, in a new tab where there is none.
func (s *screen) open(ctx context.Context, c *conn, t *tab, text string) error {
	to, err := address(bounded(text, 32<<10))
	if err != nil {
		return err
	}
	if t == nil {
		if t, err = (&action{Task: s.k, c: c}).newTab(ctx); err != nil {
			return err
		}
	}
	s.k.b.mu.Lock()
	t.crashed = false
	session := t.session
	s.k.b.notify()
	s.k.b.mu.Unlock()
	post(c, session, page.Navigate, page.NavigateParams{URL: to})
	return nil
}

func mouseOf(in tools.Input, x, y float64) input.DispatchMouseEventParams {
	e := input.DispatchMouseEventParams{X: x, Y: y, Modifiers: int64(in.Mods & 15), ClickCount: int64(min(max(in.Count, 0), 3))}
	button, held := input.MouseButtonLeft, int64(1)
	switch in.Button {
	case "right":
		button, held = input.MouseButtonRight, 2
	case "middle":
		button, held = input.MouseButtonMiddle, 4
	case "":
		button, held = input.MouseButtonNone, 0
	}
	e.Button, e.Buttons = button, held
	switch in.Kind {
	case "move":
		e.Type = input.DispatchMouseEventTypeMouseMoved
	case "down":
		e.Type = input.DispatchMouseEventTypeMousePressed
	case "up":
		e.Type, e.Buttons = input.DispatchMouseEventTypeMouseReleased, 0
	default:
		e.Type, e.DeltaX, e.DeltaY = input.DispatchMouseEventTypeMouseWheel, in.DX, in.DY
	}
	return e
}

func keyOf(in tools.Input) input.DispatchKeyEventParams {
	e := input.DispatchKeyEventParams{
		Type: input.DispatchKeyEventTypeKeyUp, Modifiers: int64(in.Mods & 15), Key: bounded(in.Key, 40), Code: bounded(in.Code, 40), WindowsVirtualKeyCode: int64(in.Number), NativeVirtualKeyCode: int64(in.Number),
	}
	if in.Kind == "keyup" {
		return e
	}
	e.Type = input.DispatchKeyEventTypeRawKeyDown
	text := bounded(in.Text, 16)
	if in.Key == "Enter" {
		text = "\r"
	}
	if text != "" && in.Mods&^8 == 0 {
		e.Type, e.Text, e.UnmodifiedText = input.DispatchKeyEventTypeKeyDown, text, text
	}
	return e
}

// handedBack is what the agent sees after a person did what it asked one for.
func (x *action) handedBack(ctx context.Context) (string, error) { return x.t.view(ctx, 1, "") }
