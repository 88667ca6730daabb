package browser

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp/kb"
)

type sessionID = target.SessionID

// byKeys is the longest text that is typed key by key; a longer one is put in at once.
const byKeys = 200

func (x *action) typeText(ctx context.Context) (string, error) {
	p, err := x.aim(ctx, x.a.Ref)
	if err != nil {
		return "", err
	}
	id, n, err := x.element(x.a.Ref)
	if err != nil {
		return "", err
	}
	began, requested := x.stand()
	var at struct {
		Stale, Special, Filled bool
		Bad                    string
	}
	if err := x.t.js(ctx, id, &at, "begin", n); err != nil {
		return "", err
	}
	switch {
	case at.Stale:
		return "", errStale
	case at.Bad != "":
		return "", refuse("nothing was typed: %s", at.Bad)
	case at.Special:
		var got string
		if err := x.t.js(ctx, id, &got, "set", n, x.a.Text); err != nil {
			return "", err
		}
		if got != x.a.Text {
			return "", refuse("%s does not take %s; a date is written 2026-01-31, a time 14:05, a month 2026-01, a week 2026-W05, a colour #rrggbb", p.Name, quote(x.a.Text))
		}
	default:
		if err := x.enter(ctx, at.Filled); err != nil {
			return "", err
		}
	}
	x.t.settle(ctx, began, requested)
	var got *string
	if err := x.t.js(ctx, id, &got, "value", n); err != nil || got == nil {
		return x.after(ctx, "typed") // the page went on to something else
	}
	done := fmt.Sprintf("typed; the value is now %s", quote(bounded(*got, 300)))
	if plain := strings.Fields(x.a.Text); !strings.Contains(strings.Join(strings.Fields(*got), " "), strings.Join(plain, " ")) {
		done = fmt.Sprintf("typed, but the page took it otherwise: the value is now %s", quote(bounded(*got, 300)))
	}
	if strings.ContainsRune(*got, '•') && strings.Trim(*got, "•") == "" {
		done = fmt.Sprintf("typed; the value has %d characters", utf8.RuneCountInString(*got))
	}
	return x.after(ctx, done)
}

// enter replaces what is selected by the text.
func (x *action) enter(ctx context.Context, filled bool) error {
	text := strings.ReplaceAll(x.a.Text, "\r\n", "\n")
	if text == "" {
		if !filled {
			return nil
		}
		return x.keys(ctx, kb.Encode('\b'))
	}
	if utf8.RuneCountInString(text) > byKeys || strings.Contains(text, "\n") {
		_, err := call(ctx, x.c, x.session(), input.InsertText, input.InsertTextParams{Text: text})
		return err
	}
	var events []*input.DispatchKeyEventParams
	for _, r := range text {
		if _, ok := kb.Keys[r]; !ok {
			if err := x.keys(ctx, events); err != nil {
				return err
			}
			events = nil
			if _, err := call(ctx, x.c, x.session(), input.InsertText, input.InsertTextParams{Text: string(r)}); err != nil {
				return err
			}
			continue
		}
		events = append(events, kb.Encode(r)...)
	}
	return x.keys(ctx, events)
}

// keys sends key events in one go and waits for the last.
func (x *action) keys(ctx context.Context, events []*input.DispatchKeyEventParams) error {
	for i, e := range events {
		if i < len(events)-1 {
			post(x.c, x.session(), input.DispatchKeyEvent, *e)
			continue
		}
		_, err := call(ctx, x.c, x.session(), input.DispatchKeyEvent, *e)
		return err
	}
	return nil
}

// keyNames are the keys that have no character, by their names in lower case.
var keyNames = func() map[string]rune {
	m := map[string]rune{}
	for r, k := range kb.Keys {
		if name := strings.ToLower(k.Key); len(name) > 1 {
			if old, ok := m[name]; !ok || r < old {
				m[name] = r
			}
		}
	}
	for alias, name := range map[string]string{"esc": "escape", "return": "enter", "del": "delete", "up": "arrowup", "down": "arrowdown", "left": "arrowleft", "right": "arrowright"} {
		if r, ok := m[name]; ok {
			m[alias] = r
		}
	}
	m["space"] = ' '
	return m
}()

var modifiers = map[string]int64{"alt": 1, "control": 2, "ctrl": 2, "meta": 4, "cmd": 4, "shift": 8}

