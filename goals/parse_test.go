package goals_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agentd/goals"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const whole = `---
apiVersion: agentd/v1
name: upgrade-http-client   # a comment
description: Move all callers to httpx2
intent: 'Remove the unmaintained client: it leaks'
labels: [deps, "http: two"]
scope:
  protect: ['**/*_test.go', .github/**]
budget: {usd: 3.00, tokens: 800k, steps: 120, wall: 45m}
accept:
  require:
    - build.exit == 0
    - tests.exit == 0 && build.exit < 2
    - tests.failed == 0 and tests.passed >= 10
  probes:
    tests: {cmd: 'go test -json ./...', timeout: 10m, parse: gotest}
    build:
      cmd: |
        set -e
        go build ./...
---

# Upgrade

Background, --- pitfalls.

---
More.
`

func TestParse(t *testing.T) {
	want := goals.Goal{
		Name:        "upgrade-http-client",
		Description: "Move all callers to httpx2",
		Intent:      "Remove the unmaintained client: it leaks",
		Labels:      []string{"deps", "http: two"},
		File:        "x.goal.md",
		Text:        "# Upgrade\n\nBackground, --- pitfalls.\n\n---\nMore.",
		Protect:     []string{"**/*_test.go", ".github/**"},
		Budget:      goals.Budget{USD: 3, Tokens: 800_000, Steps: 120, Wall: 45 * time.Minute},
		Require:     []string{"build.exit == 0", "tests.exit == 0 && build.exit < 2", "tests.failed == 0 and tests.passed >= 10"},
		Probes: []goals.Probe{
			{Name: "build", Cmd: "set -e\ngo build ./..."},
			{Name: "tests", Cmd: "go test -json ./...", Timeout: 10 * time.Minute, Parse: goals.ParseGoTest},
		},
	}
	for _, src := range []string{whole, strings.ReplaceAll(whole, "\n", "\r\n"), "\ufeff" + whole} {
		got, err := goals.Parse("x.goal.md", []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Hash) != 64 {
			t.Errorf("hash is %q", got.Hash)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(goals.Goal{}, "Hash")); diff != "" {
			t.Errorf("goal differs (-want +got):\n%s", diff)
		}
	}
}

func TestParseShort(t *testing.T) {
	for _, tt := range []struct {
		name, file, src string
		want            goals.Goal
	}{
		{"body only", "tidy.goal.md", "---\n---\nTidy the folder", goals.Goal{Name: "tidy", Text: "Tidy the folder"}},
		{"description only", "tidy.goal.md", "---\ndescription: Tidy the folder\n---\n", goals.Goal{Name: "tidy", Description: "Tidy the folder", Text: "Tidy the folder"}},
		{"no name to be had", "a b.goal.md", "---\n---\nx", goals.Goal{Text: "x"}},
		{"yaml", "dir/tidy.goal.yaml", "description: Tidy\nbody: |\n  Two\n  lines\n", goals.Goal{Name: "tidy", Description: "Tidy", Text: "Two\nlines"}},
		{"no bounds", "a.goal.md", "---\nbudget: {usd: none, tokens: none, steps: none, wall: none}\n---\nx",
			goals.Goal{Name: "a", Text: "x", Budget: goals.Budget{USD: -1, Tokens: -1, Steps: -1, Wall: -1}}},
		{"tokens", "a.goal.md", "---\nbudget: {tokens: 1.5M, steps: 1_000}\n---\nx", goals.Goal{Name: "a", Text: "x", Budget: goals.Budget{Tokens: 1_500_000, Steps: 1000}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := goals.Parse(tt.file, []byte(tt.src))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(goals.Goal{}, "Hash", "File")); diff != "" {
				t.Errorf("goal differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	md := func(front string) string { return "---\n" + front + "\n---\nDo it\n" }
	for _, tt := range []struct{ name, src, want string }{
		{"unknown key", md("name: a\nbuget: {usd: 1}"), `x.goal.md:3:1: unknown key "buget": did you mean "budget"?`},
		{"unknown nested key", md("budget: {usd: 1, token: 5}"), `x.goal.md:2:18: unknown key "budget.token": did you mean "tokens"?`},
		{"unknown with no neighbour", md("zzzzzzzzz: 1"), `x.goal.md:2:1: unknown key "zzzzzzzzz": known are accept, apiVersion, budget,`},
		{"schema without json", md("accept:\n  probes:\n    t: {cmd: a, schema: {}}\n  require: [t.exit == 0]"), `x.goal.md:4:25: a schema needs parse: json`},
		{"unknown parser", md("accept:\n  probes:\n    t: {cmd: a, parse: gotset}\n  require: [t.exit == 0]"), `x.goal.md:4:24: unknown parser "gotset": did you mean "gotest"?`},
		{"wrong parser", md("accept:\n  probes:\n    t: {cmd: a, parse: int}\n  require: [t.failed == 0]"), `unknown field "failed"`},
		{"counts can't fail", md("accept:\n  probes:\n    t: {cmd: a, parse: gotest}\n  require: [t.failed >= 0]"), `can never fail`},
		{"value can't hold", md("accept:\n  probes:\n    t: {cmd: a, parse: int}\n  require: [t.value > 5 && t.value < 3]"), `can never hold`},
		{"other version", md("apiVersion: agentd/v2"), `x.goal.md:2:13: apiVersion "agentd/v2" is not known`},
		{"twice", md("name: a\nname: b"), `x.goal.md:3:1: `},
		{"broken yaml", md("name: [a"), `x.goal.md:2:7: `},
		{"alias", md("name: &a b\nintent: *a"), `x.goal.md:2:7: name must be text`},
		{"merge key", md("<<: {name: b}"), `x.goal.md:2:1: the file: keys must be plain words`},
		{"number for text", md("name: 12"), `x.goal.md:2:7: name must be text: quote it`},
		{"bad name", md("name: a b"), `x.goal.md:2:7: name: "a b" must be letters`},
		{"list as text", md("labels: deps"), `x.goal.md:2:9: labels must be a list`},
		{"top is a list", md("- a"), `x.goal.md:2:1: the file: must be a mapping`},
		{"negative budget", md("budget: {usd: -1}"), `x.goal.md:2:15: budget.usd: give a number`},
		{"zero budget", md("budget: {steps: 0}"), `x.goal.md:2:17: budget.steps: give a number`},
		{"half a step", md("budget: {steps: 1.5}"), `budget.steps must be a whole number`},
		{"wall without unit", md("budget: {wall: 45}"), `x.goal.md:2:16: budget.wall: "45" must be a duration`},
		{"not a number", md("budget: {usd: .nan}"), `x.goal.md:2:15: budget.usd: give a number`},
		{"probe without cmd", md("accept:\n  probes:\n    t: {timeout: 5m}\n  require: [t.exit == 0]"), `x.goal.md:4:5: accept.probes.t.cmd is missing`},
		{"probe name", md("accept:\n  probes:\n    base: {cmd: a}\n  require: [base.exit == 0]"), `x.goal.md:4:5: probe name "base" has a meaning`},
		{"probe unused", md("accept:\n  probes:\n    t: {cmd: a}\n    u: {cmd: a}\n  require: [t.exit == 0]"), `x.goal.md:5:5: no condition uses the probe "u"`},
		{"unknown probe", md("accept:\n  probes:\n    tests: {cmd: a}\n  require: [test.exit == 0, tests.exit == 0]"), `x.goal.md:5:13: unknown name "test": did you mean "tests"?`},
		{"unknown probe later in a quoted condition", md("accept:\n  probes:\n    tests: {cmd: a}\n  require:\n    - 'tests.exit == 0 && tests.exti == 0'"), `x.goal.md:6:33: unknown field "exti": did you mean "exit"?`},
		{"needs a parser", md("accept:\n  probes:\n    t: {cmd: a}\n  require: [t.failed == 0]"), `x.goal.md:5:15: unknown field "failed": known are exit, ok, output`},
		{"not a condition", md("accept:\n  probes:\n    t: {cmd: a}\n  require: [t.exit]"), `x.goal.md:5:13: `},
		{"constant", md("accept:\n  probes:\n    t: {cmd: a}\n  require: [1 == 1, t.ok]"), `uses no probe`},
		{"can't fail", md("accept:\n  probes:\n    t: {cmd: a}\n  require: [t.exit >= 0]"), `x.goal.md:5:13: "t.exit >= 0" can never fail`},
		{"can't fail together", md("accept:\n  probes:\n    t: {cmd: a}\n  require: [t.exit == 0 || t.exit != 0]"), `can never fail`},
		{"can't hold", md("accept:\n  probes:\n    t: {cmd: a}\n  require: [t.exit == 256]"), `can never hold`},
		{"glob outside", md("scope: {protect: [../x]}"), `x.goal.md:2:19: glob "../x" must be relative`},
		{"absolute glob", md("scope: {protect: [/etc]}"), `must be relative`},
		{"malformed glob", md("scope: {protect: ['a[']}"), `is malformed`},
		{"template", "---\n---\nUpgrade {{ params.module }}", `x.goal.md: unknown param "module"`},
		{"template in a probe", md("accept:\n  probes:\n    t: {cmd: 'grep {{params.x}} a'}\n  require: [t.ok]"), `x.goal.md:4:14: "{{params.x}}" can't stand in a command, where a value could become code: write "$PARAM_NAME"`},
		{"no front matter", "Do it\n", `x.goal.md:1:1: the file must begin with a line '---'`},
		{"no end", "---\nname: a\n", `x.goal.md:1:1: the front matter that begins here has no end`},
		{"empty", "---\nname: a\n---\n \n", `x.goal.md: the goal is empty`},
		{"two documents in front", "---\na: 1\n...\nb: 1\n---\nx", `x.goal.md:`},
		{"NUL", "---\n---\na\x00b", `x.goal.md: the file holds a NUL byte`},
		{"not UTF-8", "---\n---\na\xffb", `x.goal.md: the file is not valid UTF-8`},
		{"escape", "---\n---\na\x1b[2Jb", `control character U+001B`},
		{"too long", "---\n---\n" + strings.Repeat("a", 1<<20), `x.goal.md: the file has 1048584 bytes, more than 131072`},
		{"long text", "---\n---\n" + strings.Repeat("a", 65<<10), `the goal has 66560 bytes, more than 65536`},
		{"deep", md("labels: " + strings.Repeat("[", 5000)), `nested more than 50 deep`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, err := goals.Parse("x.goal.md", []byte(tt.src))
			if err == nil {
				t.Fatalf("no error, goal %+v", g)
			}
			if !errors.Is(err, goals.ErrInvalid) {
				t.Errorf("error does not wrap ErrInvalid: %v", err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is\n%v\nwant\n%s", err, tt.want)
			}
		})
	}
}

func TestParseTellsAllFaults(t *testing.T) {
	_, err := goals.Parse("x.goal.md", []byte("---\nlabels: a\nbuget: 1\nname: a b\n---\nx"))
	got := strings.Count(err.Error(), "x.goal.md:")
	if got != 3 {
		t.Errorf("%d faults told, want 3:\n%v", got, err)
	}
}

func TestFromText(t *testing.T) {
	got, err := goals.FromText("  Fix the test\r\nin a.py ", []string{"pytest -q", " make lint "})
	if err != nil {
		t.Fatal(err)
	}
	want := goals.Goal{
		Text:    "Fix the test\nin a.py",
		Probes:  []goals.Probe{{Name: "check1", Cmd: "pytest -q"}, {Name: "check2", Cmd: "make lint"}},
		Require: []string{"check1.exit == 0", "check2.exit == 0"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("goal differs (-want +got):\n%s", diff)
	}
	many := make([]string, 12)
	for i := range many {
		many[i] = "true"
	}
	if g, err := goals.FromText("a b", many); err != nil || len(g.Require) != 12 {
		t.Errorf("12 checks: %d conditions, %v", len(g.Require), err)
	}
	for _, tt := range []struct {
		name, text string
		checks     []string
		want       string
	}{
		{"empty", " \n\t", nil, "the goal is empty"},
		{"a megabyte", strings.Repeat("a b ", 1<<18), nil, "more than 65536"},
		{"binary", "\x7fELF\x02\x01\x00", nil, "NUL byte in line 1"},
		{"not UTF-8", "a \xff\xfe", nil, "not valid UTF-8"},
		{"escape sequence", "a\n\x1b[31mred", nil, "control character U+001B in line 2"},
		{"empty check", "a b", []string{"true", " "}, "check 2 is empty"},
		{"binary check", "a b", []string{"a\x00b"}, "accept.probes.check1.cmd holds a NUL byte"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := goals.FromText(tt.text, tt.checks); !errors.Is(err, goals.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
		})
	}
}

func TestWords(t *testing.T) {
	g := goals.Goal{Description: "Move callers", Intent: "It leaks", Text: "Start with a.go"}
	if got, want := g.Words(), "Move callers\n\nStart with a.go\n\nWhy: It leaks"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := (goals.Goal{Description: "x", Text: "x"}).Words(); got != "x" {
		t.Errorf("got %q, want the text once", got)
	}
}

func TestFind(t *testing.T) {
	ws := t.TempDir()
	if _, err := goals.Find(ws, "upgrade"); !errors.Is(err, goals.ErrNotFound) || !strings.Contains(err.Error(), "has no *.goal.md") {
		t.Errorf("without a folder: %v", err)
	}
	for name, src := range map[string]string{
		"goals/upgrade-deps.goal.md":  "---\n---\nUpgrade",
		"goals/tidy.goal.yaml":        "description: Tidy\n",
		"goals/other-file.goal.md":    "---\nname: coverage\n---\nRaise it",
		"goals/broken.goal.md":        "no front matter",
		"goals/README.md":             "not a goal",
		"elsewhere/explain.goal.yaml": "description: Explain\n",
	} {
		path := filepath.Join(ws, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(src), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for word, want := range map[string]string{
		"upgrade-deps":                "goals/upgrade-deps.goal.md",
		"tidy":                        "goals/tidy.goal.yaml",
		"coverage":                    "goals/other-file.goal.md",
		"broken":                      "goals/broken.goal.md",
		"elsewhere/explain.goal.yaml": "elsewhere/explain.goal.yaml",
	} {
		if got, err := goals.Find(ws, word); err != nil || got != filepath.Join(ws, want) {
			t.Errorf("Find(%q) = %q, %v; want %q", word, got, err, want)
		}
	}
	t.Chdir(filepath.Join(ws, "elsewhere"))
	if got, err := goals.Find(t.TempDir(), "explain.goal.yaml"); err != nil || got != "explain.goal.yaml" {
		t.Errorf("in the current folder: %q, %v", got, err)
	}
	for word, want := range map[string]string{
		"upgrade-dep":  `did you mean "upgrade-deps"?`,
		"coverag":      `did you mean "coverage"?`,
		"xyzzy":        "known are broken, coverage, other-file, tidy, upgrade-deps",
		"no.goal.md":   "there is no file",
		"../etc":       "names no goal file",
		"upgrade-deps": "",
	} {
		_, err := goals.Find(ws, word)
		if want == "" != (err == nil) || err != nil && (!errors.Is(err, goals.ErrNotFound) || !strings.Contains(err.Error(), want)) {
			t.Errorf("Find(%q): %v, want %q", word, err, want)
		}
	}
	if goals.IsWord("fix it") || !goals.IsWord(" fix\n") || goals.IsWord(" ") {
		t.Error("IsWord is wrong")
	}
}

func FuzzParse(f *testing.F) {
	every, err := os.ReadFile("testdata/every.goal.md")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(every)
	f.Add([]byte(whole))
	f.Add([]byte("---\nbudget: {usd: none, wall: none}\n---\nx"))
	f.Add([]byte("---\nintent: \"a\\u0085\\tb\"\nlabels: ['', '- a', \"x\\ny\"]\n---\nx\n---\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, name := range []string{"x.goal.md", "x.goal.yaml"} {
			g, err := goals.Parse(name, data)
			if err != nil {
				if !errors.Is(err, goals.ErrInvalid) {
					t.Fatalf("error does not wrap ErrInvalid: %v", err)
				}
				continue
			}
			printed := goals.Print(g)
			again, err := goals.Parse("x.goal.md", printed)
			if err != nil {
				t.Fatalf("printed goal does not parse: %v\n%s", err, printed)
			}
			if diff := cmp.Diff(g, again, cmpopts.IgnoreFields(goals.Goal{}, "Hash", "File"), cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("parse(print(g)) differs (-g +again):\n%s\n%s", diff, printed)
			}
		}
	})
}

// BenchmarkParseEveryKey reads and checks a goal file of 200 lines, with every key and many conditions.
func BenchmarkParseEveryKey(b *testing.B) {
	every, err := os.ReadFile("testdata/every.goal.md")
	if err != nil {
		b.Fatal(err)
	}
	g, err := goals.Parse("every.goal.md", every)
	if err != nil {
		b.Fatal(err)
	}
	g.Require = append(g.Require, "tests.passed >= base.tests.passed", "all(diff.files, within(#, scope.write))", "uses.value < 10 && tests.ok")
	data := goals.Print(g)
	if lines := strings.Count(string(data), "\n"); lines < 200 {
		data = append(data, []byte(strings.Repeat("A line of background for the planner.\n", 200-lines))...)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := goals.Parse("every.goal.md", data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	data := []byte(whole + strings.Repeat("A line of background for the planner.\n", 180))
	for b.Loop() {
		if _, err := goals.Parse("x.goal.md", data); err != nil {
			b.Fatal(err)
		}
	}
}
