package tools

import (
	"context"

	"agentd/tools/args"
)

// Browser is the browser of one run. It is started when a task first needs it.
type Browser interface {
	// Tabs are a task's own; the same name gives the same ones.
	Tabs(task string) Tabs
	// Close ends the browser with all of its processes.
	Close() error
}

// Tabs are the browser as one task uses it.
type Tabs interface {
	// Do does one action; what a model can do something about is a Result, and no error.
	Do(ctx context.Context, env Env, a args.Browser) (Result, error)
	// Open lists the tabs, by which a later browser can open them again.
	Open() []Tab
	// Close closes them.
	Close()
}

// Tab is an open page, as it is known after the browser's end.
type Tab struct {
	ID     string // t1, t2, …
	URL    string
	Front  bool // actions are done in it
	Refs   int  // the highest number of a ref that was given in it: those are never given again
	Frames int  // the same of its frames
}
