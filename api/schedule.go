package api

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"agentd/journal"
)

// Schedule is what the server needs to serve the goals that start by themselves. Methods are safe for concurrent use.
type Schedule interface {
	// AddSchedule schedules a goal, or approves a new text of a scheduled one.
	AddSchedule(ctx context.Context, a ScheduleAdd) (Scheduled, error)
	// ListSchedule lists the scheduled goals by name.
	ListSchedule(ctx context.Context) ([]Scheduled, error)
	// Scheduled returns one, with its source and history.
	Scheduled(ctx context.Context, name string) (Scheduled, error)
	// RunScheduled starts a run now; the same key starts one run.
	RunScheduled(ctx context.Context, name, key string) (ScheduleRun, error)
	// PauseScheduled keeps a goal from starting, or lets it go on.
	PauseScheduled(ctx context.Context, name string, paused bool) error
	// RemoveScheduled forgets a goal; its runs go on.
	RemoveScheduled(ctx context.Context, name string) error
}

// ScheduleAdd asks for a goal to be scheduled. Who asks approves this very text: no other is ever started by a trigger.
type ScheduleAdd struct {
	Name      string            `json:"name,omitempty"` // default: the goal's
	File      GoalFile          `json:"file"`
	Workspace string            `json:"workspace"`
	Model     string            `json:"model,omitempty"`
	Net       []string          `json:"net,omitempty"`
	Params    map[string]string `json:"params,omitempty"`
	Mode      string            `json:"mode,omitempty"`
	Apply     bool              `json:"apply,omitempty"`
	Granted   []string          `json:"granted,omitempty"` // what the goal file is granted in its runs beside the daemon's grants, as a review names it
	By        string            `json:"by,omitempty"`
}

// Scheduled is a scheduled goal.
type Scheduled struct {
	Name      string            `json:"name"`
	Workspace string            `json:"workspace"`
	File      string            `json:"file"`
	Hash      string            `json:"hash"`              // of the approved text
	Changed   string            `json:"changed,omitempty"` // changed or gone: what the file on disk is now
	Triggers  []string          `json:"triggers"`
	Model     string            `json:"model,omitempty"`
	Net       []string          `json:"net,omitempty"`
	Params    map[string]string `json:"params,omitempty"`
	Mode      string            `json:"mode,omitempty"`
	Apply     bool              `json:"apply,omitempty"`
	By        string            `json:"by,omitempty"`
	Approved  time.Time         `json:"approved"`
	Paused    bool              `json:"paused,omitempty"`
	Next      time.Time         `json:"next,omitzero"`
	Run       journal.RunID     `json:"run,omitempty"` // the last one
	Waiting   int               `json:"waiting,omitempty"`
	Source    string            `json:"source,omitempty"`  // the approved text; of one goal
	History   []ScheduleRun     `json:"history,omitempty"` // of one goal
}

// ScheduleRun is what became of one occasion.
type ScheduleRun struct {
	At    time.Time     `json:"at"`
	What  string        `json:"what"` // started, queued, skipped
	Run   journal.RunID `json:"run,omitempty"`
	Cause string        `json:"cause,omitempty"`
}

// ScheduleList is the answer to GET /v1/schedule.
type ScheduleList struct {
	Goals []Scheduled `json:"goals"`
}

// SchedulePatch changes a scheduled goal.
type SchedulePatch struct {
	Paused bool `json:"paused"`
}

func (s *Server) scheduleRoutes() []route {
	return []route{
		{"GET", "/v1/schedule", s.scheduleList, 0},
		{"POST", "/v1/schedule", s.scheduleAdd, 0},
		{"GET", "/v1/schedule/{name}", s.scheduleGet, 0},
		{"PATCH", "/v1/schedule/{name}", s.schedulePatch, 0},
		{"DELETE", "/v1/schedule/{name}", s.scheduleRemove, 0},
		{"POST", "/v1/schedule/{name}/run", s.scheduleRun, 0},
	}
}

// schedule is the daemon's, or why there is none.
func (s *Server) schedule() (Schedule, error) {
	if s.opt.Schedule == nil {
		return nil, Errorf(ErrInvalid, "use a daemon that goes on", "this daemon schedules nothing: it ends with its run")
	}
	return s.opt.Schedule, nil
}

