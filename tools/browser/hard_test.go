//go:build browser

package browser_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Each page that is hard for a browser's driver has an outcome that a model can act on.
func TestHardPages(t *testing.T) {
	d := drive(t)
	stop := make(chan struct{})
	s := pages(t, map[string]http.HandlerFunc{
		"/never": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<h1>Begins</h1>"+strings.Repeat(" ", 2048))
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
			case <-stop:
			}
		},
		"/silent": func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-stop:
			}
		},
		"/loop": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) },
		"/login": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="vault"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
		},
		"/pdf": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/pdf")
			_, _ = io.WriteString(w, "%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n")
		},
		"/popup":  html(`<title>p</title><button onclick="window.open('/second')">Pop</button>`),
		"/second": html(`<title>second</title><h1>Second</h1>`),
		"/alerts": html(`<button onclick="alert('careful');o.textContent='after alert'">Alert</button><button onclick="o.textContent=confirm('sure?')">Confirm</button><button onclick="o.textContent=prompt('who?','me')">Prompt</button><p id=o></p>`),
		"/leave":  html(`<input aria-label=x><script>onbeforeunload = e => { e.preventDefault(); }</script><a href=/second>Go</a>`),
		"/big":    func(w http.ResponseWriter, _ *http.Request) { big(w) },
		"/busy":   html(`<button onclick="for(;;);">Hang</button>`),
		"/more": html(`<ul id=l></ul><script>let n=0;function add(){for(let i=0;i<30;i++){const e=document.createElement('li');e.innerHTML='<a href=#>entry '+(++n)+'</a><p style="height:60px">about it</p>';l.append(e)}}
add();onscroll=()=>{if(scrollY+innerHeight>document.documentElement.scrollHeight-50)setTimeout(add,100)}</script>`),
	})
	defer close(stop)
	tls := httptest.NewTLSServer(html("<h1>secret</h1>"))
	defer tls.Close()

	for _, tc := range []struct {
		name, url string
		ok        bool
		want      []string
	}{
		{"redirect loop", s.URL + "/loop", false, []string{"redirects in a loop"}},
		{"login", s.URL + "/login", false, []string{"the server wants a login"}},
		{"bad certificate", tls.URL, false, []string{"certificate is not valid"}},
		{"nobody there", "http://127.0.0.1:9/", false, []string{"can not be opened"}},
		{"file", "file:///etc/passwd", false, []string{"only http and https"}},
		{"pdf", s.URL + "/pdf", true, []string{"is a file and no page", "to downloads/pdf"}},
		{"never ends", s.URL + "/never", true, []string{`h1 "Begins"`, "still loading"}},
		{"50 MB", s.URL + "/big", true, []string{`row "1" | "cell`, "more", "too large"}},
		{"not found", s.URL + "/nothing", true, []string{"HTTP 404"}},
	} {
		began := time.Now()
		text, ok := d.try("open", "url", tc.url, "timeout", "60")
		for _, w := range tc.want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: no %q in:\n%s", tc.name, w, text)
			}
		}
		if ok != tc.ok || time.Since(began) > 50*time.Second || len(text) > 12<<10 {
			t.Errorf("%s: ok %v, want %v, after %v, %d bytes", tc.name, ok, tc.ok, time.Since(began), len(text))
		}
	}
	has := func(got, want string) {
		t.Helper()
		if !strings.Contains(got, want) {
			t.Errorf("no %s in:\n%s", want, got)
		}
	}
	if text, ok := d.try("open", "url", s.URL+"/silent", "timeout", "3"); ok {
		t.Errorf("got %s", text)
	} else {
		has(text, "sent no page within")
	}

	out := d.do("open", "url", s.URL+"/popup")
	has(d.do("click", "ref", ref(t, out, `button "Pop"`)), "opened a new tab, t2")
	has(d.do("outline"), `button "Pop"`)
	has(d.do("switch", "to", "t2"), `h1 "Second"`)
	has(d.do("close"), "> t1")

	out = d.do("open", "url", s.URL+"/alerts")
	text := d.do("click", "ref", ref(t, out, `button "Alert"`))
	has(text, `the alert "careful"; it was closed`)
	has(text, "after alert")
	has(d.do("click", "ref", ref(t, out, `button "Confirm"`)), `the dialog confirm "sure?"`)
	if text, ok := d.try("outline"); ok || !strings.Contains(text, "waits for an answer") {
		t.Errorf("got %s", text)
	}
	has(d.do("dialog", "text", "dismiss"), `"false"`)
	has(d.do("click", "ref", ref(t, out, `button "Prompt"`)), `(preset "me")`)
	has(d.do("dialog", "text", "Ada"), `"Ada"`)

	out = d.do("open", "url", s.URL+"/leave")
	d.do("type", "ref", ref(t, out, `textbox "x"`), "text", "unsaved")
	text = d.do("click", "ref", ref(t, out, `link "Go"`))
	has(text, "asked whether to leave")
	has(text, `h1 "Second"`)

	out = d.do("open", "url", s.URL+"/more")
	has(out, `link "entry 1"`)
	has(d.do("scroll", "text", "bottom"), `entry 31`)

	// A page that hangs for good costs its deadline; another page can be opened after it.
	out = d.do("open", "url", s.URL+"/busy")
	if text, ok := d.try("click", "ref", ref(t, out, `button "Hang"`), "timeout", "2"); ok || !strings.Contains(text, "did not answer in time") {
		t.Errorf("got %s", text)
	}
	has(d.do("open", "url", s.URL+"/second", "to", "new"), `h1 "Second"`)

	// A crash.
	has(d.do("open", "url", s.URL+"/alerts"), `button "Alert"`)
	kill(t, "renderer")
	if text, ok := d.try("outline"); !strings.Contains(text, `button "Alert"`) || !strings.Contains(text, "crashed") {
		t.Errorf("%v %s", ok, text)
	}
	// The browser's death.
	kill(t, "browser")
	text, _ = d.try("outline")
	has(text, "was started again")
	has(text, `button "Alert"`)
	has(d.do("click", "ref", ref(t, d.do("outline"), `button "Alert"`)), "careful")
}

