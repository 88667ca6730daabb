package tui

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"agentd/api"
	"agentd/journal"
)

// Model is all that the UI knows. Update changes it and makes no I/O; commands make I/O and don't touch it.
type Model struct {
	ctx    context.Context
	client *api.Client
	opt    Options
	jobs   *jobs

	w, h int
	now  time.Time

	home     *home
	run      *runView // nil: the list of runs is shown
	overlays []overlay
	info     api.Info

	down    error // the daemon is away, or speaks another version
	toast   string
	toastSt style
	toastN  int
	pagers  int // number of the last pager that was opened

	known map[journal.RunID]journal.Status // to notice what ends or asks
}

// New makes the model; Run shows it.
func New(ctx context.Context, o Options) *Model {
	return &Model{
		ctx: ctx, client: o.Client, opt: o, jobs: new(jobs), w: 80, h: 24, now: time.Now(),
		home: new(home), known: map[journal.RunID]journal.Status{},
	}
}

// Init asks for what the first screen shows.
func (m *Model) Init() tea.Cmd {
	cmds := []tea.Cmd{m.list(), m.describe(), tick(time.Second)}
	if m.opt.Run != "" {
		cmds = append(cmds, m.open(m.opt.Run))
	}
	return tea.Batch(cmds...)
}

// Update takes a message in.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.w, m.h = max(msg.Width, 1), max(msg.Height, 1)
		m.layout()
		return m, m.fillIfRun()
	case tea.KeyPressMsg:
		return m, m.press(msg)
	case tea.PasteMsg:
		if o := m.front(); o != nil {
			return m, o.paste(m, msg.Content)
		}
	case tea.MouseWheelMsg:
		return m, m.wheel(msg)
	case tea.MouseClickMsg:
		return m, m.click(msg)
	case tickMsg:
		m.now = time.Time(msg)
		if m.run != nil {
			m.run.stream.touch()
		}
		return m, tick(time.Second)
	case listMsg:
		return m, m.gotList(msg)
	case moreMsg:
		m.home.loading = false
		if msg.err != nil {
			return m, m.fail("read older runs", msg.err)
		}
		m.home.older, m.home.more = append(m.home.older, msg.runs...), len(msg.runs) == pageSize
		m.home.arrange()
	case peekMsg:
		m.home.set(msg.runs, msg.more)
	case pollMsg:
		return m, m.list()
	case infoMsg:
		if msg.err == nil {
			m.info = msg.info
		}
	case pageMsg:
		return m, m.gotPage(msg)
	case stateMsg:
		return m, m.gotState(msg)
	case newsMsg:
		return m, m.news(msg)
	case retryMsg:
		if m.run != nil && m.run.follow == msg.from {
			return m, m.again()
		}
	case doneMsg:
		return m, m.done(msg)
	case startedMsg:
		if msg.err != nil {
			if f, ok := m.front().(*form); ok {
				f.fault(msg.err)
				return m, nil
			}
			return m, m.fail("start a run", msg.err)
		}
		m.overlays = nil
		return m, tea.Batch(m.open(msg.run), m.list())
	case textMsg:
		for _, o := range m.overlays {
			if p, ok := o.(*pager); ok && p.id == msg.id {
				p.fill(msg)
			}
		}
	case foundMsg:
		return m, m.found(msg)
	case pickedMsg:
		return m, m.gotPicked(msg)
	case proposedMsg:
		return m, m.gotProposed(msg)
	case shotMsg:
		return m, m.gotShot(msg)
	case rulesMsg:
		return m, m.gotRules(msg)
	case reviewedMsg:
		return m, m.gotReviewed(msg)
	case noticeMsg:
		if msg.n == m.toastN {
			m.toast = ""
			m.layout()
		}
	}
	return m, nil
}

