// Package web serves runs as pages for a browser on this machine, or on a phone through a tunnel: to read and to answer. It
// is a client of the daemon like any other. Pages are rendered here; every text in them is escaped and harmless.
package web

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"agentd/api"
)

//go:embed assets
var assets embed.FS

// maxSessions bounds how many browsers are let in at once; the oldest is put out.
const maxSessions = 16

// cookieName begins the name of the cookie that holds a browser's session.
const cookieName = "agentctl_web"

// Options are what a Server is made of.
type Options struct {
	Client *api.Client
	// Announce is called with a link that lets one browser in, first when serving begins and then each time that one
	// was used.
	Announce func(link string)
	Version  string
	Enter    string // the page that a link leads to; "" is the list of runs
}

// Server serves the pages. New makes it.
type Server struct {
	opt   Options
	pages *template.Template
	mux   *http.ServeMux
	// cookie is this server's own name: cookies do not know ports, and another server of this machine has its own.
	cookie string

	mu       sync.Mutex // guards the fields below
	base     string     // of the links
	token    string     // lets one browser in
	sessions []string
}

// New makes a server.
func New(o Options) (*Server, error) {
	t, err := template.New("").Funcs(funcs()).ParseFS(assets, "assets/*.html")
	if err != nil {
		return nil, fmt.Errorf("parse the pages: %w", err)
	}
	s := &Server{opt: o, pages: t, mux: http.NewServeMux(), cookie: cookieName + "_" + secret()[:8]}
	s.mux.HandleFunc("GET /{$}", s.home)
	s.mux.HandleFunc("GET /runs/{run}", s.run)
	s.mux.HandleFunc("GET /runs/{run}/diff", s.diff)
	s.mux.HandleFunc("GET /runs/{run}/rule", s.rule)
	s.mux.HandleFunc("GET /runs/{run}/live", s.live)
	s.mux.HandleFunc("POST /runs/{run}/{deed}", s.act)
	s.mux.HandleFunc("GET /runs/{run}/browser", s.browser)
	s.mux.HandleFunc("GET /runs/{run}/browser/frames", s.frames)
	s.mux.HandleFunc("POST /runs/{run}/browser/{session}", s.browserAct)
	static, err := fs.Sub(assets, "assets")
	if err != nil {
		return nil, err
	}
	s.mux.Handle("GET /style.css", http.FileServerFS(static))
	s.mux.Handle("GET /live.js", http.FileServerFS(static))
	s.mux.Handle("GET /browser.js", http.FileServerFS(static))
	return s, nil
}

// Serve answers browsers on a loopback listener until ctx ends.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	addr, ok := ln.Addr().(*net.TCPAddr)
	if !ok || !addr.IP.IsLoopback() {
		return errors.Join(api.Errorf(api.ErrInvalid, "listen on 127.0.0.1, and reach it from elsewhere through ssh -L", "%s is no loopback address", ln.Addr()), ln.Close())
	}
	s.mu.Lock()
	s.base = "http://" + ln.Addr().String()
	s.mu.Unlock()
	s.announce()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	srv := &http.Server{
		Handler: s, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	cancel()
	grace, stop := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer stop()
	err := srv.Shutdown(grace)
	if err != nil {
		err = srv.Close()
	}
	<-done
	return err
}

// announce makes a new token and tells the link with it.
func (s *Server) announce() {
	s.mu.Lock()
	s.token = secret()
	link := s.base + "/?token=" + s.token
	s.mu.Unlock()
	if s.opt.Announce != nil {
		s.opt.Announce(link)
	}
}

func secret() string {
	b := make([]byte, 24)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// ServeHTTP checks who asks and by what name before anything is answered.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // without a referrer a form would send no origin
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if !localHost(r.Host) { // a name that somebody points at this machine to read the pages from his own
		s.refuse(w, http.StatusMisdirectedRequest, "Pages are served to localhost only.")
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead && !sameOrigin(r) {
		s.refuse(w, http.StatusForbidden, "This request comes from another page.")
		return
	}
	if token := r.URL.Query().Get("token"); token != "" && r.URL.Path == "/" && r.Method == http.MethodGet {
		s.enter(w, r, token)
		return
	}
	if !s.known(r) {
		s.refuse(w, http.StatusUnauthorized, "Open the link that agentctl web printed last. Each lets one browser in.")
		return
	}
	s.mux.ServeHTTP(w, r)
}

// localHost reports whether a Host header names this machine. The port is free: a tunnel's other end may have another.
func localHost(host string) bool {
	name := host
	if n, _, err := net.SplitHostPort(host); err == nil {
		name = n
	}
	name = strings.Trim(name, "[]")
	return name == "localhost" || name == "127.0.0.1" || name == "::1"
}

// sameOrigin reports whether one of these very pages makes the request.
func sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return r.Header.Get("Sec-Fetch-Site") == "same-origin"
	}
	u, err := url.Parse(origin)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host == r.Host
}

// enter trades the token for a session, once.
func (s *Server) enter(w http.ResponseWriter, r *http.Request, token string) {
	s.mu.Lock()
	ok := s.token != "" && subtle.ConstantTimeCompare([]byte(token), []byte(s.token)) == 1
	session := ""
	if ok {
		s.token, session = "", secret()
		s.sessions = append(s.sessions, session)
		if n := len(s.sessions) - maxSessions; n > 0 {
			s.sessions = s.sessions[n:]
		}
	}
	s.mu.Unlock()
	if !ok {
		if s.known(r) { // the link was opened again where it was used
			http.Redirect(w, r, cmp.Or(s.opt.Enter, "/"), http.StatusSeeOther)
			return
		}
		s.refuse(w, http.StatusUnauthorized, "This link was used, or is an old one. agentctl web printed a new one.")
		return
	}
	http.SetCookie(w, &http.Cookie{Name: s.cookie, Value: session, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	// A page that leads on and not a redirect: a strict cookie does not go with a redirect from elsewhere.
	to := cmp.Or(s.opt.Enter, "/")
	if run := r.URL.Query().Get("run"); run != "" {
		to = "/runs/" + url.PathEscape(run)
	}
	w.Header().Set("Refresh", "0; url="+to)
	s.show(w, http.StatusOK, "message.html", page{Title: "agentctl", Message: "Welcome.", Link: to})
	s.announce()
}

// known reports whether a request comes from a browser that was let in.
func (s *Server) known(r *http.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range r.CookiesNamed(s.cookie) { // other programs of this machine set cookies for localhost too
		for _, have := range s.sessions {
			if subtle.ConstantTimeCompare([]byte(c.Value), []byte(have)) == 1 {
				return true
			}
		}
	}
	return false
}

func (s *Server) refuse(w http.ResponseWriter, status int, words string) {
	s.show(w, status, "message.html", page{Title: http.StatusText(status), Message: words})
}

// fail shows what went wrong and what to do next.
func (s *Server) fail(w http.ResponseWriter, err error) {
	e := api.ErrorOf(err)
	status := http.StatusBadGateway
	switch e.Code {
	case "not_found":
		status = http.StatusNotFound
	case "invalid", "ended", "not_open", "too_large":
		status = http.StatusBadRequest
	}
	s.show(w, status, "message.html", page{Title: "That did not work", Message: e.Message, Hint: e.Hint, Link: "/"})
}

// page is what every page is made of.
type page struct {
	Title, Message, Hint, Link string
	Data                       any
}

func (s *Server) show(w http.ResponseWriter, status int, name string, p page) {
	var b strings.Builder
	if err := s.pages.ExecuteTemplate(&b, name, p); err != nil {
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(b.String())) // the browser is gone, or reads it
}
