package acceptance_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agentd/acceptance"
	"agentd/goals"
	"agentd/policy"
	"agentd/sandbox"
	"agentd/workspace"

	"github.com/google/go-cmp/cmp"
)

// unboxed runs real commands without confinement and notes the policies it was given: what the box itself holds is tested in sandbox.
type unboxed struct {
	policies []sandbox.Policy
	fail     error
}

func (u *unboxed) Run(ctx context.Context, p sandbox.Policy, c sandbox.Command) (sandbox.Result, error) {
	u.policies = append(u.policies, p)
	if u.fail != nil {
		return sandbox.Result{}, u.fail
	}
	wall, cancel := context.WithTimeout(ctx, p.Limits.Wall)
	defer cancel()
	cmd := exec.CommandContext(wall, c.Argv[0], c.Argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.Workspace, c.Stdout, c.Stdout
	for host, inBox := range p.Caches {
		cmd.Env = append(cmd.Env, "CACHE="+host, "INBOX="+inBox)
	}
	err := cmd.Run()
	if wall.Err() != nil {
		return sandbox.Result{Exit: 0, Killed: sandbox.KilledWall, Detail: "wall, 1s"}, nil
	}
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		return sandbox.Result{}, err
	}
	return sandbox.Result{Exit: cmd.ProcessState.ExitCode(), Level: sandbox.LevelNone}, nil
}

