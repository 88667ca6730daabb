package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/runtime"

	"agentd/tools"
)

// line is one line of an outline.
type line struct {
	depth int
	kind  string // lines of one kind repeat each other
	text  string
	place int // -1 above the visible part of its frame, 1 below it
	frame int // ref of the iframe element that it is, or 0
}

// lines are what the script sends as one text: a line each, its fields between tabs.
type lines []line

// UnmarshalJSON reads that text. It is the page's word: what has another form is left out.
func (l *lines) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return err
	}
	for one := range strings.SplitSeq(text, "\n") {
		f := strings.SplitN(one, "\t", 5)
		if len(f) < 5 {
			continue
		}
		depth, err1 := strconv.Atoi(f[0])
		place, err2 := strconv.Atoi(f[1])
		frame, err3 := strconv.Atoi(f[2])
		if errors.Join(err1, err2, err3) == nil && depth >= 0 && place >= -1 && place <= 1 {
			*l = append(*l, line{depth: depth, kind: f[3], text: f[4], place: place, frame: frame})
		}
	}
	return nil
}

// key is what makes a line another one. Where the focus is does not: it moves with every action.
func (l line) key() string { return strings.Replace(l.text, "] focused", "]", 1) }

// shot is a page as the script sees it.
type shot struct {
	Lines  lines   `json:"lines"`
	Count  int     `json:"count"`
	Hidden int     `json:"hidden"`
	Hosts  int     `json:"hosts"`
	Full   bool    `json:"full"`
	Title  string  `json:"title"`
	URL    string  `json:"url"`
	Y      float64 `json:"y"`
	H      float64 `json:"h"`
	VH     float64 `json:"vh"`
	Ready  string  `json:"ready"`
}

// listeners is run in the page's own world, the only one that knows its event listeners. What it returns is a page's word:
// numbers that only decide what is shown as clickable.
// Of many elements of one kind, the first tell of the rest.
const listeners = `(() => { const a = document.querySelectorAll('*'), out = [], kinds = new Map(), end = performance.now() + 25;
for (let i = 0; i < a.length; i++) { const n = a[i]; if ((i & 31) === 0 && performance.now() > end) break;
if (n === document.body || n === document.documentElement || /^(BUTTON|INPUT|SELECT|OPTION|TEXTAREA|SCRIPT|STYLE|BR)$/.test(n.tagName) || n.tagName === 'A' && n.hasAttribute('href')) continue;
const key = n.tagName + ' ' + n.parentNode.tagName + ' ' + (n.getAttribute('class') || ''); let k = kinds.get(key); if (!k) kinds.set(key, k = {n: 0, hit: false}); if (k.n > 40 && !k.hit) continue; k.n++;
const l = getEventListeners(n); if (l.click || l.mousedown || l.mouseup || l.pointerdown || l.pointerup || l.dblclick || l.touchstart || l.contextmenu) { out.push(i); k.hit = true; } } return out; })()`

// maxFrames bounds the frames of one outline.
const maxFrames = 40

// capture reads a tab's page, frames included.
func (t *tab) capture(ctx context.Context) (shot, error) {
	s, err := t.captureFrame(ctx, t.main)
	for try := 0; try < 5 && moved(err) && ctx.Err() == nil; try++ { // the page went on to another document meanwhile
		t.quiet(ctx, 100*time.Millisecond, time.Second)
		s, err = t.captureFrame(ctx, t.main)
	}
	if err != nil {
		return s, err
	}
	t.b.mu.Lock()
	t.title = bounded(s.Title, 300)
	t.b.mu.Unlock()
	left := maxFrames
	s.Lines = t.inner(ctx, t.main, s.Lines, &s, &left, 0)
	return s, nil
}

// moved reports whether a command failed since the document that it was for had gone.
func moved(err error) bool {
	return protocolError(err, "uniqueContextId not found") || protocolError(err, "context was destroyed") || protocolError(err, "Cannot find context") || protocolError(err, "navigated or closed")
}

