package crashtest

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"agentd/api"
	"agentd/journal"
)

// scheduledGoal starts every minute of its clock, waits for a person at its first call, and is taken up again after its criterion was unmet once.
const scheduledGoal = `---
name: tick
unattended: park
plan:
  tasks:
    - {id: work, do: do it}
accept:
  probes:
    twice: {cmd: 'grep -c again log', parse: int}
  require: [twice.value > 0]
  on_fail: {retries: 3, then: stop}
triggers:
  - {cron: '* * * * *', missed: all, overlap: queue}
---
Append to the log
`

// ticking scripts a run of scheduledGoal: its first attempt leaves the criterion unmet, the task that mends it does not.
func ticking(msgs []message, tools bool) (string, any, string) {
	if !tools {
		return "", nil, "no plan"
	}
	n, _ := results(msgs)
	switch mends := strings.Contains(msgs[1].Content, "does not pass its checks"); {
	case n == 0 && mends:
		return "shell", map[string]any{"command": "echo again >> log"}, ""
	case n == 0:
		return "shell", map[string]any{"command": "test -e log; rm -f log; echo once >> log"}, ""
	}
	return "finish", map[string]any{"result": "done"}, ""
}

// TestScheduledKills kills the daemon 500 times ($SCHEDULE_KILLS) at random moments of a scheduled goal that parks and is retried, while its clock goes on,
// stands, jumps and now and then goes back. Every minute starts exactly one run, and every run ends accepted.
func TestScheduledKills(t *testing.T) {
	want := 500
	if s := os.Getenv("SCHEDULE_KILLS"); s != "" {
		var err error
		if want, err = strconv.Atoi(s); err != nil || want < 1 {
			t.Fatalf("SCHEDULE_KILLS=%q is no number of kills", s)
		}
	}
	e := serve(t, ticking)
	dir, ws := home(t), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte("- {when: 'tool == \"shell\" && any(cmds, .name == \"test\")', do: ask}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	clock := filepath.Join(dir, "clock")
	begin := time.Date(2026, 3, 1, 0, 0, 30, 0, time.UTC)
	now := begin
	set := func() {
		t.Helper()
		tmp := clock + ".new"
		if err := os.WriteFile(tmp, []byte(now.Format(time.RFC3339)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, clock); err != nil {
			t.Fatal(err)
		}
	}
	set()
	env := append(e.env(), "AGENTD_CLOCK="+clock)
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Minute)
	defer cancel()
	up := func() *daemon {
		d := start(t, dir, env...)
		if d == nil {
			t.Fatal("the daemon ended by itself")
		}
		return d
	}
	d := up()
	if _, err := d.c.AddSchedule(ctx, api.ScheduleAdd{
		File: api.GoalFile{Name: filepath.Join(ws, "tick.goal.md"), Text: scheduledGoal}, Workspace: ws, Model: "openai/scripted",
	}); err != nil {
		t.Fatal(err)
	}
	answer := func(c *api.Client) (live int, err error) {
		runs, err := c.List(ctx, journal.Filter{Live: true})
		for _, r := range runs {
			if r.Asks == 0 || err != nil {
				continue
			}
			v, gerr := c.Get(ctx, r.Run)
			if err = gerr; err != nil {
				break
			}
			for ask := range v.State.Asks {
				err = c.Answer(ctx, r.Run, ask, api.Answer{Answer: "allow"})
			}
		}
		return len(runs), err
	}
	last := now // the latest time that the clock showed
	deadline := time.Now().Add(8 * time.Minute)
	kills := 0
	for kills < want && time.Now().Before(deadline) {
		if rand.IntN(3) > 0 {
			if _, err := answer(d.c); err != nil {
				t.Fatalf("kill %d: %v", kills, err)
			}
		}
		s, err := d.c.Scheduled(ctx, "tick")
		if err != nil {
			t.Fatalf("kill %d: %v", kills, err)
		}
		switch {
		case rand.IntN(12) == 0:
			now = now.Add(-time.Duration(rand.IntN(7200)) * time.Second)
		case s.Waiting < 8 && rand.IntN(4) == 0:
			now = last.Add(time.Duration(rand.IntN(130)) * time.Second)
			last = now
		}
		set()
		time.Sleep(time.Duration(5+rand.IntN(150)) * time.Millisecond)
		d.kill()
		kills++
		d = up()
	}
	now = last
	set()
	defer func() { d.kill() }()
	for minutes := int(last.Sub(begin.Truncate(time.Minute)) / time.Minute); ; {
		live, err := answer(d.c)
		if err != nil {
			t.Fatal(err)
		}
		s, err := d.c.Scheduled(ctx, "tick")
		if err != nil {
			t.Fatal(err)
		}
		if runs, err := d.c.List(ctx, journal.Filter{Limit: 1000}); err != nil {
			t.Fatal(err)
		} else if live == 0 && s.Waiting == 0 && len(runs) >= minutes {
			break
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%d runs live, %d times wait: %+v", live, s.Waiting, s.History)
		case <-time.After(50 * time.Millisecond):
		}
	}
	runs, err := d.c.List(ctx, journal.Filter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	slots, retried := map[string]int{}, 0
	for _, r := range runs {
		s, _, err := fold(ctx, d.c, r.Run)
		if err != nil {
			t.Fatal(err)
		}
		slots[s.Start.Key[strings.LastIndexByte(s.Start.Key, '/')+1:]]++
		if s.Outcome == nil || s.Outcome.Status != journal.StatusAccepted {
			t.Errorf("run %s of %s: %+v", r.Run, s.Start.Key, s.Outcome)
		}
		if s.Measured > 1 { // not where a kill kept its first call from taking the log of the run before away
			retried++
		}
	}
	n := 0
	for at := begin.Truncate(time.Minute).Add(time.Minute); !at.After(last); at = at.Add(time.Minute) {
		n++
		if got := slots[at.Format(time.RFC3339)]; got != 1 {
			t.Errorf("%s started %d runs", at.Format(time.RFC3339), got)
		}
		delete(slots, at.Format(time.RFC3339))
	}
	if len(slots) > 0 {
		t.Errorf("runs of no minute: %v", slots)
	}
	if retried < len(runs)/2 {
		t.Errorf("%d of %d runs were retried: too few to show anything", retried, len(runs))
	}
	if n == 0 || kills < min(want, 50) {
		t.Errorf("%d kills and %d minutes in 8 minutes: too few to show anything", kills, n)
	}
	t.Logf("%d kills, %d minutes, %d runs, %d of them retried", kills, n, len(runs), retried)
}
