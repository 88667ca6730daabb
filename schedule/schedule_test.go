package schedule_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"agentd/goals"
	"agentd/schedule"
)

// clock is a clock that a test sets.
type clock struct{ now time.Time }

func (c *clock) time() time.Time { return c.now }

// runs stands for the daemon's runs: durable, one for each key.
type runs struct {
	keys    []string          // in the order in which they were started
	live    map[string]bool   // by run
	byKey   map[string]string // run by key
	bodies  []string
	cancels int
	die     func() error // nil: never; else what Start returns after the run is durable
}

func newRuns() *runs { return &runs{live: map[string]bool{}, byKey: map[string]string{}} }

func (r *runs) Start(_ context.Context, _ schedule.Job, s schedule.Slot) (string, error) {
	run, ok := r.byKey[s.Key]
	if !ok {
		run = fmt.Sprintf("run%d", len(r.keys))
		r.byKey[s.Key], r.live[run] = run, true
		r.keys, r.bodies = append(r.keys, s.Key), append(r.bodies, s.Body)
	}
	if r.die != nil {
		if err := r.die(); err != nil {
			return "", err
		}
	}
	return run, nil
}

func (r *runs) Live(_ context.Context, run string) (bool, error) { return r.live[run], nil }

func (r *runs) Cancel(_ context.Context, run string) error {
	r.cancels++
	r.live[run] = false
	return nil
}

func (r *runs) end() {
	for k := range r.live {
		r.live[k] = false
	}
}

// times are the slots that were started, from their keys.
func (r *runs) times() []string {
	var out []string
	for _, k := range r.keys {
		out = append(out, k[strings.LastIndexByte(k, '/')+1:])
	}
	return out
}

