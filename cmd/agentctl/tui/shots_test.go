package tui

import (
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
)

// shotsVariable names a folder for pictures of the screens: make screenshots.
const shotsVariable = "TUI_SHOTS"

// The colours of the pictures; a terminal has its own.
var shotColours = map[string]string{
	"30": "#565b63", "31": "#d0605e", "32": "#7ab87f", "33": "#d9a866", "34": "#7aa2d8", "35": "#b08bd0", "36": "#6cbcc4", "37": "#d8dadc", "90": "#7d838a",
}

// svg draws screen lines as a picture, character by character as a terminal does.
func svg(lines []string, w int) string {
	const cw, ch, pad = 8.4, 18, 14
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%d" font-family="ui-monospace,Menlo,Consolas,monospace" font-size="14">`+"\n", float64(w)*cw+2*pad, len(lines)*ch+2*pad)
	b.WriteString(`<rect width="100%" height="100%" rx="8" fill="#16181b"/>` + "\n")
	for y, l := range lines {
		fg, weight, invert := "#d8dadc", "", false
		x := 0
		for len(l) > 0 {
			if seq, size := parseSGR(l); size > 0 {
				for p := range strings.SplitSeq(strings.TrimSuffix(strings.TrimPrefix(seq, "\x1b["), "m"), ";") {
					switch {
					case p == "0":
						fg, weight, invert = "#d8dadc", "", false
					case p == "1":
						weight = ` font-weight="bold"`
					case p == "7":
						invert = true
					case shotColours[p] != "":
						fg = shotColours[p]
					}
				}
				l = l[size:]
				continue
			}
			end := strings.IndexByte(l, 0x1b)
			if end < 0 {
				end = len(l)
			}
			end = max(end, 1)
			text := l[:end]
			l = l[end:]
			n := ansi.StringWidth(text)
			colour := fg
			if invert {
				fmt.Fprintf(&b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", pad+float64(x)*cw, pad+y*ch, float64(n)*cw, ch, fg)
				colour = "#16181b"
			}
			if strings.TrimSpace(text) != "" {
				var esc strings.Builder
				if err := xml.EscapeText(&esc, []byte(text)); err != nil {
					return ""
				}
				fmt.Fprintf(&b, `<text x="%.1f" y="%d" fill="%s"%s textLength="%.1f" lengthAdjust="spacingAndGlyphs" xml:space="preserve">%s</text>`+"\n", pad+float64(x)*cw, pad+y*ch+13, colour, weight, float64(n)*cw, esc.String())
			}
			x += n
		}
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// TestScreenshots draws the screens that the documentation shows, from the model itself. Without the variable it only
// proves that they can be drawn.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv(shotsVariable)
	for name, make := range map[string]func() *Model{
		"home": func() *Model { m := model(120, 30); m.home.set(runs(), false); return m },
		"run":  func() *Model { return opened(t, 120, 36, report(t)) },
		"ask":  func() *Model { m := opened(t, 120, 36, report(t)); press(m, "a"); return m },
		"plan": func() *Model { m := opened(t, 120, 36, report(t)); press(m, "v"); return m },
	} {
		picture := svg(make().Screen(), 120)
		if err := xml.Unmarshal([]byte(picture), new(struct{})); err != nil || !strings.Contains(picture, "<text") {
			t.Errorf("%s is no picture: %v", name, err)
		}
		if dir == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name+".svg"), []byte(picture), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
