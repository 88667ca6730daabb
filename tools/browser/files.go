package browser

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/page"
)

// download is a file that the browser fetches.
type download struct {
	id, name, url string
	task          *Task
	total         float64
	state         browser.DownloadProgressState
	fetched       bool // or given up
}

// downloadBegins notes a download. mu is held.
func (b *Browser) downloadBegins(ev *browser.EventDownloadWillBegin) {
	d := &download{id: ev.GUID, name: fileName(ev.SuggestedFilename), url: bounded(ev.URL, 300), state: browser.DownloadProgressStateInProgress}
	for _, t := range b.targets {
		if t.frames[ev.FrameID] != nil && t.task != nil {
			d.task = t.task
			t.loading = false // it leads to no document
		}
	}
	if len(b.files) > 1000 || strings.ContainsAny(ev.GUID, "/\x00") || ev.GUID == "" {
		return
	}
	b.files[ev.GUID] = d
}

func (d *download) progress(ev *browser.EventDownloadProgress) {
	d.total, d.state = max(ev.TotalBytes, ev.ReceivedBytes), ev.State
}

// fileName makes a safe name of what a server suggests.
func fileName(s string) string {
	s = path.Base(strings.ReplaceAll(bounded(s, 150), "\\", "/"))
	s = strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune(`<>:"|?*`, r) || r == 0x7f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '_'
		}
		return r
	}, s)
	if s = strings.Trim(s, ". "); s == "" || s == "/" {
		return "download"
	}
	return s
}

// waitDownload waits a moment for a download to begin.
func (x *action) waitDownload(ctx context.Context, had int) bool {
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	return x.b.until(short, func() bool { return len(x.b.files) > had })
}

// mine lists the task's downloads that are not yet in the workspace. mu is held.
func (x *action) mine() []*download {
	var out []*download
	for _, d := range x.b.files {
		if d.task == x.Task && !d.fetched {
			out = append(out, d)
		}
	}
	return out
}

// fetchDownloads brings finished downloads into the workspace, and waits a while for those that are under way.
func (x *action) fetchDownloads(ctx context.Context) {
	short, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	x.b.until(short, func() bool {
		for _, d := range x.mine() {
			if d.state == browser.DownloadProgressStateInProgress {
				return x.b.conn == nil
			}
		}
		return true
	})
	x.b.mu.Lock()
	all := x.mine()
	x.b.mu.Unlock()
	for _, d := range all {
		note := ""
		switch d.state {
		case browser.DownloadProgressStateCompleted:
			to, n, err := x.takeDownload(d)
			note = fmt.Sprintf("downloaded %s to %s (%d bytes)", quote(d.url), to, n)
			if err != nil {
				note = fmt.Sprintf("the download of %s could not be kept: %v", quote(d.url), err)
			}
		case browser.DownloadProgressStateCanceled:
			note = fmt.Sprintf("the download of %s broke off", quote(d.url))
		default:
			note = fmt.Sprintf("the download of %s is under way; the action wait gives it time", quote(d.url))
		}
		x.b.mu.Lock()
		d.fetched = d.state != browser.DownloadProgressStateInProgress
		x.say("%s", note)
		x.b.mu.Unlock()
	}
}

// takeDownload copies a finished download to the workspace's folder downloads.
func (x *action) takeDownload(d *download) (string, int64, error) {
	src, err := x.b.openScratch("downloads/" + d.id)
	if err != nil {
		return "", 0, err
	}
	defer src.Close()
	if info, err := src.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", 0, errors.New("it is no file")
	} else if info.Size() > x.b.o.MaxDownload {
		return "", 0, fmt.Errorf("it has %d bytes, more than %d", info.Size(), x.b.o.MaxDownload)
	}
	to, err := x.free("downloads", d.name)
	if err != nil {
		return "", 0, err
	}
	n, err := x.save(to, io.LimitReader(src, x.b.o.MaxDownload))
	if err != nil {
		return "", 0, err
	}
	return to, n, os.Remove(filepath.Join(x.b.o.Scratch, "downloads", d.id))
}

