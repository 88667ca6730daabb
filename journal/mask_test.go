package journal_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"agentd/journal"
	"agentd/llm"
)

func TestMask(t *testing.T) {
	secret, odd := "s3cr3t-canary", `a"<odd>\value`
	quoted, _ := json.Marshal(map[string]string{"command": "echo " + odd})
	e := journal.ToolFinished{
		Call: journal.Call{ID: "m1.0", Tool: "shell", Args: quoted}, Status: journal.ToolOK, Exit: 3, Bytes: 12345678,
		Head: "x " + secret + secret + " y", Changed: []string{"dir/" + secret},
	}
	got, ok := journal.Mask(e, []string{secret, odd, "short", "12345678"}).(journal.ToolFinished)
	if !ok {
		t.Fatalf("got %T", got)
	}
	stars := strings.Repeat("*", len(secret))
	if got.Head != "x "+stars+stars+" y" || got.Changed[0] != "dir/"+stars || got.Bytes != 12345678 || got.Exit != 3 {
		t.Errorf("got %+v", got)
	}
	var args map[string]string
	if err := json.Unmarshal(got.Call.Args, &args); err != nil || args["command"] != "echo "+strings.Repeat("*", len(odd)) {
		t.Errorf("arguments: %s, %v", got.Call.Args, err)
	}
	reply := journal.ModelReplied{Call: "m1", Reply: &llm.Reply{Calls: []llm.Call{{Name: "shell", Args: string(quoted)}}}}
	masked := journal.Mask(reply, []string{odd}).(journal.ModelReplied)
	if err := json.Unmarshal([]byte(masked.Reply.Calls[0].Args), &args); err != nil || strings.Contains(args["command"], "odd") {
		t.Errorf("a reply's arguments: %s, %v", masked.Reply.Calls[0].Args, err)
	}
	plain := journal.Event(journal.Noted{Topic: "model", Text: "nothing"})
	if same := journal.Mask(plain, []string{secret}); !reflect.DeepEqual(same, plain) {
		t.Errorf("changed %+v", same)
	}
}
