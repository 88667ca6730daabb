// Package browser drives a Chromium for a run: pages as text with refs, actions by ref, and what a page can do to whoever
// visits it contained.
package browser

import (
	"context"
	_ "embed" // the injected script
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/target"

	"agentd/tools"
)

//go:embed outline.js
var script string

// world is the name of the isolated world that the script lives in.
const world = "agentd"

// ErrClosed is returned once a Browser is closed.
var ErrClosed = errors.New("the browser is closed")

// Options are what a Browser needs. Program, Start and Scratch must be given.
type Options struct {
	// Program is the browser's executable, from Find.
	Program string
	// Start starts it: OnHost, or InBox.
	Start Start
	// Scratch is a host folder of this browser alone, from NewScratch, for what is downloaded and uploaded. Close removes it.
	Scratch string
	// SeenScratch is where the browser sees Scratch. Empty means at the same place.
	SeenScratch string
	// Profile is the browser's profile folder, as it sees it. Empty means a folder in Scratch.
	Profile string
	// Proxy is the only way out, as host:port. Empty means that connections are made directly.
	Proxy string
	// NoSandbox turns the browser's own sandbox off: as root, or in a box, which is the better one.
	NoSandbox bool
	// Tabs are those that an earlier browser of the run had, by task. They are opened again, by address, at a task's first use.
	Tabs map[string][]tools.Tab
	// Level is the isolation that Start gives, for results.
	Level string
	// MaxDownload bounds one file, in bytes. 0 means 256 MiB.
	MaxDownload int64
	// Log receives what an operator would act on. Nil discards.
	Log *slog.Logger
}

// InBoxOptions completes o for a browser that InBox starts. proxied says that the box has a way out.
func (o Options) InBoxOptions(proxied bool) Options {
	o.SeenScratch, o.Profile, o.NoSandbox, o.Proxy = boxScratch, boxProfile, true, ""
	if proxied {
		o.Proxy = boxProxy
	}
	return o
}

// Browser is the browser of one run. It starts at first use, and again when it dies. It is safe for concurrent use; the
// actions of one Task happen one after the other.
type Browser struct {
	o      Options
	ctx    context.Context
	cancel context.CancelCauseFunc

	starting sync.Mutex // held while the browser is started

	mu       sync.Mutex // guards the fields below and all of tabs, frames and downloads; nothing blocks under it
	changed  chan struct{}
	conn     *conn
	proc     Process
	starts   int
	sessions map[target.SessionID]*tab
	targets  map[target.ID]*tab
	nextTab  int
	front    *tab // the tab that is drawn, as far as is known
	tasks    map[string]*Task
	files    map[string]*download // by the browser's id
}

