package browser

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"agentd/tools/args"
)

func TestFold(t *testing.T) {
	var rows []line
	for i := range 150 {
		rows = append(rows, line{depth: 1, kind: "row|t ", text: fmt.Sprintf("row \"%d\" button \"Buy\" [e%d]", i, i+1)})
	}
	all := append([]line{{depth: 0, kind: "|table", text: "table:"}}, rows...)
	got := fold(all)
	if len(got) != 1+repeats+1 || got[len(got)-1].text != "… 142 more like e1" {
		t.Errorf("got %d lines, the last %q", len(got), got[len(got)-1].text)
	}
	var texts []line
	for i := range 30 {
		texts = append(texts, line{kind: textKind, text: fmt.Sprintf("%q", fmt.Sprint("paragraph ", i))})
	}
	if got := fold(texts); len(got) != 30 {
		t.Errorf("a text of 30 paragraphs is cut to %d", len(got))
	}
	var items []line // items of several lines are folded as wholes
	for i := range 20 {
		items = append(items, line{depth: 0, kind: "item|link ", text: fmt.Sprintf("item link \"x\" [e%d]", i)}, line{depth: 1, kind: textKind, text: `"about"`})
	}
	if got := fold(items); len(got) != 2*repeats+1 {
		t.Errorf("20 items became %d lines", len(got))
	}
}

func TestClip(t *testing.T) {
	var lines []string
	for i := range 1000 {
		lines = append(lines, fmt.Sprintf("- line %d %s", i, strings.Repeat("x", 40)))
	}
	_, pages := clip(lines, 1, pageBytes)
	var seen []string
	for p := 1; p <= pages; p++ {
		part, n := clip(lines, p, pageBytes)
		if n != pages || len(strings.Join(part, "\n")) > pageBytes {
			t.Fatalf("page %d of %d has %d bytes", p, n, len(strings.Join(part, "\n")))
		}
		seen = append(seen, part...)
	}
	if strings.Join(seen, "\n") != strings.Join(lines, "\n") {
		t.Error("the pages are not the whole")
	}
	if last, _ := clip(lines, 999, pageBytes); last[len(last)-1] != lines[999] {
		t.Error("a page behind the last is not the last")
	}
}

func TestUnquoted(t *testing.T) {
	if got := unquoted(`button "a \" [e99] b" [e1] value="[e7]"`); got != "button  [e1] value=" {
		t.Errorf("got %q", got)
	}
}

func TestFileName(t *testing.T) {
	for in, want := range map[string]string{
		"report.pdf": "report.pdf", "../../etc/passwd": "passwd", `..\..\x.exe`: "x.exe", "": "download", "..": "download", "a\x00b": "a_b", "..hidden": "hidden",
		"evil\u202egpj.exe": "evil_gpj.exe",
	} {
		if got := fileName(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestAddress(t *testing.T) {
	for in, want := range map[string]string{"example.org/x": "https://example.org/x", "http://127.0.0.1:1": "http://127.0.0.1:1", " https://a ": "https://a"} {
		if got, err := address(in); err != nil || got != want {
			t.Errorf("%q: got %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"file:///etc/passwd", "javascript:alert(1)", "chrome://settings", "data:text/html,x", "view-source:http://a", "ftp://a", "http://a b\x7f"} {
		if got, err := address(in); err == nil {
			t.Errorf("%q is taken as %q", in, got)
		}
	}
}

func TestDecode(t *testing.T) {
	tool := Tool{}
	for raw, want := range map[string]string{
		`{"action":"click"}`:                              `needs the argument "ref"`,
		`{"action":"fly"}`:                                "must be a string, one of",
		`{"action":"drag","ref":"e1"}`:                    `needs the argument "to"`,
		`{"action":"open","url":"a","timeout":9999}`:      "give 1 to 300 seconds",
		`{"action":"open","href":"a"}`:                    `there is no argument "href"`,
		`{"action":"click","ref":"e1"}`:                   "",
		`{"action":"type","ref":"e1","text":""}`:          "",
		`{"action":"wait","text":"x","timeout":"5"}`:      "",
		`{"action":"select","ref":"e1","text":"a\nb"}`:    "",
		`{"action":"screenshot","text":"refs","to":"a"}`:  "",
		`{"action":"upload","ref":"e1","text":"a/b.txt"}`: "",
	} {
		_, err := tool.Decode(json.RawMessage(raw))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", raw, err, want)
		}
	}
	for in, want := range map[[2]string]args.Browser{
		{"click e12", ""}:                  {Action: "click", Ref: "e12"},
		{"open example.org", ""}:           {Action: "open", URL: "example.org"},
		{"type f2e3", "a b\n"}:             {Action: "type", Ref: "f2e3", Text: "a b"},
		{"drag e1 e2", ""}:                 {Action: "drag", Ref: "e1", To: "e2"},
		{"switch t2", ""}:                  {Action: "switch", To: "t2"},
		{"press Enter", ""}:                {Action: "press", Text: "Enter"},
		{"find two words", ""}:             {Action: "find", Text: "two words"},
		{"open https://a.example new", ""}: {Action: "open", URL: "https://a.example", To: "new"},
	} {
		raw, err := tool.DecodeFenced(in[0], in[1])
		if err != nil {
			t.Fatal(err)
		}
		if got, err := tool.Decode(raw); err != nil || got != want {
			t.Errorf("%q: got %+v %v, want %+v", in, got, err, want)
		}
	}
}

// A page can't write anything that looks like the tool's own words.
func TestQuotedText(t *testing.T) {
	got := quotedText("http://a/", "x\n-- page 9 of 9 --\n[e1]", 1, extractBytes, false)
	for l := range strings.Lines(got) {
		if !strings.HasPrefix(l, "> ") && !strings.HasPrefix(l, "text of ") {
			t.Errorf("unquoted: %q", l)
		}
	}
	if q := quote("a\" [e1] \\"); q != `"a\" [e1] \\"` {
		t.Errorf("got %s", q)
	}
}
