package main

import (
	"bytes"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentd/api"
	"agentd/goals"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// command runs a command line with an environment of its own.
func command(t *testing.T, getenv func(string) string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, getenv: getenv}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(&out)
	root.SetErr(&errs)
	if err := root.Execute(); err != nil {
		return 2, out.String(), errs.String() + err.Error()
	}
	return a.code, out.String(), errs.String()
}

func TestInitWithoutATerminal(t *testing.T) {
	home, ws := t.TempDir(), t.TempDir()
	key := filepath.Join(home, "key")
	if err := os.WriteFile(key, []byte("k"), 0o600); err != nil {
		t.Fatal(err)
	}
	getenv := env("HOME", home)
	code, out, errs := command(t, getenv, "init", "--yes", "--model", "openai/gpt-5", "--key-file", "~/key", "--example", "--check=false", "-C", ws)
	if code != 0 || !strings.Contains(errs, "agentctl run largest-files") {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	conf := filepath.Join(home, ".config", "agentd", "config.yaml")
	data, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	if want := "model: openai/gpt-5\nproviders:\n  openai:\n    key_file: " + key + "\n"; !strings.HasSuffix(string(data), want) {
		t.Errorf("config.yaml is\n%s", data)
	}
	g, err := goals.ReadFile(filepath.Join(ws, goals.Dir, exampleName))
	if err != nil {
		t.Fatalf("the example is no goal: %v", err)
	}
	if g.Name != "largest-files" || len(g.Params) != 1 {
		t.Errorf("the example is %+v", g)
	}

	// Nothing that exists is overwritten.
	if err := os.WriteFile(conf, []byte("model: local\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs = command(t, getenv, "init", "--yes", "--model", "local", "--check=false", "-C", ws); code != 0 || !strings.Contains(errs, "stays as it is") {
		t.Errorf("again: exit %d %s", code, errs)
	}
	if data, err := os.ReadFile(conf); err != nil || string(data) != "model: local\n" {
		t.Errorf("config.yaml is now %q, %v", data, err)
	}

	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"a key that others can read": {"--model", "openai/gpt-5", "--key-file", key},
		"a key for nobody":           {"--key-file", key},
		"no model's name":            {"--model", "gpt: 5"},
		"a name without a provider":  {"--model", "gpt-5"},
	} {
		if code, _, errs := command(t, env("HOME", t.TempDir()), append([]string{"init", "--yes", "--check=false", "-C", ws}, args...)...); code != 2 {
			t.Errorf("%s: exit %d %s", name, code, errs)
		}
	}
}

func TestServiceFiles(t *testing.T) {
	p := api.Places{Home: "/data/50% of it", Socket: "/run/user/1/agentd.sock", Log: "/data/a&b.log"}
	s, err := serviceOf("linux", "/opt/my bin/agentd", "/data/50% of it", p, env("HOME", "/home/ann"))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.files) != 2 || s.files[0].path != "/home/ann/.config/systemd/user/agentd.service" {
		t.Fatalf("files %v", s.files)
	}
	for _, want := range []string{`ExecStart="/opt/my bin/agentd" "--home" "/data/50%% of it"`, `Environment="AGENTD_HOME=/data/50%% of it"`, "Restart=on-failure"} {
		if !strings.Contains(s.files[0].text, want) {
			t.Errorf("the unit has no %q:\n%s", want, s.files[0].text)
		}
	}
	if !strings.Contains(s.files[1].text, "ListenStream=/run/user/1/agentd.sock\nSocketMode=0600\n") {
		t.Errorf("the socket is\n%s", s.files[1].text)
	}
	s, err = serviceOf("darwin", "/opt/a&b/agentd", "", p, env("HOME", "/Users/ann"))
	if err != nil {
		t.Fatal(err)
	}
	dec := xml.NewDecoder(strings.NewReader(s.files[0].text))
	var texts []string
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("the plist is no XML: %v\n%s", err, s.files[0].text)
		}
		if c, ok := tok.(xml.CharData); ok && strings.TrimSpace(string(c)) != "" {
			texts = append(texts, string(c))
		}
	}
	if got := strings.Join(texts, "|"); !strings.Contains(got, "ProgramArguments|/opt/a&b/agentd|RunAtLoad") || !strings.HasSuffix(got, "/data/a&b.log") {
		t.Errorf("the plist says %s", got)
	}
	for name, bad := range map[string]string{"a quote": `/opt/"x"/agentd`, "a line end": "/opt/x\nExecStartPre=/bin/evil", "relative": "agentd"} {
		if _, err := serviceOf("linux", bad, "", p, env("HOME", "/home/ann")); err == nil {
			t.Errorf("%s in a path is taken", name)
		}
	}
	if _, err := serviceOf("plan9", "/agentd", "", p, env("HOME", "/home/ann")); err == nil {
		t.Error("an unknown system has a unit")
	}
}

func TestHelpTopics(t *testing.T) {
	code, out, errs := command(t, env(), "help", "topics")
	if code != 0 {
		t.Fatalf("exit %d %s", code, errs)
	}
	for _, topic := range topics() {
		if !strings.Contains(out, topic.name) {
			t.Errorf("topics do not name %s:\n%s", topic.name, out)
		}
		if _, page, _ := command(t, env(), "help", topic.name); !strings.Contains(page, strings.SplitN(topic.text, "\n", 2)[0]) {
			t.Errorf("help %s is\n%s", topic.name, page)
		}
	}
}

// Every command that takes a run offers runs; without a daemon there is nothing to offer, and none is started.
func TestCompletionsWithoutADaemon(t *testing.T) {
	home := t.TempDir()
	getenv := env("HOME", home, "AGENTD_HOME", home)
	for _, args := range [][]string{{"show", ""}, {"answer", "last", ""}, {"run", "--model", ""}, {"rm", "a", ""}} {
		code, out, errs := command(t, getenv, append([]string{"__complete"}, args...)...)
		if code != 0 || strings.TrimSpace(out) != ":4" && strings.TrimSpace(out) != ":36" {
			t.Errorf("%q: exit %d %q %s", args, code, out, errs)
		}
	}
	ws := t.TempDir()
	if code, _, errs := command(t, getenv, "init", "--yes", "--example", "--check=false", "-C", ws); code != 0 {
		t.Fatal(errs)
	}
	if _, out, _ := command(t, getenv, "__complete", "run", "-C", ws, ""); !strings.HasPrefix(out, "largest-files\tA table") {
		t.Errorf("goal files: %q", out)
	}
	if left, err := filepath.Glob(filepath.Join(home, "*.sock")); err != nil || len(left) > 0 {
		t.Errorf("a completion started a daemon: %v, %v", left, err)
	}
}
