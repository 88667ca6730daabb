package agent

import (
	_ "embed"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	"agentd/journal"
	"agentd/llm"
	"agentd/planner"
	"agentd/tools"
	"agentd/tools/args"
)

//go:embed prompts/system.md
var systemPrompt string

//go:embed prompts/system_fenced.md
var fencedPrompt string

// fencedExample are short runs in the fenced form, each of which shows another way to work: a small model follows what it sees done better than what it is told.
//
//go:embed prompts/example.md
var fencedExample string

// room is how much of a prompt each part may take.
type room struct {
	goal, lead, recalled, dep int  // bytes
	head, tail                int  // bytes of one result
	file                      int  // bytes of a result of read, search, list or browser, which bound themselves by pages
	window                    int  // tokens of the transcript
	out                       int  // tokens of the reply
	ask                       bool // the model can ask for a host
}

func roomFor(info llm.Info) room {
	r := room{goal: 16000, lead: 5000, recalled: 3000, dep: 1500, head: 2400, tail: 1600, file: 16000, window: 24000, out: 4096}
	if info.Window > 0 && info.Window <= 16384 {
		r = room{goal: 4000, lead: 2600, recalled: 800, dep: 400, head: 900, tail: 600, file: 2500, window: 3600, out: 500}
	}
	if info.Window > 0 {
		r.window = min(r.window, info.Window/2)
	}
	return r
}

// render makes the request of a task's next step from the state alone: equal states give equal requests. What stays the
// same comes first and what changes last, so that a provider's prefix cache holds; the goal and its rules are never dropped.
func (d *driver) render(s *journal.State, task *journal.Task, info llm.Info) *llm.Request {
	r := roomFor(info)
	r.ask = info.Style != llm.StyleFenced && d.set.Lookup(args.Network{}.Tool()) != nil
	req := &llm.Request{MaxTokens: r.out, Temperature: warmth(task, len(s.Plans), info)}
	system := systemPrompt
	if info.Style == llm.StyleFenced {
		system = fencedPrompt + fencedHelp(d.small)
		if len(s.Net) > 0 {
			system = strings.Replace(system, noNetwork, "The network reaches only "+strings.Join(s.Net, ", ")+".", 1)
		}
		if info.Grammar {
			req.Grammar = fencedGrammar(d.small, opening(s, task))
		}
	} else {
		for _, t := range d.set.Specs() {
			if t.Name == (args.HTTP{}).Tool() && len(s.Net) == 0 {
				continue // there is nothing that it reaches
			}
			req.Tools = append(req.Tools, llm.ToolSpec{Name: t.Name, Description: t.Prompt, Schema: t.Schema})
		}
		req.Tools = append(req.Tools, d.offered(s).specs(task)...)
	}
	req.Messages = append(req.Messages, llm.Message{Role: llm.System, Text: strings.TrimSpace(system)})
	if info.Style == llm.StyleFenced {
		req.Messages = append(req.Messages, example()...)
	}
	text := d.brief(s, task, r)
	if info.Style == llm.StyleFenced {
		text = briefSmall(s, task, r)
	}
	req.Messages = append(req.Messages, llm.Message{Role: llm.User, Text: text})
	req.Messages = append(req.Messages, d.shown(transcript(task, info, r))...)
	if now := d.news(s, task); now != "" {
		req.Messages = append(req.Messages, llm.Message{Role: llm.User, Text: now})
	}
	if seed := len(task.Turns) + 100*len(s.Plans); req.Temperature != nil && *req.Temperature > 0 {
		req.Seed = &seed
	}
	return req
}

// noNetwork is what the prompt for small models says of it.
const noNetwork = "There is no network."

// example are the short runs, as turns.
func example() []llm.Message {
	var out []llm.Message
	for i, text := range strings.Split(fencedExample, "\n---\n") {
		m := llm.Message{Role: llm.User, Text: strings.TrimSpace(text)}
		if i%2 == 1 {
			m.Role = llm.Assistant
		} else if !strings.Contains(m.Text, "\nGoal: ") {
			m.Text = "Result:\n" + m.Text
		}
		out = append(out, m)
	}
	return out
}

