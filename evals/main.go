// Command evals runs small real goals through agentctl and reports how many the daemon accepted, and whether a second,
// stricter check that neither agent nor daemon sees agrees.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

type options struct {
	ctl, model, only string
	seeds, from      int
	floor            int
	scripted, keep   bool
	limit            time.Duration
	out              string
	home             string // of the daemon; "" for one of each run
	bench            int
	memory           string  // modes to compare; "" is no comparison
	script           *script // of all runs; nil: each has its own
}

type verdict struct {
	Task     string  `json:"task"`
	Seed     int     `json:"seed"`
	Given    bool    `json:"given"` // with --check
	Exit     int     `json:"exit"`
	Accepted bool    `json:"accepted"`
	Right    bool    `json:"right"`
	Why      string  `json:"why,omitempty"`
	Seconds  float64 `json:"seconds"`
	Memory   string  `json:"memory,omitempty"`
	Recalled int     `json:"recalled,omitempty"` // facts that entered its prompts
	Steps    int     `json:"steps,omitempty"`
	Tokens   int64   `json:"tokens,omitempty"`
}

func main() {
	var o options
	flag.StringVar(&o.ctl, "agentctl", "bin/agentctl", "the client to run")
	flag.StringVar(&o.model, "model", "local", "provider/model")
	flag.StringVar(&o.only, "only", "", "run only the tasks whose name contains one of these words, separated by commas")
	flag.IntVar(&o.seeds, "seeds", 3, "workspaces of each task")
	flag.IntVar(&o.from, "from", 1, "first seed")
	flag.IntVar(&o.floor, "floor", 0, "fail when fewer runs are accepted and right")
	flag.BoolVar(&o.scripted, "scripted", false, "answer from a script that solves every task, instead of a model")
	flag.BoolVar(&o.keep, "keep", false, "keep the workspaces and say where")
	flag.DurationVar(&o.limit, "limit", 2*time.Minute, "time of one run")
	flag.StringVar(&o.out, "out", "", "append one JSON line for each run to this file")
	flag.IntVar(&o.bench, "bench", 0, "instead: run so many scripted shell calls and print what the runtime costs")
	flag.StringVar(&o.memory, "memory", "", "instead: run the goals once in each of these modes of memory, for example off,read, and print the difference")
	flag.Parse()
	code, err := run(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "evals:", err)
		code = 1
	}
	os.Exit(code)
}

func run(o options) (int, error) {
	ctl, err := filepath.Abs(o.ctl)
	if err != nil {
		return 0, err
	}
	o.ctl = ctl
	if _, err := os.Stat(ctl); err != nil {
		return 0, fmt.Errorf("%w: build it first (make build)", err)
	}
	if o.bench > 0 {
		return 0, bench(o, o.bench)
	}
	if o.memory != "" {
		return ablate(o)
	}
	if !o.scripted {
		// One daemon for all runs, as a person has it: the model stays loaded, and what its prompts share is computed once.
		if o.home, err = os.MkdirTemp("", "evals-"); err != nil {
			return 0, err
		}
		defer os.RemoveAll(o.home)
		defer stop(o)
	}
	accepted, right, wrong, total := 0, 0, 0, 0
	for seed := o.from; seed < o.from+o.seeds; seed++ {
		for i, t := range tasks {
			if !o.wants(t) {
				continue
			}
			v, err := one(o, t, i, seed, "off") // goals are independent of each other
			if err != nil {
				return 0, fmt.Errorf("%s, seed %d: %w", t.name, seed, err)
			}
			total++
			word := "not accepted"
			if v.Accepted {
				accepted++
				word = "accepted"
				if v.Right {
					right++
				} else {
					wrong++
					word = "ACCEPTED WRONGLY"
				}
			} else if v.Right {
				word = "not accepted, though right"
			}
			how := "self"
			if v.Given {
				how = "check"
			}
			fmt.Printf("%-16s seed %d %-5s %6.1fs exit %3d  %s%s\n", v.Task, seed, how, v.Seconds, v.Exit, word, suffix(v.Why))
			if err := record(o.out, v); err != nil {
				return 0, err
			}
		}
	}
	fmt.Printf("%d runs: %d accepted, %d of them rightly, %d wrongly\n", total, accepted, right, wrong)
	failed := 0
	if right < o.floor {
		failed = total - right
		fmt.Printf("below the floor of %d\n", o.floor)
	}
	fmt.Printf("evals: %d passed, %d failed\n", right, failed)
	if right < o.floor || o.floor > 0 && wrong > 0 && o.scripted {
		return 1, nil
	}
	return 0, nil
}

// wants says whether a task is to be run.
func (o options) wants(t task) bool {
	return slices.ContainsFunc(strings.Split(o.only, ","), func(w string) bool { return strings.Contains(t.name, w) })
}

// stop ends the daemon of the runs.
func stop(o options) {
	cmd := exec.Command(o.ctl, "daemon", "stop")
	cmd.Env = append(os.Environ(), "AGENTD_HOME="+o.home)
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "evals: the daemon was not stopped: %v\n%s", err, out)
	}
}

func suffix(why string) string {
	if why == "" {
		return ""
	}
	return ": " + strings.Join(strings.Fields(why), " ")
}

func record(path string, v verdict) error {
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	return json.NewEncoder(f).Encode(v)
}

