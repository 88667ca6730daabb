package api_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentd/api"
	"agentd/api/apitest"
)

func TestFindPlaces(t *testing.T) {
	run := t.TempDir()
	long := "/" + strings.Repeat("x", 120)
	tests := []struct {
		name, home string
		env        map[string]string
		want       api.Places
		err        error
	}{
		{"plain", "", map[string]string{"HOME": "/home/u"},
			api.Places{Home: "/home/u/.local/share/agentd", Socket: "/home/u/.local/share/agentd/agentd.sock", Link: "/home/u/.local/share/agentd/agentd.sock", Log: "/home/u/.local/share/agentd/agentd.log"}, nil},
		{"XDG", "", map[string]string{"HOME": "/home/u", "XDG_DATA_HOME": "/d", "XDG_RUNTIME_DIR": run},
			api.Places{Home: "/d/agentd", Socket: run + "/agentd.sock", Link: "/d/agentd/agentd.sock", Log: "/d/agentd/agentd.log"}, nil},
		{"no such XDG_RUNTIME_DIR", "", map[string]string{"XDG_DATA_HOME": "/d", "XDG_RUNTIME_DIR": "/nosuch"},
			api.Places{Home: "/d/agentd", Socket: "/d/agentd/agentd.sock", Link: "/d/agentd/agentd.sock", Log: "/d/agentd/agentd.log"}, nil},
		{"a relative XDG_DATA_HOME is ignored", "", map[string]string{"HOME": "/home/u", "XDG_DATA_HOME": "d"},
			api.Places{Home: "/home/u/.local/share/agentd", Socket: "/home/u/.local/share/agentd/agentd.sock", Link: "/home/u/.local/share/agentd/agentd.sock", Log: "/home/u/.local/share/agentd/agentd.log"}, nil},
		{"AGENTD_HOME moves both", "", map[string]string{"AGENTD_HOME": "/h", "XDG_RUNTIME_DIR": run, "XDG_DATA_HOME": "/d"},
			api.Places{Home: "/h", Socket: "/h/agentd.sock", Link: "/h/agentd.sock", Log: "/h/agentd.log"}, nil},
		{"the flag wins", "/f", map[string]string{"AGENTD_HOME": "/h"}, api.Places{Home: "/f", Socket: "/f/agentd.sock", Link: "/f/agentd.sock", Log: "/f/agentd.log"}, nil},
		{"nothing set", "", nil, api.Places{}, api.ErrInvalid},
		{"too long", long, nil, api.Places{Home: long, Socket: long + "/agentd.sock", Link: long + "/agentd.sock", Log: long + "/agentd.log"}, api.ErrInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := api.FindPlaces(tt.home, func(k string) string { return tt.env[k] })
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %+v, %v; want %+v, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestListen(t *testing.T) {
	dir, run := t.TempDir(), t.TempDir()
	p := api.Places{Home: dir, Socket: filepath.Join(run, "agentd.sock"), Link: filepath.Join(dir, "agentd.sock")}
	ln, err := p.Listen()
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(p.Socket); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", fi.Mode(), err)
	}
	if _, err := p.Listen(); !errors.Is(err, api.ErrRunning) {
		t.Errorf("a second daemon: %v", err)
	}
	accept(t, ln)
	c, err := api.Dial(p.Link) // through the link
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	// Killed: the socket's file stays. The next daemon takes the place.
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	ln.Close()
	if _, err := api.Dial(p.Socket); !errors.Is(err, api.ErrNotRunning) {
		t.Errorf("dial to a dead daemon: %v", err)
	}
	if ln, err = p.Listen(); err != nil {
		t.Fatalf("after a kill: %v", err)
	}
	ln.Close()
	// The same data folder, listening inside it now: the old link makes way.
	ln, err = api.Places{Home: dir, Socket: p.Link, Link: p.Link}.Listen()
	if err != nil {
		t.Fatalf("in the folder: %v", err)
	}
	ln.Close()
}

func accept(t *testing.T, ln net.Listener) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
}

func TestListenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "agentd.sock")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (api.Places{Socket: file}).Listen(); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("a file in the way: %v", err)
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "precious" {
		t.Errorf("the file is %q, %v", data, err)
	}
	long := filepath.Join(dir, strings.Repeat("x", 108))
	if _, err := (api.Places{Socket: long}).Listen(); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("a long path: %v", err)
	}
	if _, err := api.Dial(long); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("dial to a long path: %v", err)
	}
}

func TestDialNobody(t *testing.T) {
	_, err := api.Dial(filepath.Join(t.TempDir(), "no.sock"))
	if e, ok := errors.AsType[*api.Error](err); !ok || !errors.Is(err, api.ErrNotRunning) || e.Hint == "" {
		t.Errorf("got %v, want that no daemon answers, with a hint", err)
	}
}

// What answers at the socket may be no daemon, or one of another version.
func TestDialStranger(t *testing.T) {
	for _, v := range []string{"", "2"} {
		t.Run("version "+v, func(t *testing.T) {
			ln, err := api.Places{Socket: filepath.Join(t.TempDir(), "s.sock")}.Listen()
			if err != nil {
				t.Fatal(err)
			}
			srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if v != "" {
					w.Header().Set("Agentd-Api", v)
					w.Header().Set("Agentd-Version", "v9.9.9")
				}
				fmt.Fprintln(w, "{}")
			})}
			done := make(chan struct{})
			go func() { defer close(done); _ = srv.Serve(ln) }()
			defer func() { srv.Close(); <-done }()
			c, err := api.Dial(ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Info(t.Context()); !errors.Is(err, api.ErrVersion) || v != "" && !strings.Contains(err.Error(), "v9.9.9") {
				t.Errorf("got %v, want another version", err)
			}
		})
	}
}

func TestTCPNeedsTheToken(t *testing.T) {
	s := serve(t, nil)
	listen := func() net.Listener {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return ln
	}
	srv := api.NewServer(api.Options{Store: s.Store, Engine: &apitest.Engine{Store: s.Store}, Token: "secret"})
	ln := listen()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, ln) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	for token, want := range map[string]error{"secret": nil, "wrong": api.ErrUnauthorized, "": api.ErrUnauthorized} {
		c := api.DialTCP(ln.Addr().String(), token)
		if _, err := c.Info(t.Context()); !errors.Is(err, want) {
			t.Errorf("token %q: %v, want %v", token, err, want)
		}
		c.Close()
	}
	open := api.NewServer(api.Options{Store: s.Store, Engine: &apitest.Engine{}})
	if err := open.Serve(t.Context(), listen()); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("a TCP listener without a token: %v", err)
	}
}

// A socket that another user owns is refused by the client, and another user's client by the server.
func TestAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		p := filepath.Join(t.TempDir(), "s.sock")
		ln, err := net.Listen("unix", p)
		if err != nil {
			t.Fatal(err)
		}
		accept(t, ln)
		if err := os.Chmod(p, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := api.Dial(p); !errors.Is(err, api.ErrForbidden) {
			t.Errorf("a socket that may not be used: %v", err)
		}
		return
	}
	s := serve(t, nil)
	for _, d := range []string{filepath.Dir(s.socket), filepath.Dir(filepath.Dir(s.socket))} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(s.socket, 0o666); err != nil {
		t.Fatal(err)
	}
	out := asUser(t, 65123, s.socket)
	if !strings.Contains(out, " 403 ") || !strings.Contains(out, "uid 65123") {
		t.Errorf("another user got %q, want 403", out)
	}
}
