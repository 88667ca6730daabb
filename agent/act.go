package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"agentd/goals"
	"agentd/journal"
	"agentd/llm"
	"agentd/planner"
	"agentd/policy"
	"agentd/tools"
	"agentd/tools/args"
)

// move is one thing a reply asks for: a call, the end of the task, or something unusable.
type move struct {
	call   journal.Call
	args   args.Args // nil when unusable
	tool   tools.Tool
	effect tools.Effect
	step   int    // of the run
	wrong  string // why it is unusable
	finish *args.Finish
}

// parse reads a reply's moves. It is a pure function of the reply, so that a restarted driver reads the same.
func (d *driver) parse(asked journal.ModelAsked, reply *llm.Reply) []move {
	style := d.style(asked.Model)
	if reply.Stop == llm.StopLength {
		return []move{muddle(asked, 0, "", fmt.Sprintf("Your reply was cut off at %d tokens. Do less at once: write long files in parts.", asked.MaxOut))}
	}
	if style == llm.StyleFenced {
		return []move{d.parseFenced(asked, reply.Text)}
	}
	if len(reply.Calls) == 0 {
		if strings.TrimSpace(reply.Text) == "" {
			return []move{muddle(asked, 0, "", "Your reply was empty. Call a tool, or say what the result is.")}
		}
		return []move{{finish: &args.Finish{Result: reply.Text}, call: d.callOf(asked, 0, "finish", "", nil)}}
	}
	moves := make([]move, 0, len(reply.Calls))
	for i, c := range reply.Calls {
		m := d.decode(asked, i, c.Name, c.ID, []byte(c.Args))
		moves = append(moves, m)
		if m.finish != nil {
			break
		}
	}
	return moves
}

func (d *driver) callOf(asked journal.ModelAsked, i int, tool, ref string, raw json.RawMessage) journal.Call {
	return journal.Call{ID: fmt.Sprintf("%s.%d", asked.Call, i), Task: asked.Task, Tool: tool, Args: raw, Ref: ref, From: asked.Call}
}

func muddle(asked journal.ModelAsked, i int, ref, wrong string) move {
	return move{call: journal.Call{ID: fmt.Sprintf("%s.%d", asked.Call, i), Task: asked.Task, Ref: ref, From: asked.Call}, wrong: wrong}
}

// decode checks one call's name and arguments.
func (d *driver) decode(asked journal.ModelAsked, i int, name, ref string, raw []byte) move {
	tool := d.lookup(name)
	if tool == nil {
		return muddle(asked, i, ref, fmt.Sprintf("There is no tool %q. The tools are: %s.", clip(name, 60), strings.Join(d.set.Names(), ", ")))
	}
	name = tool.Spec().Name
	a, err := tool.Decode(raw)
	if err != nil {
		m := muddle(asked, i, ref, clip(err.Error(), 1000))
		m.call.Tool = name
		return m
	}
	canon, err := json.Marshal(a)
	if err != nil {
		return muddle(asked, i, ref, err.Error())
	}
	m := move{call: d.callOf(asked, i, name, ref, canon), args: a, tool: tool, effect: tool.Effect(a)}
	if f, ok := a.(args.Finish); ok {
		m.finish = &f
	}
	return m
}

// act carries out a reply's moves in order. settle, when not nil, journals the reply itself in the first commit. The last
// result waits for the next ModelAsked, so that a step costs two commits.
func (d *driver) act(ctx context.Context, id string, asked journal.ModelAsked, moves []move, settle journal.Event) (done bool, err error) {
	var pending []journal.Event
	if settle != nil {
		pending = append(pending, settle)
	}
	for _, m := range moves {
		m.step = asked.Step
		if m.finish != nil {
			if why := d.unfinished(ctx, id, m); why != "" {
				return d.step(ctx, id, append(pending, journal.ToolFinished{Call: m.call, Status: journal.ToolRejected, Exit: -1, Head: why, Rule: ruleMissing}))
			}
			if m.wrong, err = d.wrongResult(ctx, id, m.finish); err != nil {
				return false, err
			}
			if m.wrong == "" {
				return true, d.end(ctx, id, m, pending)
			}
		}
		if pending, err = d.carryOut(ctx, id, m, pending); err != nil {
			return false, err
		}
	}
	return d.step(ctx, id, pending)
}

