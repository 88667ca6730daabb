package agent

import (
	"bytes"
	"context"
	"image"
	_ "image/jpeg" // the forms that tools give
	_ "image/png"

	"agentd/journal"
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
