package tui_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"agentd/api"
)

// scripted is an OpenAI-compatible endpoint whose model lists the folder, removes one, and finishes; it writes word by word.
func scripted(t *testing.T) string {
	t.Helper()
	steps := []struct {
		text, tool string
		args       any
	}{
		{"I look at the folder first.", "shell", map[string]string{"command": `for i in $(seq 50); do printf 'line %d \033]0;owned\007\n' $i; done`}},
		{"The build folder goes.", "shell", map[string]string{"command": "rm -rf build && echo removed"}},
		{"That is all.", "finish", map[string]string{"result": "the needle of the haystack is found"}},
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Messages []struct {
				Role string `json:"role"`
			} `json:"messages"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		n := 0
		for _, m := range body.Messages {
			if m.Role == "tool" {
				n++
			}
		}
		step := steps[min(n, len(steps)-1)]
		w.Header().Set("Content-Type", "text/event-stream")
		send := func(v map[string]any) {
			v["id"], v["object"], v["model"] = "x", "chat.completion.chunk", "scripted"
			data, err := json.Marshal(v)
			if err != nil {
				panic(err)
			}
			fmt.Fprintf(w, "data: %s\n\n", data)
			w.(http.Flusher).Flush()
		}
		choice := func(delta map[string]any, finish any) {
			send(map[string]any{"choices": []any{map[string]any{"index": 0, "delta": delta, "finish_reason": finish}}})
		}
		for word := range strings.SplitAfterSeq(step.text, " ") {
			choice(map[string]any{"role": "assistant", "content": word}, nil)
			time.Sleep(30 * time.Millisecond)
		}
		args, err := json.Marshal(step.args)
		if err != nil {
			panic(err)
		}
		choice(map[string]any{"tool_calls": []any{map[string]any{"index": 0, "id": fmt.Sprint("call", n), "type": "function", "function": map[string]any{"name": step.tool, "arguments": string(args)}}}}, nil)
		choice(map[string]any{}, "tool_calls")
		send(map[string]any{"choices": []any{}, "usage": map[string]int{"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}})
		fmt.Fprint(w, "data: [DONE]\n\n")
	})}
	done := make(chan struct{})
	go func() { srv.Serve(ln); close(done) }()
	t.Cleanup(func() { srv.Close(); <-done })
	return "http://" + ln.Addr().String() + "/v1"
}

// tmux is a terminal in which programs run.
type tmux struct {
	t      *testing.T
	socket string
}

func (m tmux) run(args ...string) string {
	m.t.Helper()
	out, err := exec.Command("tmux", append([]string{"-S", m.socket, "-f", "/dev/null"}, args...)...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("tmux %q: %v\n%s", args, err, out)
	}
	return string(out)
}

func (m tmux) screen() string { return m.run("capture-pane", "-p") }

func (m tmux) keys(keys ...string) { m.run(append([]string{"send-keys"}, keys...)...) }

func (m tmux) text(s string) { m.run("send-keys", "-l", s) }

func (m tmux) wait(words ...string) string {
	m.t.Helper()
	var got string
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		got = m.screen()
		missing := ""
		for _, w := range words {
			if !strings.Contains(got, w) {
				missing = w
			}
		}
		if missing == "" {
			return got
		}
	}
	m.t.Fatalf("never showed %q; the screen is\n%s", words, got)
	return ""
}

// TestInTmux is a person's half hour with the built programs: give a goal, answer an ask, kill the daemon and go on,
// scroll back, search, undo, quit.
func TestInTmux(t *testing.T) {
	if testing.Short() {
		t.Skip("builds agentd and agentctl: not with -short")
	}
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("tmux is not installed")
	}
	home, err := os.MkdirTemp("", "tt") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	for _, name := range []string{"agentd", "agentctl"} {
		build := exec.Command("go", "build", "-o", filepath.Join(home, "bin", name), "agentd/cmd/"+name)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
	write := func(name, text string) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(home, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("cfg/agentd/config.yaml", "parallel: 1\n")
	write("cfg/agentd/policy.yaml", "- {when: 'tool == \"shell\" && shell.command contains \"rm -rf\"', do: ask, why: 'it removes a folder'}\n- {when: 'not egress', do: allow, why: 'test'}\n")
	write("ws/build/x", "x")
	m := tmux{t, filepath.Join(home, "tmux")}
	base := scripted(t)
	env := "env -u NO_COLOR AGENTD_HOME=" + home + "/d XDG_CONFIG_HOME=" + home + "/cfg OPENAI_API_KEY=scripted OPENAI_BASE_URL=" + base +
		" PATH=" + home + "/bin:$PATH PS1='shell$ ' sh"
	m.run("new-session", "-d", "-x", "100", "-y", "30", "-c", home+"/ws", env)
	pid := func() int {
		c, err := api.Dial(home + "/d/agentd.sock")
		if err != nil {
			return 0
		}
		defer c.Close()
		n, err := c.PID(context.Background())
		if err != nil {
			return 0
		}
		return n
	}
	t.Cleanup(func() {
		if n := pid(); n > 0 {
			_ = syscall.Kill(n, syscall.SIGTERM)
		}
		exec.Command("tmux", "-S", m.socket, "kill-server").Run()
		for end := time.Now().Add(10 * time.Second); pid() > 0 && time.Now().Before(end); {
			time.Sleep(50 * time.Millisecond)
		}
	})
	m.wait("shell$")
	m.text("agentctl")
	m.keys("Enter")
	m.wait("No runs yet.")
	m.keys("n")
	m.wait("New goal", "/ws")
	m.text("tidy this folder up and say when it is done")
	m.keys("Tab", "Tab")
	m.text("openai/scripted")
	m.keys("Tab")
	m.text("test ! -e build")
	m.keys("C-s")
	m.wait("waits for you", "1 ask in 1 run")
	m.run("resize-window", "-x", "120", "-y", "36")
	m.wait("Spent", "Acceptance")

	if err := syscall.Kill(pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	m.wait("daemon away")
	start := exec.Command(filepath.Join(home, "bin", "agentctl"), "daemon", "start")
	start.Env = append(os.Environ(), "AGENTD_HOME="+home+"/d", "XDG_CONFIG_HOME="+home+"/cfg", "OPENAI_API_KEY=scripted", "OPENAI_BASE_URL="+base)
	if out, err := start.CombinedOutput(); err != nil {
		t.Fatalf("start the daemon again: %v\n%s", err, out)
	}
	for end := time.Now().Add(20 * time.Second); strings.Contains(m.screen(), "daemon away"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not see that the daemon is back:\n%s", m.screen())
		}
	}
	m.keys("a")
	m.wait("May this call run?", "rm -rf build")
	m.keys("t")
	m.wait("Allow it for this run", "shell.command ==")
	m.keys("C-c")
	m.wait("May this call run?")
	m.keys("A")
	m.wait("Allow it always", "shell.command ==", "granted.yaml")
	m.keys("Enter")
	m.wait("accepted", "the needle of the haystack is found", "no asks")
	m.keys("PageUp", "PageUp")
	m.wait("G follows")
	m.keys("G")
	m.wait("the needle of the haystack is found")
	m.keys("/")
	m.wait("Search")
	m.text("line 49")
	m.keys("Enter")
	m.wait("event", "line 49")
	m.keys("o")
	m.wait("line 25", "␛]0;owned␇")
	m.keys("q") // Escape and the next key at once would be one
	m.keys("d")
	m.wait("build/x", "deleted")
	m.keys("q") // Escape and the next key at once would be one
	m.keys("u")
	m.wait("Undo run")
	m.keys("y")
	m.keys("G") // it comes last
	m.wait("undone by")
	if _, err := os.Stat(filepath.Join(home, "ws", "build", "x")); err != nil {
		t.Errorf("after undo: %v", err)
	}
	if got := m.run("display-message", "-p", "#{pane_title}"); strings.Contains(got, "owned") {
		t.Errorf("output of a tool set the title: %s", got)
	}
	if text, err := os.ReadFile(filepath.Join(home, "cfg/agentd", "granted.yaml")); err != nil || !strings.Contains(string(text), `- when: "tool == \"shell\" && shell.command ==`) {
		t.Errorf("the rule that was allowed always: %v\n%s", err, text)
	}
	m.keys("q")
	m.wait("shell$")
}
