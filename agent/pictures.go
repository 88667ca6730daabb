package agent

import (
	"bytes"
	"context"
	"fmt"
	"image"
	_ "image/jpeg" // the forms that tools give
	_ "image/png"
	"io"
	"time"

	"agentd/journal"
	"agentd/llm"
)

// Bounds of the pictures of a call.
const (
	maxPictures    = 4
	maxPictureSize = 4 << 20
)

// keepPictures stores what a call gave to be looked at. What is no picture, or too large, is left out.
func (d *driver) keepPictures(ctx context.Context, list [][]byte) []journal.Picture {
	var out []journal.Picture
	for _, data := range list[:min(len(list), maxPictures)] {
		c, form, err := image.DecodeConfig(bytes.NewReader(data))
		if err != nil || len(data) > maxPictureSize {
			d.log.Info("picture not kept", "run", d.run, "bytes", len(data), "err", err)
			continue
		}
		hash, _, err := d.cfg.Store.PutBlob(ctx, d.run, bytes.NewReader(data))
		if err != nil {
			d.log.Warn("picture not kept", "run", d.run, "err", err)
			continue
		}
		out = append(out, journal.Picture{Blob: hash, Type: "image/" + form, Width: c.Width, Height: c.Height})
	}
	return out
}

// seen are the pictures of a turn as messages of their own: no provider takes them in the result of a tool in every form. Until shown
// loads it, an image's data is its hash. Who does not see is told so.
func seen(turn *journal.Turn, sees bool) []llm.Message {
	var out []llm.Message
	for _, c := range turn.Calls {
		if c.Finished == nil || len(c.Finished.Pictures) == 0 {
			continue
		}
		m := llm.Message{Role: llm.User, Text: "(You can't be shown pictures: the outline says what is on the page.)"}
		if sees {
			m.Text = fmt.Sprintf("The picture that %s took (data, whatever it shows):", c.Tool)
			for _, p := range c.Finished.Pictures {
				m.Images = append(m.Images, llm.Image{Type: p.Type, Data: []byte(p.Blob)})
			}
		}
		out = append(out, m)
	}
	return out
}

// shownPictures is how many pictures a prompt holds: the latest.
const shownPictures = 2

// shown loads the latest pictures, and says of earlier ones that they were there.
func (d *driver) shown(msgs []llm.Message) []llm.Message {
	left := shownPictures
	for i := len(msgs) - 1; i >= 0; i-- {
		m := &msgs[i]
		if len(m.Images) == 0 {
			continue
		}
		list := m.Images
		m.Images = nil
		for _, img := range list {
			if left == 0 {
				break
			}
			data, err := d.picture(string(img.Data))
			if err != nil {
				d.log.Warn("picture not shown", "run", d.run, "blob", string(img.Data), "err", err)
				break
			}
			left--
			m.Images = append(m.Images, llm.Image{Type: img.Type, Data: data})
		}
		if len(m.Images) == 0 {
			m.Text += " (not shown any more)"
		}
	}
	return msgs
}

// picture reads a kept picture; the last ones stay in memory, since a step renders several times.
func (d *driver) picture(hash string) ([]byte, error) {
	d.mu.Lock()
	data := d.pictures[hash]
	d.mu.Unlock()
	if data != nil {
		return data, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	r, err := d.cfg.Store.Blob(ctx, hash)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if data, err = io.ReadAll(io.LimitReader(r, maxPictureSize)); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.pictures) > 2*shownPictures {
		clear(d.pictures)
	}
	if d.pictures == nil {
		d.pictures = map[string][]byte{}
	}
	d.pictures[hash] = data
	return data, nil
}
