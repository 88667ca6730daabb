//go:build browser

package browser_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"agentd/tools/browser"
)

// tenPages are pages in the style of what is on the web, on which an outline is compared with others' snapshots. other serves the frame
// of another site.
func tenPages(other string) map[string]string {
	each := func(n int, f func(i int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(f(i + 1))
		}
		return b.String()
	}
	page := func(title, body string) string {
		return "<!doctype html><html lang=en><meta charset=utf-8><title>" + title + `</title><style>
body{font:15px/1.5 sans-serif;margin:0;color:#222;background:#fff} header,footer{background:#123;color:#fff;padding:8px 16px} header a,footer a{color:#fff}
.row{display:flex;gap:12px;flex-wrap:wrap} .card{border:1px solid #ccc;padding:8px;width:200px} .click{cursor:pointer} .badge{background:#c00;color:#fff;padding:0 4px}
nav ul{display:flex;gap:8px;list-style:none} td,th{border:1px solid #ddd;padding:2px 6px}</style><body>` + body
	}
	nav := `<header><nav aria-label=Main><ul><li><a href=#home>Home</a><li><a href=#new>New</a><li><a href=#deals>Deals</a><li><a href=#help>Help</a></ul></nav>
<form role=search><input type=search aria-label="Search the site" placeholder="Search"><button>Search</button></form></header>`
	foot := `<footer><p>© Example Ltd.</p><a href=#terms>Terms</a> <a href=#privacy>Privacy</a> <a href=#contact>Contact</a></footer>`
	words := strings.Fields("a small part of the text that such a page holds goes on for some lines and says what readers came for with links and names in between")
	text := func(seed, n int) string {
		out := make([]string, n)
		for i := range out {
			out[i] = words[(seed*7+i*3)%len(words)]
		}
		return strings.Join(out, " ") + "."
	}
	return map[string]string{
		"shop": page("Shop", nav+`<main><h1>Kettles</h1><div class=row>`+each(48, func(i int) string {
			return fmt.Sprintf(`<article class=card><a href="#p%d"><img src=data:, alt="Kettle %d"><h3>Kettle %d litres</h3></a><p>%s</p><span>$%d.99</span> <span class=badge>%d%% off</span><div><button>Add to cart</button><button aria-label="Save kettle %d">♡</button></div></article>`, i, i, i, text(i, 8), 10+i, i%30, i)
		})+`</div></main>`+foot),
		"mail": page("Mail", `<header><h1>Mail</h1><button>Compose</button></header><nav aria-label=Folders><ul><li><a href=#in>Inbox (12)</a><li><a href=#sent>Sent</a><li><a href=#spam>Spam</a></ul></nav><main><table><tbody>`+each(60, func(i int) string {
			return fmt.Sprintf(`<tr class=click onclick="void 0"><td><input type=checkbox aria-label="Select %d"><td>Person %d<td><b>Subject %d</b> – %s<td>%d:%02d<td><button aria-label=Archive>A</button><button aria-label=Delete>D</button></tr>`, i, i%9, i, text(i, 12), i%24, i%60)
		})+`</tbody></table></main>`),
		"table": page("Table", `<h1>Orders</h1><table><thead><tr><th>No<th>Name<th>Link<th>Do</thead><tbody>`+each(1500, func(i int) string {
			return fmt.Sprintf(`<tr><td>%d<td>name %d<td><a href=#%d>open</a><td><button>Edit</button>`, i, i, i)
		})+`</tbody></table>`),
		"docs": page("Docs", nav+`<div class=row><aside><ul>`+each(30, func(i int) string { return fmt.Sprintf(`<li><a href=#s%d>Chapter %d</a>`, i, i) })+`</ul></aside><main>`+each(30, func(i int) string {
			return fmt.Sprintf(`<section><h2 id=s%d>Chapter %d</h2><p>%s <a href=#x%d>see also</a> %s</p><pre><code>run --flag %d</code></pre><ul><li>%s<li>%s</ul></section>`, i, i, text(i, 40), i, text(i+3, 25), i, text(i, 9), text(i+1, 9))
		})+`</main></div>`+foot),
		"forum": page("Forum", nav+`<main><h1>Why does it rain?</h1>`+each(40, func(i int) string {
			return fmt.Sprintf(`<article><div><img src=data:, alt="Avatar of user%d"><a href=#u%d>user%d</a> <time>%d hours ago</time></div><div><p>%s</p><blockquote>%s</blockquote></div><div><button>Reply</button><button aria-pressed=false>Like %d</button><button>Report</button><a href=#c%d>Permalink</a></div></article>`, i, i, i, i, text(i, 35), text(i+2, 12), i, i)
		})+`<form><label>Your answer <textarea></textarea></label><button>Post</button></form></main>`+foot),
		"dashboard": page("Dashboard", nav+`<main class=row><section aria-label=Figures>`+each(12, func(i int) string {
			return fmt.Sprintf(`<div class="card click" onclick="void 0"><span>Metric %d</span><b>%d</b><span>+%d%%</span></div>`, i, i*31, i)
		})+`</section><div id=open></div><div id=closed></div><iframe title=Report srcdoc="<h2>Report</h2><table>`+each(20, func(i int) string { return fmt.Sprintf("<tr><td>r%d<td>%d<td><a href=#>more</a>", i, i*7) })+`</table><button>Export</button>"></iframe><iframe title=Other src="`+other+`"></iframe></main><script>
for (const m of ['open','closed']) { const r=document.getElementById(m).attachShadow({mode:m}); r.innerHTML='<h3>'+m+' widget</h3><button>Refresh '+m+'</button><input aria-label="Filter '+m+'">' }</script>`+foot),
		"form": page("Form", `<main><h1>Apply</h1><form>`+each(20, func(i int) string {
			return fmt.Sprintf(`<div><label for=f%d>Field %d</label><input id=f%d value="value %d" required></div>`, i, i, i, i)
		})+`<fieldset><legend>Size</legend>`+each(5, func(i int) string { return fmt.Sprintf(`<label><input type=radio name=s> Size %d</label>`, i) })+`</fieldset><label>Country <select>`+each(120, func(i int) string { return fmt.Sprintf("<option>Country %d", i) })+`</select></label><label><input type=checkbox checked> I agree</label><textarea aria-label=Message></textarea><button disabled>Back</button><button>Send</button></form></main>`),
		"news": page("News", nav+`<main><h1>Today</h1>`+each(60, func(i int) string {
			return fmt.Sprintf(`<article><h2><a href=#a%d>Headline %d: %s</a></h2><p>%s</p><span>By <a href=#w%d>Writer %d</a></span></article>`, i, i, text(i, 6), text(i, 30), i%7, i%7)
		})+`</main>`+foot),
		"board": page("Board", `<header><h1>Board</h1></header><main class=row>`+each(5, func(c int) string {
			return fmt.Sprintf(`<section aria-label="Column %d"><h2>Column %d</h2>`, c, c) + each(15, func(i int) string {
				return fmt.Sprintf(`<div class="card click" tabindex=0 draggable=true><div>Task %d-%d</div><div>%s</div><span class=badge>P%d</span><div class=click onclick="void 0">⋯</div></div>`, c, i, text(c+i, 7), i%4)
			}) + `<button>Add a card</button></section>`
		})+`</main>`),
		"search": page("Search", nav+`<main><p>About 1,200 results</p>`+each(50, func(i int) string {
			return fmt.Sprintf(`<div><a href="https://example.org/%d"><h3>Result %d: %s</h3></a><cite>example.org › page › %d</cite><p>%s</p><button aria-expanded=false aria-label="About this result">⋮</button></div>`, i, i, text(i, 5), i, text(i, 28))
		})+`<nav aria-label=Pages>`+each(10, func(i int) string { return fmt.Sprintf(`<a href=#%d>%d</a> `, i, i) })+`</nav></main>`+foot),
	}
}

