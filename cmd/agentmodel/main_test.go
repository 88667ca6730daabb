package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.gguf")
	if err := os.WriteFile(text, []byte("no model"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{nil, 2, "usage: agentmodel serve"},
		{[]string{"run"}, 2, "usage: agentmodel serve"},
		{[]string{"serve", "-h"}, 0, "unix socket, mode 0600"},
		{[]string{"serve", "--bogus"}, 2, "-bogus"},
		{[]string{"serve", "extra"}, 2, `unexpected argument "extra"`},
		{[]string{"serve", "--socket", "a", "--listen", "127.0.0.1:0"}, 2, "exclude each other"},
		{[]string{"serve", "--listen", "0.0.0.0:80"}, 2, "loopback"},
		{[]string{"serve", "--listen", "example.org:80"}, 2, "loopback"},
		{[]string{"serve", "--listen", "127.0.0.1"}, 2, "missing port"},
		{[]string{"serve", "--listen", "127.0.0.1:0"}, 1, "--lib"},
		{[]string{"serve", "--listen", "127.0.0.1:0", "--lib", dir}, 1, "--model"},
		{[]string{"serve", "--listen", "127.0.0.1:0", "--lib", dir, "--model", text}, 1, "not a GGUF file"},
		{[]string{"serve", "--socket", filepath.Join(dir, strings.Repeat("x", 120)), "--lib", dir, "--model", text}, 1, "at most 107"},
	} {
		var out, fault bytes.Buffer
		code := run(t.Context(), tt.args, strings.NewReader(""), &out, &fault)
		if code != tt.code || !strings.Contains(fault.String(), tt.says) {
			t.Errorf("%v: exit %d with %q, want %d with %q", tt.args, code, fault.String(), tt.code, tt.says)
		}
		if out.Len() > 0 {
			t.Errorf("%v: wrote %q to standard output", tt.args, out.String())
		}
	}
}

func TestSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "m.sock")
	o := &options{socket: path}
	l, err := listen(o)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("socket mode %v, %v", st.Mode(), err)
	}
	if _, err := listen(o); err == nil || !strings.Contains(err.Error(), "another agentmodel") {
		t.Errorf("a second listener on a socket in use gave %v", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close() // as after kill -9: the file is left
	l, err = listen(o)
	if err != nil {
		t.Fatalf("a dead program's socket isn't replaced: %v", err)
	}
	l.Close()
}

func TestQuiet(t *testing.T) {
	enter, leave := make(chan struct{}), make(chan struct{})
	q := newQuiet(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		enter <- struct{}{}
		<-leave
		io.WriteString(w, "done")
	}), 150*time.Millisecond)
	web := httptest.NewServer(q)
	defer web.Close()
	got := make(chan string)
	go func() {
		resp, err := http.Get(web.URL)
		if err != nil {
			got <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		got <- string(b)
	}()
	<-enter
	select {
	case <-q.over:
		t.Fatal("a request being answered counts as idle")
	case <-time.After(400 * time.Millisecond):
	}
	close(leave)
	if s := <-got; s != "done" {
		t.Errorf("the answer is %q", s)
	}
	select {
	case <-q.over:
	case <-time.After(5 * time.Second):
		t.Fatal("it isn't over long after the last request")
	}
	resp, err := http.Get(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a request at the end gets status %d", resp.StatusCode)
	}
}

func TestQuietNeverEndsWithoutATime(t *testing.T) {
	q := newQuiet(http.NotFoundHandler(), 0)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	select {
	case <-q.over:
		t.Error("it ended")
	case <-ctx.Done():
	}
}
