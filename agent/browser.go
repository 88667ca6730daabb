package agent

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"

	"agentd/journal"
	"agentd/tools"
)

// What a run has of a browser, as journal.RunStarted.Browser says.
const (
	BrowserAsked   = "asked"   // a person asked for it, or named an address in the goal: every model is offered it
	BrowserOffered = "offered" // the network is open: models that are not confused by many tools are offered it
)

// browserTool is the name of the tool that needs Config.Browser.
const browserTool = "browser"

// webAddress is how an address stands in a goal.
var webAddress = regexp.MustCompile(`(?i)\bhttps?://[^\s]`)

// browserFor decides what a run has of a browser. want is what a person said: on, off, or "" for nothing.
func (c *Config) browserFor(want, goal string, net []string) string {
	switch {
	case c.Browser == nil || want == "off":
		return ""
	case want == "on" || webAddress.MatchString(goal):
		return BrowserAsked
	case len(net) > 0:
		return BrowserOffered
	}
	return ""
}

// offers are the tools of a run, and those that a small model is offered.
func (c *Config) offers(s journal.RunStarted) (set, small *tools.Set) {
	set = c.sets[s.Memory]
	if set == nil {
		set = c.sets[MemoryOff] // the word of a later version
	}
	small = c.small
	if s.Browser == "" && set.Lookup(browserTool) != nil {
		set = without(set, browserTool)
	}
	if s.Browser == BrowserAsked {
		if more, err := c.Tools.Only(append(slices.Clone(smallTools), browserTool)...); err == nil { // else a set of other tools
			small = more
		}
	}
	return allowed(set, s.Goal), allowed(small, s.Goal)
}

// pages is a run's browser, made when it is first needed.
type pages struct {
	mu      sync.Mutex // guards the fields below
	browser tools.Browser
	closed  bool
}

var errNoBrowser = errors.New("this run has no browser: start it with --browser")

// tabs are a task's in the run's browser.
func (d *driver) tabs(task string, seen map[string][]journal.Tab) (tools.Tabs, error) {
	d.pages.mu.Lock()
	defer d.pages.mu.Unlock()
	switch {
	case d.cfg.Browser == nil || d.start.Browser == "":
		return nil, errNoBrowser
	case d.pages.closed:
		return nil, ErrStopping
	}
	if d.pages.browser == nil {
		start := d.start
		start.Net = d.reach().Allow // with what a person opened since
		b, err := d.cfg.Browser(d.run, start, tabsOf(seen))
		if err != nil {
			return nil, fmt.Errorf("browser: %w", err)
		}
		d.pages.browser = b
	}
	return d.pages.browser.Tabs(task), nil
}

// closeTabs closes what an ended task has open. The browser goes on: what it was logged in to, the next task is too.
func (d *driver) closeTabs(task string) {
	d.pages.mu.Lock()
	b := d.pages.browser
	d.pages.mu.Unlock()
	if b != nil {
		b.Tabs(task).Close()
	}
}

// closeBrowser ends the run's browser for good.
func (d *driver) closeBrowser() {
	d.pages.mu.Lock()
	b := d.pages.browser
	d.pages.browser, d.pages.closed = nil, true
	d.pages.mu.Unlock()
	if b == nil {
		return
	}
	if err := b.Close(); err != nil {
		d.log.Warn("browser not closed", "run", d.run, "err", err)
	}
}

// tabEvents says which tabs a task has open after a call, if that is not what the journal has.
func tabEvents(task string, seen []journal.Tab, now []tools.Tab) []journal.Event {
	tabs := make([]journal.Tab, 0, len(now))
	for _, t := range now {
		tabs = append(tabs, journal.Tab(t))
	}
	if slices.Equal(tabs, seen) {
		return nil
	}
	return []journal.Event{journal.TabsChanged{Task: task, Tabs: tabs}}
}

func tabsOf(seen map[string][]journal.Tab) map[string][]tools.Tab {
	out := make(map[string][]tools.Tab, len(seen))
	for task, tabs := range seen {
		for _, t := range tabs {
			out[task] = append(out[task], tools.Tab(t))
		}
	}
	return out
}
