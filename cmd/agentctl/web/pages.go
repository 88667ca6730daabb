package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"agentd/api"
	"agentd/cmd/agentctl/words"
	"agentd/journal"
)

const (
	shownEvents = 200
	maxForm     = 128 << 10
	stateEvery  = 700 * time.Millisecond
)

func funcs() template.FuncMap {
	return template.FuncMap{
		"safe": func(s string) string { return words.Safe(words.StripSGR(s)) }, "line": words.Line, "count": words.Count, "dollars": words.Dollars, "span": words.Span,
		"age":    func(t time.Time) string { return words.Age(time.Since(t)) },
		"status": words.Status, "mark": words.Mark, "plural": words.Plural, "bytes": words.Bytes,
		"args":      words.CallFull,
		"answers":   func(k journal.AskKind) []string { return api.Answers(k) },
		"checkmark": words.CheckMark,
	}
}

type homeData struct {
	Runs    []journal.Summary
	Waiting int
}

func (s *Server) home(w http.ResponseWriter, r *http.Request) {
	live, err := s.opt.Client.List(r.Context(), journal.Filter{Live: true, Limit: 1000})
	if err != nil {
		s.fail(w, err)
		return
	}
	d := homeData{Runs: live}
	for _, l := range live {
		if l.Asks > 0 || l.Status == journal.StatusParked || l.Status == journal.StatusInDoubt {
			d.Waiting++
		}
	}
	newest, err := s.opt.Client.List(r.Context(), journal.Filter{Limit: 100})
	if err != nil {
		s.fail(w, err)
		return
	}
	for _, n := range newest {
		if !slices.ContainsFunc(live, func(l journal.Summary) bool { return l.Run == n.Run }) {
			d.Runs = append(d.Runs, n)
		}
	}
	s.show(w, http.StatusOK, "home.html", page{Title: "Runs", Data: d})
}

type runData struct {
	stateData
	Entries []*entry
	Last    journal.Seq
	First   journal.Seq
}

// stateData is what the head of a run's page shows.
type stateData struct {
	Run     journal.RunID
	Sum     journal.Summary
	State   *journal.State
	Asks    []*journal.Ask
	Tasks   []*journal.Task
	Checks  []journal.Check
	Recalls []journal.Recall
	Live    bool
	Paused  bool
}

func (s *Server) stateOf(ctx context.Context, run journal.RunID) (stateData, error) {
	v, err := s.opt.Client.Recent(ctx, run, 1)
	if err != nil {
		return stateData{}, err
	}
	st := v.State
	if st == nil {
		return stateData{}, api.Errorf(api.ErrInternal, "", "the daemon sent no state of run %s", run)
	}
	d := stateData{Run: run, Sum: v.Summary, State: st, Live: !v.Status.Ended(), Paused: st.Paused != nil}
	for _, a := range st.Asks {
		if a != nil && d.Live {
			d.Asks = append(d.Asks, a)
		}
	}
	slices.SortFunc(d.Asks, func(a, b *journal.Ask) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.Call.ID, b.Call.ID)
	})
	for _, t := range st.Plan.Tasks {
		task := st.Tasks[t.ID]
		if task == nil {
			task = &journal.Task{Task: t, Status: journal.TaskPending}
		}
		d.Tasks = append(d.Tasks, task)
	}
	for _, c := range []*journal.CheckFinished{st.Final, st.Base} {
		if c != nil {
			d.Checks = c.Checks
			break
		}
	}
	for _, key := range slices.Sorted(func(yield func(string) bool) {
		for k := range st.Recalls {
			if !yield(k) {
				return
			}
		}
	}) {
		d.Recalls = append(d.Recalls, st.Recalls[key].Items...)
	}
	d.Recalls = d.Recalls[:min(len(d.Recalls), 10)]
	return d, nil
}

// runOf is the run that a path names.
func runOf(r *http.Request) journal.RunID { return journal.RunID(r.PathValue("run")) }

