package agent_test

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"strings"
	"testing"

	"agentd/agent"
	"agentd/journal"
	"agentd/llm"
	"agentd/tools"
	"agentd/tools/args"
)

// camera is a browser whose screenshots are pictures of a size that counts up.
type camera struct {
	*view
	shots *int
}

// cameras are the browser of one.
type cameras struct{ camera }

func (c cameras) Tabs(string) tools.Tabs { return c.camera }

func (c cameras) Close() error { return nil }

func (c camera) Do(ctx context.Context, env tools.Env, a args.Browser) (tools.Result, error) {
	*c.shots++
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, *c.shots, 1))); err != nil {
		return tools.Result{}, err
	}
	return tools.Result{OK: true, Output: tools.Text("wrote a picture"), Pictures: [][]byte{b.Bytes(), []byte("no picture")}}, nil
}

// A model that sees is shown the latest pictures that a run took; another is told that it can't be. What was sent can be rendered again.
func TestPictures(t *testing.T) {
	for _, sees := range []bool{true, false} {
		var asked []*llm.Request
		m := &model{info: llm.Info{Name: "test/m", Window: 100000, Sees: sees}, reply: func(_ int, r *llm.Request) (*llm.Reply, error) {
			asked = append(asked, r)
			if n := strings.Count(words(r), "wrote a picture"); n < 3 {
				return calling("browser", `{"action":"screenshot","to":"`+strings.Repeat("x", n+1)+`.png"}`), nil
			}
			return calling("finish", `{"result":"done"}`), nil
		}}
		r := newRig(t, m)
		withBrowser(r, nil)
		shots := 0
		r.cfg.Browser = func(journal.RunID, journal.RunStarted, map[string][]tools.Tab) (tools.Browser, error) {
			return cameras{camera{&view{&window{}, "a"}, &shots}}, nil
		}
		r.restart()
		id := r.start(agent.Request{Goal: lookAround, Model: "test/m", Browser: "on"})
		s := r.ended(id)
		last := asked[len(asked)-1]
		var widths []int
		for _, msg := range last.Messages {
			for _, img := range msg.Images {
				c, err := png.DecodeConfig(bytes.NewReader(img.Data))
				if err != nil || img.Type != "image/png" {
					t.Fatalf("%s: %v", img.Type, err)
				}
				widths = append(widths, c.Width)
			}
		}
		text := words(last)
		if sees && (len(widths) != 2 || widths[0] != 2 || widths[1] != 3 || strings.Count(text, "not shown any more") != 1) {
			t.Errorf("pictures of the widths %v in\n%s", widths, text)
		}
		if !sees && (len(widths) != 0 || !strings.Contains(text, "You can't be shown pictures")) {
			t.Errorf("%d pictures in\n%s", len(widths), text)
		}
		if s.Shot == nil || s.Shot.Width != 3 || s.Shot.Type != "image/png" {
			t.Errorf("the last picture is %+v", s.Shot)
		}
		sent, err := r.Context(t.Context(), id, s.Spent.Steps)
		if err != nil || !sent.Verified {
			t.Errorf("what was sent is rendered otherwise: %v", err)
		}
	}
}

// words are the texts of a request.
func words(r *llm.Request) string {
	var b strings.Builder
	for _, m := range r.Messages {
		b.WriteString(m.Text + "\n")
	}
	return b.String()
}
