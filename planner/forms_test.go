package planner

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestForms(t *testing.T) {
	before := map[string]string{
		"calc.py": "def scale(v):\n    return v + 2\n", "test_calc.py": "import unittest\nfrom calc import scale\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(scale(3), 6)\n",
		"conf.json": `{"port": 80, "tls": {"on": false}, "big": 12345678901234567890}`,
		"a.js":      "Shape(Shape2)\n", "in/b.js": "// Shape\n", "c.txt": "Shape\n",
		"x.csv": "1\n", "in/y.csv": "2\n",
	}
	for _, c := range []struct {
		name, goal, reply string
		done, spoilt      string // scripts: the work done right, and done wrong
		none              bool
	}{
		{name: "tests", goal: "test_calc.py fails, repair calc.py", reply: "tests: python3 -m unittest -q test_calc.py\nend", done: "sed -i 's/v + 2/v * 2/' calc.py", spoilt: "echo 'import unittest' > test_calc.py"},
		{name: "tests as a module", goal: "test_calc.py fails, repair calc.py", reply: "tests: python3 -m unittest test_calc\nend", done: "sed -i 's/v + 2/v * 2/' calc.py", spoilt: "echo 'import unittest' > test_calc.py"},
		{name: "a test that the goal does not name", goal: "repair calc.py", reply: "tests: python3 test_area.py\nend", none: true},
		{name: "not a runner", goal: "test_calc.py fails", reply: "tests: true test_calc.py\nend", none: true},
		{name: "set", goal: "In conf.json set port to 81, tls.on to true and add the name web", reply: "set: conf.json port = 81\nset: conf.json tls.on = true\nset: conf.json name = \"web\"\nend",
			done: `sed -i 's/80/81/; s/false/true/; s/^{/{"name":"web",/' conf.json`, spoilt: `echo '{"port":81,"tls":{"on":true},"name":"web"}' > conf.json`},
		{name: "set to what the goal does not say", goal: "In conf.json raise the port", reply: "set: conf.json port = 81\nend", none: true},
		{name: "set in a file that is not JSON", goal: "set name to web in a.js", reply: "set: a.js name = \"web\"\nend", none: true},
		{name: "replace", goal: "Call Shape Figure in all .js files", reply: "replace: Shape -> Figure in *.js\nend", done: `sed -i 's/\bShape\b/Figure/' a.js in/b.js`, spoilt: "sed -i s/Shape/Figure/g a.js in/b.js"},
		{name: "move", goal: "Move all .csv files into the folder tables", reply: "move: *.csv -> tables\nend", done: "mkdir tables; mv x.csv in/y.csv tables", spoilt: "mkdir tables; cp x.csv in/y.csv tables"},
		{name: "move and nothing else", goal: "Move all .csv files into the folder tables", reply: "move: *.csv -> tables\nend", done: "mkdir tables; mv x.csv in/y.csv tables; touch new", spoilt: "mkdir tables; mv x.csv in/* tables"},
		{name: "lines, a number in words", goal: "Write five.sh that prints five lines and save its output in five.txt", reply: "output: bash five.sh -> five.txt\nlines: five.txt 5\nend", done: "echo 'seq 5' > five.sh; seq 5 > five.txt", spoilt: "echo 'seq 6' > five.sh; seq 6 > five.txt"},
		{name: "output and lines", goal: "Write five.sh that prints 5 lines and save its output in five.txt", reply: "output: bash five.sh -> five.txt\nlines: five.txt 5\nend", done: "echo 'seq 5' > five.sh; seq 5 > five.txt", spoilt: "echo 'seq 5' > five.sh; seq 6 > five.txt"},
		{name: "ranks", goal: "list the two largest files in top.md", reply: "ranks: top.md 2 largest *\nend", done: "printf '| test_calc.py | 120 |\n| ./conf.json | 70 |\n' > top.md", spoilt: "printf '| conf.json |\n| test_calc.py |\n' > top.md"},
		{name: "ranks, too many", goal: "list the two largest files in top.md", reply: "ranks: top.md 2 largest *.md\nend", done: "echo test_calc.py conf.json > top.md", spoilt: "echo test_calc.py conf.json calc.py > top.md"},
		{name: "ranks, a tie for the last place", goal: "list one smallest .csv file in top.md", reply: "ranks: top.md 1 smallest *.csv\nend", none: true},
		{name: "ranks, another number", goal: "list the two largest files in top.md", reply: "ranks: top.md 3 largest *\nend", none: true},
		{name: "a file that nothing covers", goal: "Call Shape Figure in all .js files and say where in notes.md", reply: "replace: Shape -> Figure in *.js\nend", none: true},
		{name: "other", goal: "explain x.csv", reply: "other: it is explained\nend", none: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range before {
				p := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			probes := ParseForms(c.reply, c.goal, os.DirFS(dir))
			if (len(probes) == 0) != c.none {
				t.Fatalf("%d checks: %v", len(probes), probes)
			}
			passes := func(script string) bool {
				work := t.TempDir()
				if err := os.CopyFS(work, os.DirFS(dir)); err != nil {
					t.Fatal(err)
				}
				run := func(cmd string) error {
					b := exec.Command("bash", "-c", cmd)
					b.Dir = work
					return b.Run()
				}
				if err := run(script); err != nil {
					t.Fatalf("%s: %v", script, err)
				}
				for _, p := range probes {
					if run(p.Cmd) != nil {
						return false
					}
				}
				return true
			}
			if c.none {
				return
			}
			if passes("true") {
				t.Errorf("the checks pass before the work: %v", probes)
			}
			if !passes(c.done) {
				t.Errorf("the checks don't pass afterwards: %v", probes)
			}
			if passes(c.spoilt) {
				t.Errorf("the checks pass on wrong work: %v", probes)
			}
		})
	}
}

// A file's name is a stranger's text: none may end a check's list and go on as a script.
func TestFormsRefuseNamesThatBreakOut(t *testing.T) {
	for _, name := range []string{"a\nEND\nexit 0\n.txt", `a\n.txt`} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("foo"), 0o644); err != nil {
			t.Fatal(err)
		}
		if probes := ParseForms("replace: foo -> bar in *.txt\nend", "replace foo by bar in all .txt files", os.DirFS(dir)); len(probes) > 0 {
			t.Errorf("%q became part of %q", name, probes[0].Cmd)
		}
	}
}