// gotList takes in a look at the runs and plans the next one.
func (m *Model) gotList(msg listMsg) tea.Cmd {
	m.now = msg.at
	next := func() tea.Msg {
		time.Sleep(pollEvery)
		return pollMsg{}
	}
	if msg.err != nil {
		if !errors.Is(msg.err, context.Canceled) {
			m.down = msg.err
		}
		return next
	}
	back := m.down != nil
	m.down = nil
	m.home.set(msg.runs, msg.more)
	cmds := []tea.Cmd{next}
	if words := m.notice(msg.runs); len(words) > 0 {
		more := ""
		if n := len(words) - 1; n > 0 {
			more = fmt.Sprintf(" and %d more", n)
		}
		cmds = append(cmds, m.call(words[0]+more))
	}
	if r := m.run; r != nil {
		if i := slices.IndexFunc(msg.runs, func(s journal.Summary) bool { return s.Run == r.id }); i >= 0 && r.ended && msg.runs[i].Last > r.last {
			cmds = append(cmds, m.again()) // something came after its end
		}
	}
	if back {
		cmds = append(cmds, m.describe(), m.say("the daemon is back"))
	}
	return tea.Batch(cmds...)
}

// notice returns which runs began to need a person, or ended, since the last look.
func (m *Model) notice(runs []journal.Summary) []string {
	first := len(m.known) == 0
	var words []string
	for _, r := range runs {
		old, had := m.known[r.Run]
		if !first && had && old != r.Status && (needsPerson(r) || r.Status.Ended()) {
			words = append(words, callWords(r))
		}
		m.known[r.Run] = r.Status
	}
	return words
}

// found goes to what was looked for.
func (m *Model) found(msg foundMsg) tea.Cmd {
	switch {
	case m.run == nil || m.run.id != msg.run:
		return nil
	case msg.err != nil:
		return m.fail("search", msg.err)
	case msg.seq == 0:
		return m.say("not found: " + line(msg.what))
	}
	return m.goTo(msg.seq)
}

// done says how an action went.
func (m *Model) done(msg doneMsg) tea.Cmd {
	if msg.err != nil {
		if m.run != nil {
			clear(m.run.answered)
		}
		return m.fail(msg.words, msg.err)
	}
	cmds := []tea.Cmd{m.say(msg.words + ": done"), m.look()}
	if m.run != nil && m.run.id == msg.run && m.run.ended {
		cmds = append(cmds, m.again())
	}
	return tea.Batch(cmds...)
}

// look looks at the runs once more, out of turn.
func (m *Model) look() tea.Cmd {
	list := m.list()
	return func() tea.Msg {
		if l, ok := list().(listMsg); ok && l.err == nil {
			return peekMsg(l)
		}
		return nil
	}
}

// say shows words for a while.
func (m *Model) say(words string) tea.Cmd { return m.show(words, accent, 4*time.Second) }

// fail shows what went wrong and what to do next.
func (m *Model) fail(doing string, err error) tea.Cmd {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	words := doing + ": " + line(err.Error())
	if e, ok := errors.AsType[*api.Error](err); ok && e.Hint != "" {
		words += " · " + line(e.Hint)
	}
	return m.show(words, fault, 12*time.Second)
}

func (m *Model) show(words string, st style, d time.Duration) tea.Cmd {
	m.toast, m.toastSt = words, st
	m.toastN++
	m.layout()
	n := m.toastN
	return func() tea.Msg {
		time.Sleep(d)
		return noticeMsg{n}
	}
}

// wide reports whether there is room for the panel beside the stream.
func (m *Model) wide() bool { return m.w >= 110 }

func (m *Model) panelWidth() int {
	if m.wide() {
		return min(max(m.w*2/7, 34), 60)
	}
	return m.w
}

// body is how many lines are between the head and the foot.
func (m *Model) body() int { return max(m.h-m.headLines()-2, 1) }

func (m *Model) headLines() int {
	if m.run != nil && !m.wide() && m.h >= 16 {
		return 2
	}
	return 1
}

