package main

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"agentd/api"
	"agentd/journal"
)

func (a *app) memoryReviewCmd() *cobra.Command {
	var r api.MemoryReview
	var asJSON, all bool
	c := &cobra.Command{
		Use:   "review",
		Short: "Decide about what runs proposed to remember",
		Long:  "Decide about what runs proposed to remember: one by one on a terminal, else by --accept and --reject. Without them the proposals are listed.",
		Args:  exactly(0),
		RunE: a.withDaemon(func(ctx context.Context, c *api.Client, _ []string) error {
			if all && len(r.Accept) > 0 {
				return invalid("use one of them", "--all accepts everything, --accept names some")
			}
			if len(r.Accept)+len(r.Reject) > 0 && !all {
				return c.ReviewMemory(ctx, r)
			}
			waiting, err := c.ListMemory(ctx, api.MemoryFilter{State: "proposed", Limit: 1000})
			switch {
			case err != nil:
				return err
			case all:
				return a.acceptAll(ctx, c, waiting, r.Reject)
			case asJSON:
				return a.printJSON(waiting)
			case len(waiting) == 0:
				a.note("nothing is proposed")
				return nil
			case terminal(a.stdin) && terminal(a.stdout):
				return a.review(ctx, c, waiting)
			}
			for _, it := range waiting {
				against := ""
				if len(it.Contradicts) > 0 {
					against = "  (against " + strings.Join(it.Contradicts, ", ") + ")"
				}
				fmt.Fprintf(a.stdout, "%s  %s  %s  %s%s\n", it.ID, clean(it.Trust), line(where(it.Namespace), 30), line(it.Text, width(a.stdout)), clean(against))
			}
			a.note("decide: agentctl memory review --accept ID --reject ID, or --all")
			return nil
		}),
	}
	c.Flags().StringArrayVar(&r.Accept, "accept", nil, "let runs see it (repeatable)")
	c.Flags().StringArrayVar(&r.Reject, "reject", nil, "keep it from runs (repeatable)")
	c.Flags().BoolVar(&all, "all", false, "accept all that is proposed, but what --reject names")
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) acceptAll(ctx context.Context, c *api.Client, waiting []api.MemoryItem, reject []string) error {
	r := api.MemoryReview{Reject: reject}
	for _, it := range waiting {
		if !slices.Contains(reject, it.ID) {
			r.Accept = append(r.Accept, it.ID)
		}
	}
	if len(r.Accept)+len(r.Reject) == 0 {
		a.note("nothing is proposed")
		return nil
	}
	if err := c.ReviewMemory(ctx, r); err != nil {
		return err
	}
	a.note("%d accepted, %d rejected", len(r.Accept), len(r.Reject))
	return nil
}