func one(o options, t task, index, seed int, memory string) (verdict, error) {
	v := verdict{Task: t.name, Seed: seed, Given: t.given}
	if o.memory != "" {
		v.Memory = memory
	}
	base, err := os.MkdirTemp("", "eval-")
	if err != nil {
		return v, err
	}
	if o.keep {
		fmt.Fprintln(os.Stderr, "workspace:", base)
	} else {
		defer os.RemoveAll(base)
	}
	ws := filepath.Join(base, "ws")
	if err := os.Mkdir(ws, 0o755); err != nil {
		return v, err
	}
	in, err := t.make(ws, rand.New(rand.NewPCG(uint64(seed), uint64(index))))
	if err != nil {
		return v, err
	}
	args := []string{"run", "--yes", "-C", ws, "--wall", o.limit.String(), "--steps", "40"}
	env := os.Environ()
	if o.home == "" {
		args = append(args, "--ephemeral")
	} else {
		args = append(args, "--memory", memory)
		env = append(env, "AGENTD_HOME="+o.home)
	}
	if t.given {
		args = append(args, "--check", in.check)
	}
	if o.scripted {
		s := o.script
		if s == nil {
			if s, err = serveScript(); err != nil {
				return v, err
			}
			defer s.Close()
		}
		s.play(in, t.given)
		env = append(env, s.env()...)
		args = append(args, "--model", "openai/scripted")
	} else {
		args = append(args, "--model", o.model)
	}
	ctx, cancel := context.WithTimeout(context.Background(), o.limit+time.Minute)
	defer cancel()
	var log, events bytes.Buffer
	if o.memory != "" {
		args = append(args, "--json")
	}
	cmd := exec.CommandContext(ctx, o.ctl, append(args, in.goal)...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &log, &log
	if o.memory != "" {
		cmd.Stdout = &events
	}
	cmd.WaitDelay = 10 * time.Second
	start := time.Now()
	err = cmd.Run()
	v.Seconds = time.Since(start).Seconds()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return v, err
	}
	v.Exit = cmd.ProcessState.ExitCode()
	v.count(events.Bytes())
	v.Accepted = v.Exit == 0
	if o.keep {
		if err := os.WriteFile(filepath.Join(base, "log.txt"), log.Bytes(), 0o644); err != nil {
			return v, err
		}
	}
	if err := in.strict(ws); err != nil {
		v.Why = err.Error()
	} else {
		v.Right = true
	}
	if o.scripted && (!v.Accepted || !v.Right) {
		os.Stderr.Write(log.Bytes())
	}
	return v, nil
}

// script is an OpenAI-compatible endpoint that answers one run at a time: a plan, the solution as a shell call, the end, and that it
// teaches nothing.
type script struct {
	net.Listener
	base string

	mu    sync.Mutex // guards the fields below
	in    instance
	given bool
	calls int
}

// play makes the next run's answers.
func (s *script) play(in instance, given bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.in, s.given, s.calls = in, given, 0
}

func (s *script) env() []string {
	return []string{"OPENAI_API_KEY=scripted", "OPENAI_BASE_URL=" + s.base}
}

func serveScript() (*script, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &script{Listener: ln, base: "http://" + ln.Addr().String() + "/v1"}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"object":"list","data":[{"id":"scripted","object":"model"}]}`)
	})
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Tools  []any `json:"tools"`
			Stream bool  `json:"stream"`
		}
		raw, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(raw, &body)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		in := s.in
		msg := map[string]any{"role": "assistant", "content": ""}
		finish := "stop"
		call := func(name string, args any) {
			raw, err := json.Marshal(args)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			finish = "tool_calls"
			msg["tool_calls"] = []any{map[string]any{"index": 0, "id": fmt.Sprintf("c%d", s.calls), "type": "function", "function": map[string]any{"name": name, "arguments": string(raw)}}}
		}
		switch {
		case bytes.Contains(raw, []byte("keep the memory")):
			msg["content"] = `{"facts":[]}`
		case len(body.Tools) == 0:
			checks := []any{}
			if !s.given {
				checks = append(checks, map[string]string{"name": "check", "cmd": in.check})
			}
			raw, err := json.Marshal(map[string]any{"tasks": []any{map[string]any{"id": "solve", "do": in.goal, "needs": []any{}, "writes": []any{}, "out": "", "done": ""}}, "checks": checks})
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			msg["content"] = string(raw)
		case s.calls == 0:
			do := in.solution
			if in.fact != "" && !bytes.Contains(raw, []byte(in.fact)) {
				do = in.guess
			}
			call("shell", map[string]any{"command": do})
			s.calls++
		default:
			call("finish", map[string]any{"result": "done"})
			s.calls++
		}
		usage := map[string]int{"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
		if !body.Stream {
			json.NewEncoder(w).Encode(map[string]any{"id": "x", "object": "chat.completion", "model": "scripted", "choices": []any{map[string]any{"index": 0, "message": msg, "finish_reason": finish}}, "usage": usage})
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for _, chunk := range []any{
			map[string]any{"id": "x", "object": "chat.completion.chunk", "model": "scripted", "choices": []any{map[string]any{"index": 0, "delta": msg, "finish_reason": nil}}},
			map[string]any{"id": "x", "object": "chat.completion.chunk", "model": "scripted", "choices": []any{map[string]any{"index": 0, "delta": map[string]any{}, "finish_reason": finish}}},
			map[string]any{"id": "x", "object": "chat.completion.chunk", "model": "scripted", "choices": []any{}, "usage": usage},
		} {
			raw, err := json.Marshal(chunk)
			if err != nil {
				return
			}
			fmt.Fprintf(w, "data: %s\n\n", raw)
		}
		fmt.Fprint(w, "data: [DONE]\n\n")
	})
	go http.Serve(ln, mux) // ends when the listener is closed
	return s, nil
}
