package browser

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"

	"agentd/tools"
	"agentd/tools/args"
)

const (
	defaultTimeout = 20 * time.Second
	maxTimeout     = 300
	maxTabs        = 20
	maxNotes       = 20
	keep           = 8 << 10 // of the head and of the tail of a result
)

// Task is the browser as one task of a run sees it: its own tabs, in the profile that all tasks share.
type Task struct {
	b    *Browser
	name string

	acting chan struct{} // holds a token while an action runs, or a person uses the tabs

	// Guarded by b.mu.
	tabs    []*tab
	current *tab
	notes   []string
	lost    []tools.Tab // of an earlier browser, not yet opened again
}

// Tabs returns the browser as a task sees it; the same name gives the same one.
func (b *Browser) Tabs(name string) tools.Tabs {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.tasks[name]
	if k == nil {
		k = &Task{b: b, name: name, acting: make(chan struct{}, 1), lost: b.o.Tabs[name]}
		delete(b.o.Tabs, name)
		b.tasks[name] = k
	}
	return k
}

// begin waits until nobody else uses the tabs. finish lets the next one.
func (k *Task) begin(ctx context.Context) error {
	select {
	case k.acting <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (k *Task) finish() { <-k.acting }

// origins are the hosts of the pages that the task has open, none of which vouches for what it says.
func (k *Task) origins() []string {
	k.b.mu.Lock()
	defer k.b.mu.Unlock()
	var out []string
	for _, t := range k.tabs {
		u, err := url.Parse(t.url)
		if err != nil || u.Host == "" {
			continue
		}
		if o := "web:" + bounded(u.Host, 200); !slices.Contains(out, o) {
			out = append(out, o)
		}
	}
	return out
}

// Close closes the task's tabs.
func (k *Task) Close() {
	if k.begin(k.b.ctx) == nil {
		defer k.finish()
	}
	k.b.mu.Lock()
	defer k.b.mu.Unlock()
	for _, t := range slices.Clone(k.tabs) {
		k.b.drop(t)
	}
	delete(k.b.tasks, k.name)
	k.b.notify()
}

// drop closes a tab. mu is held.
func (b *Browser) drop(t *tab) {
	if b.conn != nil && t.session != "" {
		post(b.conn, t.session, page.Close, cdp.Empty{})
	}
	b.closed(t)
}

// add gives the task a tab. mu is held.
func (k *Task) add(t *tab) {
	k.b.nextTab++
	t.id, t.task = fmt.Sprintf("t%d", k.b.nextTab), k
	k.tabs = append(k.tabs, t)
	if len(k.tabs) > maxTabs {
		k.say("tab %s was closed: there are more than %d", k.tabs[1].id, maxTabs)
		k.b.drop(k.tabs[1])
	}
}

// remove takes a tab that is gone from the task. mu is held.
func (k *Task) remove(t *tab) {
	k.tabs = slices.DeleteFunc(k.tabs, func(o *tab) bool { return o == t })
	if k.current == t {
		k.current = nil
		if n := len(k.tabs); n > 0 {
			k.current = k.tabs[n-1]
		}
	}
}

// say keeps a note for the next result. mu is held.
func (k *Task) say(format string, a ...any) {
	if len(k.notes) < maxNotes {
		k.notes = append(k.notes, fmt.Sprintf(format, a...))
	}
}

// refusal is what a model can do something about: a result, and not an error of the tool.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

func refuse(format string, a ...any) error { return &refusal{fmt.Sprintf(format, a...)} }

// action is one call while it runs.
type action struct {
	*Task
	a       args.Browser
	env     tools.Env
	c       *conn
	t       *tab
	changed []string // workspace paths
	shots   [][]byte // pictures, for models that see
}

// Do does one action and says what came of it.
func (k *Task) Do(ctx context.Context, env tools.Env, a args.Browser) (tools.Result, error) {
	if err := k.begin(ctx); err != nil {
		return tools.Result{}, err
	}
	defer k.finish()
	limit := defaultTimeout
	if a.Timeout > 0 {
		limit = time.Duration(min(a.Timeout, maxTimeout)) * time.Second
	}
	outer := ctx
	c, err := k.b.live(ctx) // a start has a deadline of its own
	if err != nil {
		return tools.Result{}, err
	}
	x := &action{Task: k, a: a, env: env, c: c}
	x.reopen(ctx)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errSlow)
	defer cancel()
	text, err := x.run(ctx)
	if outer.Err() != nil {
		return tools.Result{}, context.Cause(outer)
	}
	res := tools.Result{OK: err == nil, Level: k.b.o.Level, Changed: x.changed}
	if err != nil {
		res.Exit = 1
		if text, err = x.explain(outer, err); err != nil {
			return tools.Result{}, err
		}
	}
	x.collect(outer, &text)
	res.Changed, res.Origins, res.Pictures = x.changed, x.origins(), x.shots
	res.Output = tools.NewOutput(keep)
	_, _ = res.Output.Write([]byte(text)) // never fails
	return res, nil
}

// errSlow is the cause of an action's end at its deadline.
var errSlow = errors.New("the time of the action is over")

// run prepares the tab and does the action.
func (x *action) run(ctx context.Context) (string, error) {
	x.b.mu.Lock()
	t := x.current
	x.b.mu.Unlock()
	switch {
	case x.a.Action == "tabs":
		return x.listTabs(), nil
	case x.a.Action == "open" && (t == nil || x.a.To == "new"):
		var err error
		if t, err = x.newTab(ctx); err != nil {
			return "", err
		}
	case t == nil:
		return "", refuse("no page is open: open one first")
	}
	x.t = t
	t.room = roomOf(x.env)
	inner, interrupt := context.WithCancelCause(ctx)
	defer interrupt(nil)
	x.b.mu.Lock()
	t.interrupt = interrupt
	d, crashed := t.dialog, t.crashed
	x.b.mu.Unlock()
	defer func() { x.b.mu.Lock(); t.interrupt = nil; x.b.mu.Unlock() }()
	switch {
	case x.a.Action == "dialog":
		return x.dialogAction(inner, d)
	case x.a.Action == "switch", x.a.Action == "close":
		return x.tabAction(inner)
	case d != nil:
		return "", errDialog
	case crashed && x.a.Action != "open":
		return x.recovered(inner)
	}
	x.front(t)
	f, ok := actions[x.a.Action]
	if !ok {
		return "", refuse("there is no action %q", x.a.Action)
	}
	text, err := f(x, inner)
	if err != nil && inner.Err() != nil {
		if why := context.Cause(inner); errors.Is(why, errDialog) || errors.Is(why, errCrashed) || errors.Is(why, errGone) || errors.Is(why, errSlow) {
			err = why
		}
	}
	return text, err
}

// explain makes an answer of an error that a model can do something about.
func (x *action) explain(ctx context.Context, err error) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var r *refusal
	var s *scriptError
	switch {
	case errors.As(err, &r):
		return r.text + "\n", nil
	case errors.Is(err, errStale):
		text, verr := x.t.view(ctx, 1, "")
		if verr != nil {
			return fmt.Sprintf("there is no element %s any more\n", quote(x.a.Ref)), nil
		}
		return fmt.Sprintf("there is no element %s any more; nothing was done. The page now:\n%s", quote(x.a.Ref), text), nil
	case errors.Is(err, errDialog):
		x.b.mu.Lock()
		d := x.t.dialog
		x.b.mu.Unlock()
		if d == nil {
			return "a dialog opened and closed\n", nil
		}
		return "the page waits for an answer to " + d.String() + "; give it with the action dialog\n", nil
	case errors.Is(err, errCrashed):
		text, rerr := x.recovered(ctx)
		if rerr != nil {
			return "the page crashed, and again when it was reloaded; open another one\n", nil
		}
		return text, nil
	case errors.Is(err, errGone):
		return "the tab was closed while the action ran\n" + x.listTabs(), nil
	case errors.Is(err, errSlow):
		return fmt.Sprintf("not done: the page did not answer in time (%s of action %s)\n", x.limit(), x.a.Action), nil
	case errors.Is(err, errLost):
		if _, lerr := x.b.live(ctx); lerr != nil {
			return "", lerr
		}
		return "the browser died while the action ran, and was started again; whether the action took effect is not known\n", nil
	case errors.Is(err, errNoDocument):
		return "the page has no document now; wait, or open another one\n", nil
	case errors.As(err, &s), protocolError(err, ""):
		return "the browser refused: " + quote(err.Error()) + "\n", nil
	}
	return "", err
}