// openScratch opens a file that the browser wrote, and which it may have replaced by anything.
func (b *Browser) openScratch(name string) (*os.File, error) {
	root, err := os.OpenRoot(b.o.Scratch)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no file")
	}
	return root.Open(name)
}

// free finds a name in a workspace folder that nothing has yet.
func (x *action) free(dir, name string) (string, error) {
	if x.env.Root == nil {
		return "", errors.New("there is no workspace")
	}
	ext := path.Ext(name)
	for i := range 1000 {
		p := path.Join(dir, name)
		if i > 0 {
			p = path.Join(dir, fmt.Sprintf("%s-%d%s", strings.TrimSuffix(name, ext), i+1, ext))
		}
		if x.env.Protect != nil && x.env.Protect(p) {
			return "", fmt.Errorf("%s is protected", p)
		}
		if _, err := x.env.Root.Lstat(p); errors.Is(err, fs.ErrNotExist) {
			return p, nil
		} else if err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
	return "", fmt.Errorf("there are a thousand files of the name %s", name)
}

// save writes a new workspace file.
func (x *action) save(name string, r io.Reader) (int64, error) {
	if dir := path.Dir(name); dir != "." {
		if err := x.env.Root.MkdirAll(dir, 0o755); err != nil {
			return 0, err
		}
	}
	f, err := x.env.Root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(f, r)
	if err = errors.Join(err, f.Close()); err == nil {
		x.changed = append(x.changed, name)
	}
	return n, err
}

// workspacePath checks a path that a model gave.
func (x *action) workspacePath(p string) (string, error) {
	p = path.Clean(strings.TrimPrefix(strings.TrimSpace(p), "/workspace/"))
	if x.env.Root == nil {
		return "", errors.New("there is no workspace")
	}
	if !filepath.IsLocal(p) || p == "." {
		return "", refuse("%s is not a path in the workspace", quote(bounded(p, 200)))
	}
	return p, nil
}

const maxUploads = 10

// upload gives files of the workspace to the page. The browser gets copies: it can't see the workspace.
func (x *action) upload(ctx context.Context) (string, error) {
	id, n, err := x.element(x.a.Ref)
	if err != nil {
		return "", err
	}
	names := strings.Split(strings.TrimSpace(x.a.Text), "\n")
	if x.a.Text == "" || len(names) > maxUploads {
		return "", refuse("upload needs one to %d workspace paths as text, one a line", maxUploads)
	}
	dir, err := os.MkdirTemp(filepath.Join(x.b.o.Scratch, "uploads"), "")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	var seen []string
	for _, name := range names {
		p, err := x.workspacePath(name)
		if err != nil {
			return "", err
		}
		if err := x.copyUp(p, filepath.Join(dir, path.Base(p))); err != nil {
			return "", refuse("nothing was uploaded: %v", err)
		}
		seen = append(seen, path.Join(x.b.o.SeenScratch, "uploads", filepath.Base(dir), path.Base(p)))
	}
	c, f, err := x.t.ready(ctx, id)
	if err != nil {
		return "", err
	}
	obj, err := x.t.handle(ctx, c, f, fmt.Sprintf("agentd.fileOf(%d)", n))
	if errors.Is(err, errStale) {
		var there bool
		if x.t.js(ctx, id, &there, "present", n) == nil && there {
			return "", refuse("%s takes no file: use the element file of the outline", x.a.Ref)
		}
	}
	if err != nil {
		return "", err
	}
	began, requested := x.stand()
	if _, err := call(ctx, c, f.session, dom.SetFileInputFiles, dom.SetFileInputFilesParams{Files: seen, ObjectID: obj}); err != nil {
		return "", err
	}
	x.t.settle(ctx, began, requested)
	return x.after(ctx, fmt.Sprintf("chosen: %s; the page has the file once it is sent", quote(strings.Join(names, ", "))))
}

// copyUp copies one workspace file to where the browser can read it.
func (x *action) copyUp(from, to string) error {
	src, err := x.env.Root.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() > x.b.o.MaxDownload {
		return fmt.Errorf("%s is no file, or one of more than %d bytes", from, x.b.o.MaxDownload)
	}
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, io.LimitReader(src, x.b.o.MaxDownload))
	return errors.Join(err, dst.Close())
}

