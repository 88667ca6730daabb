package goals_test

import (
	"os"
	"strings"
	"testing"

	"agentd/goals"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// every.goal.md uses every key of the format.
func everyKey(t testing.TB) goals.Goal {
	t.Helper()
	data, err := os.ReadFile("testdata/every.goal.md")
	if err != nil {
		t.Fatal(err)
	}
	g, err := goals.Parse("every.goal.md", data)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestPrintEveryKey(t *testing.T) {
	g := everyKey(t)
	printed := goals.Print(g)
	again, err := goals.Parse("every.goal.md", printed)
	if err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	if diff := cmp.Diff(g, again, cmpopts.IgnoreFields(goals.Goal{}, "Hash", "File")); diff != "" {
		t.Errorf("goal differs after printing (-want +got):\n%s\n%s", diff, printed)
	}
	if twice := goals.Print(again); string(twice) != string(printed) {
		t.Errorf("printed again it differs:\n%s", cmp.Diff(string(printed), string(twice)))
	}
}

// A key that is read but not honoured is refused by its name.
func TestUnwired(t *testing.T) {
	g := everyKey(t)
	err := g.Supported()
	for _, key := range g.Unwired() {
		if !strings.Contains(err.Error(), key) {
			t.Errorf("%s is not named in %v", key, err)
		}
	}
}
