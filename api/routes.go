package api

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"agentd/journal"
)

//go:embed openapi.yaml
var openapi []byte

// The largest bodies that are read.
const (
	maxStart = 4 << 20 // a goal is bounded further by its parser, which says so better
	maxBody  = 256 << 10
	maxText  = 64 << 10
	maxBy    = 100
)

type route struct {
	method, path string
	// do answers with a value to encode, or writes by itself and returns nil.
	do func(w http.ResponseWriter, r *http.Request) (any, error)
	// status of a success that has a value; 0 is 200.
	status int
}

// routes is the whole service; openapi.yaml describes the same.
func (s *Server) routes() []route {
	return append([]route{
		{"POST", "/v1/runs", s.start, http.StatusAccepted},
		{"GET", "/v1/runs", s.list, 0},
		{"GET", "/v1/runs/{run}", s.get, 0},
		{"PATCH", "/v1/runs/{run}", s.patch, 0},
		{"DELETE", "/v1/runs/{run}", s.remove, 0},
		{"GET", "/v1/runs/{run}/events", s.events, 0},
		{"GET", "/v1/runs/{run}/answers/{ask}", s.askRules, 0},
		{"POST", "/v1/runs/{run}/answers/{ask}", s.answer, 0},
		{"POST", "/v1/runs/{run}/messages", s.say, 0},
		{"GET", "/v1/runs/{run}/context", s.context, 0},
		{"GET", "/v1/runs/{run}/diff", s.diff, 0},
		{"POST", "/v1/runs/{run}/undo", s.undo, 0},
		{"POST", "/v1/runs/{run}/apply", s.apply, 0},
		{"POST", "/v1/goals/test", s.goalTest, 0},
		{"GET", "/v1/blobs/{hash}", s.blob, 0},
		{"GET", "/v1/models", s.models, 0},
		{"POST", "/v1/models/pull", s.pull, 0},
		{"DELETE", "/v1/models/{name...}", s.removeModel, 0},
		{"GET", "/v1/info", s.info, 0},
		{"GET", "/v1/backup", s.backup, 0},
		{"GET", "/openapi.yaml", s.spec, 0},
	}, slices.Concat(s.memoryRoutes(), s.scheduleRoutes(), s.grantRoutes(), s.browserRoutes())...)
}

func (s *Server) handle(rt route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := rt.do(w, r)
		switch {
		case err != nil:
			s.fail(w, r, err)
		case v != nil:
			s.write(w, r, max(rt.status, http.StatusOK), v)
		}
	}
}

// write encodes v. An error of the connection is the client's to notice.
func (s *Server) write(w http.ResponseWriter, r *http.Request, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		s.log.Error("encode an answer", "path", r.URL.Path, "err", err)
		data, status = []byte(`{"code":"internal","message":"internal error of the daemon"}`), http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n'))
}

