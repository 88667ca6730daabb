package agent

import (
	"context"
	"fmt"

	"agentd/journal"
)

// fannedOut begins the reason of a plan that a fan-out made, which counts as no revision.
const fannedOut = "each: "

// fanOut makes one task for each item of a list in place of a task that waits for it, when all it needs is done. No task may be running: a
// new plan begins them anew. A list that can't be had fails the task.
func (d *driver) fanOut(ctx context.Context) error {
	return d.led.do(ctx, func(t *tx) error {
		for again := true; again; {
			again = false
			for _, task := range t.Plan.Tasks {
				if task.Each == "" || t.Tasks[task.ID].Status != journal.TaskPending || !needsDone(t.State, task.Needs) {
					continue
				}
				next, err := t.Plan.FanOut(task.ID, func(id string) string {
					if done := t.Tasks[id]; done != nil {
						return done.Result
					}
					return ""
				})
				if err != nil {
					t.add(journal.TaskStarted{Task: task.ID, Attempt: t.Tasks[task.ID].Attempt + 1},
						journal.TaskFinished{Task: task.ID, Reason: clip(err.Error(), 1000)})
					return nil
				}
				t.add(journal.PlanMade{Plan: next, Reason: fmt.Sprintf(fannedOut+"task %s once for each of %d items", task.ID, len(next.Tasks)-len(t.Plan.Tasks)+1)})
				again = true
				break
			}
		}
		return nil
	})
}

func needsDone(s *journal.State, needs []string) bool {
	for _, n := range needs {
		if t := s.Tasks[n]; t == nil || t.Status != journal.TaskDone {
			return false
		}
	}
	return true
}
