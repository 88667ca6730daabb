package agent

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"agentd/journal"
	"agentd/llm"
	"agentd/tools"
)

//go:embed prompts/learn.md
var learnPrompt string

// learnCall is the name under which what was known before a run's lessons is recorded, in place of a call's id.
const learnCall = "learn"

// Bounds of what is learned from a run.
const (
	learnTries = 3
	maxLessons = 5
	maxLesson  = 400 // bytes of one
	maxCited   = 20  // events of one
)

var learnSchema = json.RawMessage(`{"type":"object","properties":{"facts":{"type":"array","maxItems":5,"items":{"type":"object","properties":{` +
	`"text":{"type":"string","maxLength":300},"events":{"type":"array","minItems":1,"maxItems":8,"items":{"type":"integer"}},"everywhere":{"type":"boolean"},` +
	`"contradicts":{"type":"array","maxItems":4,"items":{"type":"string","maxLength":12}}},"required":["text","events","everywhere","contradicts"],"additionalProperties":false}}},` +
	`"required":["facts"],"additionalProperties":false}`)

// worthLearning says whether a run that ends so may teach something: it keeps what it learns, and did something that shows. A small
// model is not asked: it proposes how the run ended, and a person would have to read that.
func (d *driver) worthLearning(s *journal.State, status journal.Status) bool {
	if d.memory == nil || s.Start.Memory != MemoryPropose && s.Start.Memory != MemoryAuto {
		return false
	}
	if len(d.models) == 0 || d.models[d.current()].Info().Style == llm.StyleFenced {
		return false
	}
	switch status {
	case journal.StatusAccepted, journal.StatusUnverified, journal.StatusUnmet, journal.StatusStalled, journal.StatusDenied, journal.StatusTime:
	default:
		return false
	}
	if len(s.Messages) > 0 {
		return true
	}
	for _, t := range s.Tasks {
		for _, turn := range t.Turns {
			for _, c := range turn.Calls {
				if c.Finished != nil && c.Tool != "finish" && (c.Finished.Status == journal.ToolOK || c.Finished.Status == journal.ToolFailed) {
					return true
				}
			}
		}
	}
	return false
}

// learn asks a model what later runs should know of an ended run, and hands it to memory. It acts after the run's end, so that
// nobody waits for it; the call is reserved and recorded as every other one, and left out if the budget can't pay it.
func (d *driver) learn(ctx context.Context) error {
	err := d.led.do(ctx, func(t *tx) error {
		for id, asked := range t.InFlight {
			t.add(journal.ModelReplied{Call: id, Err: "cut off: the daemon stopped, or a run needed the model", Class: "lost", Lost: true, Used: asked.Reserved, USD: asked.USD})
		}
		return nil
	})
	if err != nil {
		return err
	}
	records, err := d.records(ctx)
	if err != nil {
		return err
	}
	var text string
	var replied bool
	var tries int
	var before []journal.Event
	var query string
	err = d.led.view(ctx, func(s *journal.State) {
		for _, turn := range s.Planning {
			if turn.Asked.Purpose != "memory" {
				continue
			}
			tries++
			if r := turn.Reply(); r != nil {
				text, replied = r.Text, true
			}
		}
		if _, have := s.Recalls[learnCall]; !have {
			query = s.Start.Goal.Text + "\n" + s.Outcome.Result
		}
	})
	if err != nil {
		return err
	}
	if !replied {
		if tries >= learnTries {
			return d.learned(ctx, journal.Learned{Note: fmt.Sprintf("given up after %d calls without a reply", tries)})
		}
		if d.models, err = d.cfg.Open(ctx, d.start.Model); err != nil {
			return d.learned(ctx, journal.Learned{Note: clip(err.Error(), 300)})
		}
		if query != "" {
			facts, note, err := d.memory.Find(ctx, clipHead(query, maxRecallQuery), roomFor(d.models[0].Info()).recalled)
			if err != nil && ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err == nil && len(facts) > 0 {
				r := receipt(query, facts, note)
				r.Call = learnCall
				before = append(before, r)
			}
		}
		reply, asked, err := d.ask(ctx, question{purpose: "memory", before: before, build: func(s *journal.State, info llm.Info) (*llm.Request, error) {
			return learnRequest(s, records, info), nil
		}})
		if o := (*outcome)(nil); errors.As(err, &o) { // no budget, or no provider
			return d.learned(ctx, journal.Learned{Note: "no model was asked: " + clip(o.reason, 300)})
		}
		if err != nil {
			return err
		}
		if err := d.led.do(ctx, func(t *tx) error { t.add(asked.settle); return nil }); err != nil {
			return err
		}
		text = reply.Text
	}
	out, err := d.keep(ctx, text, records)
	if err != nil {
		return err
	}
	return d.learned(ctx, out)
}