// wrongResult says how a task's result differs from the form that the goal file asks for, "" for not at all.
func (d *driver) wrongResult(ctx context.Context, id string, f *args.Finish) (wrong string, err error) {
	if f.Failed {
		return "", nil
	}
	err = d.led.view(ctx, func(s *journal.State) {
		task := s.Tasks[id]
		if form := s.Start.Goal.Result.Schema; form != nil && lastTask(s, id) {
			raw, err := planner.ResultJSON(f.Result)
			if err == nil {
				err = goals.CheckJSON(form, raw)
			}
			if err != nil {
				wrong = clip(fmt.Sprintf("The work is not done: the run's result must be JSON of the schema %s, but %v. Finish again with that JSON as the result.", form, err), 2000)
				return
			}
		}
		for _, seed := range s.Start.Goal.Plan.Tasks {
			if len(seed.Out) == 0 || task == nil || task.Seed != seed.ID {
				continue
			}
			raw, err := planner.ResultJSON(f.Result)
			if err == nil {
				err = goals.CheckJSON(seed.Out, raw)
			}
			if err != nil {
				wrong = clip(fmt.Sprintf("The task is not done: its result must be JSON of the schema %s, but %v. Finish again with that JSON as the result.", seed.Out, err), 2000)
			}
		}
	})
	return wrong, err
}

// lastTask reports whether a task is the only one that is not done: its result is the run's.
func lastTask(s *journal.State, id string) bool {
	for _, t := range s.Plan.Tasks {
		if other := s.Tasks[t.ID]; t.ID != id && (other == nil || other.Status != journal.TaskDone) {
			return false
		}
	}
	return true
}

// end finishes a task by the agent's own word.
func (d *driver) end(ctx context.Context, id string, m move, pending []journal.Event) error {
	return d.led.do(ctx, func(t *tx) error {
		t.add(pending...)
		t.add(journal.ToolFinished{Call: m.call, Status: journal.ToolOK, Head: clip(m.finish.Result, 8000), Origins: t.TaskOrigins(id)})
		e := journal.TaskFinished{Task: id, OK: !m.finish.Failed, Result: clip(m.finish.Result, 8000)}
		if m.finish.Failed {
			e.Result, e.Reason = "", clip("the agent says that it can't be done: "+m.finish.Result, 2000)
		}
		t.add(e)
		return nil
	})
}

// carryOut brings one call from wherever it stands to its result, which it returns as the events to append next.
func (d *driver) carryOut(ctx context.Context, id string, m move, pending []journal.Event) ([]journal.Event, error) {
	var finished, running bool
	var try, known int // known: allowances for the whole run that were looked at
	for first := true; ; first = false {
		if !first {
			pending = nil
		}
		if err := d.prepareWrite(ctx, m); err != nil {
			return nil, err
		}
		var wait, gated, held bool
		err := d.led.do(ctx, func(t *tx) error {
			finished, running, wait, gated, held, try = false, false, false, false, false, 1
			t.add(pending...)
			c := t.ToolCall(m.call.ID)
			switch {
			case c != nil && c.Finished != nil:
				finished = true
				return nil
			case t.Paused != nil && !t.Paused.Parked, t.Cancel:
				gated = true
				return nil
			case taken(t.State, id):
				held = true
				return nil
			case c != nil && c.Answer != nil:
				return d.answered(t, m, c, &running, &finished, &try)
			case c != nil && c.Asked != nil:
				known, wait = len(t.Granted), !d.answeredSince(t, m, c.Asked)
				return nil
			case c != nil && c.Started != nil:
				running, try = true, c.Started.Try+1
				t.add(journal.ToolStarted{Call: m.call, Effect: c.Started.Effect, Egress: c.Started.Egress, Verdict: c.Started.Verdict, Try: try})
				return nil
			}
			return d.judge(t, id, m, &running, &finished, &wait)
		})
		switch {
		case err != nil:
			return nil, err
		case finished:
			return nil, nil
		case running:
			if m.effect == tools.Read {
				return d.perform(ctx, m)
			}
			d.beforeCall(ctx)
			done, err := d.perform(ctx, m)
			d.afterCall(ctx)
			return done, err
		case gated:
			err = d.gate(ctx)
		case held:
			err = d.untaken(ctx, id)
		case wait:
			err = d.led.wait(ctx, func(s *journal.State) bool { return s.Asks[m.call.ID] == nil || len(s.Granted) > known })
		}
		if err != nil {
			return nil, err
		}
	}
}

