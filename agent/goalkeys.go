package agent

import (
	"context"
	"fmt"
	"slices"

	"agentd/acceptance"
	"agentd/goals"
	"agentd/journal"
	"agentd/policy"
	"agentd/tools"
)

// toolGroups are the words of tools.allow that stand for several tools.
var toolGroups = map[string][]string{
	"files":  {"read", "write", "edit", "list", "search"},
	"web":    {"http"},
	"memory": {"recall", "remember"},
}

// allowed narrows a set of tools to those that the goal file names. finish, without which no task ends, and a way to ask for a host stay.
func allowed(set *tools.Set, g goals.Goal) *tools.Set {
	if len(g.Tools.Allow) == 0 {
		return set
	}
	keep := []string{"finish", "network"}
	for _, name := range g.Tools.Allow {
		keep = append(append(keep, name), toolGroups[name]...)
	}
	drop := slices.DeleteFunc(set.Names(), func(n string) bool { return slices.Contains(keep, n) })
	return without(set, drop...)
}

// serverTool reports whether the goal file lets a tool of an MCP server be used: by its name, or by the group mcp. Nothing said is all.
func serverTool(g goals.Goal, t tools.Tool) bool {
	list := g.Tools.Allow
	name := t.Spec().Name
	return len(list) == 0 || slices.Contains(list, "mcp") || slices.Contains(list, name) || slices.Contains(list, tools.WireName(name))
}

// stopped says which condition of stop_when holds, "" for none. A condition over probes or the diff is measured when measure is set; one that can't be evaluated
// does not hold.
func (d *driver) stopped(ctx context.Context, measure bool) (string, error) {
	g := d.start.Goal
	if len(g.StopWhen) == 0 {
		return "", nil
	}
	lang, err := g.Language()
	if err != nil {
		return "", fmt.Errorf("stop_when: %w", err)
	}
	var f policy.Facts
	var have bool
	for _, src := range g.StopWhen {
		c, err := lang.Stop(src)
		if err != nil {
			return "", fmt.Errorf("stop_when: %w", err)
		}
		heavy := len(c.Uses()) > 0 || c.Reads("diff")
		if heavy && !measure {
			continue
		}
		if !have {
			if f, err = d.facts(ctx); err != nil {
				return "", err
			}
			have = true
		}
		f.Params = g.Values
		if heavy && f.Results == nil {
			results, err := d.measure(ctx, g.Probes)
			if err != nil {
				return "", fmt.Errorf("measure for stop_when: %w", err)
			}
			f.Results = acceptance.Facts(results)
		}
		if heavy && c.Reads("diff") && f.Diff == nil {
			if f.Diff, err = d.diff(ctx); err != nil {
				return "", err
			}
		}
		if ok, err := c.Eval(f); err == nil && ok {
			return src, nil
		}
	}
	return "", nil
}

// stopHere ends the run where a condition of stop_when holds.
func (d *driver) stopHere(ctx context.Context, measure bool) error {
	cond, err := d.stopped(ctx, measure)
	if err == nil && cond != "" {
		return end(journal.StatusStalled, "stop_when: %s", cond)
	}
	return err
}

// stall is how many steps have gone by since the last call that changed or showed something new, over all tasks.
func stall(s *journal.State) int {
	last, seen := 0, map[string]bool{}
	for _, id := range sortedKeys(s.Tasks) {
		for _, turn := range s.Tasks[id].Turns {
			for _, c := range turn.Calls {
				if c.Finished == nil || c.Finished.Status != journal.ToolOK || c.Started == nil || c.Started.Effect == string(tools.Read) {
					continue
				}
				if key := callKey(c.Tool, c.Args) + c.Finished.Head + c.Finished.Tail; !seen[key] {
					seen[key], last = true, max(last, turn.Asked.Step)
				}
			}
		}
	}
	return max(0, s.Spent.Steps-last)
}