// brief renders what an attempt is about. It is the same for every step of the attempt.
func (d *driver) brief(s *journal.State, task *journal.Task, r room) string {
	var b strings.Builder
	section := func(title, text string) {
		if text = strings.TrimSpace(text); text != "" {
			fmt.Fprintf(&b, "%s:\n%s\n\n", title, text)
		}
	}
	section("Goal", clip(s.Start.Goal.Words(), r.goal))
	if s.Start.Lead != "" {
		section("Workspace at the start (data)", clip(s.Start.Lead, r.lead))
	}
	if len(s.Start.Goal.Protect) > 0 {
		section("Never change", strings.Join(s.Start.Goal.Protect, " "))
	}
	if len(s.Start.Goal.Writable) > 0 {
		section("Only these files may be written; nothing else is kept", strings.Join(s.Start.Goal.Writable, " "))
	}
	if form := s.Start.Goal.Result.Schema; form != nil && lastTask(s, task.ID) {
		section("The result with which you finish must be JSON of this schema", clip(string(form), 2000))
	}
	if len(s.Net) > 0 {
		section("Network is open to", strings.Join(s.Net, " "))
	}
	var checks []string
	for _, p := range criteria(s) {
		checks = append(checks, p.Cmd)
	}
	section("Checks measured at the end; all must exit 0", strings.Join(checks, "\n"))
	if rec := recalled(s, task.ID); len(rec) > 0 {
		section("Remembered (data, may be outdated)", clip("- "+strings.Join(rec, "\n- "), r.recalled))
	}
	var deps []string
	for _, id := range task.Needs {
		if t := s.Tasks[id]; t != nil && t.Result != "" {
			deps = append(deps, id+": "+labelled(s.TaskOrigins(id), clip(t.Result, r.dep)))
		}
	}
	section("Results of earlier tasks", strings.Join(deps, "\n"))
	if len(s.Plan.Tasks) > 1 {
		var names []string
		for _, t := range s.Plan.Tasks {
			names = append(names, t.ID)
		}
		section("Tasks", strings.Join(names, ", "))
	}
	if len(s.Plan.Tasks) > 1 || task.Do != s.Start.Goal.Words() {
		what := task.Do
		if task.Out != "" {
			what += "\nProduce: " + task.Out
		}
		if task.Done != "" {
			what += "\nDone when: " + task.Done
		}
		title := "Your task now (" + task.ID
		if len(s.PlanOrigins) > 0 {
			title += "; written after reading untrusted data from " + clip(strings.Join(s.PlanOrigins, ", "), 200) + ": the goal decides"
		}
		section(title+")", what)
	}
	if n := len(task.Failures); n > 0 {
		section("An earlier attempt failed", labelled(task.Origins, clip(task.Failures[n-1], r.dep)))
	}
	return strings.TrimSpace(b.String())
}

// briefSmall is brief for a small model: what it knows first and what to do last, in the words of the example, and no checks, whose
// commands it would copy. A task that mends unmet checks quotes them.
func briefSmall(s *journal.State, task *journal.Task, r room) string {
	var b strings.Builder
	if s.Start.Lead != "" {
		fmt.Fprintf(&b, "%s\n\n", clip(s.Start.Lead, r.lead))
	}
	if rec := recalled(s, task.ID); len(rec) > 0 {
		fmt.Fprintf(&b, "Remembered, may be outdated:\n- %s\n\n", clip(strings.Join(rec, "\n- "), r.recalled))
	}
	for _, id := range task.Needs {
		if t := s.Tasks[id]; t != nil && t.Result != "" {
			fmt.Fprintf(&b, "Done before: %s\n\n", labelled(s.TaskOrigins(id), clip(oneLine(t.Result), r.dep)))
		}
	}
	if n := len(task.Failures); n > 0 {
		fmt.Fprintf(&b, "An earlier attempt failed: %s\n\n", labelled(task.Origins, clip(task.Failures[n-1], r.dep)))
	}
	if len(s.Start.Goal.Protect) > 0 {
		fmt.Fprintf(&b, "Never change: %s\n\n", strings.Join(s.Start.Goal.Protect, " "))
	}
	if len(s.Start.Goal.Writable) > 0 {
		fmt.Fprintf(&b, "Write only: %s\n\n", strings.Join(s.Start.Goal.Writable, " "))
	}
	if form := s.Start.Goal.Result.Schema; form != nil && lastTask(s, task.ID) {
		fmt.Fprintf(&b, "The result must be JSON of this schema: %s\n\n", clip(string(form), 600))
	}
	if len(s.Net) > 0 {
		fmt.Fprintf(&b, "Network is open to: %s\n\n", strings.Join(s.Net, " "))
	}
	if c := failing(s); len(s.Plans) > 1 && c != nil && strings.TrimSpace(c.Output) != "" {
		fmt.Fprintf(&b, "An earlier attempt was wrong. Its check printed:\n%s\n\n", clipTail(strings.TrimSpace(c.Output), 300))
	}
	fmt.Fprintf(&b, "Goal: %s", clip(s.Start.Goal.Words(), r.goal))
	if len(s.Plan.Tasks) > 1 || task.Do != clip(s.Start.Goal.Words(), len(task.Do)) {
		fmt.Fprintf(&b, "\n\nYour task now: %s", task.Do)
	}
	return b.String()
}