// layout gives the parts their sizes.
func (m *Model) layout() {
	if m.run == nil {
		return
	}
	w := m.w
	if m.wide() {
		w -= m.panelWidth() + 1
	}
	m.run.stream.list.resize(w, m.body())
}

func (m *Model) fillIfRun() tea.Cmd {
	if m.run == nil {
		return nil
	}
	return m.fill()
}

// View draws the screen.
func (m *Model) View() tea.View {
	v := tea.NewView(strings.Join(m.Screen(), "\n"))
	v.AltScreen = true
	v.MouseMode = tea.MouseModeCellMotion
	v.WindowTitle = "agentctl"
	if m.run != nil {
		v.WindowTitle = "agentctl · " + line(string(m.run.id)) + " " + statusWord(m.run.status(), false)
	}
	return v
}

// Screen is the screen's lines: as many as it has, each of its width.
func (m *Model) Screen() []string {
	if m.w < 20 || m.h < 6 {
		out := make([]string, m.h)
		for i := range out {
			out[i] = fit("", m.w)
		}
		out[0] = fit("too small", m.w)
		return out
	}
	out := make([]string, 0, m.h)
	out = append(out, m.head()...)
	if m.run == nil {
		out = append(out, m.home.view(m.w, m.body(), m.now)...)
	} else {
		out = append(out, m.runBody()...)
	}
	out = append(out, m.foot()...)
	if o := m.front(); o != nil {
		box := o.view(m, m.w, m.h-3) // the first line stays in sight, as do the last two
		x, y := max((m.w-width(strings.Join(box[:min(len(box), 1)], "")))/2, 0), max((m.h-2-len(box))/3, 1)
		if p, ok := o.(*prompt); ok && p.typed != nil { // what it changes stays in sight
			y = max(m.h-2-len(box), 1)
		}
		out = place(out, box[:min(len(box), m.h-3)], x, y, m.w)
	}
	return out
}

// head is the first lines: where one is, what waits, how the daemon is.
func (m *Model) head() []string {
	runs, asks := m.home.waiting()
	right := ""
	if asks > 0 {
		right = notice.paint(fmt.Sprintf("%s in %s", plural(asks, "ask"), plural(runs, "run")))
	} else {
		right = faint.paint("no asks")
	}
	if m.down != nil {
		right = fault.paint("daemon away") + " " + right
	}
	if m.run == nil {
		left := title.paint("agentctl") + " " + plural(len(m.home.runs)+len(m.home.older), "run")
		left += faint.paint(" · " + onlies[m.home.only].name + " · by " + sorts[m.home.sort].name)
		if m.home.filter != "" {
			left += " " + alert.paint("/"+line(m.home.filter))
		}
		return []string{sides(left, right, m.w)}
	}
	s := m.run.sum()
	st := m.run.status()
	left := title.paint(line(string(m.run.id))) + " " + statusStyle(st).paint(statusMark(st)+" "+statusWord(st, s.Self)) + " "
	left += line(or(s.Name, s.Goal))
	out := []string{sides(left, right, m.w)}
	if m.headLines() == 2 {
		out = append(out, m.gaugeLine())
	}
	return out
}

// gaugeLine is the gauges in one line, for screens without room for the panel.
func (m *Model) gaugeLine() string {
	s := m.run.sum()
	parts := []string{fmt.Sprintf("step %d", s.Steps), count(s.Tokens) + " tok", dollars(s.USD)}
	if st := m.run.state; st != nil {
		if st.Budget.Steps > 0 {
			parts[0] += fmt.Sprintf("/%d", st.Budget.Steps)
		}
		if st.Budget.Tokens > 0 {
			parts[1] = count(s.Tokens) + "/" + count(st.Budget.Tokens) + " tok"
		}
		if st.Budget.USD > 0 {
			parts[2] += "/" + dollars(st.Budget.USD)
		}
		took := m.now.Sub(st.Began)
		if st.Outcome != nil {
			took = st.Ended.Sub(st.Began)
		}
		parts = append(parts, span(took))
		done := 0
		for _, t := range st.Tasks {
			if t.Status == journal.TaskDone {
				done++
			}
		}
		if n := len(st.Plan.Tasks); n > 1 {
			parts = append(parts, fmt.Sprintf("tasks %d/%d", done, n))
		}
	}
	if rate := m.run.rate(m.now); rate > 0 {
		parts = append(parts, fmt.Sprintf("~%.0f tok/s", rate))
	}
	if s.Now != "" && !s.Status.Ended() {
		parts = append(parts, line(s.Now))
	}
	return fit(faint.paint(clip(strings.Join(parts, " · "), m.w)), m.w)
}

