package main

import (
	"context"
	"errors"
	"io"
	"os"

	"agentd/agent"
	"agentd/api"
	"agentd/journal"
	"agentd/sandbox"
	"agentd/tools"
	"agentd/tools/browser"
	"agentd/tools/web"
)

// canBrowse says why this machine's runs have no browser, or nil.
func (d *daemon) canBrowse() error {
	if _, err := browser.Find(); err != nil {
		return err
	}
	if rep := d.box.Report(); rep.Level < sandbox.LevelNamespaces {
		return errors.New("a browser needs the sandbox level namespaces: only there is a proxy its one way out; this machine has " + rep.Level.String())
	}
	return nil
}

// browserOf checks what a request says of a browser, and gives the word for the engine.
func (d *daemon) browserOf(want string) (string, error) {
	switch want {
	case "off":
		return want, nil
	case "", "on":
	default:
		return "", api.Errorf(api.ErrInvalid, "use on or off, or leave it out", "browser: %.40q is neither on nor off", want)
	}
	err := d.canBrowse()
	switch {
	case err == nil:
		return want, nil
	case want == "":
		return "off", nil
	case errors.Is(err, browser.ErrNoBrowser):
		return "", api.Errorf(api.ErrInvalid, "agentctl doctor --fix installs one where it can", "%v", err)
	}
	return "", api.Errorf(api.ErrSandbox, "agentctl doctor says what is missing", "%v", err)
}

// openBrowser makes the browser of a run. It is started in a box of its own when a task first needs it.
func (d *daemon) openBrowser(_ journal.RunID, s journal.RunStarted, seen map[string][]tools.Tab) (tools.Browser, error) {
	if err := d.canBrowse(); err != nil {
		return nil, err
	}
	program, err := browser.Find()
	if err != nil {
		return nil, err
	}
	scratch, release, err := browser.NewScratch()
	if err != nil {
		return nil, err
	}
	o := browser.Options{
		Program: program, Scratch: scratch, Start: browser.InBox(d.box, sandbox.Net{Allow: s.Net}, scratch, program),
		Tabs: seen, Level: d.box.Report().Level.String(), Log: d.log,
	}
	b, err := browser.New(o.InBoxOptions(len(s.Net) > 0))
	if err != nil {
		return nil, errors.Join(err, release.Close())
	}
	return &runBrowser{b, release}, nil
}

// runBrowser is a browser with its scratch folder.
type runBrowser struct {
	*browser.Browser
	release io.Closer
}

// Close ends the browser and frees its folder.
func (b *runBrowser) Close() error { return errors.Join(b.Browser.Close(), b.release.Close()) }

// toolset are the tools of this daemon's runs.
func (d *daemon) toolset() (*tools.Set, error) {
	more := []tools.Tool{browser.Tool{}, web.NewHTTP(d.newProxy)}
	engine, err := d.cfg.Search.searchEngine(os.Getenv)
	if err != nil {
		return nil, err
	}
	if engine != nil {
		more = append(more, web.NewSearch(engine, d.newProxy))
	}
	return tools.Builtin().WithMemory().WithNetwork().With(more...)
}

// screens let persons look into the browsers of the engine's runs.
type screens struct{ *agent.Engine }

// Screen opens a run's browser.
func (s screens) Screen(ctx context.Context, run journal.RunID, task, by string) (api.Screen, error) {
	x, err := s.Engine.Screen(ctx, run, task, by)
	if errors.Is(err, agent.ErrNoScreen) {
		return nil, api.Errorf(journal.ErrNotFound, "a run has one from its first use of a page until its end", "run %s: %v", run, err)
	}
	if err != nil {
		return nil, err
	}
	return oneScreen{x}, nil
}

// oneScreen is a browser in the words of the API.
type oneScreen struct{ *agent.Screen }

// Next waits until there is something new to see.
func (s oneScreen) Next(ctx context.Context) (api.ScreenFrame, error) {
	f, err := s.Screen.Next(ctx)
	if errors.Is(err, browser.ErrClosed) {
		err = api.Errorf(api.ErrEnded, "", "the task or the run has ended")
	}
	task, why := s.Task()
	out := api.ScreenFrame{Task: task, Why: why, URL: f.URL, Dialog: f.Dialog, Picture: f.Picture, Taken: f.Taken}
	for _, t := range f.Tabs {
		out.Tabs = append(out.Tabs, api.ScreenTab(t))
	}
	return out, err
}

// Input does what a person does.
func (s oneScreen) Input(ctx context.Context, in []api.ScreenInput) error {
	list := make([]tools.Input, len(in))
	for i, one := range in {
		list[i] = tools.Input(one)
	}
	err := s.Screen.Input(ctx, list)
	if errors.Is(err, tools.ErrNotTaken) {
		return api.Errorf(api.ErrNotOpen, "take it over first", "%v", err)
	}
	return err
}
