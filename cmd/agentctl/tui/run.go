package tui

import (
	"errors"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"agentd/journal"
)

// runView is one run, closely: the stream of its steps and a panel with its state.
type runView struct {
	id      journal.RunID
	summary journal.Summary
	state   *journal.State
	stream  *stream
	behind  []journal.Record // events that the state doesn't have yet, while it is being read
	last    journal.Seq      // last event that is known
	follow  *follower
	opened  bool // the first page is here
	ended   bool // the daemon said that no more comes
	older   bool // a page is being read
	asking  bool // the state is being read
	folded  int  // events since the state was trimmed

	answerNext bool // it was opened to answer its ask
	panel      bool // the panel has the keys (or the screen, where there is no room for both)
	panelTop   int
	search     string
	answered   map[string]bool // asks that were answered here, until the stream says so
	wrote      []sample        // characters that came lately
	drawn      drawnPanel
}

type sample struct {
	at    time.Time
	chars int
}

// open shows a run.
func (m *Model) open(id journal.RunID) tea.Cmd {
	m.closeRun()
	r := &runView{id: id, answered: map[string]bool{}}
	r.stream = newStream(func(e *entry, w int) []string { return drawStep(e, w, m.now) })
	if i := slices.IndexFunc(m.home.runs, func(s journal.Summary) bool { return s.Run == id }); i >= 0 {
		r.summary = m.home.runs[i]
	}
	r.asking = true
	m.run = r
	m.layout()
	return tea.Batch(m.page(id, 0, 0, pageSize), m.state(id))
}

// closeRun stops following.
func (m *Model) closeRun() {
	if m.run != nil && m.run.follow != nil {
		m.run.follow.stop()
	}
	m.run = nil
}

// status is the run's state as far as it is known.
func (r *runView) status() journal.Status {
	if r.state != nil {
		return r.state.Status()
	}
	return r.summary.Status
}

// view of a run is its summary, from the folded state where that is here.
func (r *runView) sum() journal.Summary {
	if r.state != nil {
		return r.state.Summary()
	}
	return r.summary
}

// asks are the open asks, oldest first, without those that were answered here. Until the state is here they are those of
// the last events.
func (r *runView) asks() []*journal.Ask {
	if r.state == nil {
		var out []*journal.Ask
		for _, e := range r.stream.list.items {
			if st := e.step; st.ask != nil && st.answer == nil && st.finished == nil && !r.answered[st.ask.Call.ID] && (r.summary.Status == "" || !r.summary.Status.Ended()) {
				out = append(out, &journal.Ask{ToolAsked: *st.ask, Since: st.at})
			}
		}
		return out
	}
	var out []*journal.Ask
	for id, a := range r.state.Asks {
		if a != nil && !r.answered[id] {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b *journal.Ask) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.Call.ID, b.Call.ID)
	})
	return out
}

// gotPage takes in a page of events.
func (m *Model) gotPage(msg pageMsg) tea.Cmd {
	r := m.run
	if r == nil || r.id != msg.run {
		return nil
	}
	if msg.err != nil {
		r.older = false
		if !r.opened {
			return tea.Batch(m.fail("open run "+string(r.id), msg.err), m.reopen(msg.err))
		}
		return m.fail("read older events", msg.err)
	}
	switch {
	case !r.opened:
		r.opened = true
		draw, w, h := r.stream.list.draw, r.stream.list.w, r.stream.list.h
		r.stream = msg.page
		r.stream.list.draw, r.stream.list.w, r.stream.list.h = draw, w, h
		for _, rec := range msg.recs {
			r.last = rec.Seq
			m.fold(rec)
		}
		r.stream.list.follow = true
		r.stream.list.settle()
		f, cmd := m.begin(r.id, r.last)
		r.follow = f
		return tea.Batch(cmd, m.fill())
	case msg.want > 0:
		m.replace(msg)
		return m.fill()
	case msg.before == r.stream.first:
		r.older = false
		r.stream.older(msg.page)
		r.stream.list.settle()
		return m.fill()
	}
	r.older = false
	return nil
}