func (d *driver) learned(ctx context.Context, e journal.Learned) error {
	return d.led.do(ctx, func(t *tx) error {
		if t.Learning() {
			t.add(e)
		}
		return nil
	})
}

// records reads a run's events up to its end.
func (d *driver) records(ctx context.Context) ([]journal.Record, error) {
	var out []journal.Record
	for r, err := range d.cfg.Store.Read(ctx, d.run, 0) {
		if err != nil {
			return nil, err
		}
		out = append(out, r)
		if r.Kind == journal.KindRunFinished {
			break
		}
	}
	return out, nil
}

// learnRequest asks about the events up to the run's end.
func learnRequest(s *journal.State, records []journal.Record, info llm.Info) *llm.Request {
	room, out := 16000, 1200
	if info.Window > 0 && info.Window <= 16384 {
		room, out = 5000, 400
	}
	var b strings.Builder
	if known := knownFacts(s); len(known) > 0 {
		fmt.Fprintf(&b, "Known already (data):\n- %s\n\n", clip(strings.Join(known, "\n- "), room/4))
	}
	fmt.Fprintf(&b, "Journal (data):\n%s", digest(records, room))
	req := &llm.Request{
		Messages:  []llm.Message{{Role: llm.System, Text: strings.TrimSpace(learnPrompt)}, {Role: llm.User, Text: b.String()}},
		MaxTokens: out,
	}
	if info.Schema {
		req.Schema = &llm.Schema{Name: "facts", JSON: learnSchema}
	}
	if info.Local {
		var temp float64
		req.Temperature = &temp
	}
	return req
}

// knownFacts are the memories that the run's journal shows, each once.
func knownFacts(s *journal.State) []string {
	seen := map[string]bool{}
	var out []string
	for _, key := range sortedKeys(s.Recalls) {
		for _, it := range s.Recalls[key].Items {
			if !seen[it.ID] {
				seen[it.ID] = true
				out = append(out, fmt.Sprintf("%s: %q", it.ID, it.Text))
			}
		}
	}
	return out
}

// digest renders the events that can teach something, a numbered line each, in at most about room bytes: results are cut shorter
// first, then calls in the middle are left out. A person's words stay.
func digest(records []journal.Record, room int) string {
	for _, clip := range []int{800, 400, 200, 100} {
		if lines := digestLines(records, clip); size(lines) <= room {
			return join(lines)
		}
	}
	lines := digestLines(records, 60)
	n := 0
	for size(lines) > room && len(lines) > 2 {
		// The middle one that is no person's.
		i := slices.IndexFunc(lines[len(lines)/3:], func(l digestLine) bool { return !l.person })
		if i < 0 {
			break
		}
		i += len(lines) / 3
		lines = slices.Delete(lines, i, i+1)
		n++
	}
	return clip(join(lines), room) + fmt.Sprintf("\n(%d events are left out)", n)
}

type digestLine struct {
	text   string
	person bool
}

func size(lines []digestLine) int {
	n := 0
	for _, l := range lines {
		n += len(l.text) + 1
	}
	return n
}

func join(lines []digestLine) string {
	var out []string
	for _, l := range lines {
		out = append(out, l.text)
	}
	return strings.Join(out, "\n")
}

func digestLines(records []journal.Record, most int) []digestLine {
	var out []digestLine
	for _, r := range records {
		e, err := r.Decode()
		if err != nil {
			continue // it was folded before: a later version's
		}
		text := ""
		switch e := e.(type) {
		case journal.RunStarted:
			text = "goal: " + clip(e.Goal.Words(), 2000)
		case journal.GoalRevised:
			text = "the person revised the goal: " + clip(e.Text, 1000)
		case journal.MessageSent:
			text = "the person said: " + clip(e.Text, 1000)
		case journal.AskAnswered:
			if e.Reason != "" && e.By != "agentd" && e.By != "unattended" {
				text = fmt.Sprintf("the person answered %s: %s", clip(e.Answer, 300), clip(e.Reason, 300))
			} else if e.Answer != "allow" && e.Answer != "deny" {
				text = "the person answered: " + clip(e.Answer, 500)
			}
		case journal.PlanMade:
			if e.Plan.Revision > 1 {
				text = "plan changed: " + clip(oneLine(e.Reason), most)
			}
		case journal.ToolFinished:
			if e.Call.Tool == "finish" {
				continue
			}
			result := oneLine(e.Head + " " + e.Tail)
			text = fmt.Sprintf("%s %s -> %s", e.Call.Tool, clip(oneLine(string(e.Call.Args)), most/2+60), e.Status)
			if e.Status == journal.ToolFailed && e.Exit > 0 {
				text += fmt.Sprintf(" (exit %d)", e.Exit)
			}
			if result != "" {
				text += ": " + middle(result, most)
			}
		case journal.TaskFinished:
			if text = "task done: " + clip(oneLine(e.Result), most); !e.OK {
				text = "task failed: " + clip(oneLine(e.Reason), most)
			}
		case journal.CheckFinished:
			for _, c := range e.Checks {
				if e.Phase == "final" {
					text += fmt.Sprintf("check %s exits %d; ", clip(oneLine(c.Cmd), most), c.Exit)
				}
			}
		case journal.RunFinished:
			text = fmt.Sprintf("the run ended: %s %s", e.Status, clip(oneLine(e.Reason), most))
		}
		if text = strings.TrimRight(text, " ;"); text != "" {
			out = append(out, digestLine{fmt.Sprintf("[%d] %s", r.Seq, valid(text)), fromPerson(e)})
		}
	}
	return out
}