func (x *action) limit() time.Duration {
	if x.a.Timeout > 0 {
		return time.Duration(min(x.a.Timeout, maxTimeout)) * time.Second
	}
	return defaultTimeout
}

// collect adds notes and finished downloads to a result.
func (x *action) collect(ctx context.Context, text *string) {
	x.fetchDownloads(ctx)
	x.b.mu.Lock()
	defer x.b.mu.Unlock()
	var b strings.Builder
	for _, n := range x.notes {
		b.WriteString("note: " + n + "\n")
	}
	x.notes = nil
	*text = b.String() + *text
}

// recovered opens a crashed page again.
func (x *action) recovered(ctx context.Context) (string, error) {
	x.b.mu.Lock()
	url := x.t.url
	x.b.mu.Unlock()
	if _, err := x.t.navigate(ctx, url); err != nil {
		return "", err
	}
	x.t.settle(ctx, -1, 0)
	text, err := x.t.view(ctx, 1, "")
	if err != nil {
		return "", err
	}
	return "the page had crashed; it was opened again, nothing else was done. What was typed there is lost.\n" + text, nil
}

// newTab makes a tab and switches to it.
func (x *action) newTab(ctx context.Context) (*tab, error) {
	t, err := x.b.blank(ctx, x.c)
	if err != nil {
		return nil, err
	}
	x.b.mu.Lock()
	defer x.b.mu.Unlock()
	if t.gone {
		return nil, errLost
	}
	x.add(t)
	x.current = t
	return t, nil
}