func big(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html")
	_, _ = io.WriteString(w, "<title>big</title><table>")
	cell := strings.Repeat("cell text ", 20)
	for i := range 230000 {
		if _, err := fmt.Fprintf(w, "<tr><td>%d<td>%s\n", i+1, cell); err != nil {
			return
		}
	}
}

// processes lists the children of this test that are of a browser: its own, or renderers.
func processes(t testing.TB) (browsers, renderers []int) {
	t.Helper()
	out, err := exec.Command("ps", "-eo", "pid,pgid,args", "--no-headers").Output()
	if err != nil {
		t.Fatal(err)
	}
	groups := map[int]bool{}
	type proc struct {
		pid, group int
		args       string
	}
	var all []proc
	for l := range strings.Lines(string(out)) {
		var p proc
		if _, err := fmt.Sscan(l, &p.pid, &p.group); err != nil {
			continue
		}
		p.args = l
		all = append(all, p)
		if strings.Contains(l, "--remote-debugging-pipe") && strings.Contains(l, mark(t)) && !strings.Contains(l, "--type=") {
			groups[p.group] = true
			browsers = append(browsers, p.pid)
		}
	}
	for _, p := range all {
		if groups[p.group] && strings.Contains(p.args, "--type=renderer") {
			renderers = append(renderers, p.pid)
		}
	}
	return browsers, renderers
}

var marks = map[testing.TB]string{}

func mark(t testing.TB) string { return marks[t] }

func kill(t *testing.T, kind string) {
	t.Helper()
	b, r := processes(t)
	if kind == "renderer" {
		b = r
	}
	if len(b) == 0 {
		t.Fatalf("there is no %s", kind)
	}
	for _, pid := range b {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
			t.Fatal(err)
		}
	}
	time.Sleep(300 * time.Millisecond)
}

// Nothing is left of a browser that is closed: no process, no file.
func TestCloseLeavesNothing(t *testing.T) {
	d := drive(t)
	s := pages(t, nil)
	d.do("open", "url", s.URL+"/kinds.html")
	scratch := mark(t)
	if b, r := processes(t); len(b) != 1 || len(r) == 0 {
		t.Fatalf("processes %v %v", b, r)
	}
	if err := d.b.Close(); err != nil {
		t.Fatal(err)
	}
	if out, _ := exec.Command("pgrep", "-f", scratch).Output(); len(out) > 0 {
		t.Errorf("left: %s", out)
	}
	if _, err := os.Stat(scratch); !os.IsNotExist(err) {
		t.Errorf("the profile is left: %v", err)
	}
}
