package api_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"agentd/api"
	"agentd/api/apitest"
	"agentd/journal"
)

// follow collects the numbers of the events that a client sees until the stream ends.
func follow(ctx context.Context, c *api.Client, run journal.RunID, after journal.Seq, each func(journal.Record)) ([]journal.Seq, error) {
	var got []journal.Seq
	for r, err := range c.Events(ctx, run, after) {
		if err != nil {
			return got, err
		}
		got = append(got, r.Seq)
		if each != nil {
			each(r)
		}
	}
	return got, nil
}

// isRange reports whether got is from, from+1, … to.
func isRange(got []journal.Seq, from, to journal.Seq) bool {
	for i, s := range got {
		if s != from+journal.Seq(i) {
			return false
		}
	}
	return journal.Seq(len(got)) == to-from+1
}

func TestEventsFollowToTheEnd(t *testing.T) {
	s := serve(t, nil)
	run := s.begin(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got, err := follow(ctx, s.client, run, 0, func(r journal.Record) {
		switch { // what comes next is appended only when this has arrived: nothing waits for a buffer to fill
		case r.Seq < 20:
			s.add(t, run, journal.Noted{Text: fmt.Sprint(r.Seq)})
		case r.Seq == 20:
			s.add(t, run, journal.RunFinished{Status: journal.StatusAccepted}, journal.Undone{By: "ann"})
		}
	})
	if err != nil || !isRange(got, 1, 22) {
		t.Errorf("got %v, %v; want 1 to 22", got, err)
	}
	got, err = follow(ctx, s.client, run, 15, nil) // an ended run is told from anywhere, and ends
	if err != nil || !isRange(got, 16, 22) {
		t.Errorf("after 15: %v, %v; want 16 to 22", got, err)
	}
	if got, err := follow(ctx, s.client, run, 22, nil); err != nil || len(got) != 0 {
		t.Errorf("after the last: %v, %v", got, err)
	}
}

// A client goes on where it was when the daemon is restarted, again and again, and sees each event once.
func TestEventsSurviveRestarts(t *testing.T) {
	var opt api.Options
	s := serve(t, func(_ *apitest.Engine, o *api.Options) { opt = *o })
	run := s.begin(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got, err := follow(ctx, s.client, run, 0, func(r journal.Record) {
		if r.Seq == 60 {
			s.add(t, run, journal.RunFinished{Status: journal.StatusAccepted})
			return
		}
		if r.Seq%20 == 0 {
			s.stop()
			s.start(t, opt)
		}
		if r.Seq < 60 {
			s.add(t, run, journal.Noted{Text: "x"})
		}
	})
	if err != nil || !isRange(got, 1, 61) {
		t.Errorf("got %v, %v; want 1 to 61", got, err)
	}
}

func TestEventsGiveUp(t *testing.T) {
	s := serve(t, nil)
	run := s.begin(t)
	s.client.Patience = 300 * time.Millisecond
	down := false
	for it, err := range s.client.Follow(t.Context(), run, 0, false) {
		switch {
		case err != nil:
			if !errors.Is(err, api.ErrNotRunning) || !down {
				t.Errorf("got %v (told before: %v), want that no daemon answers", err, down)
			}
			return
		case it.Down != nil:
			down = true
		case it.Record != nil:
			s.stop()
		}
	}
	t.Error("the stream ended as if the run had")
}

func TestEventsOfACancelledReader(t *testing.T) {
	s := serve(t, nil)
	run := s.begin(t)
	ctx, cancel := context.WithCancel(t.Context())
	got, err := follow(ctx, s.client, run, 0, func(journal.Record) { cancel() })
	if !errors.Is(err, context.Canceled) || len(got) != 1 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestDeltas(t *testing.T) {
	deltas := make(chan api.Delta, 1)
	stopped := make(chan struct{})
	s := serve(t, func(e *apitest.Engine, _ *api.Options) {
		e.OnDeltas = func(journal.RunID) (<-chan api.Delta, func()) { return deltas, func() { close(stopped) } }
	})
	run := s.begin(t)
	deltas <- api.Delta{Call: "m1", Text: "a\nb"}
	seen := false
	for it, err := range s.client.Follow(t.Context(), run, 0, true) {
		if err != nil {
			t.Fatal(err)
		}
		if it.Delta != nil {
			if *it.Delta != (api.Delta{Call: "m1", Text: "a\nb"}) {
				t.Errorf("got %+v", it.Delta)
			}
			seen = true
			close(deltas)
			s.add(t, run, journal.RunFinished{Status: journal.StatusAccepted})
		}
	}
	if !seen {
		t.Error("no delta came")
	}
	select {
	case <-stopped:
	case <-time.After(5 * time.Second):
		t.Error("the engine's deltas were not cancelled")
	}
}

// A reader that takes nothing holds up neither the store, nor other readers, nor the server's end.
func TestSlowReader(t *testing.T) {
	s := serve(t, func(_ *apitest.Engine, o *api.Options) { o.Timeout = 300 * time.Millisecond })
	run := s.begin(t)
	conn, err := net.Dial("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET /v1/runs/%s/events HTTP/1.1\r\nHost: x\r\n\r\n", run); err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("x", 200<<10)
	for range 20 { // far more than a socket's buffer
		s.add(t, run, journal.Noted{Text: big})
	}
	s.add(t, run, journal.RunFinished{Status: journal.StatusAccepted})
	got, err := follow(t.Context(), s.client, run, 0, nil)
	if err != nil || !isRange(got, 1, 22) {
		t.Errorf("another reader got %v, %v", got, err)
	}
	time.Sleep(2 * 300 * time.Millisecond) // the server gives the slow one up: its connection is cut in mid-stream
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, conn)
	if err != nil || n > 4<<20 {
		t.Errorf("the slow reader got %d bytes, %v; want the connection cut before the end", n, err)
	}
}

// The stream is what a person sees with curl.
func TestEventStreamText(t *testing.T) {
	s := serve(t, func(_ *apitest.Engine, o *api.Options) { o.Ping = 30 * time.Millisecond })
	run := s.begin(t)
	hc := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.socket)
	}}}
	defer hc.CloseIdleConnections()
	resp, err := hc.Get("http://agentd/v1/runs/" + string(run) + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if ct := resp.Header.Get("Content-Type"); ct != "text/event-stream" {
		t.Errorf("content type %q", ct)
	}
	r := bufio.NewReader(resp.Body)
	var lines []string
	for {
		l, err := r.ReadString('\n')
		if err != nil {
			break
		}
		if l == ": ping\n" && len(lines) > 0 && lines[len(lines)-1] != "" {
			t.Errorf("a ping in mid-event after %q", lines)
		}
		if l = strings.TrimSuffix(l, "\n"); l == ": ping" {
			s.add(t, run, journal.RunFinished{Status: journal.StatusAccepted})
			lines = append(lines, l)
			break
		}
		lines = append(lines, l)
	}
	rest, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if lines[0] != ": run "+string(run) || lines[2] != "id: 1" || !strings.HasPrefix(lines[3], `data: {"run":"`) {
		t.Errorf("the stream begins with %q", lines)
	}
	if !strings.Contains(string(rest), "\nid: 2\ndata: ") || !strings.HasSuffix(string(rest), "event: end\ndata: {}\n\n") {
		t.Errorf("the stream ends with %q", rest)
	}
}

func TestPages(t *testing.T) {
	s := serve(t, nil)
	run := s.begin(t)
	for range 9 {
		s.add(t, run, journal.Noted{Text: "x"})
	}
	tests := []struct {
		before   journal.Seq
		limit    int
		from, to journal.Seq
	}{{0, 3, 8, 10}, {8, 3, 5, 7}, {3, 100, 1, 2}, {0, 0, 1, 10}}
	for _, tt := range tests {
		recs, err := s.client.Page(t.Context(), run, tt.before, tt.limit)
		var got []journal.Seq
		for _, r := range recs {
			got = append(got, r.Seq)
		}
		if err != nil || !isRange(got, tt.from, tt.to) {
			t.Errorf("before %d, limit %d: %v, %v; want %d to %d", tt.before, tt.limit, got, err, tt.from, tt.to)
		}
	}
}