// runBody is a run: its panel and its stream, or one of them where there is no room for both.
func (m *Model) runBody() []string {
	r, rows := m.run, m.body()
	if !m.wide() {
		if r.panel {
			return m.panelView(m.w, rows)
		}
		return m.streamView(rows)
	}
	pw := m.panelWidth()
	left, right := m.panelView(pw, rows), m.streamView(rows)
	sep := faint.paint("│")
	for i := range left {
		left[i] += sep + right[i]
	}
	return left
}

func (m *Model) streamView(rows int) []string {
	r := m.run
	out := r.stream.list.view(!r.panel)
	if !r.opened {
		out[0] = fit("  "+faint.paint("reading its events …"), r.stream.list.w)
	}
	return out[:rows]
}

func (m *Model) panelView(w, rows int) []string {
	lines := m.run.panelKept(w-1, m.now)
	m.run.panelTop = max(min(m.run.panelTop, len(lines)-rows), 0)
	out := make([]string, 0, rows)
	for i := m.run.panelTop; i < len(lines) && len(out) < rows; i++ {
		out = append(out, fit(lines[i], w))
	}
	for len(out) < rows {
		out = append(out, fit("", w))
	}
	if m.run.panel && m.wide() && m.run.panelTop > 0 {
		out[0] = sides(out[0], faint.paint("↑"), w)
	}
	return out
}

// foot is the last two lines: news, and the keys that mean something now.
func (m *Model) foot() []string {
	news := ""
	switch {
	case m.toast != "":
		news = m.toastSt.paint(clip(m.toast, m.w))
	case m.down != nil:
		news = fault.paint(clip(m.downWords(), m.w))
	case m.run != nil && len(m.run.asks()) > 0:
		news = notice.paint(clip(askLine(m.run.asks()), m.w))
	}
	if m.run != nil && m.run.opened && !m.run.stream.list.follow {
		news = sides(news, faint.paint(fmt.Sprintf("event %d of %d · G follows", m.seqAt(m.run.stream.list.sel), m.run.last)), m.w)
	}
	keys := ""
	if o := m.front(); o != nil {
		keys = o.keys()
	} else {
		keys = m.footKeys()
	}
	return []string{fit(news, m.w), fit(faint.paint(clip(keys, m.w)), m.w)}
}

func (m *Model) seqAt(i int) journal.Seq {
	if l := m.run.stream.list.items; i >= 0 && i < len(l) {
		return l[i].step.seq
	}
	return 0
}

// downWords says why the daemon doesn't answer and what to do.
func (m *Model) downWords() string {
	words := line(m.down.Error())
	if e, ok := errors.AsType[*api.Error](m.down); ok && e.Hint != "" {
		words += " · " + line(e.Hint)
	}
	if errors.Is(m.down, api.ErrNotRunning) {
		words = "the daemon is away, trying again · " + words
	}
	return words
}

func askLine(asks []*journal.Ask) string {
	a := asks[0]
	words := "asks: " + line(a.Call.Tool) + " " + what(a.Call)
	if a.Ask == journal.AskDoubt {
		words = "in doubt: " + line(a.Call.Tool) + " " + what(a.Call)
	}
	if n := len(asks); n > 1 {
		words = fmt.Sprintf("%s, first: %s", plural(n, "ask"), words)
	}
	return "a answers · " + words
}
