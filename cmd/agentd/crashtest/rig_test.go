package crashtest

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"agentd/api"
	"agentd/journal"
)

// program is agentd built static and with crash points.
var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "crashtest-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "agentd")
	build := exec.Command("go", "build", "-tags", "crashpoint", "-o", program, "agentd/cmd/agentd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build agentd: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// daemon is one agentd process on a data folder.
type daemon struct {
	cmd  *exec.Cmd
	c    *api.Client
	dead chan struct{} // closed when the process has ended
}

// start runs agentd with extra environment and waits until it listens; nil when it died before.
func start(t testing.TB, home string, env ...string) *daemon {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	log, err := os.OpenFile(filepath.Join(home, "test.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program, "--home", home, "--ready-fd", "3", "--config", filepath.Join(home, "config.yaml"))
	cmd.Env = append(append(os.Environ(), "AGENTD_MODELS="+filepath.Join(home, "models")), env...) // no embedder
	cmd.Stderr = log
	cmd.ExtraFiles = []*os.File{w}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	d := &daemon{cmd: cmd, dead: make(chan struct{})}
	go func() { cmd.Wait(); close(d.dead) }()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		<-d.dead
		if line != "" || !errors.Is(err, io.EOF) {
			t.Fatalf("the daemon said %q: %v", line, err)
		}
		return nil
	}
	if d.c, err = api.Dial(filepath.Join(home, "agentd.sock")); err != nil {
		d.kill()
		return nil
	}
	return d
}

func (d *daemon) kill() {
	d.cmd.Process.Kill()
	<-d.dead
	if d.c != nil {
		d.c.Close()
	}
}

// home makes a data folder with a configuration that names no provider.
func home(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "crash") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			if log, err := os.ReadFile(filepath.Join(dir, "test.log")); err == nil {
				t.Logf("daemon's log:\n%s", log[max(0, len(log)-4000):])
			}
		}
		os.RemoveAll(dir)
	})
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte("parallel: 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// endpoint is an OpenAI-compatible server whose reply is a pure function of the request.
type endpoint struct {
	base  string
	mu    sync.Mutex
	asked map[string]int // by the body's hash
}

// message is a part of a chat request.
type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// reply decides what the model says to a conversation: a tool's name and arguments, or text.
type reply func(msgs []message, tools bool) (tool string, args any, text string)

func serve(t *testing.T, decide reply) *endpoint {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &endpoint{base: "http://" + ln.Addr().String() + "/v1", asked: make(map[string]int)}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { e.answer(w, r, decide) })}
	done := make(chan struct{})
	go func() { srv.Serve(ln); close(done) }()
	t.Cleanup(func() { srv.Close(); <-done })
	return e
}