func (t *tab) captureFrame(ctx context.Context, id cdp.FrameID) (shot, error) {
	var s shot
	c, f, err := t.ready(ctx, id)
	if err != nil {
		return s, err
	}
	var heard []int
	if f.main != "" {
		short, cancel := context.WithTimeout(ctx, time.Second)
		if err := evaluate(short, c, f.session, f.main, listeners, &heard, true); err != nil {
			heard = nil // the page changed under it, or it meddles: then only what is plain to see is clickable
		}
		cancel()
	}
	opt := map[string]any{"start": f.count, "prefix": ""}
	if f.number > 0 {
		opt["prefix"] = fmt.Sprintf("f%d", f.number)
	}
	rawHeard, err := json.Marshal(heard)
	if err != nil {
		return s, err
	}
	rawOpt, err := json.Marshal(opt)
	if err != nil {
		return s, err
	}
	expr := fmt.Sprintf("agentd.look(%s || [], %s)", rawHeard, rawOpt)
	for again := range 3 {
		s = shot{}
		var text string // as JSON, which the browser sends faster than an object
		if err := evaluate(ctx, c, f.session, f.world, expr, &text, false); err != nil {
			return s, err
		}
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			return s, fmt.Errorf("read the outline: %w", err)
		}
		if s.Hosts == 0 || again == 2 || !t.pierce(ctx, c, f, s.Hosts) {
			break
		}
	}
	t.b.mu.Lock()
	if g := t.frames[id]; g != nil {
		g.count = max(g.count, s.Count)
	}
	t.b.mu.Unlock()
	return s, nil
}

// pierce gives the script the closed shadow roots of the elements that seem to have one. It says whether there were any.
func (t *tab) pierce(ctx context.Context, c *conn, f frame, n int) bool {
	const group = "agentd-pierce"
	defer post(c, f.session, runtime.ReleaseObjectGroup, runtime.ReleaseObjectGroupParams{ObjectGroup: group})
	object := func(expr string) (runtime.RemoteObjectID, error) {
		res, err := call(ctx, c, f.session, runtime.Evaluate, runtime.EvaluateParams{Expression: expr, UniqueContextID: f.world, ObjectGroup: group})
		if err != nil || res.Result == nil {
			return "", err
		}
		return res.Result.ObjectID, nil
	}
	world, err := object("agentd")
	if err != nil {
		return false
	}
	var found atomic.Bool
	var all sync.WaitGroup
	for i := range n { // all at once: one after the other, the waiting would be most of an outline's time
		all.Go(func() {
			host, err := object(fmt.Sprintf("agentd.candidate(%d)", i))
			if err != nil || host == "" {
				return
			}
			one := int64(1)
			d, err := call(ctx, c, f.session, dom.DescribeNode, dom.DescribeNodeParams{ObjectID: host, Depth: &one})
			if err != nil {
				return
			}
			args := []*runtime.CallArgument{{ObjectID: host}}
			if d.Node != nil && len(d.Node.ShadowRoots) > 0 && d.Node.ShadowRoots[0].ShadowRootType == cdp.ShadowRootTypeClosed {
				root, err := call(ctx, c, f.session, dom.ResolveNode, dom.ResolveNodeParams{BackendNodeID: d.Node.ShadowRoots[0].BackendNodeID, ObjectGroup: group, ExecutionContextID: f.worldID})
				if err == nil && root.Object != nil {
					args = append(args, &runtime.CallArgument{ObjectID: root.Object.ObjectID})
					found.Store(true)
				}
			}
			post(c, f.session, runtime.CallFunctionOn, runtime.CallFunctionOnParams{FunctionDeclaration: "function(h, r) { this.adopt(h, r) }", ObjectID: world, Arguments: args})
		})
	}
	all.Wait()
	return found.Load()
}

// inner puts the lines of frames behind those of the elements that hold them.
func (t *tab) inner(ctx context.Context, parent cdp.FrameID, lines []line, all *shot, left *int, depth int) []line {
	out := make([]line, 0, len(lines))
	for _, l := range lines {
		out = append(out, l)
		if l.frame == 0 || *left == 0 || depth > 8 {
			continue
		}
		*left--
		id, err := t.frameOf(ctx, parent, l.frame)
		if err != nil {
			continue
		}
		short, cancel := context.WithTimeout(ctx, 2*time.Second) // a frame that hangs doesn't hide the page
		s, err := t.captureFrame(short, id)
		if err == nil {
			s.Lines = t.inner(short, id, s.Lines, all, left, depth+1)
		}
		cancel()
		if err != nil {
			out = append(out, line{depth: l.depth + 1, kind: "lost", text: "(its document can't be read now)"})
			continue
		}
		all.Hidden += s.Hidden
		all.Full = all.Full || s.Full
		for _, x := range s.Lines {
			x.depth += l.depth + 1
			x.frame, x.place = 0, l.place
			out = append(out, x)
		}
	}
	return out
}

