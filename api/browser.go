package api

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"time"

	"agentd/journal"
)

// Browsers lets a person look into the browsers of runs, and use them.
type Browsers interface {
	// Screen opens a live run's browser. Without a task it is the one that most likely is wanted.
	Screen(ctx context.Context, run journal.RunID, task, by string) (Screen, error)
}

// Screen is a run's browser as a person sees it. It is safe for concurrent use.
type Screen interface {
	// Next waits until there is something new to see.
	Next(ctx context.Context) (ScreenFrame, error)
	// Take gives it to the person: from then on the agent waits.
	Take(ctx context.Context) error
	// Give gives it back. done: what the agent asked a person for is done, too.
	Give(ctx context.Context, done bool) error
	// Input does what a person does.
	Input(ctx context.Context, in []ScreenInput) error
	// Close gives it back and ends the view.
	Close(ctx context.Context) error
}

// ScreenFrame is what there is to see in a run's browser; the first has the session by which to act.
type ScreenFrame struct {
	Session string      `json:"session,omitempty"`
	Task    string      `json:"task"`
	Why     string      `json:"why,omitempty"` // the agent asked for a person
	Tabs    []ScreenTab `json:"tabs,omitempty"`
	URL     string      `json:"url,omitempty"`
	Dialog  string      `json:"dialog,omitempty"`  // that waits for an answer, in words
	Picture []byte      `json:"picture,omitempty"` // JPEG; absent: the last one still holds
	Taken   bool        `json:"taken,omitempty"`   // by this session
	Error   *Error      `json:"error,omitempty"`   // that ended it; the last line
}

// ScreenTab is a tab of the browser.
type ScreenTab struct {
	ID    string `json:"id"`
	Title string `json:"title,omitempty"`
	Front bool   `json:"front,omitempty"`
}

// ScreenInput is one thing that a person does: move, down, up or wheel of the mouse; keydown or keyup; text; back, forward, reload;
// open an address; tab, to switch to one; accept or dismiss a dialog. X and Y are parts of the picture, from 0 to 1.
type ScreenInput struct {
	Kind   string  `json:"kind"`
	X      float64 `json:"x,omitempty"`
	Y      float64 `json:"y,omitempty"`
	DX     float64 `json:"dx,omitempty"`
	DY     float64 `json:"dy,omitempty"`
	Button string  `json:"button,omitempty"`
	Count  int     `json:"count,omitempty"`
	Mods   int     `json:"mods,omitempty"` // 1 alt, 2 control, 4 meta, 8 shift
	Key    string  `json:"key,omitempty"`
	Code   string  `json:"code,omitempty"`
	Number int     `json:"number,omitempty"`
	Text   string  `json:"text,omitempty"`
}

// ScreenAct is what a person does in a session, in this order.
type ScreenAct struct {
	Take  bool          `json:"take,omitempty"`
	Input []ScreenInput `json:"input,omitempty"`
	Give  bool          `json:"give,omitempty"` // it is done
}

// takePatience is how long a person waits for an action that runs.
const takePatience = 45 * time.Second

func (s *Server) browserRoutes() []route {
	return []route{
		{"GET", "/v1/runs/{run}/browser", s.screen, 0},
		{"POST", "/v1/runs/{run}/browser/{session}", s.screenAct, 0},
		{"GET", "/v1/runs/{run}/screenshot", s.screenshot, 0},
	}
}

// screen streams what a run's browser shows, one ScreenFrame a line. The session ends with the connection.
func (s *Server) screen(w http.ResponseWriter, r *http.Request) (any, error) {
	run, err := runOf(r)
	if err != nil {
		return nil, err
	}
	q := query{r: r}
	task, by := q.text("task"), q.text("by")
	if err := q.done(); err != nil {
		return nil, err
	}
	if s.opt.Browsers == nil {
		return nil, Errorf(ErrInvalid, "", "this daemon has no browsers")
	}
	if len(by) > maxBy || len(task) > maxBy {
		return nil, Errorf(ErrInvalid, "", "by or task is longer than %d bytes", maxBy)
	}
	if _, err := s.opt.Store.Get(r.Context(), run); err != nil {
		return nil, named(run, err)
	}
	x, err := s.opt.Browsers.Screen(r.Context(), run, task, by)
	if err != nil {
		return nil, err
	}
	id := screenID()
	s.screens.Store(id, runScreen{run, x})
	defer func() {
		s.screens.Delete(id)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 15*time.Second)
		defer cancel()
		if err := x.Close(ctx); err != nil {
			s.log.Info("browser given back late", "run", run, "err", err)
		}
	}()
	s.unhurried(w)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.draining, cancel)()
	out := &streamWriter{w: w, rc: http.NewResponseController(w), patience: s.opt.Timeout, kind: "application/x-ndjson"}
	for first := true; ; first = false {
		f, err := x.Next(ctx)
		if ctx.Err() != nil {
			return nil, nil
		}
		if first {
			if err != nil {
				return nil, err
			}
			f.Session = id
		}
		if err != nil {
			f = ScreenFrame{Error: ErrorOf(err)}
		}
		data, jerr := json.Marshal(f)
		if jerr != nil {
			return nil, jerr
		}
		if _, werr := out.Write(append(data, '\n')); werr != nil || out.rc.Flush() != nil || err != nil {
			return nil, nil // the person left, or it has ended
		}
	}
}