func (e *endpoint) answer(w http.ResponseWriter, r *http.Request, decide reply) {
	raw, err := io.ReadAll(r.Body)
	var body struct {
		Messages []message `json:"messages"`
		Tools    []any     `json:"tools"`
	}
	if err != nil || json.Unmarshal(raw, &body) != nil {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	sum := sha256.Sum256(raw)
	e.mu.Lock()
	e.asked[hex.EncodeToString(sum[:])]++
	e.mu.Unlock()
	tool, args, text := decide(body.Messages, len(body.Tools) > 0)
	if len(body.Messages) > 0 && strings.Contains(body.Messages[0].Content, "keep the memory") { // after the run
		tool, text = "", `{"facts":[{"text":"`+lesson+`","events":[1],"everywhere":true,"contradicts":[]}]}`
	}
	delta, finish := map[string]any{"role": "assistant", "content": text}, "stop"
	if tool != "" {
		rawArgs, err := json.Marshal(args)
		if err != nil {
			panic(err)
		}
		finish = "tool_calls"
		delta["tool_calls"] = []any{map[string]any{"index": 0, "id": "c" + hex.EncodeToString(sum[:4]), "type": "function", "function": map[string]any{"name": tool, "arguments": string(rawArgs)}}}
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for _, c := range []map[string]any{
		{"choices": []any{map[string]any{"index": 0, "delta": delta}}},
		{"choices": []any{map[string]any{"index": 0, "delta": map[string]any{}, "finish_reason": finish}}},
		{"choices": []any{}, "usage": map[string]int{"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}},
	} {
		c["id"], c["object"], c["model"] = "x", "chat.completion.chunk", "scripted"
		chunk, err := json.Marshal(c)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(w, "data: %s\n\n", chunk)
	}
	fmt.Fprint(w, "data: [DONE]\n\n")
}

func (e *endpoint) env() []string {
	return []string{"OPENAI_API_KEY=scripted", "OPENAI_BASE_URL=" + e.base}
}

// lesson is what every run teaches.
const lesson = "Greetings go to out.txt."

// taught waits until what a run teaches is settled, and returns the run then. It is kept once, however often it was proposed.
func taught(ctx context.Context, d *daemon, run journal.RunID) (*journal.State, []journal.Record, error) {
	for {
		s, records, err := fold(ctx, d.c, run)
		if err != nil || s.Outcome == nil {
			return s, records, err
		}
		if !s.Learning() {
			items, err := d.c.ListMemory(ctx, api.MemoryFilter{})
			if err == nil && s.Outcome.Learn && (len(items) != 1 || items[0].Text != lesson || items[0].State != "proposed" || items[0].Source.Run != string(run)) {
				err = fmt.Errorf("the memory holds %+v", items)
			}
			return s, records, err
		}
		select {
		case <-d.dead:
			return nil, nil, errors.New("the daemon died")
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// results counts the tool results of a conversation and returns the last one.
func results(msgs []message) (n int, last string) {
	for _, m := range msgs {
		if m.Role == "tool" {
			n++
			last = m.Content
		}
	}
	return n, last
}

// effects counts requests: the outside world.
type effects struct {
	addr string
	n    atomic.Int64
}

func outside(t *testing.T) *effects {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &effects{addr: ln.Addr().String()}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { e.n.Add(1); fmt.Fprintln(w, "ok") })}
	done := make(chan struct{})
	go func() { srv.Serve(ln); close(done) }()
	t.Cleanup(func() { srv.Close(); <-done })
	return e
}

// fold reads a run's state from a daemon.
func fold(ctx context.Context, c *api.Client, run journal.RunID) (*journal.State, []journal.Record, error) {
	var all []journal.Record
	var before journal.Seq
	for {
		page, err := c.Page(ctx, run, before, 500)
		if err != nil {
			return nil, nil, err
		}
		all = append(page, all...)
		if len(page) == 0 || page[0].Seq == 1 {
			break
		}
		before = page[0].Seq
	}
	s, err := journal.Fold(all)
	return s, all, err
}

// checkReplies holds promise 4: a journaled reply is never asked for again, and nothing is asked that is not in the journal.
func checkReplies(t *testing.T, e *endpoint, records []journal.Record) {
	t.Helper()
	asked, replied := map[string]int{}, map[string]int{}
	hash := map[string]string{}
	for _, r := range records {
		ev, err := r.Decode()
		if err != nil {
			t.Fatal(err)
		}
		switch ev := ev.(type) {
		case journal.ModelAsked:
			if replied[ev.BodyHash] > 0 {
				t.Errorf("event %d asks again for a reply that the journal holds", r.Seq)
			}
			asked[ev.BodyHash]++
			hash[ev.Call] = ev.BodyHash
		case journal.ModelReplied:
			if ev.Reply != nil {
				replied[hash[ev.Call]]++
			}
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for h, n := range asked {
		if e.asked[h] > n {
			t.Errorf("a request was sent %d times, the journal knows of %d", e.asked[h], n)
		}
	}
}

func lines(path string) ([]string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return strings.Fields(string(b)), err
}