// middle keeps both ends of s.
func middle(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return clipHead(s, n/2) + " … " + clipTail(s, n/2)
}

// fromPerson says whether an event is a person's own words.
func fromPerson(e journal.Event) bool {
	switch e := e.(type) {
	case journal.RunStarted, journal.MessageSent, journal.GoalRevised:
		return true
	case journal.AskAnswered:
		return e.By != "agentd" && e.By != "unattended"
	}
	return false
}

// lesson is a fact as a model proposes it.
type lesson struct {
	Text        string   `json:"text"`
	Events      []int64  `json:"events"`
	Everywhere  bool     `json:"everywhere"`
	Contradicts []string `json:"contradicts"`
}

// parseLessons reads a reply; what breaks a rule is left out and counted. cites says whether an event was shown.
func parseLessons(text string, cites func(int64) bool) (good []lesson, bad int, err error) {
	from, to := strings.IndexByte(text, '{'), strings.LastIndexByte(text, '}')
	var reply struct {
		Facts []lesson `json:"facts"`
	}
	if from < 0 || to < from {
		return nil, 0, errors.New("the reply holds no JSON object")
	}
	if err := json.Unmarshal([]byte(text[from:to+1]), &reply); err != nil {
		return nil, 0, fmt.Errorf("the reply is not of the form asked for: %w", err)
	}
	for _, l := range reply.Facts {
		l.Text = oneLine(l.Text)
		slices.Sort(l.Events)
		l.Events = slices.DeleteFunc(slices.Compact(l.Events), func(n int64) bool { return !cites(n) })
		if l.Text == "" || len(l.Text) > maxLesson || !utf8.ValidString(l.Text) || len(l.Events) == 0 || len(l.Events) > maxCited || len(good) == maxLessons {
			bad++
			continue
		}
		good = append(good, l)
	}
	return good, bad, nil
}

// keep hands a reply's facts to memory. A fact that only a person's words show is the model's conclusion; what a tool's result shows, or
// a run that could read what nobody vouches for, is untrusted.
func (d *driver) keep(ctx context.Context, text string, records []journal.Record) (journal.Learned, error) {
	shown, person := map[int64]bool{}, map[int64]bool{}
	for _, r := range records {
		if e, err := r.Decode(); err == nil {
			shown[int64(r.Seq)], person[int64(r.Seq)] = true, fromPerson(e)
		}
	}
	good, bad, err := parseLessons(text, func(n int64) bool { return shown[n] })
	if err != nil {
		return journal.Learned{Note: clip(err.Error(), 300)}, nil
	}
	var out journal.Learned
	if bad > 0 {
		out.Note = fmt.Sprintf("%d facts were dropped: too long, or without an event that shows them", bad)
	}
	var stained bool
	var known []string
	err = d.led.view(ctx, func(s *journal.State) {
		stained = len(s.Origins()) > 0
		for _, r := range s.Recalls {
			for _, it := range r.Items {
				known = append(known, it.ID)
			}
		}
	})
	if err != nil {
		return out, err
	}
	for _, l := range good {
		n := tools.Note{Text: l.Text, User: l.Everywhere, Events: l.Events, Untrusted: stained}
		for _, e := range l.Events {
			n.Untrusted = n.Untrusted || !person[e]
		}
		for _, id := range l.Contradicts {
			if slices.Contains(known, id) && !slices.Contains(n.Contradicts, id) {
				n.Contradicts = append(n.Contradicts, id)
			}
		}
		k, err := d.memory.Keep(ctx, n)
		switch {
		case ctx.Err() != nil:
			return out, context.Cause(ctx)
		case err != nil:
			out.Note = strings.TrimPrefix(out.Note+"; ", "; ") + "not kept: " + clip(err.Error(), 300)
			return out, nil
		}
		out.Items = append(out.Items, journal.Lesson{
			ID: k.ID, Text: l.Text, Events: l.Events, Trust: k.Trust, State: k.State, Known: k.Known, Contradicts: k.Contradicts,
		})
	}
	return out, nil
}
