// Package tui is the terminal UI of agentctl: one Bubble Tea model that shows the daemon's runs and one run closely, and
// sends what a person decides. It holds no truth of its own: what it shows is the fold of the same events that every other
// client folds, and all it does is calls of the API.
package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	tea "charm.land/bubbletea/v2"

	"agentd/api"
	"agentd/journal"
)

// Options say what the UI shows first and where.
type Options struct {
	Client    *api.Client
	Run       journal.RunID // opened at once; "" is the list of runs
	Workspace string        // proposed for a new goal
	Version   string        // of this program
	In        io.Reader
	Out       io.Writer
	Environ   []string // nil is the process's
	Notify    Notify   // the zero value rings the bell
}

// Run shows the UI until the person leaves it or ctx ends. It returns the state of the run that was open last, as far as
// it is known: runs go on without it.
func Run(ctx context.Context, o Options) (journal.Status, error) {
	ctx, cancel := context.WithCancel(ctx)
	if o.Environ == nil {
		o.Environ = os.Environ()
	}
	m := New(ctx, o)
	m.client.Patience = 365 * 24 * time.Hour // it comes back or the person leaves
	opts := []tea.ProgramOption{tea.WithContext(ctx), tea.WithFPS(120), tea.WithInput(o.In), tea.WithOutput(o.Out), tea.WithEnvironment(o.Environ)}
	end, err := tea.NewProgram(m, opts...).Run()
	cancel()
	if last, ok := end.(*Model); ok {
		m = last
	}
	m.jobs.end()
	status := journal.Status("")
	if m.run != nil {
		status = m.run.status()
	}
	switch {
	case errors.Is(err, tea.ErrInterrupted), err != nil && errors.Is(err, context.Canceled):
		return status, context.Canceled
	case err != nil:
		return status, fmt.Errorf("terminal UI: %w", err)
	}
	return status, nil
}