// reopen tries again to open a run, unless it is not there.
func (m *Model) reopen(err error) tea.Cmd {
	if errors.Is(err, journal.ErrNotFound) {
		m.closeRun()
		return nil
	}
	return m.later(m.page(m.run.id, 0, 0, pageSize))
}

// later does something after a while.
func (m *Model) later(again tea.Cmd) tea.Cmd {
	ctx := m.ctx
	return func() tea.Msg {
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
		}
		return again()
	}
}

// replace makes a page the window: somebody went to an event outside of it.
func (m *Model) replace(msg pageMsg) {
	r := m.run
	r.older = false
	s := msg.page
	s.list.draw = r.stream.list.draw
	s.list.w, s.list.h = r.stream.list.w, r.stream.list.h
	s.list.follow = false
	s.end = s.last >= r.last
	r.stream = s
	at := slices.IndexFunc(s.list.items, func(e *entry) bool { return e.step.seq >= msg.want })
	if at < 0 {
		at = len(s.list.items) - 1
	}
	s.list.pick(at)
}

// gotState takes in the folded state.
func (m *Model) gotState(msg stateMsg) tea.Cmd {
	r := m.run
	if r == nil || r.id != msg.run {
		return nil
	}
	r.asking = msg.err != nil
	if msg.err != nil {
		if errors.Is(msg.err, journal.ErrNotFound) {
			return nil // its page says so
		}
		return tea.Batch(m.fail("read the run's state", msg.err), m.later(m.state(r.id)))
	}
	if msg.view.State == nil || r.state != nil && r.state.Last >= msg.view.State.Last {
		return nil
	}
	r.state, r.summary = msg.view.State, msg.view.Summary
	behind := r.behind
	r.behind = nil
	for _, rec := range behind {
		m.fold(rec)
	}
	return m.askIfNew()
}

// fold takes an event into the state.
func (m *Model) fold(rec journal.Record) {
	r := m.run
	switch {
	case r.state == nil:
		r.behind = append(r.behind, rec)
	case rec.Seq <= r.state.Last:
	case rec.Seq == r.state.Last+1:
		if r.state.Apply(rec) != nil {
			return // an event that this program doesn't know; the stream says so
		}
		if r.folded++; r.folded >= 500 {
			r.folded = 0
			r.state.Trim(keepTurns)
		}
	}
}

// news takes in what following brought.
func (m *Model) news(msg newsMsg) tea.Cmd {
	r := m.run
	if r == nil || r.follow != msg.from {
		return nil
	}
	m.now = msg.at
	before := len(r.asks())
	for _, it := range msg.items {
		switch {
		case it.Down != nil:
			m.down = it.Down
		case it.Delta != nil:
			m.down = nil
			if r.stream.end {
				r.stream.delta(*it.Delta)
			}
			r.wrote = append(r.wrote, sample{msg.at, len(it.Delta.Text)})
		case it.Record != nil:
			m.down = nil
			m.record(*it.Record)
		}
	}
	for len(r.wrote) > 0 && msg.at.Sub(r.wrote[0].at) > 5*time.Second {
		r.wrote = r.wrote[1:]
	}
	r.stream.list.settle()
	var cmds []tea.Cmd
	if r.state != nil && r.last > r.state.Last && !r.asking && !r.stream.gone { // events are missing in between
		r.asking = true
		cmds = append(cmds, m.state(r.id))
	}
	if len(r.asks()) > before {
		cmds = append(cmds, m.askIfNew())
		if s := r.sum(); m.known[r.id] != s.Status { // else the list has said so
			s.Run = r.id
			m.known[r.id] = s.Status
			cmds = append(cmds, m.call(callWords(s)))
		}
	}
	switch {
	case msg.err != nil:
		if errors.Is(msg.err, journal.ErrNotFound) {
			m.closeRun()
			return tea.Batch(append(cmds, m.fail("follow the run", msg.err))...)
		}
		m.down = msg.err
		cmds = append(cmds, msg.from.retry())
	case msg.ended:
		r.ended = true
	default:
		cmds = append(cmds, msg.from.wait())
	}
	return tea.Batch(cmds...)
}

