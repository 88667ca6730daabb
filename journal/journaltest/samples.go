package journaltest

import (
	"encoding/json"

	"agentd/goals"
	"agentd/journal"
	"agentd/llm"
	"agentd/planner"
)

// Samples returns events of a whole run, at least one of each kind, in an order that could happen.
func Samples() []journal.Event {
	call := journal.Call{ID: "c1", Task: "t1", Tool: "shell", Args: json.RawMessage(`{"command":"ls"}`), Ref: "call_1", From: "m2"}
	refused := journal.Call{ID: "c2", Task: "t1", Tool: "http", Args: json.RawMessage(`{}`), From: "m2"}
	plan := planner.Plan{Tasks: []planner.Task{{ID: "t1", Do: "list"}, {ID: "t2", Do: "count", Needs: []string{"t1"}}}}
	return []journal.Event{
		Started("sample"),
		journal.DriverClaimed{Epoch: 1, PID: 42, Version: "test"},
		journal.SnapshotMade{ID: "snap", Files: 3, Bytes: 1000, Mode: "copy"},
		journal.ToolsListed{Server: "s", Version: "s 1", Tools: []journal.ServerTool{{Name: "go", Description: "Goes.", Schema: json.RawMessage(`{"type":"object"}`)}}},
		journal.Recalled{Query: "list", Items: []journal.Recall{{ID: "f1", Text: "fact", Score: 0.5}}},
		journal.ModelAsked{Call: "m1", Purpose: "plan", Step: 1, Model: "test/model", BodyHash: "00", Body: 2, Prompt: 10, MaxOut: 20, Reserved: 30, USD: 0.25, Try: 1},
		journal.ModelReplied{Call: "m1", Reply: &llm.Reply{}, Used: 20, USD: 0.125, Ms: 5},
		journal.PlanMade{Plan: plan, Reason: "first", Checks: []goals.Probe{{Name: "p", Cmd: "true"}}},
		journal.TaskStarted{Task: "t1", Attempt: 1},
		journal.ModelAsked{Call: "m2", Task: "t1", Purpose: "step", Step: 2, Reserved: 40, Try: 1},
		journal.ModelReplied{Call: "m2", Reply: &llm.Reply{}, Used: 30},
		journal.ToolAsked{Call: call, Ask: journal.AskTool, Verdict: journal.Verdict{Do: "ask"}, Effect: "once"},
		journal.AskAnswered{Ask: "c1", Answer: "allow", By: "test"},
		journal.ToolStarted{Call: call, Effect: "once", Verdict: journal.Verdict{Do: "allow"}, Try: 1},
		journal.ToolFinished{Call: call, Status: journal.ToolOK, Head: "a\n", Bytes: 2, Ms: 3},
		journal.ToolFinished{Call: refused, Status: journal.ToolRefused, Rule: "net"},
		journal.TaskFinished{Task: "t1", OK: true, Result: "listed"},
		journal.TaskStarted{Task: "t2", Attempt: 1},
		journal.ModelAsked{Call: "m3", Task: "t2", Purpose: "step", Step: 3, Reserved: 40, Try: 1},
		journal.ModelReplied{Call: "m3", Err: "overloaded", Class: llm.Kind("overload"), Used: 0},
		journal.TaskFinished{Task: "t2", Reason: "no model"},
		journal.MessageSent{Text: "faster", By: "test"},
		journal.LimitChanged{Budget: goals.Budget{Steps: 200}, By: "test"},
		journal.GoalRevised{Text: "sample, sorted", By: "test"},
		journal.Paused{By: "test", Reason: "lunch"},
		journal.Resumed{By: "test"},
		journal.Noted{Topic: "model", Text: "0"},
		journal.CheckFinished{Phase: "final", Checks: []journal.Check{{Name: "p", Cmd: "true", OK: true}}, OK: true, Revision: 1},
		journal.CancelAsked{By: "test"},
		journal.RunFinished{Status: journal.StatusCancelled, Reason: "asked to", Changed: []string{"a"}},
		journal.Undone{By: "test", Restored: []string{"a"}},
		journal.Learned{Items: []journal.Lesson{{ID: "m1", Text: "fact", Events: []int64{14}, State: "proposed"}}},
	}
}
