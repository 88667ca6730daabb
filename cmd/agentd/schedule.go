package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"agentd/api"
	"agentd/goals"
	"agentd/journal"
	"agentd/schedule"
	"agentd/workspace"
)

// scheduleParam is the goal's parameter, of type file, that gets what a webhook was sent.
const scheduleParam = "event"

// scheduled is the daemon's side of the schedule: it starts runs for it and shows it to clients.
type scheduled struct {
	d   *daemon
	eng *engine
	st  journal.Store
	s   *schedule.Scheduler
}

func newScheduled(d *daemon, eng *engine, st journal.Store) (*scheduled, error) {
	x := &scheduled{d: d, eng: eng, st: st}
	var err error
	now, poll := scheduleClock()
	x.s, err = schedule.New(schedule.Options{Dir: d.places.Home, Runs: x, Secret: d.hookSecret, Now: now, Poll: poll, Log: d.log})
	return x, err
}

// Start implements schedule.Runs: the run is asked for as a client would, with the text that was approved.
func (x *scheduled) Start(ctx context.Context, j schedule.Job, s schedule.Slot) (string, error) {
	params := maps.Clone(j.Params)
	if slices.ContainsFunc(j.Goal.Params, func(p goals.Param) bool { return p.Name == scheduleParam && p.Type == goals.ParamFile }) {
		if params == nil {
			params = map[string]string{}
		}
		params[scheduleParam] = s.Body
	}
	run, _, err := x.eng.Start(ctx, api.StartRequest{
		File: &api.GoalFile{Name: j.File, Text: j.Source, Imports: j.Imports}, Granted: j.Granted, Workspace: j.Workspace, Model: j.Model, Net: j.Net, Params: params, Mode: j.Mode, Apply: j.Apply,
	}, s.Key)
	return string(run), err
}

// Live implements schedule.Runs.
func (x *scheduled) Live(ctx context.Context, run string) (bool, error) {
	sum, err := x.st.Get(ctx, journal.RunID(run))
	if errors.Is(err, journal.ErrNotFound) {
		return false, nil
	}
	return err == nil && !sum.Status.Ended(), err
}

// Cancel implements schedule.Runs.
func (x *scheduled) Cancel(ctx context.Context, run string) error {
	_, err := journal.Update(ctx, x.st, journal.RunID(run), func(s *journal.State) ([]journal.Event, error) {
		if s.Outcome != nil || s.Cancel {
			return nil, nil
		}
		return []journal.Event{journal.CancelAsked{By: "schedule"}}, nil
	})
	x.eng.Wake(journal.RunID(run))
	return err
}

// AddSchedule implements api.Schedule.
func (x *scheduled) AddSchedule(_ context.Context, a api.ScheduleAdd) (api.Scheduled, error) {
	ws, err := workspace.Resolve(a.Workspace, x.d.folders()...)
	if err != nil {
		return api.Scheduled{}, api.Errorf(api.ErrWorkspace, "name another folder with -C", "%v", err)
	}
	g, err := goals.ParseWith(a.File.Name, []byte(a.File.Text), a.File.Import)
	filled := g
	if err == nil && len(g.Params) > 0 {
		filled, err = g.Fill(a.Params)
	}
	if err == nil {
		err = filled.Supported()
	}
	if err != nil {
		return api.Scheduled{}, api.Errorf(api.ErrGoal, "", "%v", err)
	}
	granted, err := x.eng.granted(api.StartRequest{Net: a.Net, Granted: a.Granted}, filled)
	if err != nil {
		return api.Scheduled{}, err
	}
	if err := x.eng.mode(api.StartRequest{Mode: a.Mode, Apply: a.Apply}, ws); err != nil {
		return api.Scheduled{}, err
	}
	for _, t := range g.Triggers {
		if t.Webhook == "" {
			continue
		}
		if x.d.cfg.Hooks == "" {
			return api.Scheduled{}, api.Errorf(api.ErrInvalid, "add for example hooks: 127.0.0.1:7810 to the configuration and start the daemon anew", "the goal has a webhook, and the daemon listens for none")
		}
		if _, err := x.d.hookSecret(t.Secret); err != nil {
			return api.Scheduled{}, api.Errorf(api.ErrInvalid, "", "the webhook's secret %q: %v", t.Secret, err)
		}
	}
	j, err := x.s.Add(schedule.Job{
		Name: cmp.Or(a.Name, g.Name), Workspace: ws, File: a.File.Name, Goal: g, Source: a.File.Text, Model: a.Model, Net: a.Net, Params: a.Params, Imports: a.File.Imports, Granted: granted,
		Mode: a.Mode, Apply: a.Apply, By: a.By,
	})
	switch {
	case errors.Is(err, goals.ErrNoTriggers):
		return api.Scheduled{}, api.Errorf(api.ErrGoal, "add triggers to it, such as {cron: '0 6 * * 1'}", "%v", err)
	case errors.Is(err, schedule.ErrTaken):
		return api.Scheduled{}, api.Errorf(api.ErrInvalid, "give it a name with --name", "%v", err)
	}
	return x.view(j, true), err
}

