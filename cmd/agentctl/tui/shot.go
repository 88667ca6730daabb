package tui

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"os/exec"

	tea "charm.land/bubbletea/v2"

	"agentd/journal"
)

// maxShot bounds the bytes of a picture.
const maxShot = 32 << 20

// pictured is a client of a daemon that keeps the pictures of a run, and lets a person into its browser.
type pictured interface {
	Screenshot(ctx context.Context, run journal.RunID, w io.Writer) (kind string, err error)
}

func hasBrowser(m *Model) bool {
	_, ok := any(m.client).(pictured)
	return ok && hasState(m) && m.run.state.Start.Browser != ""
}

func canTakeOver(m *Model) bool { return hasBrowser(m) && isLive(m) }

// shotBox shows the last picture that a run's browser took.
type shotBox struct {
	run   journal.RunID
	img   image.Image
	w, h  int // that lines are for
	lines []string
}

// shotMsg is a run's last picture.
type shotMsg struct {
	run journal.RunID
	img image.Image
	err error
}

func showShot(m *Model) tea.Cmd {
	ctx, run := m.ctx, m.run.id
	c, ok := any(m.client).(pictured)
	if !ok {
		return nil
	}
	return func() tea.Msg {
		w := &limited{left: maxShot}
		if _, err := c.Screenshot(ctx, run, w); err != nil {
			return shotMsg{run: run, err: err}
		}
		img, err := decodePicture(w.buf.Bytes())
		return shotMsg{run: run, img: img, err: err}
	}
}

// gotShot shows it: by the terminal's own graphics on a screen of its own, else drawn with half-blocks in front of the run.
func (m *Model) gotShot(msg shotMsg) tea.Cmd {
	switch {
	case m.run == nil || m.run.id != msg.run:
		return nil
	case msg.err != nil:
		return m.fail("the browser's picture", msg.err)
	}
	if g := graphicsOf(m.getenv); g != halfBlocks {
		show := &pictureScreen{g: g, img: msg.img, w: m.w, h: m.h, run: msg.run}
		return tea.Exec(show, func(err error) tea.Msg { return doneMsg{words: "picture", run: msg.run, err: err} })
	}
	m.push(&shotBox{run: msg.run, img: msg.img})
	return nil
}

// getenv looks a variable of the terminal's environment up.
func (m *Model) getenv(key string) string {
	for i := len(m.opt.Environ) - 1; i >= 0; i-- {
		if e := m.opt.Environ[i]; len(e) > len(key) && e[len(key)] == '=' && e[:len(key)] == key {
			return e[len(key)+1:]
		}
	}
	return ""
}

func (b *shotBox) key(m *Model, k tea.KeyPressMsg) tea.Cmd {
	switch k.String() {
	case "esc", "q", "i", "enter", "ctrl+c":
		m.pop()
	}
	return nil
}

func (b *shotBox) paste(*Model, string) tea.Cmd { return nil }
func (b *shotBox) keys() string                 { return "esc back" }

func (b *shotBox) view(_ *Model, w, h int) []string {
	if b.w != w || b.h != h {
		b.w, b.h, b.lines = w, h, blocks(b.img, max(w-4, 1), max(h-3, 1))
	}
	bw := min(max(width(b.lines[0])+4, 40), w)
	return boxed("What the browser of "+line(string(b.run))+" showed last", b.lines, bw)
}

// pictureScreen draws a picture on a screen that is not the program's, and waits for a key.
type pictureScreen struct {
	g    graphics
	img  image.Image
	w, h int
	run  journal.RunID
	in   io.Reader
	out  io.Writer
}

// SetStdin implements tea.ExecCommand.
func (p *pictureScreen) SetStdin(r io.Reader) { p.in = r }

// SetStdout implements tea.ExecCommand.
func (p *pictureScreen) SetStdout(w io.Writer) { p.out = w }

// SetStderr implements tea.ExecCommand.
func (p *pictureScreen) SetStderr(io.Writer) {}

// Run implements tea.ExecCommand.
func (p *pictureScreen) Run() error {
	if _, err := fmt.Fprintf(p.out, "\x1b[2J\x1b[H%s: what the browser showed last · Enter goes back\r\n\r\n", line(string(p.run))); err != nil {
		return err
	}
	if err := drawPicture(p.out, p.g, p.img, p.w, max(p.h-4, 1)); err != nil {
		return err
	}
	for one := make([]byte, 1); ; {
		if _, err := p.in.Read(one); err != nil || one[0] == '\n' || one[0] == '\r' || one[0] == 'q' {
			break
		}
	}
	_, err := io.WriteString(p.out, "\x1b[2J\x1b[H")
	return err
}

// takeOver hands the terminal to agentctl browser, which lets a person into the run's browser, until it ends.
func takeOver(m *Model) tea.Cmd {
	run := m.run.id
	self, err := os.Executable()
	if err != nil {
		return m.fail("take over", err)
	}
	cmd := exec.CommandContext(m.ctx, self, "browser", string(run))
	cmd.Env = m.opt.Environ
	return tea.ExecProcess(cmd, func(err error) tea.Msg {
		var left *exec.ExitError
		if errors.As(err, &left) { // it has said why
			err = nil
		}
		return doneMsg{words: "browser", run: run, err: err}
	})
}
