package agent_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"agentd/agent"
	"agentd/goals"
	"agentd/journal"
	"agentd/llm"
	"agentd/tools"
	"agentd/tools/args"
	"agentd/tools/browser"
)

// window is a browser of one tab that notes what is done with it.
type window struct {
	seen map[string][]tools.Tab
	held chan struct{} // closed when the first browser hangs

	mu     sync.Mutex // guards the fields below
	url    string
	refs   int
	rooms  []int
	closed []string // tasks, and "" for the browser
}

func (w *window) Tabs(task string) tools.Tabs { return &view{w, task} }

func (w *window) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = append(w.closed, "")
	return nil
}

type view struct {
	*window
	task string
}

func (v *view) Do(ctx context.Context, env tools.Env, a args.Browser) (tools.Result, error) {
	if a.URL == "http://b/" && v.seen == nil { // the first browser never gets there
		close(v.held)
		<-ctx.Done()
		return tools.Result{}, ctx.Err()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.rooms = append(v.rooms, env.Room)
	if a.Action == "open" {
		v.url = a.URL
	}
	v.refs += 3
	return tools.Result{OK: true, Output: tools.Text("at " + v.url)}, nil
}

func (v *view) Open() []tools.Tab {
	v.mu.Lock()
	defer v.mu.Unlock()
	return []tools.Tab{{ID: "t1", URL: v.url, Front: true, Refs: v.refs}}
}

func (v *view) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = append(v.closed, v.task)
}