func open(t *testing.T, dir string, r *runs, c *clock) *schedule.Scheduler {
	t.Helper()
	s, err := schedule.New(schedule.Options{Dir: dir, Runs: r, Now: c.time, Secret: func(string) ([]byte, error) { return []byte(secret), nil }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const secret = "0123456789abcdef0123456789abcdef"

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

func add(t *testing.T, s *schedule.Scheduler, triggers ...goals.Trigger) {
	t.Helper()
	if _, err := s.Add(schedule.Job{Name: "job", Workspace: t.TempDir(), Goal: goals.Goal{Text: "x", Triggers: triggers}}); err != nil {
		t.Fatal(err)
	}
}

func TestMissed(t *testing.T) {
	for _, tt := range []struct {
		missed string
		back   string // when the daemon is back
		want   []string
	}{
		{"once", "2026-03-01T10:30:00Z", []string{"2026-03-01T10:00:00Z"}},
		{"skip", "2026-03-01T10:30:00Z", nil},
		{"skip", "2026-03-01T10:00:20Z", []string{"2026-03-01T10:00:00Z"}},
		{"once", "2026-03-01T10:00:20Z", []string{"2026-03-01T10:00:00Z"}},
		{"all", "2026-03-01T10:30:00Z", []string{"2026-03-01T08:00:00Z", "2026-03-01T09:00:00Z", "2026-03-01T10:00:00Z"}},
		{"", "2026-03-01T10:30:00Z", []string{"2026-03-01T10:00:00Z"}},
	} {
		dir, r, c := t.TempDir(), newRuns(), &clock{at("2026-03-01T07:10:00Z")}
		add(t, open(t, dir, r, c), goals.Trigger{Cron: "0 * * * *", Missed: tt.missed, Overlap: "queue"})
		c.now = at(tt.back)
		s := open(t, dir, r, c)
		for range 5 {
			s.Tick(t.Context())
			r.end()
		}
		if got := r.times(); !slices.Equal(got, tt.want) {
			t.Errorf("missed %q, back at %s: started %v, want %v", tt.missed, tt.back, got, tt.want)
		}
	}
}

func TestOverlap(t *testing.T) {
	for _, tt := range []struct {
		overlap          string
		started, cancels int // while the first goes on
		later            int // once it has ended
	}{{"skip", 1, 0, 1}, {"", 1, 0, 1}, {"queue", 1, 0, 2}, {"cancel", 2, 1, 2}} {
		r, c := newRuns(), &clock{at("2026-03-01T07:59:00Z")}
		s := open(t, t.TempDir(), r, c)
		add(t, s, goals.Trigger{Cron: "0 * * * *", Overlap: tt.overlap})
		c.now = at("2026-03-01T08:00:00Z")
		s.Tick(t.Context())
		c.now = at("2026-03-01T09:00:00Z")
		s.Tick(t.Context())
		s.Tick(t.Context())
		if len(r.keys) != tt.started || r.cancels != tt.cancels {
			t.Errorf("overlap %q: %d started, %d cancelled; want %d, %d", tt.overlap, len(r.keys), r.cancels, tt.started, tt.cancels)
		}
		r.end()
		s.Tick(t.Context())
		if len(r.keys) != tt.later {
			t.Errorf("overlap %q: %d started after the end, want %d", tt.overlap, len(r.keys), tt.later)
		}
	}
}

// TestClockJumps moves the clock back and forth: no time starts two runs, and the table goes on afterwards.
func TestClockJumps(t *testing.T) {
	r, c, dir := newRuns(), &clock{at("2026-03-01T07:30:00Z")}, t.TempDir()
	s := open(t, dir, r, c)
	add(t, s, goals.Trigger{Cron: "0 * * * *"})
	for _, now := range []string{
		"2026-03-01T08:00:00Z", "2026-03-01T07:59:00Z", "2026-03-01T08:00:01Z", "2026-03-01T06:00:00Z", "2026-03-01T08:00:00Z", "2026-03-01T09:00:00Z",
		"2027-03-01T09:00:10Z", "2026-03-01T09:00:30Z", "2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z", "2027-03-01T09:00:20Z",
	} {
		c.now = at(now)
		s.Tick(t.Context())
		r.end()
		if len(now)%2 == 0 {
			s = open(t, dir, r, c)
		}
	}
	want := []string{"2026-03-01T08:00:00Z", "2026-03-01T09:00:00Z", "2027-03-01T09:00:00Z", "2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z"}
	if got := r.times(); !slices.Equal(got, want) {
		t.Errorf("started %v, want %v", got, want)
	}
}

// TestCutsLoseNothing kills the scheduler at random moments, also between a run's start and the note of it: with missed all and overlap queue every
// time runs exactly once.
func TestCutsLoseNothing(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		r, c, dir := newRuns(), &clock{at("2026-03-01T00:00:30Z")}, t.TempDir()
		died := errors.New("killed")
		r.die = func() error {
			if rnd.IntN(3) == 0 {
				return died
			}
			return nil
		}
		s := open(t, dir, r, c)
		add(t, s, goals.Trigger{Cron: "*/5 * * * *", Missed: "all", Overlap: "queue"})
		end := at("2026-03-01T01:31:00Z")
		for c.now.Before(end) {
			c.now = c.now.Add(time.Duration(rnd.IntN(400)) * time.Second)
			s.Tick(t.Context())
			if rnd.IntN(2) == 0 {
				s = open(t, dir, r, c)
			}
			if rnd.IntN(2) == 0 {
				r.end()
			}
		}
		c.now = end
		r.die = nil
		for range 40 {
			s.Tick(t.Context())
			r.end()
		}
		got := r.times()
		var want []string
		for at := at("2026-03-01T00:05:00Z"); !at.After(end); at = at.Add(5 * time.Minute) {
			want = append(want, at.Format(time.RFC3339))
		}
		if !slices.Equal(got[:min(len(got), len(want))], want) {
			t.Fatalf("seed %d: started %v\nwant %v", seed, got, want)
		}
	}
}

func TestFiles(t *testing.T) {
	ws, r, c := t.TempDir(), newRuns(), &clock{at("2026-03-01T00:00:00Z")}
	put := func(name, text string) {
		t.Helper()
		path := filepath.Join(ws, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("src/a.go", "1")
	dir := t.TempDir()
	s := open(t, dir, r, c)
	if _, err := s.Add(schedule.Job{Name: "job", Workspace: ws, Goal: goals.Goal{Text: "x", Triggers: []goals.Trigger{{Files: []string{"src/**/*.go"}, Settle: 5 * time.Second}}}}); err != nil {
		t.Fatal(err)
	}
	tick := func(d time.Duration) int {
		c.now = c.now.Add(d)
		s.Tick(t.Context())
		return len(r.keys)
	}
	if n := tick(time.Minute) + tick(time.Minute); n != 0 {
		t.Fatalf("%d runs without a change", n)
	}
	put("other.txt", "1")
	if n := tick(time.Minute) + tick(time.Minute); n != 0 {
		t.Fatalf("%d runs after a change of another file", n)
	}
	put("src/a.go", "22")
	if n := tick(time.Second); n != 0 {
		t.Fatal("it did not wait for the files to be still")
	}
	put("src/a.go", "333")
	if n := tick(5*time.Second) + tick(3*time.Second); n != 0 {
		t.Fatal("it did not wait for the files to be still after a second change")
	}
	if n := tick(3 * time.Second); n != 1 {
		t.Fatalf("%d runs after a change, want 1", n)
	}
	put("src/b.go", "the run's own")
	tick(time.Second)
	r.end()
	if n := tick(time.Minute) + tick(time.Minute); n != 2 {
		t.Fatalf("%d runs, want 1: what a run changes starts none", n-1)
	}
	put("src/c.go", "while the daemon was down")
	s = open(t, dir, r, c)
	tick(time.Second)
	if n := tick(time.Minute); n != 2 {
		t.Fatalf("%d runs after a change while nothing ran, want 2", n)
	}
}

func TestWebhook(t *testing.T) {
	r, c, dir := newRuns(), &clock{at("2026-03-01T00:00:00Z")}, t.TempDir()
	s := open(t, dir, r, c)
	add(t, s, goals.Trigger{Webhook: "push", Secret: "hook", Overlap: "queue"})
	sign := func(parts string) []byte {
		m := hmac.New(sha256.New, []byte(secret))
		m.Write([]byte(parts))
		return m.Sum(nil)
	}
	post := func(path, body string, header map[string]string) int {
		req := httptest.NewRequest("POST", path, strings.NewReader(body))
		for k, v := range header {
			req.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, req)
		s.Tick(t.Context())
		r.end()
		return w.Code
	}
	standard := func(id, body string, when time.Time) map[string]string {
		at := strconv.FormatInt(when.Unix(), 10)
		return map[string]string{"webhook-id": id, "webhook-timestamp": at, "webhook-signature": "v1,AAAA v1," + base64.StdEncoding.EncodeToString(sign(id+"."+at+"."+body))}
	}
	hub := func(body string) map[string]string {
		return map[string]string{"X-Hub-Signature-256": "sha256=" + hex.EncodeToString(sign(body))}
	}
	for i, tt := range []struct {
		name, path, body string
		header           map[string]string
		code, runs       int
	}{
		{"unsigned", "/hooks/push", "{}", nil, 401, 0},
		{"wrong", "/hooks/push", "{}", hub("{} "), 401, 0},
		{"signed", "/hooks/push", "{}", standard("a", "{}", c.now), 202, 1},
		{"again", "/hooks/push", "{}", standard("a", "{}", c.now), 202, 1},
		{"another", "/hooks/push", "{}", standard("b", "{}", c.now), 202, 2},
		{"old", "/hooks/push", "{}", standard("c", "{}", c.now.Add(-time.Hour)), 401, 2},
		{"github", "/hooks/push", `{"a":1}`, hub(`{"a":1}`), 202, 3},
		{"github again", "/hooks/push", `{"a":1}`, hub(`{"a":1}`), 202, 3},
		{"unknown", "/hooks/pull", "{}", hub("{}"), 401, 3},
		{"empty name", "/hooks/", "{}", hub("{}"), 401, 3},
		{"large", "/hooks/push", strings.Repeat("x", 1<<17), hub("{}"), 413, 3},
	} {
		if got := post(tt.path, tt.body, tt.header); got != tt.code || len(r.keys) != tt.runs {
			t.Errorf("%d %s: answer %d and %d runs, want %d and %d", i, tt.name, got, len(r.keys), tt.code, tt.runs)
		}
	}
	if r.bodies[2] != `{"a":1}` {
		t.Errorf("the run got %q", r.bodies[2])
	}
	s = open(t, dir, r, c)
	if got := post("/hooks/push", "{}", standard("b", "{}", c.now)); got != http.StatusAccepted || len(r.keys) != 3 {
		t.Errorf("again after a restart: answer %d, %d runs", got, len(r.keys))
	}
	if err := s.Pause("job", true); err != nil {
		t.Fatal(err)
	}
	if got := post("/hooks/push", "{}", standard("z", "{}", c.now)); got != http.StatusServiceUnavailable {
		t.Errorf("paused: answer %d", got)
	}
}

func TestNowAndApproval(t *testing.T) {
	r, c := newRuns(), &clock{at("2026-03-01T07:30:00Z")}
	s := open(t, t.TempDir(), r, c)
	ws := t.TempDir()
	job := schedule.Job{Name: "job", Workspace: ws, Goal: goals.Goal{Text: "one", Triggers: []goals.Trigger{{Cron: "0 * * * *", Overlap: "queue"}}}}
	if _, err := s.Add(job); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if p, err := s.Now(t.Context(), "job", "k"); err != nil || p.What != "started" || len(r.keys) != 1 {
			t.Fatalf("run now: %+v, %v, %d runs", p, err, len(r.keys))
		}
	}
	if p, err := s.Now(t.Context(), "job", "k2"); err != nil || p.What != "queued" || len(r.keys) != 1 {
		t.Errorf("run now while one goes on: %+v, %v", p, err)
	}
	c.now = at("2026-03-01T08:00:10Z")
	job.Goal.Text = "two"
	if _, err := s.Add(job); err != nil {
		t.Fatal(err)
	}
	r.end()
	for range 4 {
		s.Tick(t.Context())
		r.end()
	}
	if len(r.keys) != 3 || !strings.HasSuffix(r.keys[2], "2026-03-01T08:00:00Z") {
		t.Errorf("after the approval: %v; the time that came before it is not lost", r.keys)
	}
	if _, err := s.Add(schedule.Job{Name: "job", Workspace: t.TempDir(), Goal: job.Goal}); !errors.Is(err, schedule.ErrTaken) {
		t.Errorf("the same name elsewhere: %v", err)
	}
	if _, err := s.Add(schedule.Job{Name: "none", Workspace: ws}); !errors.Is(err, goals.ErrNoTriggers) {
		t.Errorf("no triggers: %v", err)
	}
	if err := s.Pause("job", true); err != nil {
		t.Fatal(err)
	}
	c.now = at("2026-03-01T09:00:00Z")
	s.Tick(t.Context())
	if len(r.keys) != 3 {
		t.Errorf("it started while it was paused: %v", r.keys)
	}
	if err := s.Remove("job"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Job("job"); !errors.Is(err, schedule.ErrNotFound) {
		t.Errorf("removed: %v", err)
	}
}
