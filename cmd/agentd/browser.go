package main

import (
	"errors"
	"io"
	"os"

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
