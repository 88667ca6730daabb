package llm_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"agentd/llm"
)

// script is a model whose calls do what its steps say, the last one for ever.
type script struct {
	info  llm.Info
	steps []step
	calls int
}

type step struct {
	text  string // streamed before anything else happens
	err   error  // how the call ends; nil is the reply
	reply llm.Reply
	short bool // the stream ends without either
}

func (s *script) Info() llm.Info { return s.info }
func (s *script) Encode(r *llm.Request) ([]byte, error) {
	return fmt.Appendf(nil, `{"model":%q,"n":%d}`, s.info.Name, r.MaxTokens), nil
}

func (s *script) Stream(context.Context, *llm.Request) iter.Seq2[llm.Delta, error] {
	return func(yield func(llm.Delta, error) bool) {
		st := s.steps[min(s.calls, len(s.steps)-1)]
		s.calls++
		if st.text != "" && !yield(llm.Delta{Kind: llm.DeltaText, Text: st.text}, nil) {
			return
		}
		switch {
		case st.short:
		case st.err != nil:
			yield(llm.Delta{}, st.err)
		default:
			r := st.reply
			r.Text, r.Model = st.text, s.info.Name
			yield(llm.Delta{Kind: llm.DeltaDone, Reply: &r}, nil)
		}
	}
}

func fails(k llm.Kind) step { return step{err: &llm.Error{Kind: k, Message: "scripted"}} }

func named(name string, steps ...step) *script {
	return &script{info: llm.Info{Name: name, Window: 1000}, steps: steps}
}

// hear drains a stream into one line a delta.
func hear(m llm.Model) (lines []string, err error) {
	_, err = llm.Collect(m.Stream(context.Background(), &llm.Request{}), func(d llm.Delta) { lines = append(lines, string(d.Kind)+": "+d.Text) })
	return lines, err
}

func kindOf(err error) llm.Kind {
	if err == nil {
		return ""
	}
	return llm.AsError(err).Kind
}

func TestRetry(t *testing.T) {
	wait := func(d time.Duration) step {
		return step{err: &llm.Error{Kind: llm.KindRate, RetryAfter: d, Message: "scripted"}}
	}
	ok := step{text: "ok"}
	for _, tt := range []struct {
		name  string
		steps []step
		calls int
		kind  llm.Kind
		waits []time.Duration
	}{
		{"at once", []step{ok}, 1, "", nil},
		{"a broken connection", []step{fails(llm.KindConnect), ok}, 2, "", []time.Duration{750 * time.Millisecond}},
		{"cut in the text", []step{{text: "par", err: &llm.Error{Kind: llm.KindTruncated}}, ok}, 2, "", []time.Duration{750 * time.Millisecond}},
		{"no end", []step{{text: "par", short: true}, ok}, 2, "", []time.Duration{750 * time.Millisecond}},
		{"an overload takes longer, and doubles", []step{fails(llm.KindOverload), fails(llm.KindOverload), fails(llm.KindOverload), ok}, 4, "", []time.Duration{3 * time.Second, 6 * time.Second, 9 * time.Second}},
		{"what the provider asks for is a floor", []step{wait(40 * time.Second), ok}, 2, "", []time.Duration{40 * time.Second}},
		{"what it asks for is too much", []step{wait(time.Hour), ok}, 1, llm.KindRate, nil},
		{"for ever", []step{fails(llm.KindTimeout)}, 4, llm.KindTimeout, []time.Duration{750 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second}},
		{"a wrong key", []step{fails(llm.KindAuth), ok}, 1, llm.KindAuth, nil},
		{"a wrong request", []step{fails(llm.KindInvalid), ok}, 1, llm.KindInvalid, nil},
		{"a prompt too long", []step{fails(llm.KindContext), ok}, 1, llm.KindContext, nil},
		{"filtered", []step{fails(llm.KindFilter), ok}, 1, llm.KindFilter, nil},
		{"no budget", []step{fails(llm.KindBudget), ok}, 1, llm.KindBudget, nil},
		{"cancelled", []step{fails(llm.KindCanceled), ok}, 1, llm.KindCanceled, nil},
		{"an error of no kind", []step{{err: errors.New("boom")}, ok}, 2, "", []time.Duration{750 * time.Millisecond}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var waits []time.Duration
			m := named("a/b", tt.steps...)
			lines, err := hear(llm.WithRetry(m, llm.Retry{
				Base: time.Second, Cap: 12 * time.Second, Jitter: func() float64 { return 0.5 },
				Sleep: func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil },
			}))
			if kindOf(err) != tt.kind || m.calls != tt.calls {
				t.Errorf("got %v after %d calls, want kind %q after %d", err, m.calls, tt.kind, tt.calls)
			}
			if diff := cmp.Diff(tt.waits, waits); diff != "" {
				t.Errorf("waits (-want +got):\n%s", diff)
			}
			notes := 0
			for _, l := range lines {
				if strings.HasPrefix(l, "note: ") {
					notes++
				}
			}
			if notes != len(tt.waits) {
				t.Errorf("%d notes for %d waits: %q", notes, len(tt.waits), lines)
			}
		})
	}
}