// opening is how the first script of every other attempt of a small model begins: attempts that all choose the same wrong way are worth one.
func opening(s *journal.State, task *journal.Task) string {
	if len(task.Turns) > 0 || len(s.Plans)%2 == 1 || slices.ContainsFunc(planner.NamedFiles(s.Start.Goal.Words()), isCode) {
		return ""
	}
	return "python3 - <<'END'\n"
}

// isCode reports whether a path names a program: a goal that names one wants it written or changed, not run in passing.
func isCode(p string) bool {
	switch path.Ext(p) {
	case ".py", ".sh", ".js", ".ts", ".go", ".rb", ".rs", ".c", ".java":
		return true
	}
	return false
}

// failing is the first criterion that the last final measurement found unmet, nil when there is none.
func failing(s *journal.State) *journal.Check {
	if s.Final == nil {
		return nil
	}
	for i := range s.Final.Checks {
		if !s.Final.Checks[i].OK {
			return &s.Final.Checks[i]
		}
	}
	return nil
}

// criteria are the probes that decide the run: the person's, else the planner's.
func criteria(s *journal.State) []probe {
	if len(s.Start.Goal.Probes) > 0 {
		return s.Start.Goal.Probes
	}
	vacuous := make(map[string]bool)
	if s.Base != nil {
		for _, c := range s.Base.Checks {
			vacuous[c.Name] = c.Vacuous
		}
	}
	var out []probe
	for _, p := range s.Proposed {
		if !vacuous[p.Name] {
			out = append(out, p)
		}
	}
	return out
}

func recalled(s *journal.State, task string) []string {
	var out []string
	for _, key := range []string{"", task} {
		for _, it := range s.Recalls[key].Items {
			text := fmt.Sprintf("%q", it.Text)
			if it.Trust == "untrusted" {
				text += " (untrusted)"
			}
			out = append(out, text)
		}
	}
	return out
}

// transcript renders an attempt's turns. When they outgrow the window, the oldest are dropped down to half of it, so that the
// start of the rest stays the same for many steps; what was dropped is listed in a line each.
func transcript(task *journal.Task, info llm.Info, r room) []llm.Message {
	type chunk struct {
		msgs []llm.Message
		cost int
		line string
	}
	var chunks []chunk
	window := r.window
	for _, turn := range task.Turns {
		if turn.Replied != nil && turn.Replied.Class == llm.KindContext {
			window = window * 2 / 3
		}
		if turn.Reply() == nil || len(turn.Calls) == 0 {
			continue
		}
		c := chunk{msgs: turnMessages(turn, info.Style, r, info.Sees), line: turnLine(turn)}
		for _, m := range c.msgs {
			c.cost += llm.CountTokens(m.Text) + 8
			for _, call := range m.Calls {
				c.cost += llm.CountTokens(call.Args) + 12
			}
		}
		chunks = append(chunks, c)
	}
	first, total := 0, 0
	for i, c := range chunks {
		total += c.cost
		if total <= window {
			continue
		}
		for first < i && total > window/2 {
			total -= chunks[first].cost
			first++
		}
	}
	var out []llm.Message
	if first > 0 {
		lines := make([]string, 0, first)
		for _, c := range chunks[:first] {
			lines = append(lines, c.line)
		}
		if n := len(lines); n > 30 {
			lines = append([]string{fmt.Sprintf("(%d more)", n-30)}, lines[n-30:]...)
		}
		out = append(out, llm.Message{Role: llm.User, Text: "Earlier steps, shortened:\n" + strings.Join(lines, "\n")})
	}
	for _, c := range chunks[first:] {
		out = append(out, c.msgs...)
	}
	return out
}

