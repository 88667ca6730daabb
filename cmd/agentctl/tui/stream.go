package tui

import (
	"fmt"
	"strings"
	"time"

	"agentd/api"
	"agentd/journal"
)

// step is what one entry of a run's stream shows: a model call, a tool call, or another event.
type step struct {
	seq  journal.Seq // of its first event that is known
	at   time.Time
	task string

	asked   *journal.ModelAsked
	replied *journal.ModelReplied
	live    string // the reply as it is written
	writing string // the tool whose call is being written
	chars   int    // of the reply so far

	call     *journal.Call
	ask      *journal.ToolAsked
	answer   *journal.AskAnswered
	started  *journal.ToolStarted
	finished *journal.ToolFinished

	event journal.Event // of neither
}

// maxLive is how much of a reply that is being written is kept for the screen.
const maxLive = 4 << 10

// maxEntries bounds the window of a stream. What is dropped comes back from the daemon when it is scrolled to.
const maxEntries = 2000

// stream is the window of a run's events that is in memory, as entries.
type stream struct {
	list  list
	index map[string]*entry
	first journal.Seq // first event of the window
	last  journal.Seq // last event of the window
	end   bool        // the window reaches the newest event that is known
	gone  bool        // a record could not be read: this program is older than the daemon
}

func newStream(draw func(*entry, int) []string) *stream {
	return &stream{list: list{draw: draw, follow: true}, index: map[string]*entry{}, end: true}
}

// add takes in the next event at the window's end.
func (s *stream) add(r journal.Record) {
	if s.first == 0 {
		s.first = r.Seq
	}
	s.last = r.Seq
	s.absorb(r)
	if over := len(s.list.items) - maxEntries; over > 200 && s.list.top >= over {
		for _, e := range s.list.items[:over] {
			delete(s.index, e.id)
		}
		s.list.dropFirst(over)
		s.first = s.list.items[0].step.seq
	}
}

// entryOf finds an entry or makes one at the end.
func (s *stream) entryOf(id string, r journal.Record) *entry {
	e := s.index[id]
	if e == nil {
		e = &entry{id: id, step: &step{seq: r.Seq, at: r.Time}}
		s.index[id] = e
		s.list.items = append(s.list.items, e)
	}
	e.version++
	return e
}

func (s *stream) absorb(r journal.Record) {
	ev, err := r.Decode()
	if err != nil {
		s.gone = true
		s.entryOf(fmt.Sprint("e", r.Seq), r).step.event = journal.Noted{Topic: "unknown", Text: err.Error()}
		return
	}
	call := func(c journal.Call) *step {
		st := s.entryOf("c"+c.ID, r).step
		st.call, st.task = &c, c.Task
		return st
	}
	switch ev := ev.(type) {
	case journal.ModelAsked:
		st := s.entryOf("m"+ev.Call, r).step
		st.asked, st.task = &ev, ev.Task
	case journal.ModelReplied:
		st := s.entryOf("m"+ev.Call, r).step
		st.replied, st.live, st.writing, st.chars = &ev, "", "", 0
	case journal.ToolAsked:
		call(ev.Call).ask = &ev
	case journal.AskAnswered:
		if s.index["c"+ev.Ask] == nil {
			s.entryOf(fmt.Sprint("e", r.Seq), r).step.event = ev
			return
		}
		s.entryOf("c"+ev.Ask, r).step.answer = &ev
	case journal.ToolStarted:
		st := call(ev.Call)
		st.started, st.finished, st.at = &ev, nil, r.Time
	case journal.ToolFinished:
		call(ev.Call).finished = &ev
	case journal.DriverClaimed:
		if ev.Epoch > 1 {
			s.entryOf(fmt.Sprint("e", r.Seq), r).step.event = ev
		}
	default:
		s.entryOf(fmt.Sprint("e", r.Seq), r).step.event = ev
	}
}