// view is a job as clients see it.
func (x *scheduled) view(j schedule.Job, whole bool) api.Scheduled {
	v := api.Scheduled{
		Name: j.Name, Workspace: j.Workspace, File: j.File, Hash: j.Goal.Hash, Changed: changedOnDisk(j), Model: j.Model, Net: j.Net, Params: j.Params,
		Mode: j.Mode, Apply: j.Apply, By: j.By, Approved: j.Approved, Paused: j.Paused, Run: journal.RunID(j.Run), Waiting: len(j.Pending), Triggers: []string{},
	}
	for _, t := range j.Goal.Triggers {
		switch {
		case t.Cron != "":
			v.Triggers = append(v.Triggers, strings.TrimSpace("cron "+t.Cron+" "+cmp.Or(t.TZ, "UTC")))
		case t.Webhook != "":
			v.Triggers = append(v.Triggers, "webhook "+t.Webhook)
		default:
			v.Triggers = append(v.Triggers, "files "+strings.Join(t.Files, " "))
		}
	}
	if !j.Paused {
		v.Next = j.Next(time.Now())
	}
	if whole {
		v.Source = j.Source
		for _, p := range j.History {
			v.History = append(v.History, pastView(p))
		}
	}
	return v
}

func pastView(p schedule.Past) api.ScheduleRun {
	return api.ScheduleRun{At: p.At, What: p.What, Run: journal.RunID(p.Run), Cause: p.Cause}
}

// changedOnDisk says what became of the file of a job since it was approved.
func changedOnDisk(j schedule.Job) string {
	f, err := os.Open(j.File)
	if errors.Is(err, os.ErrNotExist) {
		return "gone"
	}
	if err != nil {
		return ""
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, goals.MaxFile+1))
	if err == nil && string(data) != j.Source {
		return "changed"
	}
	return ""
}

// ListSchedule implements api.Schedule.
func (x *scheduled) ListSchedule(context.Context) ([]api.Scheduled, error) {
	var out []api.Scheduled
	for _, j := range x.s.Jobs() {
		out = append(out, x.view(j, false))
	}
	return out, nil
}

// Scheduled implements api.Schedule.
func (x *scheduled) Scheduled(_ context.Context, name string) (api.Scheduled, error) {
	j, err := x.s.Job(name)
	if err != nil {
		return api.Scheduled{}, x.missing(name, err)
	}
	return x.view(j, true), nil
}

func (x *scheduled) missing(name string, err error) error {
	if errors.Is(err, schedule.ErrNotFound) {
		return api.Errorf(journal.ErrNotFound, "agentctl schedule ls shows them", "no scheduled goal %.60q", name)
	}
	return err
}

// RunScheduled implements api.Schedule.
func (x *scheduled) RunScheduled(ctx context.Context, name, key string) (api.ScheduleRun, error) {
	p, err := x.s.Now(ctx, name, key)
	return pastView(p), x.missing(name, err)
}

// PauseScheduled implements api.Schedule.
func (x *scheduled) PauseScheduled(_ context.Context, name string, paused bool) error {
	return x.missing(name, x.s.Pause(name, paused))
}

// RemoveScheduled implements api.Schedule.
func (x *scheduled) RemoveScheduled(_ context.Context, name string) error {
	return x.missing(name, x.s.Remove(name))
}

// hookSecret reads a webhook's secret: a file of its name, which nobody else may read, in the folder secrets beside the configuration.
func (d *daemon) hookSecret(name string) ([]byte, error) {
	path := filepath.Join(filepath.Dir(d.configPath), "secrets", name)
	s, err := readSecret(path)
	if err != nil {
		return nil, fmt.Errorf("put it into %s (mode 0600): %w", path, err)
	}
	if len(s) < 16 {
		return nil, fmt.Errorf("%s holds fewer than 16 bytes", path)
	}
	return []byte(s), nil
}

// loopback checks the address at which webhooks arrive: nobody but this machine may reach it.
func loopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("hooks: %q is not HOST:PORT on loopback, such as 127.0.0.1:7810", addr)
	}
	return nil
}

// run works until ctx ends.
func (x *scheduled) run(ctx context.Context) (wait func(), err error) {
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var srv *http.Server
	if addr := x.d.cfg.Hooks; addr != "" {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			stop()
			return nil, fmt.Errorf("hooks: %w", err)
		}
		srv = &http.Server{Handler: x.s, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
		x.d.log.Info("webhooks", "addr", ln.Addr().String())
		wg.Go(func() { srv.Serve(ln) }) // ends by Close
	}
	wg.Go(func() { x.s.Run(ctx) }) // ends with ctx
	return func() {
		stop()
		if srv != nil {
			srv.Close()
		}
		wg.Wait()
	}, nil
}