// read decodes a JSON body strictly: an unknown field is an error that names it.
func read[T any](w http.ResponseWriter, r *http.Request, limit int64) (T, error) {
	var v T
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return v, Errorf(ErrTooLarge, "", "the body is larger than %d bytes", tooLarge.Limit)
		}
		return v, Errorf(ErrInvalid, "", "read the body: %v", err)
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // unsupported only in tests without a connection
	if !utf8.Valid(data) {
		return v, Errorf(ErrInvalid, "", "the body is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		return v, Errorf(ErrInvalid, "GET /openapi.yaml describes the body", "the body: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if dec.More() {
		return v, Errorf(ErrInvalid, "", "the body has more than one JSON value")
	}
	return v, nil
}

// query reads the parameters of a request and collects the first error. Names beyond those asked for are errors too.
type query struct {
	r    *http.Request
	seen []string
	err  error
}

func (q *query) text(name string) string {
	q.seen = append(q.seen, name)
	return q.r.URL.Query().Get(name)
}

func (q *query) uint(name string) uint64 {
	v := q.text(name)
	if v == "" {
		return 0
	}
	n, err := strconv.ParseUint(v, 10, 63)
	if err != nil {
		q.fail("parameter %s: %.40q is not a number from 0", name, v)
	}
	return n
}

func (q *query) flag(name string) bool {
	v := q.text(name)
	if v == "" {
		return false
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		q.fail("parameter %s: %.40q is neither 1 nor 0", name, v)
	}
	return b
}

func (q *query) fail(format string, args ...any) {
	if q.err == nil {
		q.err = Errorf(ErrInvalid, "GET /openapi.yaml describes the parameters", format, args...)
	}
}

func (q *query) done() error {
next:
	for name := range q.r.URL.Query() {
		for _, s := range q.seen {
			if s == name {
				continue next
			}
		}
		q.fail("unknown parameter %.40q; known here: %s", name, strings.Join(q.seen, ", "))
	}
	return q.err
}

// runOf is the run that a request names. Ids are checked here, so that no strange text reaches a store's keys.
func runOf(r *http.Request) (journal.RunID, error) {
	id := r.PathValue("run")
	if id == "" || len(id) > 64 || strings.ContainsFunc(id, func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') }) {
		return "", Errorf(journal.ErrNotFound, "agentctl ls shows the runs", "no run %.64q", id)
	}
	return journal.RunID(id), nil
}

// named says which run the store misses, in words for a person.
func named(run journal.RunID, err error) error {
	if _, told := errors.AsType[*Error](err); !told && errors.Is(err, journal.ErrNotFound) {
		return Errorf(journal.ErrNotFound, "agentctl ls shows the runs", "no run %s", run)
	}
	return err
}

// who bounds what a client says of itself.
func who(by string) (string, error) {
	if len(by) > maxBy {
		return "", Errorf(ErrTooLarge, "", "by is longer than %d bytes", maxBy)
	}
	if by == "" {
		by = "api"
	}
	return by, nil
}

func (s *Server) start(w http.ResponseWriter, r *http.Request) (any, error) {
	key := r.Header.Get(headerKey)
	if len(key) > 200 {
		return nil, Errorf(ErrTooLarge, "", "%s is longer than 200 bytes", headerKey)
	}
	req, err := read[StartRequest](w, r, maxStart)
	if err != nil {
		return nil, err
	}
	switch {
	case req.Goal == "" && req.File == nil:
		return nil, Errorf(ErrGoal, "say in a sentence what is wanted", "the goal is empty")
	case req.Goal != "" && req.File != nil:
		return nil, Errorf(ErrGoal, "use one of them", "both a goal and a goal file are given")
	}
	run, fresh, err := s.opt.Engine.Start(r.Context(), req, key)
	if err != nil {
		return nil, err
	}
	w.Header().Set("Location", "/v1/runs/"+string(run))
	return Started{Run: run, Fresh: fresh}, nil
}

func (s *Server) list(_ http.ResponseWriter, r *http.Request) (any, error) {
	q := query{r: r}
	f := journal.Filter{
		Live: q.flag("live"), Oldest: q.flag("oldest"), Status: journal.Status(q.text("status")), Workspace: q.text("workspace"),
		After: journal.RunID(q.text("after")), Limit: int(min(q.uint("limit"), 1000)),
	}
	if err := q.done(); err != nil {
		return nil, err
	}
	runs, err := s.opt.Store.List(r.Context(), f)
	if runs == nil {
		runs = []journal.Summary{}
	}
	return RunList{Runs: runs}, err
}

func (s *Server) get(_ http.ResponseWriter, r *http.Request) (any, error) {
	q := query{r: r}
	brief, turns := q.flag("brief"), int(min(q.uint("turns"), 1<<20))
	if err := q.done(); err != nil {
		return nil, err
	}
	run, err := runOf(r)
	if err != nil {
		return nil, err
	}
	if brief {
		sum, err := s.opt.Store.Get(r.Context(), run)
		return RunView{Summary: sum}, named(run, err)
	}
	if turns > 0 && turns <= viewTurns {
		v, err := s.views.get(r.Context(), run, turns)
		return v, named(run, err)
	}
	var st journal.State
	if err := journal.CatchUp(r.Context(), s.opt.Store, run, &st); err != nil {
		return nil, named(run, err)
	}
	if turns > 0 {
		st.Trim(turns)
	}
	return RunView{Summary: st.Summary(), State: &st}, nil
}

// update appends what decide makes of the run's state, wakes its driver, and answers with the last event's number.
func (s *Server) update(ctx context.Context, run journal.RunID, decide func(*journal.State) ([]journal.Event, error)) (any, error) {
	seq, err := s.views.update(ctx, run, decide)
	if err != nil {
		return nil, named(run, err)
	}
	s.opt.Engine.Wake(run)
	return Appended{Seq: seq}, nil
}

func (s *Server) patch(w http.ResponseWriter, r *http.Request) (any, error) {
	run, err := runOf(r)
	if err != nil {
		return nil, err
	}
	p, err := read[Patch](w, r, maxBody)
	if err != nil {
		return nil, err
	}
	if p.By, err = who(p.By); err != nil {
		return nil, err
	}
	if p.Paused == nil && p.Limits == nil && p.Goal == nil {
		return nil, Errorf(ErrInvalid, "send paused, limits or goal", "nothing to change")
	}
	if len(p.Reason) > maxText {
		return nil, Errorf(ErrTooLarge, "", "reason is longer than %d bytes", maxText)
	}
	if p.Limits != nil && s.opt.Authority != nil {
		if err := s.opt.Authority.Limits(*p.Limits); err != nil {
			return nil, err
		}
	}
	return s.update(r.Context(), run, func(st *journal.State) ([]journal.Event, error) { return p.events(st) })
}

func (s *Server) remove(_ http.ResponseWriter, r *http.Request) (any, error) {
	q := query{r: r}
	purge, by := q.flag("purge"), q.text("by")
	if err := q.done(); err != nil {
		return nil, err
	}
	run, err := runOf(r)
	if err != nil {
		return nil, err
	}
	if by, err = who(by); err != nil {
		return nil, err
	}
	if purge {
		err := s.opt.Engine.Purge(r.Context(), run)
		if err == nil {
			s.views.forget(run)
		}
		return Appended{}, err
	}
	return s.update(r.Context(), run, func(st *journal.State) ([]journal.Event, error) { return cancel(st, by) })
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request) (any, error) {
	run, err := runOf(r)
	if err != nil {
		return nil, err
	}
	a, err := read[Answer](w, r, maxBody)
	if err != nil {
		return nil, err
	}
	if a.By, err = who(a.By); err != nil {
		return nil, err
	}
	ask := r.PathValue("ask")
	decide := func(st *journal.State) ([]journal.Event, error) {
		events, err := a.events(st, ask)
		if err == nil && len(events) > 0 && a.Scope != journal.ScopeOnce {
			err = s.opt.Engine.Covers(st, st.Asks[ask].ToolAsked, a.Scope, a.Rule)
		}
		return events, err
	}
	v, err := s.update(r.Context(), run, decide)
	if errors.Is(err, journal.ErrNotFound) { // a view forgets what was settled long ago: only the journal knows
		var seq journal.Seq
		seq, err = journal.Update(r.Context(), s.opt.Store, run, decide)
		v, err = Appended{Seq: seq}, named(run, err)
	}
	if err == nil && a.Scope == journal.ScopeAlways {
		err = s.opt.Engine.Keep(a.Rule, fmt.Sprintf("allowed by %s in run %s", a.By, run))
	}
	return v, err
}

// askRules proposes rules that would answer an open ask.
func (s *Server) askRules(_ http.ResponseWriter, r *http.Request) (any, error) {
	run, err := runOf(r)
	if err != nil {
		return nil, err
	}
	var out AskRules
	err = s.views.with(r.Context(), run, func(st *journal.State) (err error) {
		ask := st.Asks[r.PathValue("ask")]
		if ask == nil {
			return Errorf(journal.ErrNotFound, "agentctl show "+string(run)+" lists the open ones", "run %s has no open ask %.64q", run, r.PathValue("ask"))
		}
		out, err = s.opt.Engine.Proposals(st, ask.ToolAsked)
		return err
	})
	if out.Run == nil {
		out.Run = []string{}
	}
	if out.Always == nil {
		out.Always = []string{}
	}
	return out, named(run, err)
}

func (s *Server) say(w http.ResponseWriter, r *http.Request) (any, error) {
	run, err := runOf(r)
	if err != nil {
		return nil, err
	}
	m, err := read[Message](w, r, maxBody)
	if err != nil {
		return nil, err
	}
	if m.By, err = who(m.By); err != nil {
		return nil, err
	}
	return s.update(r.Context(), run, func(st *journal.State) ([]journal.Event, error) { return m.events(st) })
}

func (s *Server) context(_ http.ResponseWriter, r *http.Request) (any, error) {
	q := query{r: r}
	step := q.uint("step")
	if step == 0 || step > 1<<30 {
		q.fail("parameter step: a number from 1 is needed")
	}
	if err := q.done(); err != nil {
		return nil, err
	}
	run, err := runOf(r)
	if err != nil {
		return nil, err
	}
	return s.opt.Engine.Context(r.Context(), run, int(step))
}

func (s *Server) diff(w http.ResponseWriter, r *http.Request) (any, error) {
	run, err := runOf(r)
	if err != nil {
		return nil, err
	}
	s.unhurried(w)
	d, err := s.opt.Engine.Diff(r.Context(), run)
	if d.Files == nil {
		d.Files = []FileDiff{}
	}
	return d, err
}

func (s *Server) undo(w http.ResponseWriter, r *http.Request) (any, error) {
	run, err := runOf(r)
	if err != nil {
		return nil, err
	}
	b, err := read[struct {
		By   string `json:"by"`
		Step int    `json:"step"`
	}](w, r, maxBody)
	if err != nil {
		return nil, err
	}
	if b.By, err = who(b.By); err != nil {
		return nil, err
	}
	if b.Step < 0 {
		return nil, Errorf(ErrInvalid, "give a number from 1, or leave it out for the whole run", "step %d is negative", b.Step)
	}
	s.unhurried(w)
	return s.opt.Engine.Undo(r.Context(), run, b.By, b.Step)
}

func (s *Server) apply(w http.ResponseWriter, r *http.Request) (any, error) {
	run, err := runOf(r)
	if err != nil {
		return nil, err
	}
	b, err := read[struct {
		By string `json:"by"`
	}](w, r, maxBody)
	if err != nil {
		return nil, err
	}
	if b.By, err = who(b.By); err != nil {
		return nil, err
	}
	s.unhurried(w)
	return s.opt.Engine.Apply(r.Context(), run, b.By)
}

// unhurried lifts the deadline of a request whose work may take longer than a client's reading.
func (s *Server) unhurried(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // unsupported only in tests without a connection
}

func (s *Server) blob(w http.ResponseWriter, r *http.Request) (any, error) {
	hash := r.PathValue("hash")
	if len(hash) != 64 || strings.Trim(hash, "0123456789abcdef") != "" {
		return nil, Errorf(journal.ErrNotFound, "", "no blob %.64q", hash)
	}
	b, err := s.opt.Store.Blob(r.Context(), hash)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	return nil, s.stream(w, "application/octet-stream", func(w io.Writer) error {
		_, err := io.Copy(w, b)
		return err
	})
}

func (s *Server) backup(w http.ResponseWriter, r *http.Request) (any, error) {
	return nil, s.stream(w, "application/octet-stream", func(w io.Writer) error {
		return s.opt.Store.Backup(r.Context(), w)
	})
}

// stream sends what write makes. An error before the first byte is an answer; after it the connection is cut, so that the
// client can't take a part for the whole.
func (s *Server) stream(w http.ResponseWriter, kind string, write func(io.Writer) error) error {
	out := &streamWriter{w: w, rc: http.NewResponseController(w), patience: s.opt.Timeout, kind: kind}
	err := write(out)
	if err != nil && out.began {
		s.log.Warn("stream cut", "err", err)
		panic(http.ErrAbortHandler)
	}
	if err == nil && !out.began {
		_, err = out.Write(nil)
	}
	return err
}

// streamWriter moves the write deadline on with every write.
type streamWriter struct {
	w        http.ResponseWriter
	rc       *http.ResponseController
	patience time.Duration
	kind     string
	began    bool
}

// Write implements io.Writer.
func (s *streamWriter) Write(p []byte) (int, error) {
	if !s.began {
		s.w.Header().Set("Content-Type", s.kind)
		s.began = true
	}
	_ = s.rc.SetWriteDeadline(time.Now().Add(s.patience)) // unsupported only in tests without a connection
	return s.w.Write(p)
}

func (s *Server) info(_ http.ResponseWriter, r *http.Request) (any, error) {
	i, err := s.opt.Engine.Info(r.Context())
	i.API, i.Version = Version, s.opt.Build
	if i.Env == nil {
		i.Env = []string{}
	}
	return i, err
}

func (s *Server) spec(w http.ResponseWriter, _ *http.Request) (any, error) {
	w.Header().Set("Content-Type", "application/yaml")
	_, err := w.Write(openapi)
	return nil, err
}