func (s *Server) run(w http.ResponseWriter, r *http.Request) {
	run := runOf(r)
	st, err := s.stateOf(r.Context(), run)
	if err != nil {
		s.fail(w, err)
		return
	}
	var before journal.Seq
	if v := r.URL.Query().Get("before"); v != "" {
		if _, err := fmt.Sscan(v, &before); err != nil {
			s.fail(w, api.Errorf(api.ErrInvalid, "", "%.20q is no event's number", v))
			return
		}
	}
	recs, err := s.opt.Client.Page(r.Context(), run, before, shownEvents)
	if err != nil {
		s.fail(w, err)
		return
	}
	str := newStream(recs)
	d := runData{stateData: st, Entries: str.entries, Last: str.last}
	if len(recs) > 0 {
		d.First = recs[0].Seq
	}
	if before != 0 {
		d.Live = false // an older page stays as it is
	}
	s.show(w, http.StatusOK, "run.html", page{Title: string(run), Data: d})
}

type diffFile struct {
	api.FileDiff
	Lines []diffLine
}

type diffLine struct{ Class, Text string }

func (s *Server) diff(w http.ResponseWriter, r *http.Request) {
	run := runOf(r)
	d, err := s.opt.Client.Diff(r.Context(), run)
	if err != nil {
		s.fail(w, err)
		return
	}
	files := make([]diffFile, 0, len(d.Files))
	for _, f := range d.Files {
		df := diffFile{FileDiff: f}
		for l := range strings.SplitSeq(strings.TrimRight(f.Patch, "\n"), "\n") {
			class := ""
			switch {
			case strings.HasPrefix(l, "+++"), strings.HasPrefix(l, "---"):
				class = "faint"
			case strings.HasPrefix(l, "+"):
				class = "plus"
			case strings.HasPrefix(l, "-"):
				class = "minus"
			case strings.HasPrefix(l, "@@"):
				class = "hunk"
			}
			df.Lines = append(df.Lines, diffLine{class, l})
		}
		files = append(files, df)
	}
	s.show(w, http.StatusOK, "diff.html", page{Title: "Changes of " + string(run), Link: "/runs/" + string(run), Data: files})
}

type ruleData struct {
	Run    journal.RunID
	Ask    string
	Scope  journal.Scope
	Always bool
	Rules  []string
	First  string
	File   string
	Note   string
}

// rule shows the rule that would answer an ask and others like it, before it is added.
func (s *Server) rule(w http.ResponseWriter, r *http.Request) {
	d := ruleData{Run: runOf(r), Ask: r.URL.Query().Get("ask"), Scope: journal.Scope(r.URL.Query().Get("scope"))}
	if d.Scope != journal.ScopeRun && d.Scope != journal.ScopeAlways {
		s.fail(w, api.Errorf(api.ErrInvalid, "", "scope is %.20q: it is run or always", d.Scope))
		return
	}
	offer, err := s.opt.Client.AskRules(r.Context(), d.Run, d.Ask)
	if err != nil {
		s.fail(w, err)
		return
	}
	d.Always, d.Rules, d.File, d.Note = d.Scope == journal.ScopeAlways, offer.Run, offer.File, offer.Note
	if d.Always {
		d.Rules = offer.Always
	}
	d.Rules = slices.DeleteFunc(d.Rules, func(r string) bool { return words.Safe(r) != r }) // what is shown must be what is sent
	if len(d.Rules) > 0 {
		d.First = d.Rules[0]
	}
	s.show(w, http.StatusOK, "rule.html", page{Title: "A rule for " + string(d.Run), Link: "/runs/" + string(d.Run), Data: d})
}

// act does what a form asks for and goes back to the run.
func (s *Server) act(w http.ResponseWriter, r *http.Request) {
	run, c, ctx := runOf(r), s.opt.Client, r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		s.fail(w, api.Errorf(api.ErrInvalid, "", "the form can't be read: %v", err))
		return
	}
	var err error
	switch deed := r.PathValue("deed"); deed {
	case "answer":
		answer := r.PostForm.Get("answer")
		if answer == "text" {
			answer = r.PostForm.Get("text")
		}
		err = c.Answer(ctx, run, r.PostForm.Get("ask"), api.Answer{
			Answer: answer, Reason: r.PostForm.Get("reason"), Scope: journal.Scope(r.PostForm.Get("scope")), Rule: r.PostForm.Get("rule"),
		})
	case "say":
		err = c.Say(ctx, run, r.PostForm.Get("text"))
	case "pause":
		err = c.Patch(ctx, run, api.Patch{Paused: new(true)})
	case "resume":
		err = c.Patch(ctx, run, api.Patch{Paused: new(false)})
	case "cancel":
		err = c.Cancel(ctx, run)
	default:
		err = api.Errorf(journal.ErrNotFound, "", "nothing is called %.40q here", deed)
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	http.Redirect(w, r, "/runs/"+string(run), http.StatusSeeOther)
}