func TestRetryJitterAndCap(t *testing.T) {
	for _, j := range []float64{0, 0.999} {
		var waits []time.Duration
		m := llm.WithRetry(named("a/b", fails(llm.KindConnect)), llm.Retry{Tries: 80, Base: time.Second, Cap: 8 * time.Second, Jitter: func() float64 { return j },
			Sleep: func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }})
		if _, err := hear(m); kindOf(err) != llm.KindConnect {
			t.Fatal(err)
		}
		if len(waits) != 79 {
			t.Fatalf("%d waits, want 79", len(waits))
		}
		for i, d := range waits {
			most := min(8*time.Second, time.Second<<min(i, 10))
			if d < most/2 || d > most {
				t.Errorf("jitter %v: wait %d is %s, want %s to %s", j, i, d, most/2, most)
			}
		}
	}
}

// TestRetrySleepsInVain cancels while a call waits to be made again.
func TestRetrySleepsInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := llm.Collect(llm.WithRetry(named("a/b", fails(llm.KindOverload)), llm.Retry{}).Stream(ctx, &llm.Request{}), nil)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 200*time.Millisecond {
			t.Errorf("got %v after %s", err, time.Since(start))
		}
	})
}

func TestChain(t *testing.T) {
	for _, tt := range []struct {
		name  string
		first step
		want  []string // kinds of delta
		kind  llm.Kind
		calls int // of the second
	}{
		{"the first answers", step{text: "one"}, []string{"text: one", "done: "}, "", 0},
		{"auth", fails(llm.KindAuth), []string{"note: auth: scripted: going on with c/d", "text: two", "done: "}, "", 1},
		{"rate", fails(llm.KindRate), []string{"note: rate_limit: scripted: going on with c/d", "text: two", "done: "}, "", 1},
		{"overload", fails(llm.KindOverload), []string{"note: overloaded: scripted: going on with c/d", "text: two", "done: "}, "", 1},
		{"timeout", fails(llm.KindTimeout), []string{"note: timeout: scripted: going on with c/d", "text: two", "done: "}, "", 1},
		{"connect", fails(llm.KindConnect), []string{"note: connect: scripted: going on with c/d", "text: two", "done: "}, "", 1},
		{"never in the middle of a reply", step{text: "par", err: &llm.Error{Kind: llm.KindOverload}}, []string{"text: par"}, llm.KindOverload, 0},
		{"a wrong request", fails(llm.KindInvalid), nil, llm.KindInvalid, 0},
		{"truncated", fails(llm.KindTruncated), nil, llm.KindTruncated, 0},
		{"cancelled", fails(llm.KindCanceled), nil, llm.KindCanceled, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			second := named("c/d", step{text: "two"})
			m, err := llm.Chain(named("a/b", tt.first), second)
			if err != nil {
				t.Fatal(err)
			}
			lines, err := hear(m)
			if kindOf(err) != tt.kind || second.calls != tt.calls {
				t.Errorf("got %v, %d calls of the second; want kind %q, %d", err, second.calls, tt.kind, tt.calls)
			}
			if diff := cmp.Diff(tt.want, lines); diff != "" {
				t.Errorf("deltas (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := llm.Chain(); err == nil {
		t.Error("an empty chain is no error")
	}
	m, err := llm.Chain(named("a/b", fails(llm.KindAuth)), named("c/d", fails(llm.KindRate)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hear(m); kindOf(err) != llm.KindRate {
		t.Errorf("the last one's failure is lost: %v", err)
	}
}

func TestChainInfo(t *testing.T) {
	a := &script{info: llm.Info{Name: "a/b", Window: 100, MaxOut: 50, Style: llm.StyleTools, Schema: true, Price: &llm.Price{Prompt: 1, Completion: 5}}}
	b := &script{info: llm.Info{Name: "local", Window: 50, Style: llm.StyleFenced, Schema: true, Grammar: true, Local: true, Price: &llm.Price{Prompt: 2}}}
	m, err := llm.Chain(a, b)
	if err != nil {
		t.Fatal(err)
	}
	want := llm.Info{Name: "a/b", Window: 50, MaxOut: 50, Style: llm.StyleFenced, Schema: true, Price: &llm.Price{Prompt: 2, Completion: 5}}
	if diff := cmp.Diff(want, m.Info()); diff != "" {
		t.Errorf("info (-want +got):\n%s", diff)
	}
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := llm.WithRate(named("a/b", step{text: "x"}), llm.Rate{PerMinute: 60, Burst: 2})
		start := time.Now()
		var at []time.Duration
		for i := range 6 {
			if i == 5 {
				time.Sleep(time.Minute) // the bucket fills to its brim, no further
			}
			if _, err := hear(m); err != nil {
				t.Fatal(err)
			}
			at = append(at, time.Since(start))
		}
		want := []time.Duration{0, 0, time.Second, 2 * time.Second, 3 * time.Second, 63 * time.Second}
		if diff := cmp.Diff(want, at); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, err := hear(m); err != nil {
			t.Fatal(err)
		}
		if _, err := llm.Collect(m.Stream(ctx, &llm.Request{}), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a call whose turn comes too late: %v", err)
		}
	})
}

func TestMeter(t *testing.T) {
	clock := time.Unix(0, 0)
	now := func() time.Time { clock = clock.Add(time.Second); return clock }
	var got []llm.Measure
	m := named("a/b", step{text: "x", reply: llm.Reply{Usage: llm.Usage{Prompt: 1e6}}}, fails(llm.KindRate), step{text: "y"})
	m.info.Price = &llm.Price{Prompt: 3}
	metered := llm.WithMeter(m, now, func(m llm.Measure) { got = append(got, m) })
	for range 2 {
		if _, err := hear(metered); err != nil && kindOf(err) != llm.KindRate {
			t.Fatal(err)
		}
	}
	for range metered.Stream(t.Context(), &llm.Request{}) {
		break
	}
	want := []llm.Measure{
		{Model: "a/b", First: time.Second, Total: 2 * time.Second, Usage: llm.Usage{Prompt: 1e6}, USD: 3},
		{Model: "a/b", Total: time.Second, Err: &llm.Error{Kind: llm.KindRate, Message: "scripted"}},
		{Model: "a/b", First: time.Second, Total: 2 * time.Second, Left: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("measures (-want +got):\n%s", diff)
	}
}

func TestRecordAndReplay(t *testing.T) {
	dir := t.TempDir()
	live := named("a/b", step{text: "<one>", reply: llm.Reply{Calls: []llm.Call{{ID: "1", Name: "sh", Args: `{"c":"a && b"}`}}, Stop: llm.StopCalls, Usage: llm.Usage{Prompt: 3}}},
		step{text: "par", err: &llm.Error{Kind: llm.KindRate, Status: 429, RetryAfter: 1500 * time.Millisecond, Message: "slow", Hint: "wait"}}, fails(llm.KindCanceled))
	type result struct {
		Deltas []llm.Delta
		Reply  *llm.Reply
		Err    string
	}
	ask := func(m llm.Model, n int) (r result) {
		reply, err := llm.Collect(m.Stream(t.Context(), &llm.Request{MaxTokens: n}), func(d llm.Delta) { r.Deltas = append(r.Deltas, d) })
		if r.Reply = reply; err != nil {
			e := llm.AsError(err)
			r.Err = fmt.Sprint(e.Kind, e.Status, e.RetryAfter, e.Message, e.Hint)
		}
		return r
	}
	rec, play := llm.WithRecord(live, dir), llm.Replay(named("a/b"), dir)
	for n := range 2 {
		want := ask(rec, n)
		for range 2 {
			if diff := cmp.Diff(want, ask(play, n)); diff != "" {
				t.Errorf("call %d (-recorded +replayed):\n%s", n, diff)
			}
		}
	}
	ask(rec, 2) // cancelled: no file
	for range rec.Stream(t.Context(), &llm.Request{MaxTokens: 3}) {
		break // left: no file
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 2 {
		t.Errorf("%d files, want 2: %v", len(files), err)
	}
	_, err = llm.Collect(play.Stream(t.Context(), &llm.Request{MaxTokens: 2}), nil)
	if !errors.Is(err, llm.ErrNotRecorded) || kindOf(err) != llm.KindInvalid {
		t.Errorf("what was not recorded: %v", err)
	}
	if err := os.WriteFile(files[0], []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if a, b := ask(play, 0), ask(play, 1); a.Err == "" && b.Reply != nil || !strings.Contains(a.Err+b.Err, files[0]) {
		t.Errorf("a broken file is not named: %v, %v", a, b)
	}
}

func TestRecordingCantBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := hear(llm.WithRecord(named("a/b", step{text: "x"}), file)); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v, want an error that names %s", err, file)
	}
}