// review asks about each proposal in turn. A decision is kept as it is made.
func (a *app) review(ctx context.Context, c *api.Client, waiting []api.MemoryItem) error {
	in := bufio.NewScanner(a.stdin)
	for i, it := range waiting {
		fmt.Fprintf(a.stdout, "\n%d of %d\n", i+1, len(waiting))
		a.showMemory(it)
		for _, id := range it.Contradicts {
			if o, err := c.Memory(ctx, id); err == nil {
				fmt.Fprintf(a.stdout, "\nagainst %s (%s, %s): %s\n", o.ID, clean(o.State), clean(o.Trust), clean(o.Text))
			}
		}
		for decided := false; !decided; {
			fmt.Fprint(a.stdout, "\naccept, reject, skip or quit? [a/r/s/q] ")
			if !in.Scan() {
				fmt.Fprintln(a.stdout)
				return in.Err()
			}
			decided = true
			var err error
			switch strings.ToLower(strings.TrimSpace(in.Text())) {
			case "a", "accept", "y", "yes":
				err = c.ReviewMemory(ctx, api.MemoryReview{Accept: []string{it.ID}})
			case "r", "reject", "n", "no":
				err = c.ReviewMemory(ctx, api.MemoryReview{Reject: []string{it.ID}})
			case "s", "skip":
			case "q", "quit":
				return nil
			default:
				decided = false
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// recallView is a receipt as why prints it.
type recallView struct {
	For  string `json:"for"`            // plan, task ID or call ID
	Step int    `json:"step,omitempty"` // at which the model asked for it itself
	journal.Recalled
}

func (a *app) memoryWhyCmd() *cobra.Command {
	var step int
	var asJSON bool
	c := &cobra.Command{
		Use:   "why RUN",
		Short: "Show which memories entered a run's prompts, and why they were found",
		Long: "Show which memories entered a run's prompts, and why they were found: their ranks by words and by meaning, as the run's journal " +
			"recorded them. With --step, only those that this step's prompt could show.",
		Args: exactly(1),
		RunE: a.withRun(func(ctx context.Context, c *api.Client, run journal.RunID, _ []string) error {
			if step < 0 {
				return invalid("agentctl events "+string(run)+" shows the steps", "--step takes a number from 1")
			}
			got, err := why(ctx, c, run, step)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(got)
			}
			if len(got) == 0 {
				a.note("nothing was recalled")
			}
			for _, r := range got {
				a.printRecall(r)
			}
			return nil
		}),
	}
	c.Flags().IntVar(&step, "step", 0, "which step, from 1")
	jsonFlag(c, &asJSON)
	return c
}

// why gathers a run's receipts in the order of its journal. A step's are those of the plan, of its task, and of the task's earlier
// calls, as far as they are older than the step.
func why(ctx context.Context, c *api.Client, run journal.RunID, step int) ([]recallView, error) {
	records, err := wholeRun(ctx, c, run)
	if err != nil {
		return nil, err
	}
	steps := map[string]int{} // by model call
	out := []recallView{}
	var asked *journal.ModelAsked // at the step
	for _, r := range records {
		if r.Kind != journal.KindModelAsked && r.Kind != journal.KindRecalled {
			continue
		}
		e, err := r.Decode()
		if err != nil {
			return nil, err
		}
		switch e := e.(type) {
		case journal.ModelAsked:
			steps[e.Call] = e.Step
			if e.Step == step {
				asked = &e
			}
		case journal.Recalled:
			v := recallView{For: "plan", Recalled: e}
			switch {
			case e.Call == "learn":
				v.For = "the question after the run"
			case e.Call != "":
				call, _, _ := strings.Cut(e.Call, ".")
				v.For, v.Step = "call "+e.Call, steps[call]
			case e.Task != "":
				v.For = "task " + e.Task
			}
			out = append(out, v)
		}
		if step > 0 && asked != nil {
			break
		}
	}
	if step == 0 {
		return out, nil
	}
	if asked == nil {
		return nil, invalid(fmt.Sprintf("it has %s", plural(len(steps), "step")), "run %s has no step %d", run, step)
	}
	return slices.DeleteFunc(out, func(v recallView) bool { return v.Task != "" && v.Task != asked.Task }), nil
}

// wholeRun reads all events of a run.
func wholeRun(ctx context.Context, c *api.Client, run journal.RunID) ([]journal.Record, error) {
	var all []journal.Record
	for before := journal.Seq(0); ; {
		page, err := c.Page(ctx, run, before, 1000)
		if err != nil {
			return nil, err
		}
		all = append(page, all...)
		if len(page) < 1000 || page[0].Seq <= 1 {
			return all, nil
		}
		before = page[0].Seq
	}
}

func (a *app) printRecall(r recallView) {
	head := r.For
	if r.Step > 0 {
		head += fmt.Sprintf(" (step %d)", r.Step)
	}
	fmt.Fprintf(a.stdout, "%s: %s\n", clean(head), line(r.Query, width(a.stdout)-len(head)-2))
	if r.Note != "" {
		fmt.Fprintf(a.stdout, "  [%s]\n", clean(r.Note))
	}
	for _, it := range r.Items {
		fmt.Fprintf(a.stdout, "  %s  %s  %s\n      %s\n", clean(it.ID), ranks(it.Score, it.WordRank, it.VectorRank, it.Cosine), clean(it.Source), line(it.Text, width(a.stdout)-6))
	}
}