// TestTenPages checks that each page can be read in parts. With PLAYWRIGHT_MCP, a folder with node's modules @playwright/mcp and
// @modelcontextprotocol/sdk, it compares the outlines, nothing folded, with the snapshots of Playwright's MCP server: the characters, and the
// elements in them that can be used (make compare-playwright, docs/browser.md).
func TestTenPages(t *testing.T) {
	other := httptest.NewServer(html(`<h2>Elsewhere</h2><a href=#>a link there</a><button>A button there</button>`))
	defer other.Close()
	mux := map[string]http.HandlerFunc{}
	all := tenPages(strings.Replace(other.URL, "127.0.0.1", "localhost", 1))
	for name, body := range all {
		mux["/"+name] = html(body)
	}
	s := pages(t, mux)
	d := drive(t)
	d.quiet = true
	d.env.Room = 0
	names := slices.Sorted(maps.Keys(all))
	ours := map[string]string{}
	for _, name := range names {
		out := d.do("open", "url", s.URL+"/"+name)
		if !strings.Contains(out, "[e") || len(out) > 10<<10 {
			t.Errorf("%s: %d bytes:\n%s", name, len(out), out)
		}
		whole, err := browser.Whole(t.Context(), d.env.Tabs)
		if err != nil {
			t.Fatal(err)
		}
		ours[name] = whole
	}
	dir := os.Getenv("PLAYWRIGHT_MCP")
	if dir == "" {
		return
	}
	program, err := browser.Find()
	if err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("../../scripts/playwright-snapshots.mjs")
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	argv := []string{script, program, out}
	for _, name := range names {
		argv = append(argv, s.URL+"/"+name)
	}
	cmd := exec.CommandContext(t.Context(), "node", argv...)
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	sum, theirSum := 0, 0
	for _, name := range names {
		raw, err := os.ReadFile(filepath.Join(out, name+".playwright.txt"))
		if err != nil {
			t.Fatal(err)
		}
		n, m := len([]rune(ours[name])), len([]rune(string(raw)))
		sum, theirSum = sum+n, theirSum+m
		mine, theirs := usable(ours[name], ourElement), usable(string(raw), theirElement)
		fmt.Printf("%-10s %7d of %7d characters (%2d %%); elements %d of %d:", name, n, m, 100*n/m, total(mine), total(theirs))
		for _, role := range slices.Sorted(maps.Keys(theirs)) {
			fmt.Printf(" %s %d/%d", role, mine[role], theirs[role])
			if mine[role] < theirs[role] {
				t.Errorf("%s: %d of %d %ss are in the outline", name, mine[role], theirs[role], role)
			}
		}
		fmt.Println()
	}
	fmt.Printf("all        %7d of %7d characters (%2d %%)\n", sum, theirSum, 100*sum/theirSum)
	if 2*sum > theirSum {
		t.Errorf("the outlines have %d characters, more than half of %d", sum, theirSum)
	}
}

const roles = `(button|link|textbox|searchbox|checkbox|radio|combobox|slider|spinbutton|switch|tab|menuitem)`

var (
	ourElement   = regexp.MustCompile(`(?:^|[ *-])` + roles + `(?: "(?:[^"\\]|\\.)*")? \[(?:f\d+)?e\d+\]`)
	theirElement = regexp.MustCompile(`(?m)^\s*- '?` + roles + `\b[^\n]*\[ref=`)
)

// usable counts the elements of a page that can be used, by their roles.
func usable(text string, form *regexp.Regexp) map[string]int {
	out := map[string]int{}
	for _, m := range form.FindAllStringSubmatch(text, -1) {
		out[m[1]]++
	}
	return out
}

func total(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}
