package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"agentd/journal"
	"agentd/tools"
	"agentd/tools/args"
)

// takeOver is the action of the browser by which an agent asks for a person.
const takeOver = "takeover"

// byPerson begins the ids of asks that a person opens by taking over a browser.
const byPerson = "takeover."

// ledgerPatience is how long a person's doing waits for a run that may be at its end.
const ledgerPatience = 10 * time.Second

// ErrNoScreen is returned for a run that has no browser to look into.
var ErrNoScreen = errors.New("the run has no browser that is open")

// Screen is a run's browser as a person sees and uses it.
type Screen struct {
	d        *driver
	view     tools.Screen
	task, by string
	why      string // the agent asked for a person
	unbind   func() bool

	mu  sync.Mutex // held while it is taken or given
	ask string     // that is open while it is taken
}

// Screen opens a live run's browser for a person. Without a task it is that of the task that asks for a person, else of one that
// has tabs open, else of one that runs. It must be closed.
func (e *Engine) Screen(ctx context.Context, run journal.RunID, task, by string) (*Screen, error) {
	e.mu.Lock()
	var d *driver
	if l := e.live[run]; l != nil {
		d = l.driver
	}
	e.mu.Unlock()
	if d == nil {
		return nil, ErrNoScreen
	}
	var seen map[string][]journal.Tab
	why := ""
	short, cancel := context.WithTimeout(ctx, ledgerPatience) // a run that ends has nobody to answer
	defer cancel()
	err := d.led.view(short, func(s *journal.State) {
		seen = s.Tabs
		if task == "" {
			task = screenTask(s)
		}
		if t := s.Tasks[task]; t == nil || t.Status != journal.TaskRunning {
			task = ""
		}
		for _, a := range s.Asks {
			if a.Ask == journal.AskTake && a.Call.Task == task && !strings.HasPrefix(a.Call.ID, byPerson) {
				why = a.Verdict.Why
			}
		}
	})
	if err != nil {
		return nil, err
	}
	if task == "" {
		return nil, ErrNoScreen
	}
	if _, err := d.tabs(task, seen); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrNoScreen, err)
	}
	d.pages.mu.Lock()
	w, ok := d.pages.browser.(tools.Watched)
	d.pages.mu.Unlock()
	if !ok {
		return nil, ErrNoScreen
	}
	x := &Screen{d: d, view: w.Screen(task), task: task, by: by, why: why}
	x.unbind = context.AfterFunc(d.life, x.view.Close)
	return x, nil
}

// screenTask picks the task whose tabs a person most likely wants to see.
func screenTask(s *journal.State) string {
	for _, a := range s.Asks {
		if a.Ask == journal.AskTake {
			return a.Call.Task
		}
	}
	running := ""
	for _, t := range s.Plan.Tasks {
		task := s.Tasks[t.ID]
		if task == nil || task.Status != journal.TaskRunning {
			continue
		}
		if len(s.Tabs[t.ID]) > 0 {
			return t.ID
		}
		if running == "" {
			running = t.ID
		}
	}
	return running
}

// Task is the task whose tabs are shown, and why the agent wants a person there, "" where it doesn't.
func (x *Screen) Task() (task, why string) { return x.task, x.why }

// Next waits until there is something new to see.
func (x *Screen) Next(ctx context.Context) (tools.Frame, error) { return x.view.Next(ctx) }

// Input does what a person does.
func (x *Screen) Input(ctx context.Context, in []tools.Input) error { return x.view.Input(ctx, in) }

// Take gives the tabs to the person: from then on the agent waits, which is an open ask.
func (x *Screen) Take(ctx context.Context) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ask != "" {
		return nil
	}
	raw, err := json.Marshal(args.Browser{Action: takeOver})
	if err != nil {
		return err
	}
	id := ""
	short, cancel := context.WithTimeout(ctx, ledgerPatience)
	defer cancel()
	err = x.d.led.do(short, func(t *tx) error {
		for _, a := range t.Asks {
			if a.Ask == journal.AskTake && a.Call.Task == x.task {
				id = a.Call.ID
				return nil
			}
		}
		id = fmt.Sprintf("%s%d", byPerson, t.Last+1)
		t.add(journal.ToolAsked{
			Call: journal.Call{ID: id, Task: x.task, Tool: browserTool, Args: raw}, Ask: journal.AskTake, Effect: string(tools.Read),
			Verdict: journal.Verdict{Do: "ask", Rule: takeOver, Why: "a person uses the browser (" + clip(x.by, 60) + ")"},
		})
		return nil
	})
	if err != nil {
		return err
	}
	x.ask = id
	if err := x.view.Take(ctx); err != nil {
		return errors.Join(err, x.give(context.WithoutCancel(ctx), false))
	}
	return nil
}

// Give gives the tabs back to the agent. done: what it asked a person for is done, too.
func (x *Screen) Give(ctx context.Context, done bool) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.give(ctx, done)
}

func (x *Screen) give(ctx context.Context, done bool) error {
	if x.ask == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, ledgerPatience)
	defer cancel()
	id := x.ask
	x.ask = ""
	v, taken := x.view.Give()
	var tabs []tools.Tab
	x.d.pages.mu.Lock()
	if b := x.d.pages.browser; b != nil {
		tabs = b.Tabs(x.task).Open()
	}
	x.d.pages.mu.Unlock()
	return x.d.led.do(ctx, func(t *tx) error {
		if taken {
			t.add(journal.TakenOver{Task: x.task, By: x.by, Ms: v.Time.Milliseconds(), Clicks: v.Clicks, Keys: v.Keys, Pages: v.Pages})
			t.add(tabEvents(x.task, t.Tabs[x.task], tabs)...)
		}
		if t.Asks[id] != nil && (done || strings.HasPrefix(id, byPerson)) {
			t.add(journal.AskAnswered{Ask: id, Answer: "done", By: x.by})
		}
		return nil
	})
}

// Close ends the view, and gives the tabs back. What the agent asked for stays open: another may do it.
func (x *Screen) Close(ctx context.Context) error {
	err := x.Give(ctx, false)
	x.unbind()
	x.view.Close()
	return err
}

// taken reports whether a person uses the browser of a task, by that person's own will.
func taken(s *journal.State, task string) bool {
	for _, a := range s.Asks {
		if a.Ask == journal.AskTake && a.Call.Task == task && strings.HasPrefix(a.Call.ID, byPerson) {
			return true
		}
	}
	return false
}

// untaken returns when no person uses the task's browser.
func (d *driver) untaken(ctx context.Context, task string) error {
	return d.led.wait(ctx, func(s *journal.State) bool { return !taken(s, task) })
}

// leftTaken settles what a person had taken when the last driver ended: it went with that one's browser.
func leftTaken(t *tx) {
	for id, a := range t.Asks {
		if a.Ask == journal.AskTake && strings.HasPrefix(id, byPerson) {
			t.add(journal.AskAnswered{Ask: id, Answer: "done", By: "agentd", Reason: "agentd was started again"})
		}
	}
}

// wantsPerson reports whether a call asks for a person at the browser, and why.
func wantsPerson(m move) (why string, ok bool) {
	a, ok := m.args.(args.Browser)
	if !ok || a.Action != takeOver {
		return "", false
	}
	return "a person is needed in the browser: " + clip(oneLine(a.Text), 500), true
}
