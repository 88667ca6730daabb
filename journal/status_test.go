package journal_test

import (
	"os"
	"strings"
	"testing"

	"agentd/journal"
)

// usingDoc holds the table of outcomes.
const usingDoc = "../docs/using.md"

// TestDocsHaveTheOutcomes holds docs/using.md to the table; with -update it writes the table there.
func TestDocsHaveTheOutcomes(t *testing.T) {
	data, err := os.ReadFile(usingDoc)
	if err != nil {
		t.Fatal(err)
	}
	doc, table := string(data), journal.OutcomeTable()
	if strings.Contains(doc, table) {
		return
	}
	if !*update {
		t.Fatalf("%s does not hold the table of outcomes; write it with: go test ./journal -run Outcomes -update\n%s", usingDoc, table)
	}
	from := strings.Index(doc, "| code | result.status")
	if from < 0 {
		t.Fatalf("%s has no table that begins with | code | result.status", usingDoc)
	}
	to := from
	for _, l := range strings.SplitAfter(doc[from:], "\n") {
		if !strings.HasPrefix(l, "|") {
			break
		}
		to += len(l)
	}
	if err := os.WriteFile(usingDoc, []byte(doc[:from]+table+doc[to:]), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestOutcomes(t *testing.T) {
	codes := map[int]bool{}
	for _, o := range journal.Outcomes() {
		if codes[o.Exit] {
			t.Errorf("exit code %d stands twice in the table", o.Exit)
		}
		codes[o.Exit] = true
		if o.Means == "" || !strings.HasPrefix(o.Next, "agentctl ") {
			t.Errorf("row %+v says too little", o)
		}
		if o.Status != "" && (o.Status.Exit() != o.Exit || o.Status.Next("r1") != strings.ReplaceAll(o.Next, "RUN", "r1")) {
			t.Errorf("%s: exit %d, next %q; the table has %+v", o.Status, o.Status.Exit(), o.Status.Next("r1"), o)
		}
	}
	for _, s := range []journal.Status{journal.StatusQueued, journal.StatusRunning, journal.StatusWaiting, journal.StatusPaused} {
		if s.Exit() != 0 || s.Next("r1") != "" || s.Ended() {
			t.Errorf("%s is live and has no exit code", s)
		}
	}
}