// frameOf returns the frame in an iframe element.
func (t *tab) frameOf(ctx context.Context, parent cdp.FrameID, ref int) (cdp.FrameID, error) {
	c, f, err := t.ready(ctx, parent)
	if err != nil {
		return "", err
	}
	key := fmt.Sprintf("%s/%d", f.world, ref)
	t.b.mu.Lock()
	id, ok := t.owners[key]
	t.b.mu.Unlock()
	if ok {
		return id, nil
	}
	obj, err := t.object(ctx, c, f, ref)
	if err != nil {
		return "", err
	}
	d, err := call(ctx, c, f.session, dom.DescribeNode, dom.DescribeNodeParams{ObjectID: obj})
	if err != nil {
		return "", err
	}
	if d.Node == nil || d.Node.FrameID == "" {
		return "", errNoDocument
	}
	t.b.mu.Lock()
	defer t.b.mu.Unlock()
	g := t.frame(d.Node.FrameID)
	g.parent, g.owner = parent, ref
	if len(t.owners) > 1000 {
		clear(t.owners)
	}
	t.owners[key] = d.Node.FrameID
	return d.Node.FrameID, nil
}

// object returns a handle of the element behind a ref.
func (t *tab) object(ctx context.Context, c *conn, f frame, ref int) (runtime.RemoteObjectID, error) {
	return t.handle(ctx, c, f, fmt.Sprintf("agentd.get(%d)", ref))
}

// handle returns a handle of the object that an expression of the script gives.
func (t *tab) handle(ctx context.Context, c *conn, f frame, expr string) (runtime.RemoteObjectID, error) {
	res, err := call(ctx, c, f.session, runtime.Evaluate, runtime.EvaluateParams{Expression: expr, UniqueContextID: f.world, ObjectGroup: "agentd"})
	if err != nil {
		return "", err
	}
	if res.Result == nil || res.Result.ObjectID == "" {
		return "", errStale
	}
	return res.Result.ObjectID, nil
}

// errStale is returned for a ref whose element is gone.
var errStale = errors.New("the element is gone")

const (
	pageBytes = 8 << 10 // of one page of an outline, where the model is shown so much at once
	leastPage = 1 << 10
	headRoom  = 500 // of what stands around a page
	repeats   = 8   // lines of one kind before the rest is folded
)

// textKind is the kind of a line that is nothing but text.
const textKind = "|t "

// fold leaves out all but the first of many lines, or groups of lines, that are alike.
func fold(lines []line) []line {
	var out []line
	for i := 0; i < len(lines); {
		// A group is a line with those below it; groups of the same shape repeat each other.
		size := group(lines, i)
		n, j := 1, i+size
		for j < len(lines) && lines[j].depth == lines[i].depth && lines[j].kind == lines[i].kind {
			n++
			j += group(lines, j)
		}
		if n <= repeats+2 || size == 1 && lines[i].kind == textKind { // a text is read whole, by pages
			out = append(out, lines[i])
			i++
			continue
		}
		end := i
		for range repeats {
			end += group(lines, end)
		}
		out = append(out, fold2(lines[i:end])...)
		like := ""
		if m := refPattern.FindString(lines[i].text); m != "" {
			like = " like " + strings.Trim(m, "[]")
		}
		out = append(out, line{depth: lines[i].depth, kind: "…", text: fmt.Sprintf("… %d more%s", n-repeats, like), place: lines[end].place})
		i = j
	}
	return out
}

// fold2 folds below the heads of groups that are kept.
func fold2(lines []line) []line {
	var out []line
	for i := 0; i < len(lines); {
		n := group(lines, i)
		out = append(out, lines[i])
		out = append(out, fold(lines[i+1:i+n])...)
		i += n
	}
	return out
}

// group is the number of lines of a line and all below it.
func group(lines []line, i int) int {
	j := i + 1
	for j < len(lines) && lines[j].depth > lines[i].depth {
		j++
	}
	return j - i
}

var refPattern = regexp.MustCompile(`\[(f\d+)?e\d+\]`)

// write renders lines, with what is out of sight marked off and new lines starred.
func write(lines []line, news map[string]int) []string {
	var out []string
	place := 0
	for _, l := range lines {
		if l.place != place {
			place = l.place
			out = append(out, [...]string{"-- above the visible part --", "-- visible part --", "-- below the visible part --"}[place+1])
		}
		mark := "- "
		if news[l.key()] > 0 {
			news[l.key()]--
			mark = "* "
		}
		out = append(out, strings.Repeat("  ", min(l.depth, 12))+mark+l.text)
	}
	return out
}

