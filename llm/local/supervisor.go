package local

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Options says what a Supervisor runs and how. Zero values mean defaults.
type Options struct {
	Dir       string        // folder of models; DefaultDir
	Model     string        // chat model by its name in the catalog, or a GGUF file; DefaultChat. "none" serves embeddings only
	Embed     string        // embedder by its name; DefaultEmbed where it is downloaded. "none" serves none
	Program   string        // path of agentmodel; beside the running program, then in $PATH
	SocketDir string        // private folder for the socket; a new one below the temporary folder
	Library   string        // folder with the libraries of llama.cpp; $AGENTD_LLAMA, then the one of Dir
	Idle      time.Duration // after so long without a request agentmodel ends; 10 minutes. Negative: never
	Start     time.Duration // what a start may take; 2 minutes
	Context   int           // tokens of one conversation; the catalog's
	Slots     int           // conversations whose prefix is kept; agentmodel's default
	Threads   int           // agentmodel's default: one less than the cores
	Logger    *slog.Logger  // nil discards
}

// ErrClosed is returned by a supervisor after Close.
var ErrClosed = errors.New("local model supervisor is closed")

// ErrNoProgram is returned where agentmodel isn't installed.
var ErrNoProgram = errors.New("agentmodel isn't installed beside this program or in $PATH")

// StartError is returned when agentmodel ends instead of serving.
type StartError struct {
	Reason string // the end of what it wrote
	Err    error
}

// Error says how it ended and its last words.
func (e *StartError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("agentmodel didn't start: %v: %s", e.Err, e.Reason))
}

// Unwrap returns the cause.
func (e *StartError) Unwrap() error { return e.Err }

// Supervisor starts agentmodel when somebody dials, starts it anew when it died, and stops it when nobody needs it. The
// program ends with this one, however that ends: it reads a pipe whose other end only this process holds.
type Supervisor struct {
	opt     Options
	store   *Store
	log     *slog.Logger
	private string // socket folder that Close removes, or ""

	mu       sync.Mutex
	proc     *process
	closed   bool
	crashes  int
	lastDied time.Time
	starts   int
}

// process is one agentmodel.
type process struct {
	cmd    *exec.Cmd
	life   *os.File // its end of life when closed
	socket string
	ready  chan struct{} // closed when it serves or has ended
	gone   chan struct{} // closed when it has ended
	err    error         // set before ready is closed
	tail   *tail
}