// New checks o. The browser starts when it is first needed.
func New(o Options) (*Browser, error) {
	if o.Program == "" || o.Start == nil || o.Scratch == "" {
		return nil, errors.New("browser: Program, Start and Scratch must be given")
	}
	if o.SeenScratch == "" {
		o.SeenScratch = o.Scratch
	}
	if o.Profile == "" {
		o.Profile = filepath.Join(o.SeenScratch, "profile")
	}
	if o.MaxDownload == 0 {
		o.MaxDownload = 256 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	for _, d := range []string{"downloads", "uploads"} {
		if err := os.MkdirAll(filepath.Join(o.Scratch, d), 0o700); err != nil {
			return nil, fmt.Errorf("browser: %w", err)
		}
	}
	b := &Browser{o: o, changed: make(chan struct{}), sessions: map[target.SessionID]*tab{}, targets: map[target.ID]*tab{}, tasks: map[string]*Task{}, files: map[string]*download{}}
	b.ctx, b.cancel = context.WithCancelCause(context.Background())
	for _, tabs := range o.Tabs {
		for _, t := range tabs {
			b.nextTab = max(b.nextTab, tabNumber(t.ID))
		}
	}
	return b, nil
}

// Close ends the browser and all of its processes, and removes what it left.
func (b *Browser) Close() error {
	b.cancel(ErrClosed)
	b.starting.Lock() // nobody starts it again
	defer b.starting.Unlock()
	b.end()
	return os.RemoveAll(b.o.Scratch)
}

// end kills the browser, if one runs, and waits for its end.
func (b *Browser) end() {
	b.mu.Lock()
	c, p := b.conn, b.proc
	b.conn, b.proc = nil, nil
	b.notify()
	b.mu.Unlock()
	if p != nil {
		p.Kill()
		if err := p.Wait(); err != nil {
			b.o.Log.Debug("browser ended", "err", err)
		}
	}
	if c != nil {
		c.close()
	}
}

// notify wakes all that wait for a change. mu is held.
func (b *Browser) notify() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// until waits until ok, which is called with mu held, says true. It returns false when ctx ends first.
func (b *Browser) until(ctx context.Context, ok func() bool) bool {
	for {
		b.mu.Lock()
		done, changed := ok(), b.changed
		b.mu.Unlock()
		if done {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// live returns the connection of a running browser, and starts one if none runs.
func (b *Browser) live(ctx context.Context) (*conn, error) {
	b.starting.Lock()
	defer b.starting.Unlock()
	if b.ctx.Err() != nil {
		return nil, ErrClosed
	}
	b.mu.Lock()
	c := b.conn
	b.mu.Unlock()
	if c != nil {
		select {
		case <-c.gone:
			b.end()
		default:
			return c, nil
		}
	}
	return b.start(ctx)
}

// start starts the browser and opens again, by address, the tabs that an earlier one had. starting is held.
func (b *Browser) start(ctx context.Context) (*conn, error) {
	if err := b.prepareProfile(); err != nil {
		return nil, err
	}
	theirsIn, oursOut, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	oursIn, theirsOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, theirsIn.Close(), oursOut.Close())
	}
	// The process lives as long as the Browser and not as the call that was first to need it.
	proc, err := b.o.Start(b.ctx, b.argv(), []*os.File{theirsIn, theirsOut})
	_, _ = theirsIn.Close(), theirsOut.Close() // the child has its own
	if err != nil {
		_, _ = oursIn.Close(), oursOut.Close() // nothing was said
		return nil, fmt.Errorf("start the browser: %w", err)
	}
	b.mu.Lock()
	b.front = nil
	clear(b.sessions)
	clear(b.targets)
	b.mu.Unlock()
	c := dial(oursIn, oursOut, b.event)
	b.mu.Lock()
	b.conn, b.proc = c, proc
	b.starts++
	again := b.starts > 1
	b.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("the browser did not answer within %v of its start", startTimeout))
	defer cancel()
	if err := b.greet(ctx, c); err != nil {
		b.end()
		return nil, fmt.Errorf("start the browser %s: %w", b.o.Program, err)
	}
	if again {
		b.restore(ctx, c)
	}
	return c, nil
}

// greet makes the browser tell of its tabs and downloads.
func (b *Browser) greet(ctx context.Context, c *conn) error {
	flat := true
	if _, err := call(ctx, c, "", target.SetAutoAttach, target.SetAutoAttachParams{AutoAttach: true, WaitForDebuggerOnStart: true, Flatten: &flat}); err != nil {
		return err
	}
	if _, err := call(ctx, c, "", target.SetDiscoverTargets, target.SetDiscoverTargetsParams{Discover: true}); err != nil {
		return err
	}
	_, err := call(ctx, c, "", browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllowAndName, DownloadPath: b.o.SeenScratch + "/downloads", EventsEnabled: &flat,
	})
	return err
}

// restore opens the tabs of a browser that died again.
func (b *Browser) restore(ctx context.Context, c *conn) {
	b.mu.Lock()
	var lost []*tab
	for _, task := range b.tasks {
		for _, t := range task.tabs {
			t.reset()
			lost = append(lost, t)
		}
	}
	b.mu.Unlock()
	for _, t := range lost {
		fresh, err := b.blank(ctx, c)
		if err != nil {
			b.o.Log.Warn("a tab could not be restored", "tab", t.id, "err", err)
			continue
		}
		b.mu.Lock()
		url := t.url
		t.adopt(fresh)
		t.url = url
		b.targets[t.target], b.sessions[t.session] = t, t
		t.task.say("the browser had died and was started again; tab %s was opened again at its address, and what was typed there is lost", t.id)
		b.mu.Unlock()
		if url == "" || url == "about:blank" {
			continue
		}
		if _, err := t.navigate(ctx, url); err != nil {
			b.o.Log.Warn("a tab could not be restored", "tab", t.id, "err", err)
		}
	}
}