// roomOf is the size of a page of an outline.
func roomOf(env tools.Env) int {
	if env.Room == 0 {
		return pageBytes
	}
	return min(max(env.Room-headRoom, leastPage), pageBytes)
}

// clip cuts lines into pages of at most room bytes and returns one of them, counted from 1, and their number.
func clip(lines []string, page, room int) ([]string, int) {
	var pages [][]string
	size := room
	for _, l := range lines {
		if len(l) > room {
			l = bounded(l, room-8)
		}
		if size += len(l) + 1; size > room {
			pages = append(pages, nil)
			size = len(l) + 1
		}
		pages[len(pages)-1] = append(pages[len(pages)-1], l)
	}
	if len(pages) == 0 {
		return nil, 1
	}
	return pages[min(max(page, 1), len(pages))-1], len(pages)
}

// head is the first line about a page.
func (t *tab) head(s shot) string {
	t.b.mu.Lock()
	defer t.b.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "[%s] %s %s", t.id, quote(s.Title), bounded(s.URL, 300))
	if t.status >= 400 {
		fmt.Fprintf(&b, " (HTTP %d", t.status)
		if t.auth != "" {
			fmt.Fprintf(&b, ", wants a login: %s", quote(t.auth))
		}
		b.WriteString(")")
	}
	if s.Ready == "loading" || t.loading {
		b.WriteString(" (still loading)")
	}
	if s.H > s.VH+1 {
		fmt.Fprintf(&b, " (scrolled to %.0f%% of %.0f screens)", 100*s.Y/max(1, s.H-s.VH), s.H/max(1, s.VH))
	}
	return b.String()
}

// view is a whole outline of a tab, folded, or below one ref, unfolded.
func (t *tab) view(ctx context.Context, page int, ref string) (string, error) {
	s, err := t.capture(ctx)
	if err != nil {
		return "", err
	}
	news := t.remember(s.Lines)
	lines := s.Lines
	if ref != "" {
		i := slices.IndexFunc(lines, func(l line) bool { return strings.Contains(l.text, "["+ref+"]") })
		if i < 0 {
			return "", errStale
		}
		j := i + group(lines, i)
		if j == i+1 { // what repeats it is what was folded
			for j < len(lines) && lines[j].depth >= lines[i].depth {
				j++
			}
		}
		lines = lines[i:j]
	} else {
		lines = fold(lines)
	}
	out, pages := clip(write(lines, news), page, t.room)
	var b strings.Builder
	b.WriteString(t.head(s) + "\n" + strings.Join(out, "\n") + "\n")
	if len(s.Lines) == 0 {
		b.WriteString("(the page shows nothing)\n")
	}
	if pages > 1 {
		fmt.Fprintf(&b, "-- page %d of %d --\n", min(max(page, 1), pages), pages)
	}
	t.trailer(&b, s)
	return b.String(), nil
}

func (t *tab) trailer(b *strings.Builder, s shot) {
	if s.Hidden > 0 {
		fmt.Fprintf(b, "(%d texts that nobody can see are left out)\n", s.Hidden)
	}
	if s.Full {
		b.WriteString("(the page is too large to show whole)\n")
	}
}

// remember keeps the lines that the model is about to see, and returns those that it has not seen, counted. For a document that
// it sees first, nothing is new.
func (t *tab) remember(lines []line) map[string]int {
	t.b.mu.Lock()
	doc := 0
	if f := t.frames[t.main]; f != nil {
		doc = f.documents
	}
	t.b.mu.Unlock()
	var news map[string]int
	if t.last != nil && t.lastDocument == doc {
		news = counts(lines)
		for _, l := range t.last {
			if news[l.key()] > 0 {
				news[l.key()]--
			}
		}
	}
	t.last, t.lastDocument = lines, doc
	return news
}

func counts(lines []line) map[string]int {
	m := make(map[string]int, len(lines))
	for _, l := range lines {
		m[l.key()]++
	}
	return m
}

