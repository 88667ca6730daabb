package tui

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"agentd/api"
	"agentd/goals"
	"agentd/journal"
	"agentd/llm"
	"agentd/planner"
)

// long is a run of about n events: ten tasks of many steps with outputs of real size.
func long(t testing.TB, n int) []journal.Event {
	plan := planner.Plan{Revision: 1}
	for i := range 10 {
		plan.Tasks = append(plan.Tasks, planner.Task{ID: fmt.Sprintf("task%d", i), Do: "Do the work of part " + fmt.Sprint(i)})
	}
	events := []journal.Event{
		journal.RunStarted{Goal: goals.Goal{Text: "Work for a long time", Budget: goals.Budget{Steps: -1, Tokens: -1, USD: -1, Wall: -1}}, Workspace: "/w", Model: "m"},
		journal.DriverClaimed{Epoch: 1}, journal.PlanMade{Plan: plan, Reason: "start"},
	}
	text := strings.Repeat("I look at the next file, since the last one had nothing in it. ", 6)
	out := strings.Repeat("\x1b[32mok\x1b[0m  package/of/some/length 0.123s coverage: 71.2% of statements\n", 14)
	call := args(t, map[string]string{"command": "go test ./package/of/some/length && grep -rn something ."})
	for i := 0; len(events) < n-1; i++ {
		task := fmt.Sprintf("task%d", min(len(events)*10/n, 9))
		if i == 0 || events[len(events)-1].Kind() == journal.KindToolFinished && fmt.Sprintf("task%d", min((len(events)-5)*10/n, 9)) != task {
			events = append(events, journal.TaskStarted{Task: task, Attempt: 1})
		}
		m, c := fmt.Sprintf("m%d", i), journal.Call{ID: fmt.Sprintf("c%d", i), Task: task, Tool: "shell", Args: call, From: fmt.Sprintf("m%d", i)}
		events = append(events,
			journal.ModelAsked{Call: m, Task: task, Purpose: "step", Step: i + 1, Try: 1, Reserved: 1000, BodyHash: strings.Repeat("a", 64)},
			journal.ModelReplied{Call: m, Reply: &llm.Reply{Text: text, Calls: []llm.Call{{ID: c.ID, Name: "shell", Args: string(call)}}}, Used: 900, Ms: 1000},
			journal.ToolStarted{Call: c, Effect: "once", Verdict: journal.Verdict{Do: "allow", Rule: "sandboxed"}},
			journal.ToolFinished{Call: c, Status: journal.ToolOK, Head: out, Tail: out, Bytes: 20_000, Ms: 30},
		)
	}
	return append(events, journal.ModelAsked{Call: "live", Task: "task9", Purpose: "step", Step: len(events), Try: 1})
}

// frames is a terminal that knows when bytes came.
type frames struct {
	n    atomic.Int64
	last atomic.Int64 // when, in nanoseconds
}

// Write implements io.Writer.
func (f *frames) Write(p []byte) (int, error) {
	f.n.Add(int64(len(p)))
	f.last.Store(time.Now().UnixNano())
	return len(p), nil
}

