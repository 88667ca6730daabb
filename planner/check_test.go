package planner

import (
	"testing"
	"testing/fstest"
)

func TestParseCheck(t *testing.T) {
	ws := fstest.MapFS{"src/calc.py": {}, "notes.txt": {}}
	for _, c := range []struct {
		name, goal, script string
		ok                 bool
	}{
		{"files that the goal names", "sum a.csv into total.txt", `test "$(awk '{s+=$1} END {print s}' a.csv)" = "$(cat total.txt)"`, true},
		{"files that are there", "repair the code", "python3 src/calc.py && grep -q done notes.txt", true},
		{"a file that is made up", "sum a.csv into total.txt", "diff total.txt expected.txt", false},
		{"a folder that is made up", "find the largest files and write report.md", "ls old/* && test -s report.md", false},
		{"a folder that the goal names", "move all logs into old", "ls old/*", true},
		{"functions and numbers", "write n.json", `python3 -c "import json, math; assert json.load(open('n.json'))['a'] == math.log(2.5)"`, true},
		{"scratch files", "write n.json", "sort n.json > /tmp/x && test -s /dev/null", true},
		{"empty", "write n.json", "", false},
	} {
		p, err := ParseCheck("Sure:\n~~~\n"+c.script+"\n~~~", c.goal, ws)
		if (err == nil) != c.ok || err == nil && p.Cmd != c.script {
			t.Errorf("%s: %+v, %v", c.name, p, err)
		}
	}
}
