package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"agentd/journal"
	"agentd/llm"
	"agentd/policy"
	"agentd/sandbox"
	"agentd/tools"
	"agentd/tools/args"
)

// Servers are the tools that servers outside of the daemon offer to one run. Methods are safe for concurrent use.
type Servers interface {
	// List says what each server offers; notes say which can't and why.
	List(ctx context.Context, p sandbox.Policy) (list []journal.ToolsListed, notes []string)
	// Update says what must be told anew of what the run was told.
	Update(told []journal.ToolsListed) []journal.ToolsListed
	// Tools makes the tools of what was listed. It starts nothing, and equal lists give equal tools.
	Tools(list []journal.ToolsListed) []tools.Tool
	// Stop ends the servers' processes and waits for them; a later call starts its server again.
	Stop()
	// Close ends all for good.
	Close() error
}

// maxShown is how many bytes the descriptions and schemas of servers' tools may take of every prompt. When they take more, a
// line stands for each, and the model looks up what it needs.
const maxShown = 12 << 10

// remote is what servers offer, as a state has it.
type remote struct {
	listed int // State.Listed that it was made of
	tools  []tools.Tool
	by     map[string]tools.Tool // by name, and by the name that providers take
	folded bool                  // a line each, and tools.search
}

// offered returns what the servers offer in a state.
func (d *driver) offered(s *journal.State) *remote {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.servers == nil {
		return &remote{}
	}
	if d.remote == nil || d.remote.listed != s.Listed {
		list := slices.DeleteFunc(d.servers.Tools(s.Servers), func(t tools.Tool) bool { return !serverTool(s.Start.Goal, t) })
		d.remote = newRemote(list, s.Listed)
	}
	return d.remote
}

func newRemote(list []tools.Tool, listed int) *remote {
	r := &remote{listed: listed, tools: list, by: map[string]tools.Tool{}}
	size := 0
	for _, t := range list {
		s := t.Spec()
		size += len(s.Prompt) + len(s.Schema)
	}
	if r.folded = size > maxShown; r.folded {
		r.tools = append(r.tools, &toolSearch{list})
	}
	for _, t := range r.tools {
		name := t.Spec().Name
		r.by[name], r.by[tools.WireName(name)] = t, t
	}
	return r
}

// lookup finds a tool of the run by its name, or by the name that a provider took for it.
func (d *driver) lookup(name string) tools.Tool {
	if t := d.set.Lookup(name); t != nil {
		return t
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.remote == nil {
		return nil
	}
	return d.remote.by[name]
}

// specs are the servers' tools that a model is shown in full: all, or those that it looked up or called.
func (r *remote) specs(task *journal.Task) []llm.ToolSpec {
	var seen map[string]bool
	if r.folded {
		seen = lookedUp(task)
	}
	var out []llm.ToolSpec
	for _, t := range r.tools {
		s := t.Spec()
		if _, is := t.(*toolSearch); r.folded && !is && !seen[s.Name] {
			continue
		}
		out = append(out, llm.ToolSpec{Name: tools.WireName(s.Name), Description: s.Prompt, Schema: s.Schema})
	}
	return out
}

// lookedUp are the names that an attempt's searches found, and those that it called.
func lookedUp(task *journal.Task) map[string]bool {
	seen := map[string]bool{}
	for _, turn := range task.Turns {
		for _, c := range turn.Calls {
			seen[c.Tool] = true
			if c.Tool != (args.ToolSearch{}).Tool() || c.Finished == nil {
				continue
			}
			for line := range strings.SplitSeq(c.Finished.Head, "\n") {
				if name, _, ok := strings.Cut(strings.TrimPrefix(line, "- "), ": "); ok && strings.HasPrefix(line, "- ") {
					seen[name] = true
				}
			}
		}
	}
	return seen
}

// listServers asks the servers once, before the first plan, when the snapshot is made: they may write.
func (d *driver) listServers(ctx context.Context) error {
	if d.servers == nil {
		return nil
	}
	var done bool
	if err := d.led.view(ctx, func(s *journal.State) { done = s.Listed > 0 || len(s.Plans) > 0 || s.Outcome != nil }); err != nil {
		return err
	}
	if !done {
		if err := d.snapshotted(ctx); err != nil {
			return err
		}
		list, notes := d.servers.List(ctx, d.boxPolicy())
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := d.led.do(ctx, func(t *tx) error {
			for _, l := range list {
				t.add(l)
			}
			for _, n := range notes {
				t.add(journal.Noted{Topic: "mcp", Text: clip(n, 1000)})
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return d.led.view(ctx, func(s *journal.State) { d.offered(s) })
}

// relist tells the run what a person accepted since.
func (d *driver) relist(t *tx) {
	if d.servers == nil {
		return
	}
	for _, l := range d.servers.Update(t.Servers) {
		t.add(l)
	}
	d.offered(t.State)
}

// ruleChanged is the rule of an ask that the tool itself wants.
const ruleChanged = "changed"

// doubted turns an allowance into an ask where the tool wants one.
func doubted(v policy.Verdict, m move) policy.Verdict {
	q, ok := m.tool.(tools.Doubter)
	if !ok || v.Do == policy.Deny {
		return v
	}
	if why := q.Doubt(m.args); why != "" {
		return policy.Verdict{Do: policy.Ask, Rule: ruleChanged, Why: why}
	}
	return v
}

// askPerson puts a question of a running call to a person, as an ask of its own.
func (d *driver) askPerson(call journal.Call) tools.AskPerson {
	n := 0
	return func(ctx context.Context, text string) (string, error) {
		d.mu.Lock()
		n++
		id := fmt.Sprintf("%s.q%d", call.ID, n)
		d.mu.Unlock()
		q, err := json.Marshal(map[string]string{"question": clip(text, 4000)})
		if err != nil {
			return "", err
		}
		denied := false
		err = d.led.do(ctx, func(t *tx) error {
			if denied = t.Start.DenyAsks || t.Start.Yes; denied {
				return nil // nobody is there to say more than yes
			}
			t.add(journal.ToolAsked{
				Call: journal.Call{ID: id, Task: call.Task, Tool: call.Tool, Args: q}, Ask: journal.AskModel, Effect: string(tools.Read),
				Verdict: journal.Verdict{Do: "ask", Rule: "question", Why: clip(text, 2000)},
			})
			return nil
		})
		if err != nil {
			return "", err
		}
		if denied {
			return "", errNobody
		}
		if err := d.led.wait(ctx, func(s *journal.State) bool { return s.Asks[id] == nil }); err != nil {
			return "", err
		}
		answer := ""
		err = d.led.view(ctx, func(s *journal.State) {
			if c := s.ToolCall(id); c != nil && c.Answer != nil {
				answer = c.Answer.Answer
			}
		})
		return answer, err
	}
}

var errNobody = fmt.Errorf("nobody can be asked in this run")

// closeServers ends a run's servers.
func (d *driver) closeServers() {
	if d.servers == nil {
		return
	}
	start := time.Now()
	if err := d.servers.Close(); err != nil {
		d.log.Warn("servers not closed", "run", d.run, "err", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		d.log.Warn("servers were slow to end", "run", d.run, "took", took)
	}
}

// serverLines tell the planner which tools servers offer beside those that every run has.
func serverLines(s *journal.State) string {
	var b strings.Builder
	for _, l := range s.Servers {
		var names []string
		for _, t := range l.Tools {
			names = append(names, t.Name)
		}
		if len(names) > 0 {
			fmt.Fprintf(&b, "\nTools of the server %s: %s", l.Server, clip(strings.Join(names, ", "), 600))
		}
	}
	return b.String()
}
