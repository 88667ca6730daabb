package web

import (
	"fmt"
	"strings"
	"time"

	"agentd/cmd/agentctl/words"
	"agentd/journal"
)

// entry is one thing of a run's stream: a model call, a tool call, or another event.
type entry struct {
	ID    string
	Kind  string // model, call, note
	State string // running, ok, bad, ask; "" is neither
	Head  string
	Tail  string
	Lines []string // what policy and people said
	Text  string   // of a model, or of an event
	Args  string
	Out   string
	Cut   int64 // bytes left out of Out
	Asks  bool  // it waits for an answer

	call  journal.Call
	asked time.Time
}

// stream makes entries of events.
type stream struct {
	entries []*entry
	index   map[string]*entry
	last    journal.Seq
}

func newStream(recs []journal.Record) *stream {
	s := &stream{index: map[string]*entry{}}
	for _, r := range recs {
		s.add(r)
	}
	return s
}

func (s *stream) of(id, kind string) *entry {
	e := s.index[id]
	if e == nil {
		e = &entry{ID: id, Kind: kind}
		s.index[id] = e
		s.entries = append(s.entries, e)
	}
	return e
}

// name makes an element's name of an id, which may be anything.
func name(kind, id string) string {
	var b strings.Builder
	b.WriteString(kind)
	for _, r := range id {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "_%x", r)
		}
	}
	return b.String()
}

// add takes in the next event and returns the entry that it changed, nil for none.
func (s *stream) add(r journal.Record) *entry {
	s.last = r.Seq
	ev, err := r.Decode()
	if err != nil {
		e := s.of(fmt.Sprint("e", r.Seq), "note")
		e.Text = err.Error()
		return e
	}
	call := func(c journal.Call) *entry {
		e := s.of(name("c", c.ID), "call")
		e.call, e.Args = c, words.CallFull(c)
		e.Head, e.Tail = c.Tool+" "+words.Call(c), ""
		return e
	}
	switch ev := ev.(type) {
	case journal.ModelAsked:
		e := s.of(name("m", ev.Call), "model")
		e.Head, e.State, e.Tail, e.asked = fmt.Sprintf("step %d", ev.Step), "running", "thinking", r.Time
		if ev.Task != "" {
			e.Head += " · " + ev.Task
		}
		return e
	case journal.ModelReplied:
		e := s.of(name("m", ev.Call), "model")
		e.State, e.Tail = "", fmt.Sprintf("%s tok %s", words.Count(ev.Used), words.Span(time.Duration(ev.Ms)*time.Millisecond))
		switch {
		case ev.Lost:
			e.Text = "lost in a restart; it is asked again"
		case ev.Reply == nil:
			e.State, e.Text = "bad", "failed: "+ev.Err
		default:
			e.Text = strings.TrimSpace(ev.Reply.Text)
		}
		return e
	case journal.ToolAsked:
		e := call(ev.Call)
		e.State, e.Asks, e.Tail = "ask", true, "waits for you"
		if ev.Verdict.Why != "" {
			e.Lines = append(e.Lines, "asks: "+ev.Verdict.Why)
		}
		return e
	case journal.AskAnswered:
		e := s.of(name("c", ev.Ask), "call")
		e.Asks, e.Tail = false, ""
		words := ev.Answer + " by " + ev.By
		if ev.Reason != "" {
			words += ": " + ev.Reason
		}
		e.Lines = append(e.Lines, words)
		return e
	case journal.ToolStarted:
		e := call(ev.Call)
		e.State, e.Tail = "running", "runs"
		return e
	case journal.ToolFinished:
		e := call(ev.Call)
		e.Asks, e.State, e.Tail = false, "ok", words.Span(time.Duration(ev.Ms)*time.Millisecond)
		if ev.Status != journal.ToolOK || ev.Exit != 0 && ev.Exit != -1 {
			e.State = "bad"
			e.Tail = string(ev.Status) + " " + e.Tail
			if ev.Exit > 0 {
				e.Tail = fmt.Sprintf("exit %d %s", ev.Exit, words.Span(time.Duration(ev.Ms)*time.Millisecond))
			}
		}
		e.Out = ev.Head
		if e.Cut = ev.Bytes - int64(len(ev.Head)) - int64(len(ev.Tail)); e.Cut > 0 || ev.Tail != "" {
			if e.Cut = max(e.Cut, 0); e.Cut > 0 {
				e.Out += fmt.Sprintf("\n… %s more …\n", words.Bytes(e.Cut))
			}
			e.Out += ev.Tail
		}
		if ev.Rule != "" && ev.Status == journal.ToolRefused {
			e.Lines = append(e.Lines, "denied by "+ev.Rule)
		}
		return e
	case journal.DriverClaimed:
		if ev.Epoch <= 1 {
			return nil
		}
	}
	e := s.of(fmt.Sprint("e", r.Seq), "note")
	e.Text = words.Note(ev)
	if r.Kind == journal.KindRunFinished {
		e.State = "end"
	}
	return e
}
