//go:build browser

package browser_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// rows is a page of 10,500 nodes.
func rows() string {
	var b strings.Builder
	b.WriteString("<title>rows</title><style>table{border-collapse:collapse}td{padding:2px;border:1px solid #ccc}.n:hover{background:#eee}</style><table>")
	for i := range 1500 {
		fmt.Fprintf(&b, "<tr class=n><td>%d<td>name %d<td><a href=#%d>open</a><td><button>Edit</button>", i, i, i)
	}
	return b.String()
}

// every reads the style of every node, the least that a walk without any thought would cost.
const every = `(() => { const t = performance.now(); let n = 0; for (const e of document.querySelectorAll('*')) n += getComputedStyle(e).display.length; return performance.now() - t })()`

// timed does something n times and returns how long each took, in order of length.
func timed(n int, do func()) []time.Duration {
	took := make([]time.Duration, n)
	for i := range took {
		began := time.Now()
		do()
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return took
}

// spent is the CPU time of processes, and their memory: of each page its share.
func spent(t testing.TB, pids []int) (cpu time.Duration, pss int64) {
	t.Helper()
	for _, pid := range pids {
		dir := "/proc/" + strconv.Itoa(pid)
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if f := strings.Fields(rest); len(f) > 12 {
			for _, v := range f[11:13] {
				ticks, _ := strconv.Atoi(v)
				cpu += time.Duration(ticks) * 10 * time.Millisecond
			}
		}
		roll, err := os.ReadFile(dir + "/smaps_rollup")
		if err != nil {
			continue
		}
		for l := range strings.Lines(string(roll)) {
			if f := strings.Fields(l); len(f) > 1 && f[0] == "Pss:" {
				kb, _ := strconv.ParseInt(f[1], 10, 64)
				pss += kb << 10
			}
		}
	}
	return cpu, pss
}

// family are all processes of the groups that browsers lead.
func family(t testing.TB, browsers []int) []int {
	t.Helper()
	lead := map[string]bool{}
	for _, b := range browsers {
		lead[strconv.Itoa(b)] = true
	}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, d := range dirs {
		stat, err := os.ReadFile(d + "/stat")
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if f := strings.Fields(rest); len(f) > 2 && lead[f[2]] {
			pid, _ := strconv.Atoi(filepath.Base(d))
			out = append(out, pid)
		}
	}
	return out
}

// An outline asks little of every node: it costs no more than a loop that reads one property of each, and some more for what it sends.
func TestCost(t *testing.T) {
	d := drive(t)
	s := pages(t, map[string]http.HandlerFunc{"/rows": html(rows())})
	d.do("open", "url", s.URL+"/rows")
	_, renderers := processes(t)
	cpu, _ := spent(t, renderers)
	outline := timed(12, func() { d.do("outline") })
	after, _ := spent(t, renderers)
	loop := timed(12, func() { d.do("evaluate", "text", every) })
	last, _ := spent(t, renderers)
	t.Logf("outline of 10,500 nodes: min %v, p50 %v, CPU of the page %v; a loop over them: min %v, p50 %v, CPU %v",
		outline[0], outline[6], (after-cpu)/12, loop[0], loop[6], (last-after)/12)
	if after-cpu > 3*(last-after)+time.Second {
		t.Errorf("12 outlines took %v of CPU, and as many loops %v", after-cpu, last-after)
	}
	before, _ := processes(t)
	cycles(t, d, s.URL, 10)
	if after, renderers := processes(t); len(after) != len(before) || len(renderers) > 10 {
		t.Errorf("%d browsers and %d renderers are left of %d", len(after), len(renderers), len(before))
	}
}

// cycles opens a page, types, clicks and looks, n times.
func cycles(t testing.TB, d *driver, base string, n int) []time.Duration {
	t.Helper()
	return timed(n, func() {
		out := d.do("open", "url", base+"/form.html")
		d.do("type", "ref", ref(t, out, `textbox "Name"`), "text", "Ada")
		d.do("click", "ref", ref(t, out, `button "Count"`))
		d.do("outline")
	})
}

// TestBars measures what the project promises of a browser; make bench-browser runs it and prints the figures. Times hold on an idle
// machine of two cores, so that only memory and processes fail it.
func TestBars(t *testing.T) {
	if os.Getenv("BROWSER_BARS") == "" {
		t.Skip("set BROWSER_BARS=1")
	}
	say := func(format string, a ...any) { fmt.Printf(format+"\n", a...) }
	d := drive(t)
	d.quiet = true
	s := pages(t, map[string]http.HandlerFunc{"/rows": html(rows())})
	d.do("open", "url", s.URL+"/rows")
	took := timed(30, func() { d.do("outline") })
	say("outline of 10,500 nodes: min %v, p50 %v (bar 60ms)", took[0].Round(time.Millisecond), took[15].Round(time.Millisecond))
	loop := timed(30, func() { d.do("evaluate", "text", every) })
	say("  reading one property of each: min %v, p50 %v", loop[0].Round(time.Millisecond), loop[15].Round(time.Millisecond))

	cycles(t, d, s.URL, 20)
	browsers, before := processes(t)
	_, had := spent(t, family(t, browsers))
	took = cycles(t, d, s.URL, 200)
	browsers, after := processes(t)
	_, has := spent(t, family(t, browsers))
	say("200 cycles of open, type, click, look: min %v, p50 %v, p95 %v (bar p50 400ms)", took[0].Round(time.Millisecond), took[100].Round(time.Millisecond), took[190].Round(time.Millisecond))
	say("  memory before %d MiB, after %d MiB; renderers %d, %d", had>>20, has>>20, len(before), len(after))
	if has > had+had/4+32<<20 || len(after) > len(before)+1 {
		t.Errorf("memory or processes grew: %d to %d bytes, %d to %d renderers", had, has, len(before), len(after))
	}

	all := []*driver{d}
	for range 3 {
		all = append(all, drive(t))
	}
	for _, one := range all {
		one.quiet = true
		one.do("open", "url", s.URL+"/rows")
		one.do("open", "url", s.URL+"/form.html", "to", "new")
	}
	var groups []int
	for _, one := range all {
		for pid, group := range leaders(t) {
			if strings.Contains(group, one.scratch) {
				groups = append(groups, pid)
			}
		}
	}
	slices.Sort(groups)
	groups = slices.Compact(groups)
	_, pss := spent(t, family(t, groups))
	say("4 browsers with 2 pages each: %d MiB of memory (bar 2048)", pss>>20)
	if len(groups) != 4 || pss > 2<<30 {
		t.Errorf("%d browsers have %d bytes", len(groups), pss)
	}
}

// leaders are the command lines of browsers, by process.
func leaders(t testing.TB) map[int]string {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	out := map[int]string{}
	for _, d := range dirs {
		args, err := os.ReadFile(d + "/cmdline")
		if err != nil || !strings.Contains(string(args), "--remote-debugging-pipe") || strings.Contains(string(args), "--type=") {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(d))
		out[pid] = string(args)
	}
	return out
}
