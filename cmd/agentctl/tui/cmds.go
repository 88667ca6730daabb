package tui

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"agentd/api"
	"agentd/goals"
	"agentd/journal"
)

// Commands are all of the I/O: each asks the daemon for something and returns a message. None touches the model.

const (
	pageSize  = 200
	keepTurns = 3                      // of each task in a run's state
	frame     = 50 * time.Millisecond  // events of a run are drawn so often at most
	written   = 100 * time.Millisecond // and a reply while it is being written
	pollEvery = 1500 * time.Millisecond
	maxBatch  = 2000
	maxBlob   = 4 << 20
)

type (
	tickMsg time.Time
	// listMsg is a look at the runs.
	listMsg struct {
		runs []journal.Summary
		more bool // older ones are there
		err  error
		at   time.Time
	}
	moreMsg struct {
		runs []journal.Summary
		err  error
	}
	infoMsg struct {
		info api.Info
		err  error
	}
	// pageMsg is a page of events: the newest (before 0), older ones, or those around an event.
	pageMsg struct {
		run    journal.RunID
		before journal.Seq
		want   journal.Seq // an event to go to
		recs   []journal.Record
		page   *stream // the same as entries
		err    error
		at     time.Time
	}
	stateMsg struct {
		run  journal.RunID
		view api.RunView
		err  error
	}
	// newsMsg is what following a run brought within a frame.
	newsMsg struct {
		from  *follower
		items []api.Item
		err   error
		ended bool
		at    time.Time
	}
	retryMsg struct{ from *follower }
	// doneMsg says how an action went.
	doneMsg struct {
		words string
		run   journal.RunID
		err   error
	}
	startedMsg struct {
		run journal.RunID
		err error
	}
	// textMsg is a text to show in a pager.
	textMsg struct {
		id    int
		lines []string
		err   error
	}
	foundMsg struct {
		run  journal.RunID
		seq  journal.Seq
		what string
		err  error
	}
	noticeMsg struct{ n int }
	pollMsg   struct{}
	// peekMsg is a look out of turn: no next one follows it.
	peekMsg listMsg
)

// follower follows a run. Its goroutine begins with the first command that waits for it and ends with its context.
type follower struct {
	run   journal.RunID
	items chan followed
	stop  context.CancelFunc
}

type followed struct {
	item api.Item
	err  error
}

// jobs are the goroutines of followers: whoever shows the UI waits for them when it ends.
type jobs struct {
	mu     sync.Mutex // guards closed, and wg against being added to after it
	closed bool
	wg     sync.WaitGroup
}

func (j *jobs) start(f func()) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return false
	}
	j.wg.Go(f)
	return true
}

// end waits for all; none begins after it.
func (j *jobs) end() {
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	j.wg.Wait()
}

func tick(d time.Duration) tea.Cmd {
	return func() tea.Msg {
		time.Sleep(d)
		return tickMsg(time.Now())
	}
}

// list looks at the newest runs and at all live ones.
func (m *Model) list() tea.Cmd {
	ctx, c := m.ctx, m.client
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		live, err := c.List(ctx, journal.Filter{Live: true, Limit: 1000})
		if err != nil {
			return listMsg{err: err, at: time.Now()}
		}
		runs, err := c.List(ctx, journal.Filter{Limit: pageSize})
		more := len(runs) == pageSize
		for _, r := range runs {
			if !slices.ContainsFunc(live, func(l journal.Summary) bool { return l.Run == r.Run }) {
				live = append(live, r)
			}
		}
		return listMsg{runs: live, more: more, err: err, at: time.Now()}
	}
}

// listMore reads the runs before one.
func (m *Model) listMore(after journal.RunID) tea.Cmd {
	ctx, c := m.ctx, m.client
	return func() tea.Msg {
		runs, err := c.List(ctx, journal.Filter{After: after, Limit: pageSize})
		return moreMsg{runs: runs, err: err}
	}
}

// describe asks the daemon about itself.
func (m *Model) describe() tea.Cmd {
	ctx, c := m.ctx, m.client
	return func() tea.Msg {
		info, err := c.Info(ctx)
		return infoMsg{info: info, err: err}
	}
}

// page reads events before a number; want is the event that is looked for.
func (m *Model) page(run journal.RunID, before, want journal.Seq, limit int) tea.Cmd {
	ctx, c := m.ctx, m.client
	return func() tea.Msg {
		recs, err := c.Page(ctx, run, before, limit)
		return pageMsg{run: run, before: before, want: want, recs: recs, page: pageOf(recs), err: err, at: time.Now()}
	}
}

func (m *Model) state(run journal.RunID) tea.Cmd {
	ctx, c := m.ctx, m.client
	return func() tea.Msg {
		v, err := c.Recent(ctx, run, keepTurns)
		return stateMsg{run: run, view: v, err: err}
	}
}

// begin follows a run after an event and waits for the first news.
func (m *Model) begin(run journal.RunID, after journal.Seq) (*follower, tea.Cmd) {
	ctx, cancel := context.WithCancel(m.ctx)
	f := &follower{run: run, items: make(chan followed, 256), stop: cancel}
	c, jobs := m.client, m.jobs
	return f, func() tea.Msg {
		ok := jobs.start(func() {
			defer close(f.items)
			for it, err := range c.Follow(ctx, run, after, true) {
				select {
				case f.items <- followed{it, err}:
				case <-ctx.Done():
					return
				}
			}
		})
		if !ok {
			return nil
		}
		return f.next()
	}
}