// screenshot writes a picture of what is visible to the workspace; with the text "refs", the elements' refs are drawn in.
func (x *action) screenshot(ctx context.Context) (string, error) {
	to := ""
	if x.a.To != "" {
		p, err := x.workspacePath(x.a.To)
		if err != nil {
			return "", err
		}
		if path.Ext(p) == "" {
			p += ".png"
		}
		if to, err = x.free(path.Dir(p), path.Base(p)); err != nil {
			return "", refuse("%v", err)
		}
	}
	if to == "" {
		var err error
		if to, err = x.free("screenshots", "page.png"); err != nil {
			return "", err
		}
	}
	post(x.c, x.session(), page.BringToFront, cdp.Empty{})
	p := page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatPng}
	if strings.HasSuffix(to, ".jpg") || strings.HasSuffix(to, ".jpeg") {
		quality := int64(80)
		p.Format, p.Quality = page.CaptureScreenshotFormatJpeg, &quality
	}
	if x.a.Ref != "" {
		at, err := x.aim(ctx, x.a.Ref)
		if err != nil {
			return "", err
		}
		id, n, err := x.element(x.a.Ref)
		if err != nil {
			return "", err
		}
		var r *struct{ X, Y, W, H float64 }
		if err := x.t.js(ctx, id, &r, "rect", n); err != nil || r == nil {
			return "", errors.Join(errStale, err)
		}
		var top struct{ Y, X float64 }
		if err := x.t.js(ctx, x.t.main, &top, "offset"); err != nil {
			return "", err
		}
		p.Clip = &page.Viewport{X: top.X + at.X - r.W/2, Y: top.Y + at.Y - r.H/2, Width: min(r.W, 4000), Height: min(r.H, 4000), Scale: 1}
		if id == x.t.main {
			p.Clip.X, p.Clip.Y = top.X+r.X, top.Y+r.Y
		}
	}
	if x.a.Text == "refs" {
		s, err := x.t.captureFrame(ctx, x.t.main)
		if err != nil {
			return "", err
		}
		marks := [][2]any{}
		for _, l := range s.Lines {
			for _, m := range refPattern.FindAllString(unquoted(l.text), -1) {
				n := 0
				if _, err := fmt.Sscanf(m, "[e%d]", &n); err == nil {
					marks = append(marks, [2]any{n, strings.Trim(m, "[]")})
				}
			}
		}
		if err := x.t.js(ctx, x.t.main, nil, "marks", marks); err != nil {
			return "", err
		}
		defer func() {
			clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			_ = x.t.js(clean, x.t.main, nil, "unmark") // a page that is gone has no marks
		}()
	}
	shot, err := call(ctx, x.c, x.session(), page.CaptureScreenshot, p)
	if err != nil {
		return "", err
	}
	if _, err := x.save(to, strings.NewReader(string(shot.Data))); err != nil {
		return "", refuse("the picture could not be written: %v", err)
	}
	x.shots = append(x.shots, small(shot.Data))
	return "wrote " + to + "\n", nil
}

// small is a picture as a JPEG, which has a tenth of the bytes; what is none stays as it is.
func small(data []byte) []byte {
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return data
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 75}); err != nil || b.Len() >= len(data) {
		return data
	}
	return b.Bytes()
}

// unquoted is a line without the text that comes from the page.
func unquoted(s string) string {
	var b strings.Builder
	in := false
	for i := 0; i < len(s); i++ {
		switch {
		case in && s[i] == '\\':
			i++
		case s[i] == '"':
			in = !in
		case !in:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
