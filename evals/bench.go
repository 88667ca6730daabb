package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// step is one request of a benchmarked run.
type step struct {
	in, out time.Time
	bytes   int
}

// bench runs `steps` shell calls against an endpoint that answers at once, journal, policy and sandbox on, and prints what the
// runtime itself costs for a step: the gap between a reply and the next request, and CPU time of the whole process tree.
func bench(o options, steps int) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var rows []step
	side := 0
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := time.Now()
		raw, err := io.ReadAll(r.Body)
		var body struct {
			Tools []any `json:"tools"`
		}
		if err != nil || len(raw) == 0 || json.Unmarshal(raw, &body) != nil {
			fmt.Fprint(w, `{"object":"list","data":[{"id":"scripted","object":"model"}]}`)
			return
		}
		mu.Lock()
		n := len(rows)
		mu.Unlock()
		delta, finish := `{"role":"assistant","content":"Done."}`, "stop"
		switch {
		case len(body.Tools) == 0:
		case n < steps:
			args, _ := json.Marshal(map[string]string{"command": fmt.Sprintf("echo %d | tee -a log", n+1)})
			quoted, _ := json.Marshal(string(args))
			delta = fmt.Sprintf(`{"role":"assistant","content":"","tool_calls":[{"index":0,"id":"call_%012d","type":"function","function":{"name":"shell","arguments":%s}}]}`, n, quoted)
			finish = "tool_calls"
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,\"delta\":%s}]}\n\n", delta)
		fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":%q}]}\n\ndata: [DONE]\n\n", finish)
		w.(http.Flusher).Flush()
		mu.Lock()
		defer mu.Unlock()
		if len(body.Tools) == 0 {
			side++
			return
		}
		rows = append(rows, step{now, time.Now(), len(raw)})
	})}
	go srv.Serve(ln) // ends with Close
	defer srv.Close()
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ws := filepath.Join(dir, "ws")
	if err := os.Mkdir(ws, 0o755); err != nil {
		return err
	}
	cmd := exec.Command(o.ctl, "run", "--ephemeral", "--yes", "--steps", "1000", "--model", "openai/scripted", "-C", ws, "append numbers to the log")
	cmd.Env = append(os.Environ(), "OPENAI_API_KEY=scripted", "OPENAI_BASE_URL=http://"+ln.Addr().String()+"/v1")
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &before); err != nil {
		return err
	}
	start := time.Now()
	out, err := cmd.CombinedOutput()
	wall := time.Since(start)
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &after); err != nil {
		return err
	}
	if len(rows) != steps+1 {
		return fmt.Errorf("the run made %d requests, want %d (%v):\n%s", len(rows), steps+1, err, out)
	}
	var gaps []time.Duration
	total := 0
	for i, r := range rows {
		total += r.bytes
		if i > 0 {
			gaps = append(gaps, r.in.Sub(rows[i-1].out))
		}
	}
	slices.Sort(gaps)
	cpu := func(r syscall.Rusage) time.Duration { return time.Duration(r.Utime.Nano() + r.Stime.Nano()) }
	fmt.Printf("steps %d: gap min %s p50 %s p95 %s; first request %s; wall %s; client's CPU %s; first body %d bytes, all bodies %d; %d side requests\n",
		steps, gaps[0], gaps[len(gaps)/2], gaps[len(gaps)*95/100], rows[0].in.Sub(start).Round(time.Millisecond), wall.Round(time.Millisecond),
		cpu(after)-cpu(before), rows[0].bytes, total, side)
	return nil
}
