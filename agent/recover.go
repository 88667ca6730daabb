package agent

import (
	"agentd/journal"
	"agentd/tools"
)

// inDoubtText is what the model is told of a confined call that a crash cut off.
const inDoubtText = "This call was cut off when the daemon stopped. It may have taken effect in part. It is not repeated: look at the workspace before you go on."

// recover settles what was in flight when the last driver ended: a model call at what it had reserved, a tool call by its
// effect. A call that is safe to repeat stays open and runs again; a confined one becomes in doubt and the model is told; one
// that could leave the box waits for a person.
func (d *driver) recover(t *tx) {
	leftTaken(t)
	for id, asked := range t.InFlight {
		t.add(journal.ModelReplied{
			Call: id, Err: "the daemon stopped before the reply came", Class: "lost", Lost: true,
			Used: asked.Reserved, USD: asked.USD,
		})
	}
	for _, c := range t.OpenCalls() {
		if c.Started.Effect != string(tools.Once) {
			continue // the task's loop finds it open and runs it again
		}
		if c.Started.Egress {
			if _, open := t.Asks[c.ID]; open || c.Answer != nil && c.Asked != nil && c.Asked.Ask == journal.AskDoubt {
				continue
			}
			t.add(journal.ToolAsked{
				Call: c.Call, Ask: journal.AskDoubt, Effect: c.Started.Effect,
				Verdict: journal.Verdict{Do: "ask", Rule: "in doubt", Why: "the daemon stopped while this call ran, and it could reach the network: did it take effect?"},
			})
			if !t.Start.Attended && t.Paused == nil {
				t.add(journal.Paused{By: "agentd", Reason: "an effect is in doubt", Parked: true})
			}
			continue
		}
		t.add(journal.ToolFinished{Call: c.Call, Status: journal.ToolInDoubt, Exit: -1, Head: inDoubtText})
	}
}