// find lists the lines that hold a text, with those above them that say where they are.
func (t *tab) find(ctx context.Context, text string, page int) (string, error) {
	s, err := t.capture(ctx)
	if err != nil {
		return "", err
	}
	t.remember(s.Lines)
	want := strings.ToLower(strings.Join(strings.Fields(text), " "))
	var out []line
	var above []line
	shown, n := 0, 0 // of above
	for _, l := range s.Lines {
		for len(above) > 0 && above[len(above)-1].depth >= l.depth {
			above = above[:len(above)-1]
			shown = min(shown, len(above))
		}
		if strings.Contains(strings.ToLower(l.text), want) {
			n++
			out = append(out, above[shown:]...)
			out = append(out, l)
			shown = len(above) + 1
		}
		above = append(above, l)
	}
	if n == 0 {
		return fmt.Sprintf("%s\nnothing on the page holds %s\n", t.head(s), quote(text)), nil
	}
	lines, pages := clip(write(out, nil), page, t.room)
	r := fmt.Sprintf("%s\n%d lines hold %s:\n%s\n", t.head(s), n, quote(text), strings.Join(lines, "\n"))
	if pages > 1 {
		r += fmt.Sprintf("-- page %d of %d --\n", min(max(page, 1), pages), pages)
	}
	return r, nil
}

// diff says what changed since the model last saw the page; a page that changed much, or another one, is shown whole.
func (t *tab) diff(ctx context.Context) (string, error) {
	old, oldDocument := t.last, t.lastDocument
	s, err := t.capture(ctx)
	if err != nil {
		return "", err
	}
	news := t.remember(s.Lines)
	whole := func() string {
		out, pages := clip(write(fold(s.Lines), news), 1, t.room)
		var b strings.Builder
		b.WriteString(t.head(s) + "\n" + strings.Join(out, "\n") + "\n")
		if len(s.Lines) == 0 {
			b.WriteString("(the page shows nothing)\n")
		}
		if pages > 1 {
			fmt.Fprintf(&b, "-- page 1 of %d --\n", pages)
		}
		t.trailer(&b, s)
		return b.String()
	}
	if old == nil || oldDocument != t.lastDocument {
		return whole(), nil
	}
	// What both begin and end with is the same; between them, lines are compared by their number.
	begin, end := common(old, s.Lines)
	news = counts(s.Lines[begin : len(s.Lines)-end])
	for _, l := range old[begin : len(old)-end] {
		if news[l.key()] > 0 {
			news[l.key()]--
		}
	}
	now := counts(s.Lines[begin : len(s.Lines)-end])
	var gone []string
	for _, l := range old[begin : len(old)-end] {
		if now[l.key()] > 0 {
			now[l.key()]--
		} else {
			gone = append(gone, l.text)
		}
	}
	added := 0
	for _, n := range news {
		added += max(n, 0)
	}
	if added == 0 && len(gone) == 0 {
		return "nothing changed on the page\n", nil
	}
	if added+len(gone) > len(s.Lines)*2/3 && added > 3 {
		return whole(), nil
	}
	var show []line
	var above []line
	shown := 0
	left := maps.Clone(news)
	for i, l := range s.Lines {
		for len(above) > 0 && above[len(above)-1].depth >= l.depth {
			above = above[:len(above)-1]
			shown = min(shown, len(above))
		}
		if i >= begin && i < len(s.Lines)-end && left[l.key()] > 0 {
			for _, a := range above[shown:] {
				a.place = l.place
				show = append(show, a)
			}
			show = append(show, l)
			shown = len(above) + 1
			left[l.key()]--
		}
		above = append(above, l)
	}
	out, pages := clip(write(fold(show), news), 1, t.room)
	var b strings.Builder
	b.WriteString("changed on the page (* new):\n")
	if added > 0 {
		b.WriteString(strings.Join(out, "\n") + "\n")
	}
	if pages > 1 {
		b.WriteString("-- more is new: outline shows it --\n")
	}
	if len(gone) > 0 {
		fmt.Fprintf(&b, "gone: %s", bounded(gone[0], 120))
		for _, g := range gone[1:min(len(gone), 5)] {
			b.WriteString("; " + bounded(g, 120))
		}
		if len(gone) > 5 {
			fmt.Fprintf(&b, "; and %d more lines", len(gone)-5)
		}
		b.WriteString("\n")
	}
	return b.String(), nil
}

// common is the number of lines that two outlines begin with, and end with, alike.
func common(a, b []line) (begin, end int) {
	for begin < len(a) && begin < len(b) && a[begin].key() == b[begin].key() {
		begin++
	}
	for end < len(a)-begin && end < len(b)-begin && a[len(a)-1-end].key() == b[len(b)-1-end].key() {
		end++
	}
	return begin, end
}

var quoter = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// quote writes page text so that it can't be taken for anything else.
func quote(s string) string {
	return `"` + quoter.Replace(strings.Join(strings.Fields(strings.ToValidUTF8(s, "�")), " ")) + `"`
}
