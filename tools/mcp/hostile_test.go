package mcp_test

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// A bad server costs its own calls and nothing else: not the daemon's memory, not its time, not a goroutine.
func TestBadServersAreContained(t *testing.T) {
	for _, tc := range []struct {
		mode, tool string
		note       string // when it can't even be listed
		want       string // of the call
	}{
		{"silent", "", "did not begin: it gave no answer in time", ""},
		{"deaf", "", "did not begin: it gave no answer in time", ""},
		{"exit", "", "it ended: exit 3; it wrote: no configuration", ""},
		{"noise", "", "did not begin:", ""},
		{"deep", "", "did not begin:", ""},
		{"endless", "", `it names the tool "a" twice`, ""},
		{"huge", "", "can't say what it offers:", ""},
		{"flood", "s.go", "", "the MCP server s is gone:"},
		{"pour", "s.go", "", "the MCP server s is gone:"},
		{"nonsense", "s.go", "", "the MCP server s refused:"},
	} {
		t.Run(tc.mode, func(t *testing.T) {
			r := newRig(t)
			s := server(t, "s", tc.mode)
			s.Timeout = 20 * time.Second
			r.opts.StartTimeout = 3 * time.Second
			start := time.Now()
			run, _, set, notes := r.open(t, s)
			if tc.note != "" {
				if len(notes) != 1 || len(set) != 0 {
					t.Fatalf("got the tools %v and the notes %q", set, notes)
				}
				wants(t, tc.mode, notes[0], "MCP server s offers nothing in this run", tc.note)
			} else {
				if len(notes) != 1 || !strings.Contains(notes[0], "bad name") || len(set) != 1 {
					t.Errorf("got %v, notes %q", set, notes)
				}
				res, text := r.call(t, set[tc.tool], `{}`)
				if res.OK {
					t.Errorf("the call went well: %q", text)
				}
				wants(t, tc.mode, text, tc.want)
			}
			run.Close()
			if d := time.Since(start); d > 20*time.Second {
				t.Errorf("it took %v", d)
			}
		})
	}
}

func TestTenMegabytes(t *testing.T) {
	r := newRig(t)
	s := server(t, "s", "good")
	s.Timeout = 20 * time.Second
	_, _, set, _ := r.open(t, s)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	res, text := r.call(t, set["s.big"], `{}`)
	runtime.ReadMemStats(&after)
	if res.OK {
		t.Errorf("got %q", text)
	}
	wants(t, "big", text, "is gone", "started again")
	if got := after.HeapSys - before.HeapSys; after.HeapSys > before.HeapSys && got > 128<<20 {
		t.Errorf("the heap grew by %d MB", got>>20)
	}
	if res, text = r.call(t, set["s.echo"], `{"text":"back"}`); !res.OK {
		t.Errorf("the server did not come back: %q", text)
	}
}

func TestDeadServerIsStartedAgain(t *testing.T) {
	r := newRig(t)
	_, _, set, _ := r.open(t, server(t, "s", "good"))
	res, text := r.call(t, set["s.die"], `{}`)
	if res.OK {
		t.Errorf("got %q", text)
	}
	wants(t, "die", text, "is gone: it ended: exit 7; it wrote: out of memory, say")
	if res, _ = r.call(t, set["s.echo"], `{"text":"back"}`); !res.OK {
		t.Error("it did not come back")
	}
	for range 8 {
		_, text = r.call(t, set["s.die"], `{}`)
	}
	wants(t, "died often", text, "was started 5 times in this run and did not stay")
}
