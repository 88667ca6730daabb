package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"agentd/journal"
	"agentd/tools"
	"agentd/tools/args"
)

// offer is a server's tool that does nothing.
type offer struct{ name, text string }

func (o offer) Spec() tools.Spec {
	return tools.Spec{Name: o.name, Summary: o.text, Prompt: o.text, Schema: json.RawMessage(`{"type":"object","properties":{"a":{"type":"string"}}}`)}
}

func (o offer) Decode(raw json.RawMessage) (args.Args, error) {
	return args.DecodeMCP("s", o.name, raw)
}
func (o offer) Effect(args.Args) tools.Effect { return tools.Once }
func (o offer) Run(context.Context, tools.Env, args.Args) (tools.Result, error) {
	return tools.Result{OK: true, Output: tools.Text("done")}, nil
}

func TestManyToolsAreFolded(t *testing.T) {
	few := newRemote([]tools.Tool{offer{"s.send_mail", "Sends a mail."}}, 1)
	if got := few.specs(&journal.Task{}); few.folded || len(got) != 1 || got[0].Name != "s__send_mail" {
		t.Errorf("got %+v", got)
	}
	list := []tools.Tool{offer{"s.send_mail", "Sends a mail."}}
	for i := range 300 {
		list = append(list, offer{fmt.Sprintf("s.tool_%d", i), "Turns a widget. " + strings.Repeat("And more. ", 10)})
	}
	many := newRemote(list, 1)
	got := many.specs(&journal.Task{})
	if !many.folded || len(got) != 1 || got[0].Name != "tools__search" || !strings.Contains(got[0].Description, "- s.send_mail: Sends a mail.") {
		t.Fatalf("got %d tools, the first %.300q", len(got), got[0].Description)
	}
	find := many.by["tools__search"]
	res, err := find.Run(t.Context(), tools.Env{}, args.ToolSearch{Query: "how to send an email or mail"})
	if err != nil || !strings.HasPrefix(res.Output.Head(), "- s.send_mail: Sends a mail.\n") {
		t.Fatalf("got %q, %v", res.Output.Head(), err)
	}
	task := &journal.Task{Turns: []*journal.Turn{{Calls: []*journal.ToolCall{
		{Call: journal.Call{Tool: "tools.search"}, Finished: &journal.ToolFinished{Head: res.Output.Head()}},
		{Call: journal.Call{Tool: "s.tool_7"}},
	}}}}
	var names []string
	for _, s := range many.specs(task) {
		names = append(names, s.Name)
	}
	if want := "s__send_mail s__tool_7 tools__search"; strings.Join(names, " ") != want {
		t.Errorf("got %q, want %q", names, want)
	}
	if many.by["s.tool_299"] == nil || many.by["s__tool_299"] == nil {
		t.Error("a tool that is not shown can't be called")
	}
}