// BenchmarkLongRun opens a run of 100,000 events with the real program, server and journal, walks through it, and reports:
// from start to the first frame with steps (paint-ms) and with the folded state of a daemon that was just started (state-ms), from a key to the end of its frame (key-p50-ms, key-p99-ms), the
// processor time that a reply of 100 tokens a second takes (stream-cpu-%), and the memory that is live (heap-MB).
func BenchmarkLongRun(b *testing.B) {
	r := newRig(b)
	events := long(b, 100_000)
	r.run(events...)
	deltas := make(chan api.Delta)
	r.engine.OnDeltas = func(journal.RunID) (<-chan api.Delta, func()) { return deltas, func() {} }
	events = nil
	r.stop()
	r.serve()
	client, err := api.Dial(r.socket) // the rig's own connection was silent for too long
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	r.client = client
	kept := func() bool { files, _ := filepath.Glob(filepath.Join(r.views, "*.json")); return len(files) == 1 }
	if _, err := r.client.Recent(b.Context(), testRun, keepTurns); err != nil || !kept() { // as the daemon does by itself
		b.Fatal("the run's view is not kept", err)
	}
	for b.Loop() {
		r.stop() // a daemon that has just been started
		r.serve()
		ctx, cancel := context.WithCancel(context.Background())
		m := New(ctx, Options{Client: r.client, Run: testRun})
		in, inW := io.Pipe()
		out := new(frames)
		begin := time.Now()
		p := tea.NewProgram(watched{m}, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out), tea.WithWindowSize(120, 40), tea.WithFPS(120),
			tea.WithoutSignals(), tea.WithColorProfile(colorprofile.ANSI256), tea.WithEnvironment([]string{"TERM=xterm-256color"}))
		done := make(chan struct{})
		go func() { p.Run(); close(done) }()
		s := &terminal{t: b, p: p, done: make(chan error, 1)}
		until := func(words string) {
			for end := time.Now().Add(time.Minute); !strings.Contains(s.screen(), words); time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					b.Fatalf("never showed %q; the screen is\n%s", words, s.screen())
				}
			}
		}
		until("ok  package/of")
		b.ReportMetric(float64(time.Since(begin).Microseconds())/1000, "paint-ms")
		until("Spent")
		b.ReportMetric(float64(time.Since(begin).Microseconds())/1000, "state-ms")

		var took []time.Duration
		key := func(name string) {
			time.Sleep(12 * time.Millisecond) // the last frame is out
			before := out.n.Load()
			at := time.Now()
			p.Send(keyNamed(name))
			for end := at.Add(time.Second); out.n.Load() == before && time.Now().Before(end); {
				time.Sleep(100 * time.Microsecond)
			}
			if out.n.Load() != before {
				took = append(took, time.Duration(out.last.Load()-at.UnixNano()))
			}
		}
		for i := range 400 {
			key([]string{"k", "k", "k", "pgup", "enter", "pgdown", "pgup", "pgup"}[i%8])
		}
		key("g")
		until("event 1 of")
		for i := range 100 {
			key([]string{"j", "pgdown"}[i%2])
		}
		key("G")
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "key-p50-ms")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "key-p99-ms")

		time.Sleep(300 * time.Millisecond)
		cpu := cpuTime()
		streamBegin := time.Now()
		for range 300 {
			deltas <- api.Delta{Call: "live", Task: "task9", Text: "word "}
			time.Sleep(10 * time.Millisecond)
		}
		b.ReportMetric(100*float64(cpuTime()-cpu)/float64(time.Since(streamBegin)), "stream-cpu-%")
		runtime.GC()
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		b.ReportMetric(float64(mem.HeapAlloc)/1e6, "heap-MB")
		cancel()
		<-done
		inW.Close()
		m.jobs.end()
	}
}

// settled is a model that asks for nothing when it begins.
type settled struct{ *Model }

// Init implements tea.Model.
func (settled) Init() tea.Cmd { return nil }

// BenchmarkStream is the processor time that the program takes while a reply of 100 tokens a second is written into a run of 1,000 events.
func BenchmarkStream(b *testing.B) {
	m := opened(b, 120, 40, records(b, 1, long(b, 1000)...))
	f := m.run.follow
	f.items = make(chan followed, 256)
	ctx, cancel := context.WithCancel(context.Background())
	in, inW := io.Pipe()
	p := tea.NewProgram(settled{m}, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(new(frames)), tea.WithWindowSize(120, 40), tea.WithFPS(120),
		tea.WithoutSignals(), tea.WithColorProfile(colorprofile.ANSI256), tea.WithEnvironment([]string{"TERM=xterm-256color"}))
	done := make(chan struct{})
	go func() { p.Run(); close(done) }()
	go func() { p.Send(f.next()) }()
	time.Sleep(500 * time.Millisecond)
	for b.Loop() {
		cpu, begin := cpuTime(), time.Now()
		for range 1000 {
			f.items <- followed{item: api.Item{Delta: &api.Delta{Call: "live", Task: "task9", Text: "word "}}}
			time.Sleep(10 * time.Millisecond)
		}
		b.ReportMetric(100*float64(cpuTime()-cpu)/float64(time.Since(begin)), "cpu-%")
	}
	close(f.items)
	cancel()
	<-done
	inW.Close()
}

// BenchmarkFrame draws the screen of a run, as after a key press.
func BenchmarkFrame(b *testing.B) {
	m := opened(b, 120, 40, records(b, 1, long(b, 1000)...))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		press(m, []string{"k", "k", "k", "j"}[i%4])
		var buf bytes.Buffer
		buf.WriteString(m.View().Content)
	}
}

// cpuTime is the processor time that this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
