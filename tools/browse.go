package tools

import (
	"context"
	"errors"
	"time"

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

// Watched is a Browser that a person can look into.
type Watched interface {
	// Screen opens a view of a task's tabs. It must be closed.
	Screen(task string) Screen
}

// ErrNotTaken is returned for what a person does on a Screen that is not taken.
var ErrNotTaken = errors.New("the browser is not taken over")

// Screen is a task's tabs as a person sees and uses them. It is safe for concurrent use.
type Screen interface {
	// Next waits until there is something new to see.
	Next(ctx context.Context) (Frame, error)
	// Take waits for the action that runs, and keeps the task from acting until Give.
	Take(ctx context.Context) error
	// Give lets the task act again, and says what was done. Without Take it does nothing, and ok is false.
	Give() (v Visit, ok bool)
	// Input does what a person does. It does not wait for what comes of it.
	Input(ctx context.Context, in []Input) error
	// Close ends the view, and gives what was taken.
	Close()
}

// Frame is what there is to see.
type Frame struct {
	Tabs    []Sight
	URL     string
	Dialog  string // that waits for an answer, in words
	Picture []byte // JPEG; nil: the last one still holds
	Taken   bool   // by this view
}

// Sight is a tab in a Frame.
type Sight struct {
	ID, Title string
	Front     bool
}

// Input is one thing that a person does: move, down, up or wheel of the mouse; keydown or keyup; text; back, forward, reload; open an
// address; tab, to switch to one; accept or dismiss a dialog.
type Input struct {
	Kind   string
	X, Y   float64 // of the mouse, as parts of the picture from 0 to 1
	DX, DY float64 // of a wheel, in pixels
	Button string  // left, middle, right
	Count  int     // of clicks
	Mods   int     // 1 alt, 2 control, 4 meta, 8 shift
	Key    string  // name of the key
	Code   string  // and of its place
	Number int     // and its number
	Text   string  // of text, of a key, of open, of tab, and of an accepted prompt
}

// Visit is what a person did, without what was typed.
type Visit struct {
	Time         time.Duration
	Clicks, Keys int
	Pages        []string // addresses, without what stands behind a question mark
}
