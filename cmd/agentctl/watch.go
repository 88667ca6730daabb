package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"agentd/api"
	"agentd/journal"
)

// watcher follows one run in the foreground: it prints, asks, and takes interrupts. All its fields belong to watch's loop.
type watcher struct {
	a   *app
	c   *api.Client
	run journal.RunID

	info        api.Info
	private     bool // the daemon ends with this program
	interactive bool // a person answers here
	json        bool
	out         *json.Encoder
	print       *printer

	interrupts int
	menu       bool   // the question "detach or cancel" is open
	asking     string // the ask that the terminal shows a question for
	rule       string // the rule for always that the question is about
	lines      chan string
}

func (a *app) watcher(c *api.Client, run journal.RunID, asJSON, plain bool) *watcher {
	w := &watcher{a: a, c: c, run: run, json: asJSON, out: json.NewEncoder(a.stdout)}
	w.out.SetEscapeHTML(false)
	moving := !plain && !asJSON && terminal(a.stderr) && a.getenv("TERM") != "dumb"
	to, result := a.stderr, a.stdout
	if asJSON {
		to, result = io.Discard, io.Discard
	}
	w.print = newPrinter(to, result, moving, moving && a.getenv("NO_COLOR") == "", width(a.stderr))
	return w
}

// catch takes over the signals that steer a watcher.
func (a *app) catch() (signals <-chan os.Signal, ignore func()) {
	ch := make(chan os.Signal, 4)
	for _, s := range a.heed {
		signal.Notify(ch, s)
	}
	return ch, func() { signal.Stop(ch) }
}

