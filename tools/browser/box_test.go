//go:build browser

package browser_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"agentd/sandbox"
	"agentd/sandbox/boxtest"
	"agentd/tools/browser"
)

// boxed starts a browser in a box that may connect to what allow says.
func boxed(t *testing.T, allow ...string) (*driver, string) {
	t.Helper()
	program, err := browser.Find()
	if err != nil {
		t.Fatal(err)
	}
	box, err := sandbox.Open(sandbox.Options{Init: boxtest.Init(t)})
	if err != nil {
		t.Fatal(err)
	}
	scratch, release, err := browser.NewScratch()
	if err != nil {
		t.Fatal(err)
	}
	o := browser.Options{Program: program, Scratch: scratch, Start: browser.InBox(box, sandbox.Net{Allow: allow}, scratch, program)}
	b, err := browser.New(o.InBoxOptions(len(allow) > 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, c := range []io.Closer{b, box, release} {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		if out, _ := exec.Command("pgrep", "-f", "user-data-dir=/tmp/profile").Output(); len(out) > 0 {
			t.Errorf("left: %s", out)
		}
	})
	return with(t, b), scratch
}

// A browser in a box reaches what the policy opens, and nothing else.
func TestBox(t *testing.T) {
	s := pages(t, map[string]http.HandlerFunc{"/f.csv": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Disposition", "attachment")
		_, _ = io.WriteString(w, "a,b\n")
	}})
	other := pages(t, nil)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	addr, err := netip.ParseAddrPort(u.Host)
	if err != nil {
		t.Fatal(err)
	}
	d, _ := boxed(t, addr.String())
	began := time.Now()
	out := d.do("open", "url", s.URL+"/kinds.html")
	t.Logf("first page after %v", time.Since(began))
	if !strings.Contains(out, `button "Buy"`) {
		t.Fatal(out)
	}
	if text, ok := d.try("open", "url", other.URL+"/kinds.html"); ok && !strings.Contains(text, "the host is not on the list") {
		t.Errorf("a server that the policy does not open was reached: %s", text)
	}
	if text := d.do("open", "url", s.URL+"/f.csv"); !strings.Contains(text, "to downloads/f.csv (4 bytes)") {
		t.Error(text)
	}
	d.do("open", "url", s.URL+"/form.html")
}

// A program that is killed takes its browser along, and the next one sweeps its files up.
func TestKilledOwner(t *testing.T) {
	for _, kind := range []string{"host", "box"} {
		t.Run(kind, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run", "^TestOwner$", "-test.v")
			cmd.Env = append(os.Environ(), "BROWSER_OWNER="+kind)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			scratch := ""
			for in := bufio.NewScanner(out); in.Scan(); {
				if _, rest, ok := strings.Cut(in.Text(), "READY "); ok {
					scratch = rest
					break
				}
			}
			pattern := scratch
			if kind == "box" {
				pattern = "user-data-dir=/tmp/profile"
			}
			if out, _ := exec.Command("pgrep", "-f", pattern).Output(); len(out) == 0 {
				t.Error("no browser runs")
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // it was killed
			left := ""
			for range 50 {
				out, _ := exec.Command("pgrep", "-f", pattern).Output()
				if left = string(out); left == "" {
					break
				}
				time.Sleep(100 * time.Millisecond)
			}
			if left != "" {
				t.Errorf("left: %s", left)
			}
			_, release, err := browser.NewScratch()
			if err != nil {
				t.Fatal(err)
			}
			defer release.Close()
			if _, err := os.Stat(scratch); !os.IsNotExist(err) {
				t.Errorf("%s is left: %v", scratch, err)
			}
		})
	}
}

// TestOwner is the program that TestKilledOwner kills.
func TestOwner(t *testing.T) {
	kind := os.Getenv("BROWSER_OWNER")
	if kind == "" {
		return // it is run by TestKilledOwner
	}
	s := pages(t, nil)
	var d *driver
	scratch := ""
	if kind == "box" {
		d, scratch = boxed(t, strings.TrimPrefix(s.URL, "http://"))
	} else {
		d = drive(t)
		scratch = mark(t)
	}
	d.do("open", "url", s.URL+"/kinds.html")
	fmt.Printf("READY %s\n", scratch)
	time.Sleep(time.Minute)
}