// pageOf makes entries of a page of events. It is work that a command does, so that a key press need not wait for it.
func pageOf(recs []journal.Record) *stream {
	page := newStream(nil)
	for _, r := range recs {
		page.add(r)
	}
	return page
}

// older takes in the page of events that ends right before the window.
func (s *stream) older(page *stream) {
	if page.first == 0 || s.first != 0 && page.last != s.first-1 {
		return
	}
	var fresh []*entry
	for _, e := range page.list.items {
		have := s.index[e.id]
		if have == nil {
			s.index[e.id] = e
			fresh = append(fresh, e)
			continue
		}
		have.step.merge(e.step) // it began on this page and went on in the window
		have.version++
	}
	s.list.prepend(fresh)
	s.first = page.first
	if s.last == 0 {
		s.last = page.last
	}
	if over := len(s.list.items) - maxEntries; over > 200 {
		_, last := s.list.visible()
		keep := max(last+100, maxEntries)
		if keep < len(s.list.items) && s.list.sel < keep {
			s.cutEnd(keep)
		}
	}
}

// cutEnd forgets the entries from an index on: they are read again when somebody goes there.
func (s *stream) cutEnd(keep int) {
	s.last = s.list.items[keep].step.seq - 1
	for _, e := range s.list.items[keep:] {
		delete(s.index, e.id)
	}
	clear(s.list.items[keep:])
	s.list.items = s.list.items[:keep]
	s.end = false
}

// merge takes what an earlier part of the same step knows.
func (st *step) merge(o *step) {
	st.seq = o.seq
	st.at = o.at
	st.task = or(st.task, o.task)
	if st.asked == nil {
		st.asked = o.asked
	}
	if st.call == nil {
		st.call = o.call
	}
	if st.ask == nil {
		st.ask = o.ask
	}
	if st.answer == nil {
		st.answer = o.answer
	}
	if st.started == nil {
		st.started = o.started
	}
}

// delta takes in a piece of a reply that is being written.
func (s *stream) delta(d api.Delta) {
	e := s.index["m"+d.Call]
	if e == nil || e.step.replied != nil {
		return
	}
	st := e.step
	e.version++
	if d.Reset {
		st.live, st.writing, st.chars = "", "", 0
		return
	}
	st.live += d.Text
	if over := len(st.live) - maxLive; over > 0 {
		cut := strings.IndexByte(st.live[over:], '\n')
		if cut < 0 || cut > 200 {
			cut = 0
		}
		st.live = strings.ToValidUTF8(st.live[over+cut:], "")
	}
	if d.Tool != "" {
		st.writing = d.Tool
	}
	st.chars = max(d.Chars, st.chars+len(d.Text))
}

// touch redraws the entries that show a running clock.
func (s *stream) touch() {
	first, last := s.list.visible()
	for i := max(first, 0); i <= last && i < len(s.list.items); i++ {
		if e := s.list.items[i]; e.step.running() {
			e.version++
		}
	}
}

// running reports whether the step goes on.
func (st *step) running() bool {
	return st.asked != nil && st.replied == nil || st.started != nil && st.finished == nil
}

// text is all that a step says, without colours, to search and to copy.
func (st *step) text() string {
	var b strings.Builder
	put := func(parts ...string) {
		for _, p := range parts {
			if p != "" {
				b.WriteString(safe(p))
				b.WriteByte('\n')
			}
		}
	}
	if st.asked != nil {
		put(fmt.Sprintf("step %d", st.asked.Step), st.asked.Task)
	}
	if st.replied != nil {
		put(st.replied.Err)
		if st.replied.Reply != nil {
			put(st.replied.Reply.Text)
		}
	}
	put(st.live)
	if st.call != nil {
		put(st.call.Tool+" "+full(*st.call), st.call.Task)
	}
	if st.finished != nil {
		put(stripSGR(st.finished.Head), stripSGR(st.finished.Tail))
	}
	if st.event != nil {
		put(noteText(st.event))
	}
	return strings.TrimRight(b.String(), "\n")
}
