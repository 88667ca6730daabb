//go:build browser

package browser_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestActions(t *testing.T) {
	d := drive(t)
	var sent string
	s := pages(t, map[string]http.HandlerFunc{
		"/file.csv": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Disposition", `attachment; filename="../sales?.csv"`)
			_, _ = io.WriteString(w, "a,b\n1,2\n")
		},
		"/sent": func(w http.ResponseWriter, r *http.Request) {
			f, h, err := r.FormFile("f")
			if err != nil {
				http.Error(w, err.Error(), 400)
				return
			}
			b, _ := io.ReadAll(f)
			sent = h.Filename + ":" + string(b)
			html("<h1>Thanks</h1>")(w, r)
		},
	})
	has := func(got, want string) {
		t.Helper()
		if !strings.Contains(got, want) {
			t.Errorf("no %s in:\n%s", want, got)
		}
	}
	out := d.do("open", "url", s.URL+"/form.html")
	r := func(before string) string { t.Helper(); return ref(t, out, before) }

	has(d.do("type", "ref", r(`textbox "Name"`), "text", "Ada Ünal \"x\""), `typed; the value is now "Ada Ünal \"x\""`)
	has(d.do("type", "ref", r(`textbox "Name"`), "text", "Bo"), `the value is now "Bo"`)
	has(d.do("type", "ref", r(`textbox "Notes"`), "text", "one\ntwo"), `value is now "one two"`)
	has(d.do("type", "ref", r(`textbox "Day"`), "text", "2026-01-31"), `value is now "2026-01-31"`)
	has(d.do("type", "ref", r(`textbox "Secret"`), "text", "hunter2"), "the value has 7 characters")
	has(d.do("type", "ref", r(`textbox "Rich"`), "text", "bold"), `value is now "bold"`)
	has(d.do("press", "ref", r(`textbox "Name"`), "text", "Control+a"), "pressed")
	has(d.do("press", "text", "Backspace"), `textbox "Name"`)
	has(d.do("select", "ref", r(`combobox "Colour"`), "text", "Green"), `the value is now "Green"`)
	if text, ok := d.try("select", "ref", r(`combobox "Colour"`), "text", "Mauve"); ok || !strings.Contains(text, `the options are "Red" "Green"`) {
		t.Errorf("got %s", text)
	}
	has(d.do("check", "ref", r(`checkbox "Agree"`)), "is checked")
	has(d.do("check", "ref", r(`checkbox "Agree"`)), "is checked already")
	has(d.do("check", "ref", r(`checkbox "Styled"`)), "is checked")
	has(d.do("uncheck", "ref", r(`checkbox "Agree"`)), "is not checked")
	has(d.do("click", "ref", r(`button "Count"`)), `"clicks: 1`)
	has(d.do("dblclick", "ref", r(`button "Count"`)), `doubles: 1`)
	has(d.do("hover", "ref", r(`button "Menu"`)), `* "the menu"`)
	has(d.do("drag", "ref", r(`clickable "Piece"`), "to", r(`clickable "Target"`)), "dropped piece")
	has(d.do("drag", "ref", r(`clickable "Mouse"`), "to", r(`clickable "Target"`)), "moused")
	if text, ok := d.try("click", "ref", r(`button "Under"`)); ok || !strings.Contains(text, `covered by div#cover "A cover"`) {
		t.Errorf("got %s", text)
	}
	if text, ok := d.try("click", "ref", r(`button "Off"`)); ok || !strings.Contains(text, "is disabled") {
		t.Errorf("got %s", text)
	}
	has(d.do("click", "ref", r(`button "Far"`)), "far was clicked")
	has(d.do("scroll", "text", "top"), "scrolled to 0")
	has(d.do("evaluate", "text", "1 + 1"), "value is 2")
	has(d.do("find", "text", "Agree"), `checkbox "Agree"`)
	has(d.do("click", "ref", r(`button "Later"`)), "")
	has(d.do("wait", "text", "it came"), `the page has the text "it came"`)

	if err := os.WriteFile(filepath.Join(d.dir, "up.txt"), []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	has(d.do("upload", "ref", r(`file "File"`), "text", "up.txt"), `value="up.txt"`)
	has(d.do("click", "ref", r(`button "Send"`)), "Thanks")
	if sent != "up.txt:hello" {
		t.Errorf("the server got %q", sent)
	}
	out = d.do("back")
	has(out, `textbox "Name"`)
	if text, ok := d.try("click", "ref", "e99999"); ok || !strings.Contains(text, `no element "e99999" any more`) || !strings.Contains(text, `textbox "Name"`) {
		t.Errorf("a stale ref gives %s", text)
	}
	has(d.do("forward"), "Thanks")
	d.do("open", "url", s.URL+"/form.html")
	has(d.do("click", "ref", ref(t, d.do("outline"), `link "CSV"`)), "to downloads/_sales_.csv (8 bytes)")
	if b, err := os.ReadFile(filepath.Join(d.dir, "downloads", "_sales_.csv")); err != nil || string(b) != "a,b\n1,2\n" {
		t.Errorf("%q %v", b, err)
	}
	has(d.do("screenshot", "text", "refs", "to", "shot.png"), "wrote shot.png")
	if b, err := os.ReadFile(filepath.Join(d.dir, "shot.png")); err != nil || !strings.HasPrefix(string(b), "\x89PNG") {
		t.Errorf("no picture: %v", err)
	}
	has(d.do("extract"), "> ")
	out = d.do("outline")
	has(d.do("extract", "ref", ref(t, out, "table ")), "> Tea,3.50")

	has(d.do("open", "url", s.URL+"/kinds.html", "to", "new"), "[t2]")
	out = d.do("outline")
	has(d.do("click", "ref", ref(t, out, `button "In frame"`)), "clicked")
	has(d.do("click", "ref", ref(t, out, `button "In closed shadow"`)), "clicked")
	has(d.do("tabs"), "> t2")
	has(d.do("switch", "to", "t1"), "[t1]")
	has(d.do("close", "to", "t2"), "> t1")
}