func (x *action) press(ctx context.Context) (string, error) {
	mods := int64(0)
	name := x.a.Text
	for {
		head, rest, ok := strings.Cut(name, "+")
		m := modifiers[strings.ToLower(head)]
		if !ok || m == 0 || rest == "" {
			break
		}
		mods, name = mods|m, rest
	}
	r, ok := keyNames[strings.ToLower(name)]
	if !ok {
		if utf8.RuneCountInString(name) != 1 {
			return "", refuse("there is no key %s: give one as Enter, Tab, Escape, ArrowDown, Backspace, a, or Control+a", quote(bounded(x.a.Text, 40)))
		}
		r, _ = utf8.DecodeRuneInString(name)
	}
	if x.a.Ref != "" {
		id, n, err := x.element(x.a.Ref)
		if err != nil {
			return "", err
		}
		var at struct{ Stale bool }
		if err := x.t.js(ctx, id, &at, "focus", n); err != nil {
			return "", err
		}
		if at.Stale {
			return "", errStale
		}
	}
	events := kb.Encode(r)
	var send []*input.DispatchKeyEventParams
	for _, e := range events {
		e.Modifiers |= mods
		if mods&^8 != 0 {
			if e.Type == kb.KeyChar {
				continue // a shortcut writes nothing
			}
			e.Text, e.UnmodifiedText = "", ""
		}
		send = append(send, e)
	}
	began, requested := x.stand()
	if err := x.keys(ctx, send); err != nil {
		return "", err
	}
	x.t.settle(ctx, began, requested)
	return x.after(ctx, "pressed "+quote(x.a.Text))
}

func (x *action) choose(ctx context.Context) (string, error) {
	id, n, err := x.element(x.a.Ref)
	if err != nil {
		return "", err
	}
	began, requested := x.stand()
	var got struct {
		Stale, Other bool
		Bad, Value   string
	}
	if err := x.t.js(ctx, id, &got, "select", n, strings.Split(x.a.Text, "\n")); err != nil {
		return "", err
	}
	switch {
	case got.Stale:
		return "", errStale
	case got.Other:
		return "", refuse("%s is no list of the browser's own: click it, then the option", x.a.Ref)
	case got.Bad != "":
		return "", refuse("nothing was chosen: %s", got.Bad)
	}
	x.t.settle(ctx, began, requested)
	return x.after(ctx, "chosen; the value is now "+quote(got.Value))
}

// drag presses the mouse on one element and lets go over another, for pages that listen to the mouse and for those that use the
// browser's drag and drop.
func (x *action) drag(ctx context.Context) (string, error) {
	from, err := x.aim(ctx, x.a.Ref)
	if err != nil {
		return "", err
	}
	began, requested := x.stand()
	x.b.mu.Lock()
	x.t.dragged = nil
	s := x.t.session
	x.b.mu.Unlock()
	if _, err := call(ctx, x.c, s, input.SetInterceptDrags, input.SetInterceptDragsParams{Enabled: true}); err != nil {
		return "", err
	}
	defer post(x.c, s, input.SetInterceptDrags, input.SetInterceptDragsParams{})
	e := input.DispatchMouseEventParams{Type: input.DispatchMouseEventTypeMouseMoved, X: from.X, Y: from.Y}
	if err := x.mouse(ctx, e); err != nil {
		return "", err
	}
	e.Type, e.Button, e.Buttons, e.ClickCount = input.DispatchMouseEventTypeMousePressed, input.MouseButtonLeft, 1, 1
	if err := x.mouse(ctx, e); err != nil {
		return "", err
	}
	down := true
	defer func() {
		if down {
			post(x.c, s, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: input.DispatchMouseEventTypeMouseReleased, X: e.X, Y: e.Y, Button: input.MouseButtonLeft, ClickCount: 1})
		}
	}()
	e.Type, e.ClickCount = input.DispatchMouseEventTypeMouseMoved, 0
	e.X, e.Y = from.X+6, from.Y+6 // far enough to be a drag
	if err := x.mouse(ctx, e); err != nil {
		return "", err
	}
	to, err := x.aim(ctx, x.a.To)
	if err != nil {
		return "", err
	}
	for i := 1; i <= 8; i++ {
		e.X, e.Y = from.X+(to.X-from.X)*float64(i)/8, from.Y+(to.Y-from.Y)*float64(i)/8
		if err := x.mouse(ctx, e); err != nil {
			return "", err
		}
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	native := x.b.until(short, func() bool { return x.t.dragged != nil })
	cancel()
	if native {
		x.b.mu.Lock()
		data := x.t.dragged
		x.b.mu.Unlock()
		for _, typ := range []input.DispatchDragEventType{input.DispatchDragEventTypeDragEnter, input.DispatchDragEventTypeDragOver, input.DispatchDragEventTypeDrop} {
			if _, err := call(ctx, x.c, s, input.DispatchDragEvent, input.DispatchDragEventParams{Type: typ, X: to.X, Y: to.Y, Data: data}); err != nil {
				return "", err
			}
		}
	}
	e.Type, e.Buttons, e.ClickCount = input.DispatchMouseEventTypeMouseReleased, 0, 1
	if err := x.mouse(ctx, e); err != nil {
		return "", err
	}
	down = false
	x.t.settle(ctx, began, requested)
	return x.after(ctx, fmt.Sprintf("dragged %s to %s", from.Name, to.Name))
}