func workdir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "in.txt"), []byte("hello\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestMeasure(t *testing.T) {
	ws, scratch := workdir(t), filepath.Join(t.TempDir(), "scratch")
	cache := t.TempDir()
	if err := os.WriteFile(filepath.Join(cache, "poison"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	box := &unboxed{}
	m := &acceptance.Measurer{Box: box, Scratch: scratch}
	base := sandbox.Policy{
		Workspace: ws, ReadOnly: []string{"/usr/local/go"}, Protect: []string{"goals/**"}, Caches: map[string]string{cache: "/cache"},
		Env: map[string]string{"A": "b"}, Net: sandbox.Net{Allow: []string{"10.0.0.1:80"}}, Limits: sandbox.Limits{Memory: 1 << 30, Wall: time.Hour},
	}
	probes := []goals.Probe{
		{Name: "reads", Cmd: "cat in.txt"},
		{Name: "writes", Cmd: "echo changed > in.txt; mkdir -p d && chmod 0 d; cat in.txt"},
		{Name: "fresh", Cmd: "cat in.txt; ls -A $CACHE"},
		{Name: "fails", Cmd: "echo why >&2; exit 3"},
		{Name: "hangs", Cmd: "exec sleep 60", Timeout: time.Second},
		{Name: "chatty", Cmd: "printf 'head\\n'; seq 100000; printf 'end \\377'"},
	}
	got, err := m.Measure(t.Context(), base, probes)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, r := range got[:5] {
		lines = append(lines, fmt.Sprintf("%s %d %q %q %v", r.Name, r.Exit, r.Output, r.Killed, r.OK()))
	}
	want := []string{
		`reads 0 "hello\n" "" true`,
		`writes 0 "changed\n" "" true`,
		`fresh 0 "hello\n" "" true`,
		`fails 3 "why\n" "" false`,
		`hangs 137 "" "wall, 1s" false`,
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("results differ (-want +got):\n%s", diff)
	}
	chatty := got[5]
	if len(chatty.Output) > acceptance.OutputTail || !strings.HasPrefix(chatty.Output, "99") || !strings.HasSuffix(chatty.Output, "100000\nend \ufffd") {
		t.Errorf("tail of %d bytes: %.40q … %q", len(chatty.Output), chatty.Output, chatty.Output[len(chatty.Output)-20:])
	}
	if !strings.HasPrefix(chatty.Text, "head\n1\n") || !strings.Contains(chatty.Text, "bytes left out") || len(chatty.Text) > 66<<10 {
		t.Errorf("text of %d bytes: %.40q", len(chatty.Text), chatty.Text)
	}
	if b, _ := os.ReadFile(filepath.Join(ws, "in.txt")); string(b) != "hello\n" {
		t.Errorf("a probe changed the workspace: %q", b)
	}
	if left, _ := os.ReadDir(scratch); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	seen := map[string]bool{}
	for i, p := range box.policies {
		for host := range p.Caches {
			if seen[host] || !strings.HasPrefix(host, scratch) {
				t.Errorf("probe %d has the cache %s, which is not its own", i, host)
			}
			seen[host] = true
		}
		if seen[p.Workspace] || len(p.Net.Allow) != 0 || p.Limits.Memory != 1<<30 || p.ReadOnlyWS || p.Env["A"] != "b" || len(p.ReadOnly) != 1 {
			t.Errorf("probe %d ran under %+v", i, p)
		}
		seen[p.Workspace] = true
	}
	if box.policies[0].Limits.Wall != goals.DefaultProbeTimeout || box.policies[4].Limits.Wall != time.Second {
		t.Errorf("wall limits are %v and %v", box.policies[0].Limits.Wall, box.policies[4].Limits.Wall)
	}
	if base.Caches[cache] != "/cache" || len(base.Net.Allow) != 1 {
		t.Errorf("the run's policy was changed: %+v", base)
	}
}

func TestMeasureTooLargeToCopy(t *testing.T) {
	box := &unboxed{}
	m := &acceptance.Measurer{Box: box, Scratch: t.TempDir(), Copy: workspace.Options{MaxBytes: 3}}
	ws := workdir(t)
	got, err := m.Measure(t.Context(), sandbox.Policy{Workspace: ws}, []goals.Probe{{Name: "a", Cmd: "cat in.txt"}})
	if err != nil {
		t.Fatal(err)
	}
	if p := box.policies[0]; p.Workspace != ws || !p.ReadOnlyWS {
		t.Errorf("policy is %+v, want a read-only view", p)
	}
	if !strings.Contains(got[0].Note, "read-only view") || !got[0].OK() {
		t.Errorf("result is %+v", got[0])
	}
}

func TestMeasureErrors(t *testing.T) {
	ws, scratch := workdir(t), t.TempDir()
	probe := []goals.Probe{{Name: "a", Cmd: "true"}}
	broken := errors.New("no namespaces")
	m := &acceptance.Measurer{Box: &unboxed{fail: broken}, Scratch: scratch}
	if _, err := m.Measure(t.Context(), sandbox.Policy{Workspace: ws}, probe); !errors.Is(err, broken) || !strings.Contains(err.Error(), "measure a") {
		t.Errorf("broken box: %v", err)
	}
	m.Box = &unboxed{}
	if _, err := m.Measure(t.Context(), sandbox.Policy{Workspace: ws + "/none"}, probe); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no workspace: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(200*time.Millisecond, cancel)
	if _, err := m.Measure(ctx, sandbox.Policy{Workspace: ws}, []goals.Probe{{Name: "a", Cmd: "exec sleep 60"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if left, _ := os.ReadDir(scratch); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestSweep(t *testing.T) {
	m := &acceptance.Measurer{Scratch: t.TempDir()}
	if err := os.MkdirAll(filepath.Join(m.Scratch, "probe-1", "workspace"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := m.Sweep(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(m.Scratch); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	for _, dir := range []string{"", filepath.Join(m.Scratch, "none")} {
		if err := (&acceptance.Measurer{Scratch: dir}).Sweep(); err != nil {
			t.Errorf("%q: %v", dir, err)
		}
	}
}

func TestDecide(t *testing.T) {
	results := []acceptance.Result{
		{Name: "build", Text: "built 3 files\n", Parsed: true},
		{Name: "tests", Exit: 1},
		{Name: "slow", Exit: 137, Killed: "wall, 5m"},
	}
	g := goals.Goal{Probes: []goals.Probe{{Name: "build"}, {Name: "tests", Parse: goals.ParseGoTest}, {Name: "slow"}}}
	for _, tt := range []struct {
		name    string
		require []string
		want    acceptance.Verdict
	}{
		{"nothing required", nil, acceptance.Verdict{}},
		{"all hold", []string{"build.exit == 0", "build.ok && build.output contains '3 files'"},
			acceptance.Verdict{OK: true, Require: map[string]bool{"build.exit == 0": true, "build.ok && build.output contains '3 files'": true}}},
		{"one fails", []string{"build.ok", "tests.ok"}, acceptance.Verdict{Require: map[string]bool{"build.ok": true, "tests.ok": false}}},
		{"killed", []string{"slow.exit == 0"}, acceptance.Verdict{Require: map[string]bool{"slow.exit == 0": false}}},
		{"can't be evaluated", []string{"build.ok", "tests.failed == 0"}, acceptance.Verdict{
			Require: map[string]bool{"build.ok": true, "tests.failed == 0": false},
			Reasons: map[string]string{"tests.failed == 0": `tests.failed == 0: probe "tests" gave nothing that its parser can read`}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := acceptance.Decide(g, tt.require, results, policy.Facts{})
			if err != nil {
				t.Fatal(err)
			}
			if tt.want.Require == nil {
				tt.want.Require = map[string]bool{}
			}
			if tt.want.Reasons == nil {
				tt.want.Reasons = map[string]string{}
			}
			tt.want.Left = map[string]string{}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("verdict differs (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := acceptance.Decide(g, []string{"lint.ok"}, results, policy.Facts{}); err == nil || !strings.Contains(err.Error(), `unknown name "lint"`) {
		t.Errorf("unknown probe: %v", err)
	}
}

func TestVacuous(t *testing.T) {
	got := acceptance.Vacuous([]acceptance.Result{{Name: "a"}, {Name: "b", Exit: 1}, {Name: "c", Killed: "wall"}, {Name: "d", Signal: "SIGSEGV"}})
	if diff := cmp.Diff([]string{"a"}, got); diff != "" {
		t.Errorf("vacuous differs (-want +got):\n%s", diff)
	}
}
