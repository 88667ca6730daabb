package tui

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/color"
	"image/png"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
)

// flag is a picture: red above, blue below.
func flag(w, h int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.RGBA{R: 255, A: 255}
			if y >= h/2 {
				c = color.RGBA{B: 255, A: 255}
			}
			img.SetRGBA(x, y, c)
		}
	}
	return img
}

func TestBlocks(t *testing.T) {
	for _, tt := range []struct{ w, h, cols, rows, wantW, wantRows int }{
		{400, 200, 40, 30, 40, 10},
		{400, 200, 40, 5, 20, 5},
		{3, 2, 40, 30, 3, 1},
		{1, 5000, 40, 10, 1, 10},
		{5000, 1, 40, 10, 40, 1},
	} {
		got := blocks(flag(tt.w, tt.h), tt.cols, tt.rows)
		if len(got) != tt.wantRows {
			t.Errorf("%+v: %d lines", tt, len(got))
		}
		for _, l := range got {
			if width(l) != tt.wantW {
				t.Errorf("%+v: a line of %d columns", tt, width(l))
			}
		}
	}
	got := blocks(flag(40, 40), 10, 10)
	if !strings.Contains(got[0], "38;2;255;0;0;48;2;255;0;0m") || !strings.Contains(got[len(got)-1], "38;2;0;0;255;48;2;0;0;255m") {
		t.Errorf("colours: %q … %q", got[0], got[len(got)-1])
	}
}

func TestGraphics(t *testing.T) {
	for want, env := range map[graphics]map[string]string{
		kittyGraphics: {"TERM": "xterm-kitty"},
		itermGraphics: {"TERM_PROGRAM": "iTerm.app", "TERM": "xterm-256color"},
		sixelGraphics: {"TERM": "foot-extra"},
		halfBlocks:    {"TERM": "tmux-256color", "TMUX": "/tmp/x", "KITTY_WINDOW_ID": "1"},
	} {
		if got := graphicsOf(func(k string) string { return env[k] }); got != want {
			t.Errorf("%v: got %d, want %d", env, got, want)
		}
	}
	draw := func(g graphics) string {
		var b bytes.Buffer
		if err := drawPicture(&b, g, flag(900, 600), 60, 20); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	// kitty: the parts join to a PNG of the same proportions.
	var data string
	parts := strings.Split(draw(kittyGraphics), "\x1b\\")
	for i, p := range parts[:len(parts)-1] {
		head, body, ok := strings.Cut(p, ";")
		if !ok || !strings.HasPrefix(head, "\x1b_G") || len(body) > 4096 || strings.HasSuffix(head, "m=0") != (i == len(parts)-2) {
			t.Fatalf("part %d: %.60q", i, p)
		}
		data += body
	}
	raw, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(raw))
	if err != nil || img.Bounds().Dx() != 900 || img.Bounds().Dy() != 600 {
		t.Errorf("%v, %v", img.Bounds(), err)
	}
	if got := draw(itermGraphics); !strings.HasPrefix(got, "\x1b]1337;File=inline=1;width=60;height=20;") || !strings.HasSuffix(got, "\x07") {
		t.Errorf("iTerm2: %.80q", got)
	}
	// sixel: the bands of the two colours, each over its half.
	got := draw(sixelGraphics)
	if !strings.HasPrefix(got, "\x1bPq\"1;1;480;320#0;2;0;0;0") || !strings.HasSuffix(got, "\x1b\\") {
		t.Errorf("sixel: %.80q", got)
	}
	body := got[strings.LastIndex(got, "#215;"):]
	if bands := strings.Split(strings.TrimSuffix(body, "\x1b\\"), "-"); len(bands) != 55 || !strings.Contains(bands[0], "#180!480~$") || !strings.Contains(bands[52], "#5!480~$") {
		t.Errorf("sixel bands: %d, %q, %q", len(bands), bands[0], bands[len(bands)-2])
	}
}

func TestDecodePicture(t *testing.T) {
	var b bytes.Buffer
	if err := png.Encode(&b, flag(10, 10)); err != nil {
		t.Fatal(err)
	}
	if _, err := decodePicture(b.Bytes()); err != nil {
		t.Error(err)
	}
	large := append([]byte{}, b.Bytes()...)
	copy(large[16:24], []byte{0, 0x0f, 0xff, 0xff, 0, 0x0f, 0xff, 0xff}) // its header says a million by a million
	for name, data := range map[string][]byte{"too large": large, "cut off": b.Bytes()[:40], "no picture": []byte("\x1b]0;x\x07"), "nothing": nil} {
		if _, err := decodePicture(data); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestShot(t *testing.T) {
	m := opened(t, 80, 24, report(t))
	m.opt.Environ = []string{"TERM=xterm-kitty", "TERM=xterm-256color"} // the last one holds
	m.Update(shotMsg{run: "another", img: flag(10, 10)})
	if m.front() != nil {
		t.Fatal("another run's picture is shown")
	}
	m.Update(shotMsg{run: testRun, img: flag(1200, 800)})
	for _, size := range [][2]int{{80, 24}, {120, 40}, {20, 6}} {
		m.Update(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
		checkFrame(t, m)
	}
	press(m, "i")
	if m.front() != nil {
		t.Error("the key that shows it does not put it away")
	}
	var out bytes.Buffer
	p := &pictureScreen{g: sixelGraphics, img: flag(20, 20), w: 80, h: 24, run: testRun, in: strings.NewReader("xx\n")}
	p.SetStdout(&out)
	if err := p.Run(); err != nil || !strings.Contains(out.String(), "\x1bPq") || !strings.HasSuffix(out.String(), "\x1b[2J\x1b[H") {
		t.Errorf("%v, %.100q", err, out.String())
	}
}
