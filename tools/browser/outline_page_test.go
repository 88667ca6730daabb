//go:build browser

package browser_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestOutline(t *testing.T) {
	d := drive(t)
	s := pages(t, nil)
	out := d.do("open", "url", s.URL+"/kinds.html")
	for _, want := range []string{
		`h1 "Kinds"`, `link "Home" [e`, `button "Buy" [e`, `textbox "Search" [e`, `value="abc"`, `checkbox "Agree" [`, `checked`, `combobox "Colour"`, `options "Red" "Green"`,
		`clickable "Open card"`, `clickable "listens"`, `button "In open shadow"`, `button "In closed shadow"`, `iframe "inner" [`, `button "In frame" [f`,
		`disabled`, `covered`, `below the visible part`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in the outline", want)
		}
	}
	for _, no := range []string{"SECRET", "display none", "script text"} {
		if strings.Contains(out, no) {
			t.Errorf("the outline shows %s", no)
		}
	}
	_ = http.StatusOK
}
