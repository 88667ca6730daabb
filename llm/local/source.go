package local

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// answerTime is what a host has to begin its answer.
const answerTime = 3 * time.Second

// stallTime is how long a transfer may bring nothing.
const stallTime = 30 * time.Second

// transport is how things are fetched.
type transport struct {
	client *http.Client
	run    func(ctx context.Context, dir, program string, args ...string) error
	silent *hostMemory
}

func newTransport() transport {
	return transport{
		client: &http.Client{Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: answerTime}).DialContext,
			TLSHandshakeTimeout:   answerTime,
			ResponseHeaderTimeout: answerTime,
			ForceAttemptHTTP2:     true,
		}},
		run:    runClient,
		silent: &hostMemory{hosts: map[string]time.Time{}},
	}
}

// hostMemory remembers hosts that didn't answer, so that the wait is paid once.
type hostMemory struct {
	mu    sync.Mutex
	hosts map[string]time.Time
}

func (h *hostMemory) recent(host string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Since(h.hosts[host]) < time.Minute
}

func (h *hostMemory) note(host string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hosts[host] = time.Now()
}

// download fetches url into file, going on where an earlier one ended. It doesn't verify.
func (t transport) download(ctx context.Context, url, file string, size int64, seen func(int64)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	have, err := f.Seek(0, io.SeekEnd)
	if err != nil || size > 0 && have == size {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if t.silent.recent(req.URL.Host) {
		return fmt.Errorf("%s didn't answer a moment ago", req.URL.Host)
	}
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	slow := time.AfterFunc(answerTime, func() { cancel(fmt.Errorf("no answer within %v", answerTime)) })
	resp, err := t.client.Do(req)
	if err != nil {
		if !slow.Stop() || ctx.Err() == nil {
			t.silent.note(req.URL.Host)
		}
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return fmt.Errorf("%s: %w", req.URL.Host, err)
	}
	slow.Stop()
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusPartialContent && have > 0:
	case resp.StatusCode == http.StatusOK:
		have = 0 // the host sends all of it
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		os.Remove(file)
		return fmt.Errorf("%s has another file: %s", req.URL.Host, resp.Status)
	default:
		return fmt.Errorf("%s answered %s", req.URL.Host, resp.Status)
	}
	if err := f.Truncate(have); err != nil {
		return err
	}
	if _, err := f.Seek(have, io.SeekStart); err != nil {
		return err
	}
	stall := time.AfterFunc(stallTime, func() { cancel(fmt.Errorf("nothing came for %v", stallTime)) })
	defer stall.Stop()
	body := io.Reader(resp.Body)
	if size > 0 {
		body = io.LimitReader(body, size-have+1)
	}
	n, err := io.Copy(f, &watched{ctx: ctx, r: body, seen: func(n int64) {
		stall.Reset(stallTime)
		seen(have + n)
	}})
	switch {
	case context.Cause(ctx) != nil:
		return fmt.Errorf("%s: %w; run the same command again to go on", req.URL.Host, context.Cause(ctx))
	case err != nil:
		return fmt.Errorf("%s: %w; run the same command again to go on", req.URL.Host, err)
	case size > 0 && have+n != size:
		return fmt.Errorf("%s sent %d bytes instead of %d", req.URL.Host, have+n, size)
	}
	return f.Close()
}

// runClient runs a registry's client in dir. Its error carries the end of what it said.
func runClient(ctx context.Context, dir, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.WaitDelay = 2 * time.Second
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	said := strings.TrimSpace(string(out))
	if len(said) > 400 {
		said = "…" + said[len(said)-400:]
	}
	return fmt.Errorf("%s: %w: %s", program, err, said)
}

// pip downloads wheels of one version into dir and returns their paths. Nothing of them is run or built, and they aren't
// kept a second time in pip's cache.
func (t transport) pip(ctx context.Context, dir string, names []string, version string) ([]string, error) {
	args := []string{"download", "--no-deps", "--only-binary", ":all:", "--no-input", "--no-cache-dir",
		"--disable-pip-version-check", "--quiet", "--dest", dir}
	for _, n := range names {
		args = append(args, n+"=="+version)
	}
	var err error
	for _, client := range [][]string{{"pip3"}, {"pip"}, {"python3", "-m", "pip"}} {
		err = t.run(ctx, dir, client[0], append(client[1:len(client):len(client)], args...)...)
		if !errors.Is(err, exec.ErrNotFound) {
			break
		}
	}
	if errors.Is(err, exec.ErrNotFound) {
		return nil, errors.New("no pip on this machine: install python3-pip")
	}
	if err != nil {
		return nil, err
	}
	files := make([]string, len(names))
	for i, n := range names {
		found, err := filepath.Glob(filepath.Join(dir, strings.NewReplacer("-", "_", ".", "_").Replace(n)+"-"+version+"-*.whl"))
		if err != nil || len(found) != 1 {
			return nil, fmt.Errorf("pip left no wheel of %s %s in %s", n, version, dir)
		}
		files[i] = found[0]
	}
	return files, nil
}

