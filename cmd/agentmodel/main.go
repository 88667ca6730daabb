// Command agentmodel serves one language model on this machine, with llama.cpp, as an OpenAI-compatible endpoint on a
// unix socket or a loopback port.
//
// It is a program of its own because llama.cpp ends its process on an internal error, and because a program that links
// it is dynamic.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"agentd/llm/local/serve"
)

const usage = `usage: agentmodel serve --lib DIR [--model FILE] [--embed FILE] [--socket PATH | --listen 127.0.0.1:PORT] [flags]

Serves /v1/chat/completions, /v1/embeddings, /v1/models, /tokenize and /health. Prints "ready" on standard output.
`

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run returns 0 after an orderly end, 1 if the models can't be served, 2 for a wrong command line.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 0 || args[0] != "serve" {
		fmt.Fprint(stderr, usage)
		return 2
	}
	o, err := parse(args[1:], stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "agentmodel: %v\n", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if o.lifeline {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		go func() {
			io.Copy(io.Discard, stdin) //nolint:errcheck // ends when the other side does
			cancel()
			time.Sleep(2 * time.Second) // a library that doesn't listen must not outlive its owner
			os.Exit(0)
		}()
	}
	if err := serveModels(ctx, o, stdout); err != nil {
		fmt.Fprintf(stderr, "agentmodel: %v\n", err)
		return 1
	}
	return 0
}

type options struct {
	cfg      serve.Config
	socket   string
	listen   string
	lifeline bool
	idle     time.Duration
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("agentmodel serve", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprint(stderr, usage, "\n")
		f.PrintDefaults()
	}
	f.StringVar(&o.cfg.Lib, "lib", "", "folder of the llama.cpp shared libraries")
	f.StringVar(&o.cfg.Model, "model", "", "chat model, a GGUF file")
	f.StringVar(&o.cfg.Embed, "embed", "", "embedding model, a GGUF file")
	f.StringVar(&o.cfg.Alias, "name", "", "name of the chat model in replies (default: the file's)")
	f.StringVar(&o.socket, "socket", "", "listen on this unix socket, mode 0600")
	f.StringVar(&o.listen, "listen", "", "listen on this loopback address (default 127.0.0.1:8088 without --socket)")
	f.IntVar(&o.cfg.Context, "context", 8192, "tokens of one conversation, prompt and reply together")
	f.IntVar(&o.cfg.Slots, "slots", 3, "conversations whose prefix is kept")
	f.IntVar(&o.cfg.Batch, "batch", 128, "prompt tokens computed at once")
	f.IntVar(&o.cfg.Threads, "threads", 0, "threads (default: as many as there are cores that nobody else uses)")
	f.BoolVar(&o.cfg.Verbose, "verbose", false, "let llama.cpp write its log to standard error")
	f.BoolVar(&o.lifeline, "lifeline", false, "end when standard input does")
	f.DurationVar(&o.idle, "idle", 0, "end after so long without a request (0: never)")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case f.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case o.socket != "" && o.listen != "":
		return nil, errors.New("--socket and --listen exclude each other")
	case o.socket == "" && o.listen == "":
		o.listen = "127.0.0.1:8088"
	}
	if o.listen != "" {
		host, _, err := net.SplitHostPort(o.listen)
		if err != nil {
			return nil, fmt.Errorf("--listen %s: %w", o.listen, err)
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, fmt.Errorf("--listen %s: want a loopback address: the endpoint has no password", o.listen)
		}
	}
	return o, nil
}

func serveModels(ctx context.Context, o *options, stdout io.Writer) error {
	l, err := listen(o)
	if err != nil {
		return err
	}
	defer l.Close()
	models, err := serve.Open(o.cfg)
	if err != nil {
		return err
	}
	base, cancel := context.WithCancel(context.Background())
	defer cancel()
	quiet := newQuiet(models, o.idle)
	srv := &http.Server{
		Handler:           quiet,
		BaseContext:       func(net.Listener) context.Context { return base },
		ReadHeaderTimeout: 10 * time.Second,
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	fmt.Fprintf(stdout, "ready %s\n", l.Addr())
	select {
	case err = <-ended:
	case <-quiet.over:
		srv.Close()
	case <-ctx.Done():
		cancel() // ends the replies being made
		grace, done := context.WithTimeout(context.Background(), time.Second)
		srv.Shutdown(grace) //nolint:errcheck // the process ends
		done()
		err = nil
	}
	return err
}

// quiet passes requests on and tells when there was none for a while.
type quiet struct {
	next  http.Handler
	after time.Duration
	over  chan struct{}

	mu    sync.Mutex
	busy  int
	timer *time.Timer
}

// newQuiet counts from now; an after of 0 never ends.
func newQuiet(next http.Handler, after time.Duration) *quiet {
	q := &quiet{next: next, after: after, over: make(chan struct{})}
	if after > 0 {
		q.timer = time.AfterFunc(after, q.end)
	}
	return q
}

func (q *quiet) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.busy == 0 {
		q.busy = -1 // once
		close(q.over)
	}
}

// ServeHTTP passes a request on.
func (q *quiet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q.mu.Lock()
	if q.busy < 0 {
		q.mu.Unlock()
		w.Header().Set("Connection", "close")
		http.Error(w, "ending: ask again", http.StatusServiceUnavailable)
		return
	}
	q.busy++
	q.mu.Unlock()
	defer func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.busy--; q.busy == 0 && q.timer != nil {
			q.timer.Reset(q.after)
		}
	}()
	q.next.ServeHTTP(w, r)
}

// listen opens the socket or the port. A socket has mode 0600 from its first moment on; one that a dead program left is
// replaced.
func listen(o *options) (net.Listener, error) {
	if o.socket == "" {
		l, err := net.Listen("tcp", o.listen)
		if err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
		return l, nil
	}
	const most = len(syscall.RawSockaddrUnix{}.Path) - 1 // without its final zero
	if len(o.socket) > most {
		return nil, fmt.Errorf("socket path %s has %d bytes: at most %d are possible, use a shorter folder", o.socket, len(o.socket), most)
	}
	if err := os.MkdirAll(filepath.Dir(o.socket), 0o700); err != nil {
		return nil, fmt.Errorf("make the socket's folder: %w", err)
	}
	if _, err := os.Lstat(o.socket); err == nil {
		c, err := net.Dial("unix", o.socket)
		if err == nil {
			c.Close()
			return nil, fmt.Errorf("socket %s: another agentmodel answers there", o.socket)
		}
		if err := os.Remove(o.socket); err != nil {
			return nil, fmt.Errorf("remove the old socket: %w", err)
		}
	}
	old := syscall.Umask(0o177)
	l, err := net.Listen("unix", o.socket)
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}
