package local

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fakeProgram is a shell script in the place of agentmodel, in a store that seems complete.
func fakeProgram(t *testing.T, script string) Options {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "agentmodel")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	it, err := lookup("smollm2:135m")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, it.File)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, it.Size); err != nil {
		t.Fatal(err)
	}
	return Options{Dir: dir, Model: it.Name, Embed: "none", Program: program, Library: dir, Start: 500 * time.Millisecond}
}

func TestStartFailures(t *testing.T) {
	for _, tt := range []struct{ name, script, want string }{
		{"ends with words", "echo no such instruction >&2; exit 3", "exit status 3: no such instruction"},
		{"says nothing in time", "exec sleep 30", "signal: killed"},
		{"says something else", "echo hello", "it ended"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := New(fakeProgram(t, tt.script))
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			begun := time.Now()
			_, err = s.Dial(t.Context())
			var start *StartError
			if !errors.As(err, &start) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("dial gave %v, want %q in it", err, tt.want)
			}
			if took := time.Since(begun); took > 3*time.Second {
				t.Errorf("it took %v", took)
			}
			if running, _, starts := s.Running(); running || starts != 1 {
				t.Errorf("running is %v after %d starts", running, starts)
			}
		})
	}
}

func TestCrashesSlowStartsDown(t *testing.T) {
	s, err := New(fakeProgram(t, "exit 1"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	begun := time.Now()
	for range 3 {
		if _, err := s.Dial(t.Context()); err == nil {
			t.Fatal("dial succeeded")
		}
	}
	if took := time.Since(begun); took < 900*time.Millisecond {
		t.Errorf("three starts took %v: the third should wait a second", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Dial(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a dial during the wait gave %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(Options{Dir: t.TempDir(), Model: "gpt-9"}); !errors.Is(err, ErrUnknown) {
		t.Errorf("an unknown model gave %v", err)
	}
	if _, err := New(Options{Dir: t.TempDir(), Embed: "gpt-9"}); !errors.Is(err, ErrUnknown) {
		t.Errorf("an unknown embedder gave %v", err)
	}
	s, err := New(Options{Dir: t.TempDir(), Program: "/does/not/exist"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(); !errors.Is(err, ErrNoProgram) {
		t.Errorf("without a program, ready gave %v", err)
	}
	s, err = New(Options{Dir: t.TempDir(), Program: "/bin/true"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Dial(t.Context()); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "agentctl model pull") {
		t.Errorf("without a model, dial gave %v", err)
	}
	if s.Window() != 8192 || s.Model() != DefaultChat || s.EmbedID() != "local/minilm@f031bc3d7104" {
		t.Errorf("window %d, model %s, embedder %s", s.Window(), s.Model(), s.EmbedID())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Dial(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("after close, dial gave %v", err)
	}
}

func TestDoctorNamesWhatIsMissing(t *testing.T) {
	f := Doctor(t.Context(), Options{Dir: t.TempDir(), Program: "/bin/true", Library: "/"}, true)
	if !strings.Contains(f.Fault, DefaultChat) || f.Fix != "agentctl model pull "+DefaultChat || f.Program != "/bin/true" {
		t.Errorf("facts are %+v", f)
	}
}

func TestEnvironmentHasNoKeys(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", "sk-secret")
	for _, v := range environment() {
		if strings.Contains(v, "sk-secret") {
			t.Errorf("agentmodel would get %s", v)
		}
	}
}