// front brings a tab to the front: one that is behind another draws nothing, and some commands then wait for ever.
func (x *action) front(t *tab) {
	x.b.mu.Lock()
	defer x.b.mu.Unlock()
	if x.b.front != t && t.session != "" {
		x.b.front = t
		post(x.c, t.session, page.BringToFront, cdp.Empty{})
	}
}

func (x *action) listTabs() string {
	x.b.mu.Lock()
	defer x.b.mu.Unlock()
	if len(x.tabs) == 0 {
		return "no tab is open\n"
	}
	var b strings.Builder
	for _, t := range x.tabs {
		mark := "-"
		if t == x.current {
			mark = ">"
		}
		fmt.Fprintf(&b, "%s %s %s %s", mark, t.id, quote(t.title), bounded(t.url, 200))
		if t.crashed {
			b.WriteString(" crashed")
		}
		if t.dialog != nil {
			b.WriteString(" waits for an answer to " + t.dialog.String())
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (x *action) tabAction(ctx context.Context) (string, error) {
	x.b.mu.Lock()
	t := x.t
	if x.a.To != "" {
		i := slices.IndexFunc(x.tabs, func(o *tab) bool { return o.id == x.a.To })
		if i < 0 {
			x.b.mu.Unlock()
			return "", refuse("there is no tab %s:\n%s", quote(x.a.To), strings.TrimSuffix(x.listTabs(), "\n"))
		}
		t = x.tabs[i]
	}
	if x.a.Action == "close" {
		x.b.drop(t)
		x.b.mu.Unlock()
		return "closed " + t.id + "\n" + x.listTabs(), nil
	}
	x.current, x.t = t, t
	t.room = roomOf(x.env)
	d := t.dialog
	x.b.mu.Unlock()
	if d != nil {
		return "", errDialog
	}
	x.front(t)
	return t.view(ctx, 1, "")
}

func (d *dialog) String() string {
	s := "the dialog " + d.kind + " " + d.message
	if d.preset != "" {
		s += " (preset " + quote(d.preset) + ")"
	}
	return s
}

// dialogAction answers a dialog.
func (x *action) dialogAction(ctx context.Context, d *dialog) (string, error) {
	if d == nil {
		return "", refuse("no dialog is open")
	}
	p := page.HandleJavaScriptDialogParams{Accept: x.a.Text != "dismiss"}
	if d.kind == "prompt" && p.Accept {
		p.PromptText = x.a.Text
		if x.a.Text == "accept" {
			p.PromptText = d.preset
		}
	}
	x.b.mu.Lock()
	x.t.dialog = nil
	began, requested := x.t.began, x.t.requested
	x.b.mu.Unlock()
	if _, err := call(ctx, x.c, d.session, page.HandleJavaScriptDialog, p); err != nil {
		return "", err
	}
	x.t.settle(ctx, began, requested)
	return x.after(ctx, "answered")
}

// after is the end of every action: what was done and what changed.
func (x *action) after(ctx context.Context, done string) (string, error) {
	x.b.mu.Lock()
	d, gone, crashed := x.t.dialog, x.t.gone, x.t.crashed
	x.b.mu.Unlock()
	switch {
	case d != nil:
		return done + "\nthe page waits for an answer to " + d.String() + "; give it with the action dialog\n", nil
	case gone:
		return done + "\nthe tab was closed\n" + x.listTabs(), nil
	case crashed:
		return "", errCrashed
	}
	text, err := x.t.diff(ctx)
	if err != nil {
		return "", err
	}
	return done + "\n" + text, nil
}