func (s *Store) chatFromWeb(ctx context.Context, it Item, part string, report func(Progress)) (string, error) {
	file := filepath.Join(part, "web.gguf")
	const from = "Hugging Face"
	if err := s.net.download(ctx, it.url, file, it.Size, func(n int64) {
		report(Progress{Phase: "download", Source: from, Done: n})
	}); err != nil {
		return "", err
	}
	return file, verify(ctx, file, it.SHA256, func(n int64) { report(Progress{Phase: "verify", Source: from, Done: n}) })
}

// A client's start costs a second on a small machine, so that each fetches some wheels, and two run at a time.
const (
	clients   = 2
	perClient = 3
)

// fetchParts downloads the next few parts, from the given one on.
func (s *Store) fetchParts(ctx context.Context, w wheels, dir string, from int, tell func(int64)) ([]string, error) {
	var groups [clients][]string
	g, ctx := errgroup.WithContext(ctx)
	for c := range groups {
		var names []string
		for i := from + c*perClient; i < min(from+(c+1)*perClient, w.parts); i++ {
			names = append(names, w.wheel(i))
		}
		if len(names) == 0 {
			break
		}
		g.Go(func() (err error) {
			groups[c], err = s.net.pip(ctx, dir, names, w.version)
			if err == nil {
				tell(int64(len(names)) * w.partSize)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(groups[:]...), nil
}

// chatFromWheels puts a model together from wheels. The parts have one size, so that the length of the file says which
// are in it; a wheel is deleted once it is.
func (s *Store) chatFromWheels(ctx context.Context, it Item, part string, report func(Progress)) (string, error) {
	w := *it.pip
	if w.parts == 0 {
		w.parts, w.partSize = 1, it.Size
	}
	out, err := os.OpenFile(filepath.Join(part, "wheels.gguf"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", err
	}
	defer out.Close()
	have, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return "", err
	}
	done := int(have / w.partSize) // whole parts
	if have == it.Size {
		done = w.parts
	}
	if err := out.Truncate(min(int64(done)*w.partSize, it.Size)); err != nil {
		return "", err
	}
	if _, err := out.Seek(0, io.SeekEnd); err != nil {
		return "", err
	}
	var fetched atomic.Int64
	fetched.Store(int64(done) * w.partSize)
	tell := func(n int64) {
		report(Progress{Phase: "download", Source: "pip", Done: min(fetched.Add(n), it.Size)})
	}
	tell(0)
	for from := done; from < w.parts; {
		files, err := s.fetchParts(ctx, w, part, from, tell)
		if err != nil {
			return "", err
		}
		for i, f := range files {
			size := min(w.partSize, it.Size-int64(from+i)*w.partSize)
			if err := appendEntry(out, f, w.entryName(from+i), size); err != nil {
				return "", err
			}
			if err := os.Remove(f); err != nil {
				return "", err
			}
		}
		from += len(files)
	}
	if err := out.Sync(); err != nil {
		return "", err
	}
	return out.Name(), verify(ctx, out.Name(), it.SHA256, func(n int64) {
		report(Progress{Phase: "verify", Source: "pip", Done: n})
	})
}

func (w wheels) wheel(i int) string {
	if strings.Contains(w.entry, "%") {
		return fmt.Sprintf("%s%d", w.name, i+1)
	}
	return w.name
}

func (w wheels) entryName(i int) string {
	if strings.Contains(w.entry, "%") {
		return fmt.Sprintf(w.entry, i+1)
	}
	return w.entry
}

// appendEntry copies the one entry of a wheel whose name ends so, of exactly this size.
func appendEntry(out io.Writer, wheel, suffix string, size int64) error {
	z, err := zip.OpenReader(wheel)
	if err != nil {
		os.Remove(wheel)
		return fmt.Errorf("open %s: %w", filepath.Base(wheel), err)
	}
	defer z.Close()
	for _, e := range z.File {
		if !strings.HasSuffix(e.Name, "/"+suffix) {
			continue
		}
		if size >= 0 && int64(e.UncompressedSize64) != size {
			return fmt.Errorf("%s in %s has %d bytes, not %d", suffix, filepath.Base(wheel), e.UncompressedSize64, size)
		}
		r, err := e.Open()
		if err != nil {
			return err
		}
		defer r.Close()
		if _, err := io.Copy(out, io.LimitReader(r, int64(e.UncompressedSize64))); err != nil {
			return fmt.Errorf("read %s: %w", filepath.Base(wheel), err)
		}
		return nil
	}
	return fmt.Errorf("%s isn't in %s", suffix, filepath.Base(wheel))
}

// libraryFromNpm takes the pinned files out of the package's archive.
func (s *Store) libraryFromNpm(ctx context.Context, it Item, part string, report func(Progress)) (string, error) {
	report(Progress{Phase: "download", Source: "npm"})
	err := s.net.run(ctx, part, "npm", "pack", "--ignore-scripts", "--silent", "--no-audit", "--no-fund", "--pack-destination", part, it.npm)
	if errors.Is(err, exec.ErrNotFound) {
		return "", errors.New("no npm on this machine: install npm, or set AGENTD_LLAMA to a folder with the libraries of llama.cpp v0.5.0")
	}
	if err != nil {
		return "", err
	}
	found, err := filepath.Glob(filepath.Join(part, "*.tgz"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("npm left no archive of %s", it.npm)
	}
	if err := verify(ctx, found[0], it.SHA256, nil); err != nil {
		return "", err
	}
	report(Progress{Phase: "verify", Source: "npm", Done: it.Size})
	dir := filepath.Join(part, "lib")
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	if err := unpack(found[0], dir, it.files); err != nil {
		return "", err
	}
	for f, want := range it.files {
		if err := verify(ctx, filepath.Join(dir, f), want, nil); err != nil {
			return "", err
		}
	}
	for name, target := range it.links {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// maxLibrary bounds one file of a library.
const maxLibrary = 64 << 20

// unpack writes those regular files of a tgz that are wanted, by their base name.
func unpack(archive, dir string, wanted map[string]string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("open %s: %w", filepath.Base(archive), err)
	}
	t := tar.NewReader(z)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", filepath.Base(archive), err)
		}
		name := path.Base(h.Name)
		if _, ok := wanted[name]; !ok || h.Typeflag != tar.TypeReg {
			continue
		}
		if h.Size > maxLibrary {
			return fmt.Errorf("%s in %s has %d bytes", name, filepath.Base(archive), h.Size)
		}
		out, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, io.LimitReader(t, h.Size))
		if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
			return fmt.Errorf("unpack %s: %w", name, err)
		}
	}
}

func (s *Store) embedFromWeb(ctx context.Context, it Item, part string, report func(Progress)) (string, error) {
	var base int64
	for _, f := range embedInputs {
		size := embedSizes[f]
		file := filepath.Join(part, f)
		if err := s.net.download(ctx, it.url+f, file, size, func(n int64) {
			report(Progress{Phase: "download", Source: "Hugging Face", Done: base + n})
		}); err != nil {
			return "", err
		}
		base += size
	}
	return s.convertEmbedder(ctx, it, part, report)
}

func (s *Store) embedFromWheel(ctx context.Context, it Item, part string, report func(Progress)) (string, error) {
	report(Progress{Phase: "download", Source: "pip"})
	got, err := s.net.pip(ctx, part, []string{it.pip.name}, it.pip.version)
	if err != nil {
		return "", err
	}
	for _, f := range embedInputs {
		out, err := os.Create(filepath.Join(part, f))
		if err != nil {
			return "", err
		}
		err = appendEntry(out, got[0], it.pip.entry+f, -1)
		if err = errors.Join(err, out.Close()); err != nil {
			return "", err
		}
	}
	report(Progress{Phase: "download", Source: "pip", Done: it.bytes()})
	return s.convertEmbedder(ctx, it, part, report)
}

var (
	embedInputs = []string{"vocab.txt", "model.safetensors"}
	embedSizes  = map[string]int64{"vocab.txt": minilmVocabSize, "model.safetensors": minilmWeightSize}
)

// convertEmbedder verifies the inputs and writes the model that the server loads.
func (s *Store) convertEmbedder(ctx context.Context, it Item, part string, report func(Progress)) (string, error) {
	report(Progress{Phase: "convert"})
	for _, f := range embedInputs {
		if err := verify(ctx, filepath.Join(part, f), it.files[f], nil); err != nil {
			return "", err
		}
	}
	out := filepath.Join(part, "out.gguf")
	if err := convertMiniLM(part, out, quantQ8); err != nil {
		return "", fmt.Errorf("convert: %w", err)
	}
	return out, verify(ctx, out, it.SHA256, nil)
}
