package tui

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg" // what a browser takes
	"image/png"
	"io"
	"strings"
)

// A picture is decoded here, never by the terminal: what a page drew reaches it as pixels alone.

const maxPixels = 32 << 20

// graphics is how a terminal shows pictures.
type graphics int

const (
	halfBlocks graphics = iota // two pixels a cell, in any terminal with colours
	kittyGraphics
	itermGraphics
	sixelGraphics
)

// graphicsOf guesses from the environment what a terminal can show. A multiplexer would show a picture's bytes, or lose them.
func graphicsOf(getenv func(string) string) graphics {
	term, program := getenv("TERM"), getenv("TERM_PROGRAM")
	switch {
	case getenv("TMUX") != "" || getenv("STY") != "" || strings.HasPrefix(term, "tmux") || strings.HasPrefix(term, "screen"):
		return halfBlocks
	case getenv("KITTY_WINDOW_ID") != "" || term == "xterm-kitty" || term == "xterm-ghostty" || program == "ghostty":
		return kittyGraphics
	case program == "iTerm.app" || program == "WezTerm" || getenv("LC_TERMINAL") == "iTerm2":
		return itermGraphics
	case strings.Contains(term, "sixel") || strings.HasPrefix(term, "foot") || strings.HasPrefix(term, "mlterm") || strings.HasPrefix(term, "contour"):
		return sixelGraphics
	}
	return halfBlocks
}

// decodePicture reads a PNG or JPEG of a bounded size.
func decodePicture(data []byte) (image.Image, error) {
	c, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("the picture: %w", err)
	}
	if c.Width < 1 || c.Height < 1 || c.Width > maxPixels/c.Height {
		return nil, errors.New("the picture is too large")
	}
	img, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("the picture: %w", err)
	}
	return img, nil
}

// shrunk is a picture of w by h pixels: each is the mean of what it covers.
func shrunk(img image.Image, w, h int) *image.RGBA {
	b := img.Bounds()
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		y0, y1 := b.Min.Y+y*b.Dy()/h, b.Min.Y+max((y+1)*b.Dy()/h, y*b.Dy()/h+1)
		for x := range w {
			x0, x1 := b.Min.X+x*b.Dx()/w, b.Min.X+max((x+1)*b.Dx()/w, x*b.Dx()/w+1)
			var r, g, bl, n uint64
			for yy := y0; yy < y1; yy += max((y1-y0)/4, 1) { // a few samples do
				for xx := x0; xx < x1; xx += max((x1-x0)/4, 1) {
					cr, cg, cb, _ := img.At(xx, yy).RGBA()
					r, g, bl, n = r+uint64(cr), g+uint64(cg), bl+uint64(cb), n+1
				}
			}
			out.SetRGBA(x, y, color.RGBA{uint8(r / n >> 8), uint8(g / n >> 8), uint8(bl / n >> 8), 255})
		}
	}
	return out
}

// fitted is the largest size with a picture's proportions that fits into w by h pixels, never larger than the picture.
func fitted(img image.Image, w, h int) (int, int) {
	b := img.Bounds()
	w, h = min(w, b.Dx()), min(h, b.Dy())
	if w*b.Dy() > h*b.Dx() {
		return max(h*b.Dx()/b.Dy(), 1), h
	}
	return w, max(w*b.Dy()/b.Dx(), 1)
}

// blocks draws a picture with half-blocks in at most w columns and rows lines.
func blocks(img image.Image, w, rows int) []string {
	pw, ph := fitted(img, max(w, 1), max(2*rows, 1))
	px := shrunk(img, pw, ph)
	var out []string
	for y := 0; y < ph; y += 2 {
		var b strings.Builder
		var last string
		for x := range pw {
			top, low := px.RGBAAt(x, y), px.RGBAAt(x, min(y+1, ph-1))
			if c := fmt.Sprintf("\x1b[38;2;%d;%d;%d;48;2;%d;%d;%dm", top.R, top.G, top.B, low.R, low.G, low.B); c != last {
				b.WriteString(c)
				last = c
			}
			b.WriteString("▀")
		}
		out = append(out, b.String()+"\x1b[0m")
	}
	return out
}