// New returns a supervisor. Nothing is started and nothing need be downloaded until the first dial.
func New(opt Options) (*Supervisor, error) {
	if opt.Dir == "" {
		dir, err := DefaultDir()
		if err != nil {
			return nil, err
		}
		opt.Dir = dir
	}
	for _, path := range []*string{&opt.Dir, &opt.Program, &opt.SocketDir, &opt.Library} {
		if *path == "" {
			continue
		}
		abs, err := filepath.Abs(*path) // agentmodel runs in another folder
		if err != nil {
			return nil, err
		}
		*path = abs
	}
	opt.Model = cmp.Or(opt.Model, DefaultChat)
	opt.Idle = cmp.Or(opt.Idle, 10*time.Minute)
	opt.Start = cmp.Or(opt.Start, 2*time.Minute)
	s := &Supervisor{opt: opt, store: OpenStore(opt.Dir), log: opt.Logger}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if opt.Model != "none" && !strings.HasSuffix(opt.Model, ".gguf") {
		if _, err := lookup(opt.Model); err != nil {
			return nil, err
		}
	}
	if opt.Embed != "" && opt.Embed != "none" {
		if _, err := lookup(opt.Embed); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// BaseURL is the endpoint's address for an OpenAI client whose connections DialContext makes.
func (s *Supervisor) BaseURL() string { return "http://agentmodel/v1" }

// Model is the chat model's name in the catalog.
func (s *Supervisor) Model() string { return s.opt.Model }

// Window is the chat model's context in tokens, prompt and reply together.
func (s *Supervisor) Window() int {
	if s.opt.Context > 0 {
		return s.opt.Context
	}
	if it, err := lookup(s.opt.Model); err == nil {
		return it.Window
	}
	return 8192
}

// EmbedID names the embedder and its version; vectors of different ids don't mix.
func (s *Supervisor) EmbedID() string {
	it, err := lookup(cmp.Or(s.opt.Embed, DefaultEmbed))
	if err != nil {
		return ""
	}
	return "local/" + it.Name + "@" + it.SHA256[:12]
}

// Ready says whether a dial can succeed: the program, the library and the model are there.
func (s *Supervisor) Ready() error {
	if _, err := s.program(); err != nil {
		return err
	}
	_, err := s.args()
	return err
}

// DialContext connects to agentmodel, whatever the address, and starts it if it isn't running. When agentmodel dies its
// connections break; the next dial starts it anew.
func (s *Supervisor) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	for try := 0; ; try++ {
		p, err := s.running(ctx)
		if err != nil {
			return nil, err
		}
		var d net.Dialer
		c, err := d.DialContext(ctx, "unix", p.socket)
		if err == nil {
			return c, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if try == 2 {
			return nil, fmt.Errorf("connect to agentmodel: %w", err)
		}
		select { // it is ending
		case <-p.gone:
		case <-time.After(time.Second):
		}
	}
}

// Dial is DialContext without the parts that a net.Dialer has.
func (s *Supervisor) Dial(ctx context.Context) (net.Conn, error) {
	return s.DialContext(ctx, "unix", "agentmodel")
}

// running returns a process that serves, started if there is none.
func (s *Supervisor) running(ctx context.Context) (*process, error) {
	p, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.ready:
		return p, p.err
	}
}

func (s *Supervisor) current(ctx context.Context) (*process, error) {
	if err := s.pause(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if s.proc == nil {
		p, err := s.start()
		if err != nil {
			return nil, err
		}
		s.proc = p
	}
	return s.proc, nil
}

// pause waits before a start that follows crashes, twice as long each time.
func (s *Supervisor) pause(ctx context.Context) error {
	s.mu.Lock()
	var wait time.Duration
	if s.proc == nil && s.crashes > 1 {
		wait = time.Until(s.lastDied.Add(min(30*time.Second, 250*time.Millisecond<<min(s.crashes, 10))))
	}
	s.mu.Unlock()
	if wait <= 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}

// Running reports whether agentmodel runs, its process id, and how often it was started.
func (s *Supervisor) Running() (running bool, pid, starts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc != nil {
		return true, s.proc.cmd.Process.Pid, s.starts
	}
	return false, 0, s.starts
}

// Close stops agentmodel and waits for its end. Connections break.
func (s *Supervisor) Close() error {
	s.mu.Lock()
	s.closed = true
	p := s.proc
	s.proc = nil
	private := s.private
	s.mu.Unlock()
	if p != nil {
		p.life.Close()
		select {
		case <-p.gone:
		case <-time.After(5 * time.Second):
			p.cmd.Process.Kill() //nolint:errcheck // it may have ended meanwhile
			<-p.gone
		}
	}
	if private != "" {
		return os.RemoveAll(private)
	}
	return nil
}

// start runs agentmodel; s.mu is held. The process is watched until it ends.
func (s *Supervisor) start() (*process, error) {
	program, err := s.program()
	if err != nil {
		return nil, err
	}
	args, err := s.args()
	if err != nil {
		return nil, err
	}
	socket, err := s.socket()
	if err != nil {
		return nil, err
	}
	life, ours, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make the lifeline: %w", err)
	}
	defer life.Close()
	p := &process{life: ours, socket: socket, ready: make(chan struct{}), gone: make(chan struct{}), tail: &tail{}}
	p.cmd = exec.Command(program, append(args, "--socket", socket, "--lifeline")...)
	p.cmd.Stdin = life
	p.cmd.Stderr = p.tail
	p.cmd.Env = environment()
	p.cmd.Dir = filepath.Dir(socket)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C at the terminal is for its owner only
	said, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		ours.Close()
		return nil, fmt.Errorf("start agentmodel: %w", err)
	}
	s.starts++
	go s.watch(p, said, time.Now())
	return p, nil
}