// watch follows the run until it has ended or needs a person who isn't here, and sets the exit code.
func (w *watcher) watch(ctx context.Context, signals <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.print.info, w.print.here, w.print.private = &w.info, w.interactive, w.private

	type next struct {
		item api.Item
		err  error
	}
	items := make(chan next)
	go func() {
		defer close(items)
		for it, err := range w.c.Follow(ctx, w.run, 0, w.print.moving) {
			select {
			case items <- next{it, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() { // join the follower, whatever ended this
		cancel()
		for range items {
		}
	}()
	var tick <-chan time.Time
	if w.print.moving {
		t := time.NewTicker(250 * time.Millisecond)
		defer t.Stop()
		tick = t.C
	}
	for {
		select {
		case n, more := <-items:
			if !more {
				return w.ended(ctx)
			}
			if n.err != nil {
				w.print.clear()
				return n.err
			}
			done, err := w.item(ctx, n.item)
			if done || err != nil {
				w.print.clear()
				return err
			}
		case s := <-signals:
			done, err := w.signal(ctx, s)
			if done || err != nil {
				return err
			}
		case text := <-w.lines:
			done, err := w.typed(ctx, text)
			if done || err != nil {
				return err
			}
		case <-tick:
			if !w.menu && w.asking == "" {
				w.print.live(time.Now())
			}
		}
	}
}

// ended is reached when the stream ended: the run has.
func (w *watcher) ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.print.clear()
	st := w.print.state
	if st.Outcome == nil {
		return api.Errorf(journal.ErrNotFound, "agentctl ls", "run %s was removed", w.run)
	}
	w.a.code = st.Status().Exit()
	return nil
}

// item takes in what the stream yields. done says that there is nothing to wait for.
func (w *watcher) item(ctx context.Context, it api.Item) (done bool, err error) {
	switch {
	case it.Down != nil:
		w.print.say("the daemon went away; the run goes on when it is back …")
		return false, nil
	case it.Delta != nil:
		w.print.delta(*it.Delta)
		return false, nil
	}
	if w.json {
		if err := w.out.Encode(it.Record); err != nil {
			return false, fmt.Errorf("write an event: %w", err)
		}
	}
	if err := w.print.record(*it.Record); err != nil {
		return false, err
	}
	st := w.print.state
	if w.asking != "" && st.Asks[w.asking] == nil { // answered elsewhere
		w.asking, w.rule = "", ""
	}
	if w.interactive {
		w.ask(ctx)
	}
	if it.Record.Kind == journal.KindPaused && st.Status() == journal.StatusParked && (!w.interactive || len(st.Asks) == 0) {
		w.a.code = st.Status().Exit()
		return true, nil
	}
	return false, nil
}

// ask puts the oldest open ask to the terminal, unless a question is open there already.
func (w *watcher) ask(ctx context.Context) {
	if w.menu || w.asking != "" {
		return
	}
	ask := oldestAsk(w.print.state)
	if ask == nil {
		return
	}
	w.asking = ask.Call.ID
	w.prompt(ctx, question(ask))
}

// prompt writes a question at the start of a line and sees to it that lines of the terminal arrive.
func (w *watcher) prompt(_ context.Context, text string) {
	w.print.clear()
	fmt.Fprint(w.a.stderr, clean(text)+" ")
	if w.lines != nil {
		return
	}
	w.lines = make(chan string)
	lines := w.lines
	// A read of a terminal can't be interrupted: this goroutine lives as long as the program, which ends soon after watch.
	go func() {
		r := bufio.NewReader(w.a.stdin)
		for {
			text, err := r.ReadString('\n')
			if err != nil {
				return
			}
			lines <- strings.TrimSpace(text)
		}
	}()
}

// question is how an ask is put to a person at the terminal.
func question(ask *journal.Ask) string {
	switch ask.Ask {
	case journal.AskDoubt:
		return "did it take effect? (done / again = run it anew / skip)"
	case journal.AskModel:
		return "your answer:"
	case journal.AskTake:
		return "use its browser with agentctl browser, then answer done (or deny)"
	}
	return "allow it? (y once, r for this run, a always, n no, or n and a reason)"
}

// typed takes a line from the terminal: the answer to the open question.
func (w *watcher) typed(ctx context.Context, text string) (done bool, err error) {
	if w.menu {
		w.menu = false
		switch strings.ToLower(text) {
		case "d", "detach":
			return true, w.detach()
		case "c", "cancel":
			return false, w.cancel(ctx)
		}
		w.interrupts = 0
		w.ask(ctx)
		return false, nil
	}
	ask := w.print.state.Asks[w.asking]
	if ask == nil {
		return false, nil
	}
	answer, ok := translate(ask.Ask, text)
	if rule := w.rule; rule != "" {
		w.rule = ""
		if answer, ok = (api.Answer{Answer: "allow", Scope: journal.ScopeAlways, Rule: rule}), text == "y" || text == "yes"; !ok {
			w.print.say("not added")
		}
	} else if ok && answer.Scope != journal.ScopeOnce {
		ok = w.withRule(ctx, &answer)
	}
	if w.rule != "" {
		return false, nil // its question is open
	}
	if !ok {
		w.prompt(ctx, question(ask))
		return false, nil
	}
	err = w.c.Answer(ctx, w.run, w.asking, answer)
	if errors.Is(err, api.ErrNotOpen) || errors.Is(err, api.ErrEnded) {
		err = nil // somebody else was faster; the stream says what they said
	}
	return false, err
}

// withRule gives an allowance for more than once its rule, and shows that; for always it asks first.
func (w *watcher) withRule(ctx context.Context, answer *api.Answer) bool {
	offer, err := w.c.AskRules(ctx, w.run, w.asking)
	if err == nil {
		answer.Rule, err = firstRule(offer, answer.Scope)
	}
	if err != nil {
		w.print.say("%s", line(err.Error(), 2*w.print.width))
		return false
	}
	if answer.Scope == journal.ScopeRun {
		w.print.say("for this run: allow when %s", clean(answer.Rule))
		return true
	}
	w.print.say("%s\n  to %s", ruleText(answer.Rule), clean(offer.File))
	w.rule = answer.Rule
	w.prompt(ctx, "add it? (y/n)")
	return true
}

// translate makes an answer of what a person types.
func translate(kind journal.AskKind, text string) (api.Answer, bool) {
	if kind == journal.AskModel {
		return api.Answer{Answer: text}, text != ""
	}
	word := strings.ToLower(text)
	if kind == journal.AskTool {
		first, rest, _ := strings.Cut(text, " ")
		switch strings.ToLower(first) {
		case "n", "no", "deny":
			return api.Answer{Answer: "deny", Reason: strings.TrimSpace(rest)}, true
		}
		switch word {
		case "y", "yes", "once":
			word = "allow"
		case "r", "run":
			return api.Answer{Answer: "allow", Scope: journal.ScopeRun}, true
		case "a", "always":
			return api.Answer{Answer: "allow", Scope: journal.ScopeAlways}, true
		}
	}
	if slices.Contains(api.Answers(kind), word) {
		return api.Answer{Answer: word}, true
	}
	return api.Answer{}, false
}

// signal takes an interrupt: the first asks on a terminal, else it cancels, as the second does; the third gives up.
func (w *watcher) signal(ctx context.Context, s os.Signal) (done bool, err error) {
	if s == syscall.SIGHUP && !w.private {
		return true, nil
	}
	w.interrupts++
	switch {
	case w.interrupts >= 3:
		w.a.code = 130
		w.print.clear()
		return true, nil
	case w.interrupts == 1 && s == os.Interrupt && terminal(w.a.stdin) && terminal(w.a.stderr) && !w.private:
		w.menu, w.asking, w.rule = true, "", ""
		w.prompt(ctx, "\n[d]etach and let it run, [c]ancel it, or Enter to go on watching?")
		return false, nil
	}
	w.menu = false
	return false, w.cancel(ctx)
}

func (w *watcher) cancel(ctx context.Context) error {
	w.print.say("cancelling …")
	err := w.c.Cancel(ctx, w.run)
	if errors.Is(err, api.ErrEnded) {
		return nil
	}
	return err
}

func (w *watcher) detach() error {
	w.a.note("the run goes on; watch it: agentctl events -f %s", w.run)
	return nil
}

// oldestAsk is the open ask that waits longest, nil if none is open.
func oldestAsk(st *journal.State) *journal.Ask {
	for _, id := range sortedAsks(st) {
		return st.Asks[id]
	}
	return nil
}