func (s *Server) scheduleList(_ http.ResponseWriter, r *http.Request) (any, error) {
	sch, err := s.schedule()
	if err != nil {
		return ScheduleList{Goals: []Scheduled{}}, nil
	}
	all, err := sch.ListSchedule(r.Context())
	if all == nil {
		all = []Scheduled{}
	}
	return ScheduleList{Goals: all}, err
}

func (s *Server) scheduleAdd(w http.ResponseWriter, r *http.Request) (any, error) {
	a, err := read[ScheduleAdd](w, r, maxStart)
	if err != nil {
		return nil, err
	}
	if a.By, err = who(a.By); err != nil {
		return nil, err
	}
	sch, err := s.schedule()
	if err != nil {
		return nil, err
	}
	return sch.AddSchedule(r.Context(), a)
}

// scheduledName checks the name that a request is about.
func (s *Server) scheduledName(r *http.Request) (Schedule, string, error) {
	name := r.PathValue("name")
	if name == "" || len(name) > 200 {
		return nil, "", Errorf(journal.ErrNotFound, "agentctl schedule ls shows them", "no scheduled goal %.60q", name)
	}
	sch, err := s.schedule()
	return sch, name, err
}

func (s *Server) scheduleGet(_ http.ResponseWriter, r *http.Request) (any, error) {
	sch, name, err := s.scheduledName(r)
	if err != nil {
		return nil, err
	}
	return sch.Scheduled(r.Context(), name)
}

func (s *Server) schedulePatch(w http.ResponseWriter, r *http.Request) (any, error) {
	sch, name, err := s.scheduledName(r)
	if err != nil {
		return nil, err
	}
	p, err := read[SchedulePatch](w, r, maxBody)
	if err != nil {
		return nil, err
	}
	if err := sch.PauseScheduled(r.Context(), name, p.Paused); err != nil {
		return nil, err
	}
	return sch.Scheduled(r.Context(), name)
}

func (s *Server) scheduleRemove(_ http.ResponseWriter, r *http.Request) (any, error) {
	sch, name, err := s.scheduledName(r)
	if err != nil {
		return nil, err
	}
	return Appended{}, sch.RemoveScheduled(r.Context(), name)
}

func (s *Server) scheduleRun(_ http.ResponseWriter, r *http.Request) (any, error) {
	sch, name, err := s.scheduledName(r)
	if err != nil {
		return nil, err
	}
	key := r.Header.Get(headerKey)
	if key == "" || len(key) > 200 || strings.ContainsAny(key, "/\x00") {
		return nil, Errorf(ErrInvalid, "send a header "+headerKey, "a key of 1 to 200 bytes is needed, so that a repeated request starts one run")
	}
	return sch.RunScheduled(r.Context(), name, key)
}

func schedulePath(name string, more ...string) string {
	return "/v1/schedule/" + strings.Join(append([]string{url.PathEscape(name)}, more...), "/")
}

// AddSchedule schedules a goal, or approves a new text of a scheduled one.
func (c *Client) AddSchedule(ctx context.Context, a ScheduleAdd) (Scheduled, error) {
	if a.By == "" {
		a.By = c.By
	}
	return call[Scheduled](ctx, c, "POST", "/v1/schedule", nil, a)
}

// ListSchedule lists the scheduled goals.
func (c *Client) ListSchedule(ctx context.Context) ([]Scheduled, error) {
	l, err := call[ScheduleList](ctx, c, "GET", "/v1/schedule", nil, nil)
	return l.Goals, err
}

// Scheduled returns a scheduled goal.
func (c *Client) Scheduled(ctx context.Context, name string) (Scheduled, error) {
	return call[Scheduled](ctx, c, "GET", schedulePath(name), nil, nil)
}

// RunScheduled starts a run of a scheduled goal now.
func (c *Client) RunScheduled(ctx context.Context, name, key string) (ScheduleRun, error) {
	return call[ScheduleRun](ctx, c, "POST", schedulePath(name, "run"), nil, map[string]any{}, headerKey, key)
}

// PauseScheduled keeps a goal from starting, or lets it go on.
func (c *Client) PauseScheduled(ctx context.Context, name string, paused bool) (Scheduled, error) {
	return call[Scheduled](ctx, c, "PATCH", schedulePath(name), nil, SchedulePatch{Paused: paused})
}

// RemoveScheduled forgets a goal; its runs go on.
func (c *Client) RemoveScheduled(ctx context.Context, name string) error {
	_, err := call[Appended](ctx, c, "DELETE", schedulePath(name), nil, nil)
	return err
}