// environment is what agentmodel needs of this process's: no key of a provider is among it.
func environment() []string {
	env := []string{"GGML_NO_BACKTRACE=1", "GOTRACEBACK=none"}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "LANG", "LD_LIBRARY_PATH", "OMP_NUM_THREADS"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// watch waits for the word ready, then for the end.
func (s *Supervisor) watch(p *process, said io.Reader, begun time.Time) {
	slow := time.AfterFunc(s.opt.Start, func() { p.cmd.Process.Kill() }) //nolint:errcheck // it may have ended
	line := make([]byte, 256)
	n, _ := said.Read(line)
	served := slow.Stop() && bytes.HasPrefix(line[:n], []byte("ready"))
	if served {
		s.log.Info("local model started", "model", s.opt.Model, "pid", p.cmd.Process.Pid, "took", time.Since(begun).Round(time.Millisecond))
		close(p.ready)
		io.Copy(io.Discard, said) //nolint:errcheck // until it ends
	}
	err := p.cmd.Wait()
	p.life.Close()
	if !served {
		if err == nil {
			err = errors.New("it ended")
		}
		p.err = &StartError{Reason: p.tail.last(), Err: err}
	}
	s.mu.Lock()
	if s.proc == p { // not stopped by Close
		s.proc = nil
	}
	switch {
	case s.closed:
	case served && err == nil:
		s.crashes = 0
		s.log.Info("local model stopped", "reason", "idle", "after", s.opt.Idle)
	default:
		if served && time.Since(begun) > time.Minute {
			s.crashes = 0
		}
		s.crashes++
		s.lastDied = time.Now()
		s.log.Warn("local model died", "error", fmt.Sprint(err), "said", p.tail.last(), "crashes", s.crashes)
	}
	s.mu.Unlock()
	if !served {
		close(p.ready)
	}
	os.Remove(p.socket)
	close(p.gone)
}

// program finds agentmodel.
func (s *Supervisor) program() (string, error) {
	if s.opt.Program != "" {
		if _, err := os.Stat(s.opt.Program); err != nil {
			return "", fmt.Errorf("%w: %w", ErrNoProgram, err)
		}
		return s.opt.Program, nil
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "agentmodel")
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	path, err := exec.LookPath("agentmodel")
	if err != nil {
		return "", ErrNoProgram
	}
	return path, nil
}

// args are the command line for what is downloaded now.
func (s *Supervisor) args() ([]string, error) {
	lib := cmp.Or(s.opt.Library, os.Getenv("AGENTD_LLAMA"))
	if lib == "" {
		found, err := s.store.Find(LibraryName)
		if err != nil {
			return nil, err
		}
		lib = found.Path
	}
	args := []string{"serve", "--lib", lib}
	if s.opt.Model != "none" {
		m, err := s.store.Find(s.opt.Model)
		if err != nil {
			return nil, err
		}
		args = append(args, "--model", m.Path, "--name", m.Name, "--context", strconv.Itoa(s.Window()))
	}
	if s.opt.Embed != "none" {
		e, err := s.store.Find(cmp.Or(s.opt.Embed, DefaultEmbed))
		switch {
		case err == nil:
			args = append(args, "--embed", e.Path)
		case s.opt.Embed != "" || s.opt.Model == "none":
			return nil, err
		}
	}
	if s.opt.Slots > 0 {
		args = append(args, "--slots", strconv.Itoa(s.opt.Slots))
	}
	if s.opt.Idle > 0 {
		args = append(args, "--idle", s.opt.Idle.String())
	}
	if s.opt.Threads > 0 {
		args = append(args, "--threads", strconv.Itoa(s.opt.Threads))
	}
	return args, nil
}

// socket names the next socket in a private folder.
func (s *Supervisor) socket() (string, error) {
	dir := s.opt.SocketDir
	if dir == "" {
		if s.private == "" {
			d, err := os.MkdirTemp("", "agentmodel-")
			if err != nil {
				return "", fmt.Errorf("make the socket's folder: %w", err)
			}
			s.private = d
		}
		dir = s.private
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the socket's folder: %w", err)
	}
	return filepath.Join(dir, fmt.Sprintf("model-%d-%d.sock", os.Getpid(), s.starts)), nil
}

// tail keeps the end of what a program writes.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if len(t.b) > 8192 {
		t.b = append(t.b[:0], t.b[len(t.b)-4096:]...)
	}
	return len(p), nil
}

// last is the last lines, in one.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := strings.TrimSpace(string(t.b))
	if len(s) > 500 {
		s = "…" + s[len(s)-500:]
	}
	return strings.ReplaceAll(s, "\n", "; ")
}
