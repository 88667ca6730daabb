package api

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"agentd/journal"
)

// Version is the version of the HTTP interface. It changes when an old client can't be served any more.
const Version = 1

// Headers beside those of HTTP.
const (
	headerAPI   = "Agentd-Api"
	headerBuild = "Agentd-Version"
	headerKey   = "Idempotency-Key"
)

// Options are what a Server is made of. Store and Engine are needed.
type Options struct {
	Store     journal.Store
	Engine    Engine
	Memory    Memory       // nil: this daemon has none
	Schedule  Schedule     // nil: this daemon has none
	Goals     GoalTester   // nil: this daemon has none
	Browsers  Browsers     // nil: this daemon has none
	Authority Authority    // nil: this daemon grants nothing
	Logger    *slog.Logger // nil discards
	Build     string       // version of the daemon; "" is Build()
	Token     string       // what a TCP client must send as bearer token; "" refuses TCP
	Ping      time.Duration
	Timeout   time.Duration // for a client to take what is written to it; 0 is 30 s
	Views     string        // folder for the folded states of long runs, a cache; "" keeps them in memory alone
}

// Server answers clients. It is made by NewServer and holds no state of a run.
type Server struct {
	opt     Options
	log     *slog.Logger
	handler http.Handler
	views   *views
	screens sync.Map  // of sessions by which persons use browsers, by their ids
	keeper  sync.Once // the first Serve keeps the views
	// draining ends the streams of a server that stops; requests that are not streams finish.
	draining context.Context
	drain    context.CancelFunc
}

// silent holds the connections on which nothing was asked yet: a server that stops need not wait for them.
type silent struct {
	mu     sync.Mutex // guards the fields below
	conns  map[net.Conn]bool
	closed bool // what is accepted from now on is closed at once
}

// note follows a connection's state, as http.Server.ConnState.
func (s *silent) note(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case state != http.StateNew:
		delete(s.conns, c)
	case s.closed:
		_ = c.Close() // it was in the listener's queue
	default:
		s.conns[c] = true
	}
}

// close closes them, and those still to come.
func (s *silent) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.conns {
		_ = c.Close() // nobody waits for an answer on it
	}
}

// NewServer makes a server; Serve starts it.
func NewServer(o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Build == "" {
		o.Build = Build()
	}
	if o.Ping == 0 {
		o.Ping = 15 * time.Second
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	s := &Server{opt: o, log: o.Logger, views: newViews(o.Store, o.Views, o.Build)}
	s.draining, s.drain = context.WithCancel(context.Background())
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.HandleFunc(r.method+" "+r.path, s.handle(r))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, s.noRoute(r))
	})
	s.handler = s.guard(mux)
	return s
}

// Handler is the service without a listener's checks of the peer, for tests and embedding.
func (s *Server) Handler() http.Handler { return s.handler }

// Serve answers the clients of one listener until ctx ends; then it ends the streams, lets requests finish for up to 5
// seconds and closes the listener. A unix listener's clients must be the same user or root, a TCP listener's must send
// the token. Serve may run for several listeners, and a stopped server does not start again.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	unixSocket := ln.Addr().Network() == "unix"
	if !unixSocket && s.opt.Token == "" {
		return errors.Join(Errorf(ErrInvalid, "set a token", "refusing to listen on %s without a token", ln.Addr()), ln.Close())
	}
	quiet := &silent{conns: map[net.Conn]bool{}}
	srv := &http.Server{
		Handler:           s.handler,
		ConnState:         quiet.note,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if !unixSocket {
				return context.WithValue(ctx, accessKey{}, access{tcp: true})
			}
			p, err := peerOf(c)
			return context.WithValue(ctx, accessKey{}, access{peer: p, err: err})
		},
	}
	var keeping sync.WaitGroup
	defer keeping.Wait()
	keep, stopKeeping := context.WithCancel(s.draining)
	defer stopKeeping()
	s.keeper.Do(func() { keeping.Go(func() { s.views.keep(keep) }) })
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	s.drain()
	quiet.close()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := srv.Shutdown(grace)
	if err != nil {
		err = errors.Join(fmt.Errorf("stop serving: %w", err), srv.Close())
	}
	<-done
	return err
}

// accessKey is the context key of what a listener knows of a connection. It is request-scoped transport data, set by
// net/http's ConnContext, and leaves this file nowhere.
type accessKey struct{}

type access struct {
	tcp  bool
	peer peer
	err  error
}

// guard checks who asks, names the versions, bounds the time and turns a panic into an error.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set(headerAPI, strconv.Itoa(Version))
		h.Set(headerBuild, s.opt.Build)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		if err := s.admit(r); err != nil {
			s.fail(w, r, err)
			return
		}
		if v := r.Header.Get(headerAPI); v != "" && v != strconv.Itoa(Version) {
			s.fail(w, r, Errorf(ErrVersion, "use an agentctl of the daemon's version", "the client speaks version %.20s of the interface, this daemon (%s) version %d", v, s.opt.Build, Version))
			return
		}
		rc := http.NewResponseController(w)
		// Unsupported only in tests without a connection. read lifts the first, which would end a long request's
		// context otherwise; streams move the second on.
		if r.ContentLength != 0 {
			_ = rc.SetReadDeadline(time.Now().Add(s.opt.Timeout))
		}
		_ = rc.SetWriteDeadline(time.Now().Add(s.opt.Timeout))
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it like this
					panic(p)
				}
				s.log.Error("panic while answering", "method", r.Method, "path", r.URL.Path, "panic", fmt.Sprint(p))
				s.fail(w, r, ErrInternal)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

func (s *Server) admit(r *http.Request) error {
	a, ok := r.Context().Value(accessKey{}).(access)
	if !ok { // Handler without Serve
		return nil
	}
	if a.err != nil {
		return Errorf(ErrForbidden, "", "who connects is unknown: %v", a.err)
	}
	if !a.tcp {
		if !a.peer.trusted() {
			return Errorf(ErrForbidden, "start a daemon of your own", "this daemon serves its own user and root, not uid %d", a.peer.uid)
		}
		return nil
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || subtle.ConstantTimeCompare([]byte(token), []byte(s.opt.Token)) != 1 {
		return Errorf(ErrUnauthorized, "send Authorization: Bearer TOKEN", "no or a wrong token")
	}
	return nil
}

// noRoute tells a wrong method from a wrong path.
func (s *Server) noRoute(r *http.Request) error {
	return Errorf(journal.ErrNotFound, "GET /openapi.yaml lists the routes", "no route %s %.200s", r.Method, r.URL.Path)
}

// fail answers with an error; an internal one is logged with its details, which the client isn't told.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := ErrorOf(err)
	if e.Code == "internal" {
		s.log.Error("request ended with an error", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	s.write(w, r, e.status(), e)
}