func ctxErr(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// judge decides about a new call: refuse, ask, or start.
func (d *driver) judge(t *tx, id string, m move, running, finished, wait *bool) error {
	never := func(status journal.ToolStatus, rule, head string) {
		t.add(journal.ToolFinished{Call: m.call, Status: status, Exit: -1, Head: head, Rule: rule})
		*finished = true
	}
	refuse := func(rule, head string) { never(journal.ToolRefused, rule, head) }
	if m.wrong != "" {
		never(journal.ToolRejected, ruleMuddle, m.wrong)
		return nil
	}
	if h := look(t.Tasks[id]); h.same >= 2 && h.key == callKey(m.call.Tool, m.call.Args) {
		never(journal.ToolRejected, ruleLoop, "This very call gave the same result twice in a row. It is not run again: do something else, or finish if the task is done.")
		return nil
	}
	if opened(t.State, m) {
		t.add(journal.ToolFinished{Call: m.call, Status: journal.ToolOK, Head: "commands can connect there already"})
		*finished = true
		return nil
	}
	egress := leaves(t.State, m)
	origins := slices.Concat(t.TaskOrigins(id), inlets(t.Start.Goal))
	seen := policy.Call{
		Args: m.args, Effect: string(m.effect), Egress: egress, Sandboxed: true, Origins: origins, Workspace: t.Start.Workspace, Goal: t.Start.Goal.Name,
	}
	if why := d.beyond(m); why != "" {
		refuse("ceiling", why)
		return nil
	}
	v := doubted(d.rulesNow().Decide(seen), m)
	kind := journal.AskTool
	if why, ok := wantsPerson(m); ok && v.Do != policy.Deny {
		kind, v = journal.AskTake, policy.Verdict{Do: policy.Ask, Rule: takeOver, Why: why}
	}
	verdict := journal.Verdict{Do: string(v.Do), Rule: v.Rule, Why: v.Why}
	start := journal.ToolStarted{Call: m.call, Effect: string(m.effect), Egress: egress, Verdict: verdict, Try: 1}
	switch v.Do {
	case policy.Allow:
		t.add(start)
		*running = true
	case policy.Deny:
		refuse(v.Rule, "Denied by policy: "+v.Why)
	default:
		t.add(journal.ToolAsked{
			Call: m.call, Ask: kind, Verdict: verdict, Effect: string(m.effect), Origins: origins, Hints: foreign(t.State, id, m), Egress: egress,
		})
		given := granted(t.State, seen, verdict)
		switch {
		case given != nil && kind == journal.AskTool:
			t.add(journal.AskAnswered{Ask: m.call.ID, Answer: "allow", By: grantedBy(given)}, start)
			*running = true
		case t.Start.Yes && kind == journal.AskTool && !(len(origins) > 0 && m.call.Tool == args.Network{}.Tool()): // a yes given beforehand opens no host that untrusted content may have named
			t.add(journal.AskAnswered{Ask: m.call.ID, Answer: "allow", By: "--yes"}, start)
			*running = true
		case kind == journal.AskTool && d.approved(t.State, seen, v):
			by, _ := d.rules.Approved(seen)
			t.add(journal.AskAnswered{Ask: m.call.ID, Answer: "allow", By: "approve_if", Reason: clip(by, 500)}, start)
			*running = true
		case t.Start.DenyAsks:
			t.add(journal.AskAnswered{Ask: m.call.ID, Answer: "deny", By: "unattended", Reason: "nobody can answer in this run"})
			refuse(v.Rule, "Denied: "+v.Why+", and nobody can answer in this run.")
		default:
			if !t.Start.Attended {
				t.add(journal.Paused{By: "agentd", Reason: "a person must answer: " + v.Why, Parked: true})
			}
			*wait = true
		}
	}
	return nil
}

// answered goes on with a call about which a person decided.
func (d *driver) answered(t *tx, m move, c *journal.ToolCall, running, finished *bool, try *int) error {
	a := c.Answer
	done := func(status journal.ToolStatus, head string) {
		t.add(journal.ToolFinished{Call: m.call, Status: status, Exit: -1, Head: head, Rule: "answer"})
		*finished = true
	}
	start := journal.ToolStarted{Call: m.call, Effect: c.Asked.Effect, Verdict: c.Asked.Verdict, Try: 1, Egress: leaves(t.State, m)}
	if c.Started != nil {
		start = *c.Started
		start.Try++
	}
	*try = start.Try
	reason := strings.TrimSuffix(": "+a.Reason, ": ")
	switch a.Answer {
	case "allow", "again":
		t.add(start)
		*running = true
	case "done":
		if c.Asked.Ask == journal.AskTake {
			t.add(start)
			*running = true
			return nil
		}
		done(journal.ToolOK, "This call was cut off by a crash; a person says that it took effect"+reason)
	case "deny":
		done(journal.ToolRefused, "A person denied this call"+reason)
	case "skip":
		done(journal.ToolInDoubt, "This call was cut off by a crash; a person says to go on without it"+reason)
	default:
		return end(journal.StatusInternalErr, "ask %s has the unknown answer %q", a.Ask, a.Answer)
	}
	return nil
}

// perform runs a started call and returns its result, behind the receipts of what it recalled. A tool that panics gives a failure, not
// a crash.
func (d *driver) perform(ctx context.Context, m move) ([]journal.Event, error) {
	if m.effect != tools.Read {
		done, err := d.marks.write(ctx)
		if err != nil {
			return nil, err
		}
		defer done()
	}
	var mem *receipts
	if d.memory != nil {
		mem = &receipts{Memory: d.memory}
	}
	var writes []string
	alone := false
	if err := d.led.view(ctx, func(s *journal.State) { writes, alone = taskWrites(s, m.call.Task), len(s.OpenCalls()) <= 1 }); err != nil {
		return nil, err
	}
	pol, err := d.taskPolicy(writes)
	var sc *scope
	if err == nil && m.effect != tools.Read {
		sc, err = d.scoped(writes, alone)
	}
	if err != nil {
		return []journal.Event{journal.ToolFinished{Call: m.call, Status: journal.ToolFailed, Exit: -1, Head: clip(err.Error(), 2000)}}, ctxErr(ctx)
	}
	env := tools.Env{Box: d.cfg.Box, Policy: pol, Root: d.root, Protect: d.refused(writes), Unseen: d.unseen, Call: m.call.ID, Step: m.step}
	if m.call.Tool != browserTool {
		e := d.result(ctx, m, env, mem)
		if note, err := d.settle(ctx, sc); err != nil {
			return nil, err
		} else if note != "" {
			if e.Tail += "\n[" + note + "]"; e.Tail[0] == '\n' && len(e.Tail) == len(note)+3 && e.Bytes <= int64(len(e.Head)) {
				e.Head, e.Tail = e.Head+e.Tail, ""
			}
			e.Bytes += int64(len(note) + 3)
			e.Changed = slices.DeleteFunc(e.Changed, func(p string) bool { return !inScope(sc.globs, p) })
		}
		return append(mem.events(m.call), e), ctxErr(ctx)
	}
	env.Room = roomFor(d.models[d.current()].Info()).file
	var seen map[string][]journal.Tab
	err = d.led.view(ctx, func(s *journal.State) { seen = maps.Clone(s.Tabs) })
	if err == nil {
		env.Tabs, err = d.tabs(m.call.Task, seen)
	}
	if err != nil {
		return []journal.Event{journal.ToolFinished{Call: m.call, Status: journal.ToolFailed, Exit: -1, Head: clip(err.Error(), 2000)}}, ctxErr(ctx)
	}
	e := d.result(ctx, m, env, mem)
	return append(tabEvents(m.call.Task, seen[m.call.Task], env.Tabs.Open()), e), ctxErr(ctx)
}

func (d *driver) result(ctx context.Context, m move, env tools.Env, mem *receipts) (e journal.ToolFinished) {
	start := time.Now()
	res, err := d.runTool(ctx, m, env, mem)
	defer d.trace(ctx, m, mem, res, start, &e)
	e = journal.ToolFinished{Call: m.call, Status: journal.ToolFailed, Exit: -1, Ms: time.Since(start).Milliseconds()}
	switch {
	case ctx.Err() != nil:
		e.Status, e.Head = journal.ToolCanceled, "cancelled"
		return e
	case err != nil:
		e.Head = "the tool failed: " + clip(err.Error(), 2000)
		e.Bytes = int64(len(e.Head))
		return e
	}
	defer res.Output.Close()
	e.Exit, e.Killed, e.Level, e.Changed = res.Exit, res.Killed, res.Level, res.Changed
	e.Head, e.Tail, e.Bytes = valid(res.Output.Head()), valid(res.Output.Tail()), res.Output.Len()
	if res.OK {
		e.Status = journal.ToolOK
	}
	e.Pictures = d.keepPictures(ctx, res.Pictures)
	f, err := res.Output.Spilled()
	if err == nil && f != nil {
		e.Blob, _, err = d.cfg.Store.PutBlob(ctx, d.run, io.LimitReader(f, maxBlob))
	}
	if err != nil {
		d.log.Warn("output not kept", "run", d.run, "call", m.call.ID, "err", err)
	}
	return e
}

// maxBlob bounds the output that is kept of one call.
const maxBlob = 64 << 20

func (d *driver) runTool(ctx context.Context, m move, env tools.Env, mem *receipts) (res tools.Result, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("tool %s panicked: %v", m.call.Tool, r)
			d.log.Error("tool panicked", "tool", m.call.Tool, "panic", r)
		}
	}()
	env.Ask = d.askPerson(m.call)
	if mem != nil {
		env.Memory = mem
		if err := d.led.view(ctx, func(s *journal.State) { env.Tainted = len(s.TaskOrigins(m.call.Task)) > 0 }); err != nil {
			return res, err
		}
	}
	res, err = m.tool.Run(ctx, env, m.args)
	if err == nil && res.Output == nil {
		res.Output = tools.Text("")
	}
	return res, err
}

// prepareWrite waits for the snapshot before the first call that could write.
func (d *driver) prepareWrite(ctx context.Context, m move) error {
	if m.wrong != "" || m.effect == tools.Read {
		return nil
	}
	return d.snapshotted(ctx)
}

// valid makes text fit for JSON and prompts.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

var errNoRoot = errors.New("the workspace can't be opened")

func openRoot(ws string) (*os.Root, error) {
	r, err := os.OpenRoot(ws)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errNoRoot, err)
	}
	return r, nil
}
