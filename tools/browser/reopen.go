package browser

import (
	"context"
	"strconv"
	"strings"
	"time"

	"agentd/tools"
)

// Open lists the task's tabs.
func (k *Task) Open() []tools.Tab {
	k.b.mu.Lock()
	defer k.b.mu.Unlock()
	out := append([]tools.Tab(nil), k.lost...)
	for _, t := range k.tabs {
		saved := tools.Tab{ID: t.id, URL: t.url, Front: t == k.current, Frames: t.nextFrame}
		if f := t.frames[t.main]; f != nil {
			saved.Refs = f.count
		}
		out = append(out, saved)
	}
	return out
}

// reopen opens the tabs of an earlier browser again, at their addresses. What can't be opened is said.
func (x *action) reopen(ctx context.Context) {
	x.b.mu.Lock()
	lost := x.lost
	x.lost = nil
	x.b.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errSlow)
	defer cancel()
	for _, saved := range lost[:min(len(lost), maxTabs)] {
		t, err := x.b.blank(ctx, x.c)
		if err != nil {
			x.b.mu.Lock()
			x.say("tab %s could not be opened again: %v", saved.ID, err)
			x.b.mu.Unlock()
			continue
		}
		x.b.mu.Lock()
		t.id, t.task = saved.ID, x.Task
		t.frame(t.main).count = saved.Refs
		t.nextFrame = saved.Frames
		x.tabs = append(x.tabs, t)
		if saved.Front || x.current == nil {
			x.current = t
		}
		x.b.mu.Unlock()
		bad := ""
		if saved.URL != "" && saved.URL != "about:blank" {
			bad, err = t.navigate(ctx, saved.URL)
		}
		switch {
		case err != nil:
			bad = err.Error()
		case bad == "":
			t.settle(ctx, -1, 0)
			bad = "what was typed there is lost"
		}
		x.b.mu.Lock()
		x.say("agentd was started again, and the browser with it: tab %s was opened again at %s; %s", t.id, bounded(saved.URL, 200), bad)
		x.b.mu.Unlock()
	}
}

// tabNumber is the number in a tab's name.
func tabNumber(id string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(id, "t"))
	if err != nil {
		return 0
	}
	return n
}