// withBrowser gives a rig browsers and returns how to list them.
func withBrowser(r *rig, held chan struct{}) func() []*window {
	var mu sync.Mutex
	var all []*window
	set, err := tools.Builtin().With(browser.Tool{})
	if err != nil {
		r.t.Fatal(err)
	}
	r.cfg.Tools = set
	r.cfg.Browser = func(_ journal.RunID, _ journal.RunStarted, seen map[string][]tools.Tab) (tools.Browser, error) {
		mu.Lock()
		defer mu.Unlock()
		w := &window{held: held}
		if len(seen) > 0 {
			w.seen = seen
		}
		all = append(all, w)
		return w, nil
	}
	r.restart()
	return func() []*window {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

var lookAround = goals.Goal{Text: "Look", Probes: []goals.Probe{{Name: "p", Cmd: "true"}}, Require: []string{"p.exit == 0"}}

// A browser is offered where a person asks for one or names an address; where only the network is open, not to small models.
func TestBrowserIsOffered(t *testing.T) {
	for _, tt := range []struct {
		name, text, want string
		net              []string
		start            string
		small, big       bool
	}{
		{"nothing speaks for it", "Count the files", "", nil, "", false, false},
		{"asked for", "Count the files", "on", nil, agent.BrowserAsked, true, true},
		{"an address", "Read http://127.0.0.1:8080/ and say its title", "", nil, agent.BrowserAsked, true, true},
		{"an address, and not wanted", "Read http://127.0.0.1:8080/", "off", nil, "", false, false},
		{"the network", "Count the files", "", []string{"127.0.0.1:1"}, agent.BrowserOffered, false, true},
	} {
		for _, style := range []llm.Style{llm.StyleTools, llm.StyleFenced} {
			t.Run(tt.name+"/"+string(style), func(t *testing.T) {
				offered := ""
				m := &model{info: llm.Info{Name: "test/m", Window: 100000, Style: style, Grammar: true}, reply: func(_ int, r *llm.Request) (*llm.Reply, error) {
					offered = r.Messages[0].Text + r.Grammar
					for _, s := range r.Tools {
						offered += "\n- " + s.Name
					}
					if style == llm.StyleFenced {
						return &llm.Reply{Text: "Thought: x\nAction: finish\n~~~\ndone\n~~~"}, nil
					}
					return calling("finish", `{"result":"done"}`), nil
				}}
				r := newRig(t, m)
				withBrowser(r, nil)
				g := lookAround
				g.Text = tt.text
				s := r.ended(r.start(agent.Request{Goal: g, Model: "test/m", Browser: tt.want, Net: tt.net}))
				want := tt.big
				if style == llm.StyleFenced {
					want = tt.small
				}
				if s.Start.Browser != tt.start || strings.Contains(offered, "- browser") != want {
					t.Errorf("%q, offered:\n%s", s.Start.Browser, offered)
				}
			})
		}
	}
}

// A run's browser is made at first use and closed with it; what it had open is in the journal, and is given to the browser of the
// next daemon.
func TestBrowserOfARun(t *testing.T) {
	held := make(chan struct{})
	m := &model{info: llm.Info{Name: "test/m", Window: 100000}, reply: func(_ int, r *llm.Request) (*llm.Reply, error) {
		last := r.Messages[len(r.Messages)-1].Text
		switch {
		case strings.Contains(last, "at http://b/"):
			return calling("finish", `{"result":"done"}`), nil
		case strings.Contains(last, "at http://a/"):
			return calling("browser", `{"action":"open","url":"http://b/"}`), nil
		}
		return calling("browser", `{"action":"open","url":"http://a/"}`), nil
	}}
	r := newRig(t, m)
	all := withBrowser(r, held)
	id := r.start(agent.Request{Goal: lookAround, Model: "test/m", Browser: "on"})
	<-held
	s := r.until(id, "the tab", func(s *journal.State) bool { return len(s.Tabs) == 1 })
	task := s.Plan.Tasks[0].ID
	want := []journal.Tab{{ID: "t1", URL: "http://a/", Front: true, Refs: 3}}
	if got := s.Tabs[task]; !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	r.restart()
	s = r.ended(id)
	r.restart() // waits for the driver, which closes its browser behind the run's end
	ws := all()
	if len(ws) != 2 || fmt.Sprint(ws[0].closed) != fmt.Sprint([]string{task, ""}) || fmt.Sprint(ws[1].closed) != fmt.Sprint([]string{task, ""}) {
		t.Fatalf("%d browsers: closed %q, %q", len(ws), ws[0].closed, ws[len(ws)-1].closed)
	}
	if got := ws[1].seen[task]; !slices.Equal(got, []tools.Tab{{ID: "t1", URL: "http://a/", Front: true, Refs: 3}}) {
		t.Errorf("the second browser was told of %+v", got)
	}
	if len(s.Tabs) != 0 || ws[0].rooms[0] == 0 {
		t.Errorf("tabs %v, rooms %v", s.Tabs, ws[0].rooms)
	}
}

// A browser that is made after a person opened a host can reach it.
func TestBrowserReachesOpenedHosts(t *testing.T) {
	m := &model{info: llm.Info{Name: "test/m", Window: 100000}, reply: func(n int, r *llm.Request) (*llm.Reply, error) {
		last := r.Messages[len(r.Messages)-1].Text
		switch {
		case strings.Contains(last, "at http://a/"):
			return calling("finish", `{"result":"done"}`), nil
		case strings.Contains(last, "can connect"):
			return calling("browser", `{"action":"open","url":"http://a/"}`), nil
		}
		return calling("network", `{"host":"shop.example:443","why":"the goal names it"}`), nil
	}}
	r := newRig(t, m)
	set, err := tools.Builtin().WithNetwork().With(browser.Tool{})
	if err != nil {
		t.Fatal(err)
	}
	var net []string
	r.cfg.Tools = set
	r.cfg.Browser = func(_ journal.RunID, s journal.RunStarted, _ map[string][]tools.Tab) (tools.Browser, error) {
		net = s.Net
		return &window{}, nil
	}
	r.restart()
	s := r.ended(r.start(agent.Request{Goal: lookAround, Model: "test/m", Browser: "on", Net: []string{"127.0.0.1:1"}, Yes: true}))
	if want := []string{"127.0.0.1:1", "shop.example:443"}; !slices.Equal(net, want) {
		t.Errorf("%s (%s): the browser may connect to %q, want %q", s.Outcome.Status, s.Outcome.Reason, net, want)
	}
}