// next waits for news and gathers what comes within a frame: people read words as they are written no faster than ten times a second.
func (f *follower) next() tea.Msg {
	msg := newsMsg{from: f}
	n, more := <-f.items
	if !more {
		msg.ended, msg.at = true, time.Now()
		return msg
	}
	begun := time.Now()
	end := time.NewTimer(written)
	defer end.Stop()
	hurry := false
	for {
		if n.err != nil {
			msg.err, msg.at = n.err, time.Now()
			return msg
		}
		msg.items = append(msg.items, n.item)
		if n.item.Delta == nil && !hurry {
			hurry = true
			end.Reset(max(frame-time.Since(begun), 0))
		}
		if len(msg.items) >= maxBatch {
			break
		}
		select {
		case n, more = <-f.items:
			if more {
				continue
			}
			msg.ended = true
		case <-end.C:
		}
		break
	}
	msg.at = time.Now()
	return msg
}

func (f *follower) wait() tea.Cmd { return func() tea.Msg { return f.next() } }

// retry follows again after a while.
func (f *follower) retry() tea.Cmd {
	return func() tea.Msg {
		time.Sleep(2 * time.Second)
		return retryMsg{from: f}
	}
}

// act does something to a run and says how it went.
func (m *Model) act(words string, run journal.RunID, f func(ctx context.Context, c *api.Client) error) tea.Cmd {
	ctx, c := m.ctx, m.client
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
		defer cancel()
		return doneMsg{words: words, run: run, err: f(ctx, c)}
	}
}

// start starts a run of a form's request. A goal of one word is a goal file's name, as for agentctl run.
func (m *Model) start(r api.StartRequest) tea.Cmd {
	ctx, c := m.ctx, m.client
	return func() tea.Msg {
		if goals.IsWord(r.Goal) {
			file, err := goals.Find(r.Workspace, r.Goal)
			if err != nil {
				return startedMsg{err: err}
			}
			text, err := readGoal(file)
			if err != nil {
				return startedMsg{err: err}
			}
			r.Goal, r.File = "", &api.GoalFile{Name: file, Text: text}
		} else if _, err := goals.FromText(r.Goal, r.Checks); err != nil {
			return startedMsg{err: err}
		}
		s, err := c.Start(ctx, r, rand.Text())
		return startedMsg{run: s.Run, err: err}
	}
}

// text makes a command that fills a pager.
func (m *Model) text(id int, f func(ctx context.Context, c *api.Client) ([]string, error)) tea.Cmd {
	ctx, c := m.ctx, m.client
	return func() tea.Msg {
		lines, err := f(ctx, c)
		return textMsg{id: id, lines: lines, err: err}
	}
}

// blob reads stored output, as much of it as is shown.
func blob(ctx context.Context, c *api.Client, hash string) (string, error) {
	w := &limited{left: maxBlob}
	_, err := c.Blob(ctx, hash, w)
	if err != nil && !errors.Is(err, errLimit) {
		return "", err
	}
	s := w.buf.String()
	if errors.Is(err, errLimit) {
		s += fmt.Sprintf("\n… only the first %s are shown; all of it: agentctl events --json names the blob", bytesOf(maxBlob))
	}
	return s, nil
}

var errLimit = errors.New("enough")

// limited takes so many bytes and then refuses more.
type limited struct {
	buf  bytes.Buffer
	left int
}

// Write implements io.Writer.
func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	l.buf.Write(p[:n])
	if n < len(p) {
		return n, errLimit
	}
	return n, nil
}

var _ io.Writer = (*limited)(nil)

// findStep looks for the event at which a step was asked for: by halves, as steps only grow.
func (m *Model) findStep(run journal.RunID, last journal.Seq, step int) tea.Cmd {
	ctx, c := m.ctx, m.client
	return func() tea.Msg {
		name := fmt.Sprintf("step %d", step)
		lo, hi := journal.Seq(1), last
		for lo <= hi {
			mid := lo + (hi-lo)/2
			var first, end int
			var from journal.Seq
			for _, limit := range []journal.Seq{50, 1000} {
				from = mid - min(mid-1, limit-1)
				recs, err := c.Page(ctx, run, mid+1, int(mid-from+1))
				if err != nil {
					return foundMsg{run: run, err: err}
				}
				var at journal.Seq
				if first, end, at = stepsOf(recs, step); at > 0 {
					return foundMsg{run: run, seq: at, what: name}
				}
				if end > 0 || from == 1 {
					break
				}
			}
			switch {
			case end == 0 && from == 1, end > 0 && step > end:
				lo = mid + 1
			case end == 0, step < first:
				hi = from - 1
			default:
				return foundMsg{run: run, what: name}
			}
		}
		return foundMsg{run: run, what: name}
	}
}

// stepsOf is the first and the last step that was asked for in a page, and the event of the one that is looked for.
func stepsOf(recs []journal.Record, want int) (first, last int, at journal.Seq) {
	for _, r := range recs {
		if r.Kind != journal.KindModelAsked {
			continue
		}
		ev, err := r.Decode()
		a, ok := ev.(journal.ModelAsked)
		if err != nil || !ok {
			continue
		}
		if a.Step == want {
			at = r.Seq
		}
		if first == 0 {
			first = a.Step
		}
		last = a.Step
	}
	return first, last, at
}

// searchBack looks for words in the events before a number.
func (m *Model) searchBack(run journal.RunID, before journal.Seq, words string) tea.Cmd {
	ctx, c := m.ctx, m.client
	return func() tea.Msg {
		want := strings.ToLower(words)
		for before > 1 {
			recs, err := c.Page(ctx, run, before, 1000)
			if err != nil {
				return foundMsg{run: run, err: err}
			}
			if len(recs) == 0 {
				break
			}
			for _, e := range slices.Backward(pageOf(recs).list.items) {
				if strings.Contains(strings.ToLower(e.step.text()), want) {
					return foundMsg{run: run, seq: e.step.seq, what: words}
				}
			}
			before = recs[0].Seq
		}
		return foundMsg{run: run, what: words}
	}
}
