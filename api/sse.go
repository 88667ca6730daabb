package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"agentd/journal"
)

// pageLimit is the largest page of events.
const pageLimit = 1000

// events answers with a page (?follow=0) or streams: every event after Last-Event-ID in order, each once, with its number
// as SSE id, until the run has ended; then "event: end" and the end of the stream. With ?deltas=1 the reply being written
// comes too, as unnumbered "event: delta", dropped when the client reads slowly. A slow client holds up only itself.
func (s *Server) events(w http.ResponseWriter, r *http.Request) (any, error) {
	run, err := runOf(r)
	if err != nil {
		return nil, err
	}
	q := query{r: r}
	follow, deltas := q.text("follow"), q.flag("deltas")
	before, after, limit := journal.Seq(q.uint("before")), journal.Seq(q.uint("after")), int(min(q.uint("limit"), pageLimit))
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		n, err := strconv.ParseUint(id, 10, 63)
		if err != nil {
			q.fail("Last-Event-ID: %.40q is no event's number", id)
		}
		after = journal.Seq(n)
	}
	if err := q.done(); err != nil {
		return nil, err
	}
	if follow == "0" || follow == "false" {
		return s.page(r.Context(), run, before, after, limit)
	}
	if follow != "" && follow != "1" && follow != "true" {
		return nil, Errorf(ErrInvalid, "", "parameter follow: %.40q is neither 1 nor 0", follow)
	}
	if _, err := s.opt.Store.Get(r.Context(), run); err != nil {
		return nil, named(run, err)
	}
	s.follow(w, r, run, after, deltas)
	return nil, nil
}

func (s *Server) page(ctx context.Context, run journal.RunID, before, after journal.Seq, limit int) (any, error) {
	if limit == 0 {
		limit = 100
	}
	p := Page{Records: []journal.Record{}}
	if after == 0 {
		recs, err := s.opt.Store.Page(ctx, run, before, limit)
		if err == nil && recs != nil {
			p.Records = recs
		}
		return p, named(run, err)
	}
	for rec, err := range s.opt.Store.Read(ctx, run, after) {
		if err != nil {
			return nil, named(run, err)
		}
		if len(p.Records) == limit || before != 0 && rec.Seq >= before {
			break
		}
		p.Records = append(p.Records, rec)
	}
	return p, nil
}

// item is what the reading goroutine of a stream hands to the writing one.
type item struct {
	rec journal.Record
	err error
}

func (s *Server) follow(w http.ResponseWriter, r *http.Request, run journal.RunID, after journal.Seq, deltas bool) {
	ctx, cancel := context.WithCancel(r.Context())
	defer context.AfterFunc(s.draining, cancel)()
	items := make(chan item, 32)
	go s.read(ctx, run, after, items)
	defer func() { // join the reader, whatever ended this
		cancel()
		for range items {
		}
	}()
	var live <-chan Delta
	if deltas {
		ch, stop := s.opt.Engine.Deltas(run)
		live = ch
		defer stop()
	}
	out := &streamWriter{w: w, rc: http.NewResponseController(w), patience: s.opt.Timeout, kind: "text/event-stream"}
	send := func(format string, args ...any) bool {
		if _, err := fmt.Fprintf(out, format, args...); err != nil {
			return false
		}
		if len(items) > 0 {
			return true // more is coming: flush with it
		}
		return out.rc.Flush() == nil
	}
	if !send(": run %s\n\n", run) {
		return
	}
	ping := time.NewTicker(s.opt.Ping)
	defer ping.Stop()
	for {
		ok := true
		select {
		case it, more := <-items:
			switch {
			case !more && ctx.Err() != nil: // the daemon stops or the client left: the client may come back
				return
			case !more:
				send("event: end\ndata: {}\n\n")
				return
			case it.err != nil:
				s.endWith(r, it.err, send)
				return
			}
			data, err := json.Marshal(it.rec)
			if err != nil {
				s.endWith(r, err, send)
				return
			}
			ok = send("id: %d\ndata: %s\n\n", it.rec.Seq, data)
		case d, more := <-live:
			if !more {
				live = nil
				continue
			}
			data, err := json.Marshal(d)
			if err != nil {
				continue // strings only: it can't be
			}
			ok = send("event: delta\ndata: %s\n\n", data)
		case <-ping.C:
			ok = send(": ping\n\n")
		}
		if !ok {
			return
		}
	}
}

func (s *Server) endWith(r *http.Request, err error, send func(string, ...any) bool) {
	if errors.Is(err, context.Canceled) || errors.Is(err, journal.ErrClosed) {
		return // the client reconnects, or is gone
	}
	e := ErrorOf(err)
	if e.Code == "internal" {
		s.log.Error("event stream ended with an error", "path", r.URL.Path, "err", err)
	}
	data, err := json.Marshal(e)
	if err == nil {
		send("event: error\ndata: %s\n\n", data)
	}
}

// read sends the records of a run to items and closes it: at the end of an ended run, or when ctx ends.
func (s *Server) read(ctx context.Context, run journal.RunID, after journal.Seq, items chan<- item) {
	defer close(items)
	put := func(it item) bool {
		select {
		case items <- it:
			return it.err == nil
		case <-ctx.Done():
			return false
		}
	}
	sum, err := s.opt.Store.Get(ctx, run)
	if err != nil {
		put(item{err: err})
		return
	}
	if !sum.Status.Ended() {
		done := false
		for rec, err := range s.opt.Store.Watch(ctx, run, after) {
			if !put(item{rec, err}) {
				return
			}
			after = rec.Seq
			if done = rec.Kind == journal.KindRunFinished; done {
				break
			}
		}
		if !done {
			return
		}
	}
	for rec, err := range s.opt.Store.Read(ctx, run, after) { // what came after the end: an undo
		if !put(item{rec, err}) {
			return
		}
	}
}