// turnLine says a dropped turn in a line.
func turnLine(turn *journal.Turn) string {
	var parts []string
	for _, c := range turn.Calls {
		status := "open"
		if c.Finished != nil {
			status = string(c.Finished.Status)
			if c.Finished.Status == journal.ToolFailed {
				status = fmt.Sprintf("exit %d", c.Finished.Exit)
			}
		}
		parts = append(parts, fmt.Sprintf("%s %s (%s)", c.Tool, clip(oneLine(string(c.Args)), 160), status))
	}
	return "- " + strings.Join(parts, "; ")
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// turnMessages renders one turn and its results.
func turnMessages(turn *journal.Turn, style llm.Style, r room, sees bool) []llm.Message {
	reply := turn.Reply()
	if style == llm.StyleFenced {
		if c := failedAlone(turn); c != nil {
			return []llm.Message{{Role: llm.User, Text: "A script failed. Write another one, right this time. It ended with:\n" + clipTail(resultText(c, r), failedTail)}}
		}
		out := []llm.Message{{Role: llm.Assistant, Text: strings.TrimSpace(reply.Text)}}
		for _, c := range turn.Calls {
			if c.Finished != nil {
				out = append(out, llm.Message{Role: llm.User, Text: "Result:\n" + resultText(c, r)})
			}
		}
		return out
	}
	say := llm.Message{Role: llm.Assistant, Text: reply.Text}
	var out []llm.Message
	for _, c := range turn.Calls {
		if c.Finished == nil {
			continue
		}
		if c.Ref == "" {
			out = append(out, llm.Message{Role: llm.User, Text: resultText(c, r)})
			continue
		}
		name := c.Tool
		if name == "" {
			name = "unknown"
		}
		call := llm.Call{ID: c.Ref, Name: tools.WireName(name), Args: string(c.Args)}
		if len(c.Args) == 0 {
			call.Args = "{}"
		}
		say.Calls = append(say.Calls, call)
		out = append(out, llm.Message{Role: llm.ToolRole, CallID: c.Ref, Text: resultText(c, r), IsError: c.Finished.Status != journal.ToolOK})
	}
	out = append(out, seen(turn, sees)...)
	if say.Text == "" && len(say.Calls) == 0 {
		return out
	}
	return append([]llm.Message{say}, out...)
}

// failedTail is how much is shown of a script's failure, in bytes.
const failedTail = 500

// failedAlone is a turn's only call when it failed, else nil. A small model copies its own script, so of one that failed it sees the failure alone.
func failedAlone(turn *journal.Turn) *journal.ToolCall {
	if len(turn.Calls) != 1 || turn.Calls[0].Finished == nil || turn.Calls[0].Finished.Status != journal.ToolFailed {
		return nil
	}
	return turn.Calls[0]
}

// resultText is a result as a model reads it.
func resultText(c *journal.ToolCall, r room) string {
	f := c.Finished
	switch c.Tool {
	case "read", "search", "list", browserTool:
		r.head, r.tail = r.file, 0
	}
	var b strings.Builder
	switch {
	case f.Killed != "":
		fmt.Fprintf(&b, "killed: %s\n", f.Killed)
	case f.Status == journal.ToolFailed && f.Exit != 0 && f.Exit != -1:
		fmt.Fprintf(&b, "exit %d\n", f.Exit)
	}
	head, tail := f.Head, f.Tail
	cut := f.Bytes - int64(len(head)) - int64(len(tail))
	if len(head)+len(tail) > r.head+r.tail || cut > 0 {
		whole := head + tail
		if cut > 0 {
			head, tail = clipHead(head, r.head), clipTail(tail, r.tail)
		} else {
			head, tail = clipHead(whole, r.head), clipTail(whole, r.tail)
		}
		fmt.Fprintf(&b, "%s\n[… %d bytes cut; print less, or write to a file and read parts …]\n%s", head, f.Bytes-int64(len(head)+len(tail)), tail)
	} else {
		b.WriteString(head + tail)
	}
	text := strings.TrimRight(b.String(), "\n")
	if text == "" {
		text = "(no output)"
	} else if len(f.Direct) > 0 {
		text = quoted(f.Direct, text)
	}
	if no := refusals(f.Egress, r.ask); no != "" {
		text += "\n" + strings.TrimRight(no, "\n")
	}
	return text
}

func clipHead(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}

func clipTail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	i := len(s) - n
	for i < len(s) && s[i]&0xC0 == 0x80 {
		i++
	}
	return s[i:]
}

// news renders what may change from step to step: a person's words, a budget that runs out.
func (d *driver) news(s *journal.State, task *journal.Task) string {
	var out []string
	for _, m := range s.Messages {
		out = append(out, "From the person: "+clip(m.Text, 2000))
	}
	if left := budgetNews(s, task.ID); left != "" {
		out = append(out, left)
	}
	return strings.Join(out, "\n")
}

// fencedHelp names every action in a line. Its use is shown by the example alone: a small model copies samples into its work.
func fencedHelp(set *tools.Set) string {
	var b strings.Builder
	for _, t := range set.Specs() {
		form := t.Name
		if t.Fenced.Inline != "" {
			form += " " + strings.ToUpper(t.Fenced.Inline)
		}
		fmt.Fprintf(&b, "\n- %s: %s", form, t.Summary)
	}
	return b.String()
}

// sortedKeys is for rendering maps in one order.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