// drawPicture writes a picture to a terminal by its graphics, at the cursor, at most w columns and rows lines of it.
func drawPicture(out io.Writer, g graphics, img image.Image, w, rows int) error {
	var err error
	switch g {
	case kittyGraphics:
		err = kitty(out, img, w, rows)
	case itermGraphics:
		err = iterm(out, img, w, rows)
	case sixelGraphics:
		pw, ph := fitted(img, w*8, rows*16) // cells have at least these pixels
		err = sixel(out, shrunk(img, pw, ph))
	default:
		_, err = io.WriteString(out, strings.Join(blocks(img, w, rows), "\r\n"))
	}
	return err
}

// cells is a size in cells that keeps a picture's proportions, where a cell is twice as high as wide.
func cells(img image.Image, w, rows int) (int, int) {
	b := img.Bounds()
	if cols := rows * 2 * b.Dx() / b.Dy(); cols < w {
		return max(cols, 1), rows
	}
	return w, max(w*b.Dy()/b.Dx()/2, 1)
}

func kitty(out io.Writer, img image.Image, w, rows int) error {
	cols, lines := cells(img, w, rows)
	data, err := pngText(img)
	if err != nil {
		return err
	}
	head := fmt.Sprintf("a=T,f=100,q=2,c=%d,r=%d,", cols, lines)
	for first := true; first || data != ""; first = false {
		part := data[:min(len(data), 4096)]
		data = data[len(part):]
		more := 0
		if data != "" {
			more = 1
		}
		if _, err := fmt.Fprintf(out, "\x1b_G%sm=%d;%s\x1b\\", head, more, part); err != nil {
			return err
		}
		head = ""
	}
	return nil
}

func iterm(out io.Writer, img image.Image, w, rows int) error {
	cols, lines := cells(img, w, rows)
	data, err := pngText(img)
	if err == nil {
		_, err = fmt.Fprintf(out, "\x1b]1337;File=inline=1;width=%d;height=%d;preserveAspectRatio=1:%s\x07", cols, lines, data)
	}
	return err
}

func pngText(img image.Image) (string, error) {
	pw, ph := fitted(img, 1600, 1200)
	var b bytes.Buffer
	if err := png.Encode(&b, shrunk(img, pw, ph)); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(b.Bytes()), nil
}

// sixel writes a picture with 216 colours.
func sixel(out io.Writer, img *image.RGBA) error {
	w, h := img.Bounds().Dx(), img.Bounds().Dy()
	var b bytes.Buffer
	fmt.Fprintf(&b, "\x1bPq\"1;1;%d;%d", w, h)
	for i := range 216 {
		fmt.Fprintf(&b, "#%d;2;%d;%d;%d", i, i/36*20, i/6%6*20, i%6*20)
	}
	level := func(v uint8) int { return (int(v)*5 + 127) / 255 }
	for y := 0; y < h; y += 6 {
		bands := map[int][]byte{}
		var order []int
		for x := range w {
			for dy := 0; dy < 6 && y+dy < h; dy++ {
				c := img.RGBAAt(x, y+dy)
				n := level(c.R)*36 + level(c.G)*6 + level(c.B)
				if bands[n] == nil {
					bands[n] = make([]byte, w)
					order = append(order, n)
				}
				bands[n][x] |= 1 << dy
			}
		}
		for _, n := range order {
			fmt.Fprintf(&b, "#%d", n)
			row := bands[n]
			for x := 0; x < w; {
				run := 1
				for x+run < w && row[x+run] == row[x] {
					run++
				}
				if run > 3 {
					fmt.Fprintf(&b, "!%d%c", run, 63+row[x])
				} else {
					b.Write(bytes.Repeat([]byte{63 + row[x]}, run))
				}
				x += run
			}
			b.WriteByte('$')
		}
		b.WriteByte('-')
	}
	b.WriteString("\x1b\\")
	_, err := out.Write(b.Bytes())
	return err
}