// blank returns a tab that nobody uses, a new one if there is none.
func (b *Browser) blank(ctx context.Context, c *conn) (*tab, error) {
	var found *tab
	b.mu.Lock()
	for _, t := range b.targets {
		if t.task == nil && !t.taken && !t.gone && t.opener == "" {
			found = t
			t.taken = true
			break
		}
	}
	b.mu.Unlock()
	if found == nil {
		res, err := call(ctx, c, "", target.CreateTarget, target.CreateTargetParams{URL: "about:blank"})
		if err != nil {
			return nil, fmt.Errorf("open a tab: %w", err)
		}
		b.mu.Lock()
		found = b.targets[res.TargetID]
		if found != nil {
			found.taken = true
		}
		b.mu.Unlock()
		if found == nil {
			return nil, errors.New("open a tab: the browser did not tell of it")
		}
	}
	if !b.until(ctx, func() bool {
		return found.gone || found.frames[found.main] != nil && found.frames[found.main].world != ""
	}) {
		return nil, fmt.Errorf("open a tab: %w", context.Cause(ctx))
	}
	return found, nil
}

// preferences make a PDF a download, and keep the browser from asking and from looking things up on its own.
const preferences = `{"plugins":{"always_open_pdf_externally":true},"credentials_enable_service":false,"profile":{"password_manager_enabled":false,"password_manager_leak_detection":false},
"dns_prefetching":{"enabled":false},"net":{"network_prediction_options":2},"safebrowsing":{"enabled":false},"search":{"suggest_enabled":false},"translate":{"enabled":false},"autofill":{"enabled":false},"signin":{"allowed":false}}`

func (b *Browser) prepareProfile() error {
	if err := os.WriteFile(filepath.Join(b.o.Scratch, "preferences"), []byte(preferences), 0o644); err != nil {
		return err
	}
	dir, ok := strings.CutPrefix(b.o.Profile, b.o.SeenScratch)
	if !ok {
		return nil // InBox copies it
	}
	dir = filepath.Join(b.o.Scratch, dir, "Default")
	if err := os.RemoveAll(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "Preferences"), []byte(preferences), 0o600)
}

// argv is the browser's command line.
func (b *Browser) argv() []string {
	args := []string{
		b.o.Program, "--remote-debugging-pipe", "--user-data-dir=" + b.o.Profile, "--headless=new", "--no-first-run", "--no-default-browser-check",
		"--disable-background-networking", "--disable-component-update", "--disable-domain-reliability", "--disable-sync", "--disable-default-apps",
		"--disable-extensions", "--disable-breakpad", "--disable-crash-reporter", "--disable-client-side-phishing-detection", "--metrics-recording-only",
		"--disable-dev-shm-usage", "--disable-gpu", "--disable-quic", "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
		"--disable-features=Translate,MediaRouter,OptimizationHints,AutofillServerCommunication,InterestFeedContentSuggestions,HttpsUpgrades,DialMediaRouteProvider,GlobalMediaControls,PaintHolding",
		"--disable-background-timer-throttling", "--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding", "--disable-hang-monitor",
		"--disable-prompt-on-repost", "--disable-ipc-flooding-protection", "--password-store=basic", "--use-mock-keychain", "--mute-audio", "--hide-scrollbars",
		"--disk-cache-size=52428800", "--window-size=1280,900", "--lang=en-US", "--no-pings", "--site-per-process", "--renderer-process-limit=8",
	}
	if b.o.NoSandbox {
		args = append(args, "--no-sandbox")
	}
	if b.o.Proxy != "" {
		args = append(args, "--proxy-server=http://"+b.o.Proxy, "--proxy-bypass-list=<-loopback>")
	}
	return append(args, "about:blank")
}

// startTimeout is for a machine that is very busy: a start takes a second or two.
const startTimeout = time.Minute

// scratchName begins the names of scratch folders.
const scratchName = "agentd-browser-"

// NewScratch makes a folder for Options.Scratch in memory where the machine has such a file system, and removes those of
// processes that were killed. release is called once the browser is closed.
func NewScratch() (dir string, release io.Closer, err error) {
	base := os.TempDir()
	for _, d := range []string{os.Getenv("XDG_RUNTIME_DIR"), "/dev/shm"} {
		if info, err := os.Stat(d); d != "" && err == nil && info.IsDir() && writable(d) {
			base = d
			break
		}
	}
	return newScratch(base)
}