// record takes in the next event of the run.
func (m *Model) record(rec journal.Record) {
	r := m.run
	r.last = rec.Seq
	if r.stream.end && rec.Seq == r.stream.last+1 {
		r.stream.add(rec)
	} else if rec.Seq > r.stream.last {
		r.stream.end = false
	}
	if rec.Kind == journal.KindAskAnswered || rec.Kind == journal.KindToolFinished {
		clear(r.answered)
	}
	m.fold(rec)
}

// again follows the run anew: after its end something was added to it, or the stream was cut by an error.
func (m *Model) again() tea.Cmd {
	r := m.run
	if r == nil || !r.opened {
		return nil
	}
	if r.follow != nil {
		r.follow.stop()
	}
	r.ended = false
	f, cmd := m.begin(r.id, r.last)
	r.follow = f
	return cmd
}

// fill reads older events when the window's first entry is near.
func (m *Model) fill() tea.Cmd {
	r := m.run
	if r == nil || !r.opened || r.older || r.stream.first <= 1 || r.stream.list.top > 20 {
		return nil
	}
	r.older = true
	return m.page(r.id, r.stream.first, 0, pageSize)
}

// toEnd goes to the newest event and stays there.
func (m *Model) toEnd() tea.Cmd {
	r := m.run
	if !r.stream.end {
		r.stream.list.follow = true
		return m.goTo(r.last)
	}
	r.stream.list.follow = true
	r.stream.list.settle()
	return nil
}

// goTo goes to an event, which is read if it is outside of the window.
func (m *Model) goTo(seq journal.Seq) tea.Cmd {
	r := m.run
	if seq >= r.stream.first && seq <= r.stream.last {
		at := slices.IndexFunc(r.stream.list.items, func(e *entry) bool { return e.step.seq >= seq })
		if at < 0 {
			at = len(r.stream.list.items) - 1
		}
		r.stream.list.pick(at)
		return m.fill()
	}
	return m.page(r.id, min(seq+pageSize/2, r.last)+1, seq, pageSize)
}

// down a page's worth past the window's end: read what comes after it.
func (m *Model) newer() tea.Cmd {
	r := m.run
	if r.stream.end || !r.stream.list.atEnd() {
		return nil
	}
	return m.goTo(r.stream.last + 1)
}

// find goes to the next entry with the searched words: up, as a stream is read from its end, or down.
func (m *Model) find(up bool) tea.Cmd {
	r := m.run
	if r.search == "" {
		return m.say("nothing is searched; / begins")
	}
	want, l := strings.ToLower(r.search), &r.stream.list
	step := 1
	if up {
		step = -1
	}
	for i := l.sel + step; i >= 0 && i < len(l.items); i += step {
		if strings.Contains(strings.ToLower(l.items[i].step.text()), want) {
			l.pick(i)
			return m.fill()
		}
	}
	if up && r.stream.first > 1 {
		return tea.Batch(m.say("searching older events …"), m.searchBack(r.id, r.stream.first, r.search))
	}
	return m.say("not found: " + line(r.search))
}

// rate is how many tokens a second are being written, about.
func (r *runView) rate(now time.Time) float64 {
	chars := 0
	for _, s := range r.wrote {
		if now.Sub(s.at) <= 5*time.Second {
			chars += s.chars
		}
	}
	if chars == 0 {
		return 0
	}
	secs := max(now.Sub(r.wrote[0].at).Seconds(), 1)
	return float64(chars) / 4 / secs
}