// live sends what changes of a run's page: elements with their names, as server-sent events.
func (s *Server) live(w http.ResponseWriter, r *http.Request) {
	run := runOf(r)
	var after journal.Seq
	if _, err := fmt.Sscan(r.URL.Query().Get("after"), &after); err != nil {
		s.fail(w, api.Errorf(api.ErrInvalid, "", "after is no event's number"))
		return
	}
	if _, err := fmt.Sscan(r.Header.Get("Last-Event-ID"), &after); err != nil && r.Header.Get("Last-Event-ID") != "" {
		s.fail(w, api.Errorf(api.ErrInvalid, "", "Last-Event-ID is no event's number"))
		return
	}
	recs, err := s.opt.Client.Page(r.Context(), run, after+1, shownEvents) // what the page shows already
	if err != nil {
		s.fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	l := &liveStream{s: s, ctx: r.Context(), w: w, rc: http.NewResponseController(w), run: run, stream: newStream(recs)}
	l.follow(after)
}

// liveStream is one browser that watches a run.
type liveStream struct {
	s      *Server
	ctx    context.Context
	w      http.ResponseWriter
	rc     *http.ResponseController
	run    journal.RunID
	stream *stream
	state  string // as it was sent last
	looked time.Time
}

func (l *liveStream) follow(after journal.Seq) {
	if l.send("hello", struct{}{}) != nil {
		return
	}
	for it, err := range l.s.opt.Client.Follow(l.ctx, l.run, after, true) {
		switch {
		case err != nil:
			if !errors.Is(err, context.Canceled) {
				_ = l.send("down", api.ErrorOf(err))
			}
			return
		case it.Down != nil:
			err = l.send("down", api.ErrorOf(it.Down))
		case it.Delta != nil:
			err = l.send("delta", map[string]any{"id": name("m", it.Delta.Call), "text": words.Safe(it.Delta.Text), "reset": it.Delta.Reset})
		case it.Record != nil:
			err = l.record(*it.Record)
		}
		if err != nil {
			return
		}
	}
	l.looked = time.Time{}
	if l.head() == nil {
		_ = l.send("end", struct{}{})
	}
}

func (l *liveStream) record(r journal.Record) error {
	if e := l.stream.add(r); e != nil {
		var b strings.Builder
		if err := l.s.pages.ExecuteTemplate(&b, "entry", e); err != nil {
			return err
		}
		fmt.Fprintf(l.w, "id: %d\n", r.Seq)
		if err := l.send("entry", map[string]string{"id": e.ID, "html": b.String()}); err != nil {
			return err
		}
	}
	if r.Kind == journal.KindToolAsked || r.Kind == journal.KindAskAnswered || r.Kind == journal.KindPaused || r.Kind == journal.KindResumed {
		l.looked = time.Time{}
	}
	return l.head()
}

// head sends the run's state anew, now and then.
func (l *liveStream) head() error {
	if time.Since(l.looked) < stateEvery {
		return nil
	}
	l.looked = time.Now()
	st, err := l.s.stateOf(l.ctx, l.run)
	if err != nil {
		return nil // the stream says when the daemon is away
	}
	var b strings.Builder
	if err := l.s.pages.ExecuteTemplate(&b, "state", st); err != nil {
		return err
	}
	if b.String() == l.state {
		return nil
	}
	l.state = b.String()
	return l.send("state", map[string]string{"html": l.state})
}

func (l *liveStream) send(event string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_ = l.rc.SetWriteDeadline(time.Now().Add(30 * time.Second)) // unsupported only in tests without a connection
	if _, err := fmt.Fprintf(l.w, "event: %s\ndata: %s\n\n", event, data); err != nil {
		return err
	}
	return l.rc.Flush()
}