type runScreen struct {
	run journal.RunID
	Screen
}

func screenID() string {
	b := make([]byte, 16)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

func (s *Server) screenAct(w http.ResponseWriter, r *http.Request) (any, error) {
	run, err := runOf(r)
	if err != nil {
		return nil, err
	}
	act, err := read[ScreenAct](w, r, maxBody)
	if err != nil {
		return nil, err
	}
	v, ok := s.screens.Load(r.PathValue("session"))
	x, same := v.(runScreen)
	if !ok || !same || x.run != run {
		return nil, Errorf(journal.ErrNotFound, "look into its browser first", "run %s has no such session", run)
	}
	ctx, cancel := context.WithTimeout(r.Context(), takePatience)
	defer cancel()
	if act.Take {
		s.unhurried(w)
		if err := x.Take(ctx); err != nil {
			return nil, err
		}
	}
	if len(act.Input) > 0 {
		if err := x.Input(ctx, act.Input); err != nil {
			return nil, err
		}
	}
	if act.Give {
		if err := x.Give(ctx, true); err != nil {
			return nil, err
		}
	}
	return struct{}{}, nil
}

// screenshot answers with the last picture that a run took.
func (s *Server) screenshot(w http.ResponseWriter, r *http.Request) (any, error) {
	run, err := runOf(r)
	if err != nil {
		return nil, err
	}
	raw, err := s.views.get(r.Context(), run, 1)
	if err != nil {
		return nil, named(run, err)
	}
	var st struct {
		State struct{ Shot *journal.Picture }
	}
	if err := json.Unmarshal(raw, &st); err != nil {
		return nil, fmt.Errorf("read the run's view: %w", err)
	}
	shot := st.State.Shot
	if shot == nil {
		return nil, Errorf(journal.ErrNotFound, "", "run %s has taken no screenshot", run)
	}
	b, err := s.opt.Store.Blob(r.Context(), shot.Blob)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	kind := "image/png"
	if shot.Type == "image/jpeg" {
		kind = shot.Type
	}
	return nil, s.stream(w, kind, func(w io.Writer) error {
		_, err := io.Copy(w, b)
		return err
	})
}

// Screen looks into a run's browser until ctx ends or the loop is left; that ends the session.
func (c *Client) Screen(ctx context.Context, run journal.RunID, task string) iter.Seq2[ScreenFrame, error] {
	return func(yield func(ScreenFrame, error) bool) {
		q := url.Values{"by": {c.By}}
		if task != "" {
			q.Set("task", task)
		}
		resp, err := c.send(ctx, "GET", "/v1/runs/"+url.PathEscape(string(run))+"/browser", q, nil)
		if err != nil {
			yield(ScreenFrame{}, err)
			return
		}
		defer resp.Body.Close()
		lines := bufio.NewReaderSize(io.LimitReader(resp.Body, 1<<40), 1<<20)
		dec := json.NewDecoder(lines)
		for {
			var f ScreenFrame
			if err := dec.Decode(&f); err != nil {
				if ctx.Err() != nil {
					err = ctx.Err()
				}
				yield(f, fmt.Errorf("the view of the browser ended: %w", err))
				return
			}
			if f.Error != nil {
				yield(f, f.Error)
				return
			}
			if !yield(f, nil) {
				return
			}
		}
	}
}

// ScreenAct does what a person does in a session of Screen.
func (c *Client) ScreenAct(ctx context.Context, run journal.RunID, session string, act ScreenAct) error {
	_, err := call[struct{}](ctx, c, "POST", "/v1/runs/"+url.PathEscape(string(run))+"/browser/"+url.PathEscape(session), nil, act)
	return err
}

// Screenshot writes the last picture that a run took, and returns its media type.
func (c *Client) Screenshot(ctx context.Context, run journal.RunID, w io.Writer) (kind string, err error) {
	resp, err := c.send(ctx, "GET", "/v1/runs/"+url.PathEscape(string(run))+"/screenshot", nil, nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return "", fmt.Errorf("read the screenshot: %w", err)
	}
	return resp.Header.Get("Content-Type"), nil
}
