package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// task is one goal with a workspace made from a seed, a check that a user might give, a solution for the scripted model, and a
// strict verdict that neither the agent nor the daemon sees.
type task struct {
	name  string
	make  func(dir string, r *rand.Rand) (instance, error)
	given bool // run with --check
}

type instance struct {
	goal     string
	check    string // for --check
	solution string // bash
	strict   func(dir string) error

	fact  string // that a person had remembered before the run, and without which the goal can't be understood
	guess string // what the scripted model does that doesn't know the fact
}

var tasks = []task{
	{"largest-files", largestFiles, true},
	{"fix-python", fixPython, false},
	{"csv-totals", csvTotals, true},
	{"write-and-run", writeAndRun, false},
	{"rename-function", renameFunction, false},
	{"extract-errors", extractErrors, true},
	{"two-steps", twoSteps, true},
	{"top-words", topWords, true},
	{"edit-json", editJSON, false},
	{"sort-files", sortFiles, false},
}

func write(dir, name, text string) error {
	p := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		return err
	}
	return os.WriteFile(p, []byte(text), 0o644)
}

func read(dir, name string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, name))
	return string(b), err
}

// words that stand for anything.
var nouns = strings.Fields("river table engine garden market window letter silver bridge candle forest harbor island jacket kitchen ladder mirror needle orange pencil")

func largestFiles(dir string, r *rand.Rand) (instance, error) {
	type file struct {
		name string
		size int
	}
	var files []file
	order := r.Perm(len(nouns))
	for i := range 12 {
		name := nouns[order[i]] + []string{".bin", ".txt", ".dat"}[r.IntN(3)]
		if i%3 > 0 {
			name = []string{"a/", "a/b/", "data/"}[r.IntN(3)] + name
		}
		f := file{name, 1000*(i+1)*(i+1) + r.IntN(900)}
		files = append(files, f)
		if err := write(dir, name, strings.Repeat("x", f.size)); err != nil {
			return instance{}, err
		}
	}
	sort.Slice(files, func(i, j int) bool { return files[i].size > files[j].size })
	return instance{
		goal:     "find the five largest files below here and write a table of them to report.md",
		check:    `find . -type f ! -name report.md -printf '%s %f\n' | sort -rn | head -5 | cut -d' ' -f2 > /tmp/want && grep -oFf /tmp/want report.md | uniq | diff - /tmp/want`,
		solution: `{ echo '| file | bytes |'; echo '|---|---|'; find . -type f ! -name report.md -printf '%s %P\n' | sort -rn | head -5 | awk '{print "| " $2 " | " $1 " |"}'; } > /tmp/r && cp /tmp/r report.md`,
		strict: func(dir string) error {
			text, err := read(dir, "report.md")
			if err != nil {
				return err
			}
			last := -1
			for i, f := range files {
				at := strings.Index(text, filepath.Base(f.name))
				if i < 5 && at < 0 {
					return fmt.Errorf("%s is missing", f.name)
				}
				if i >= 5 && at >= 0 {
					return fmt.Errorf("%s is listed", f.name)
				}
				if i < 5 {
					if at < last {
						return fmt.Errorf("%s is out of order", f.name)
					}
					last = at
				}
			}
			return nil
		},
	}, nil
}

func fixPython(dir string, r *rand.Rand) (instance, error) {
	k := 2 + r.IntN(7)
	code := fmt.Sprintf("def scale(values):\n    \"\"\"Return every value times %d.\"\"\"\n    return [v + %d for v in values]\n\n\ndef total(values):\n    \"\"\"Return the sum of the scaled values.\"\"\"\n    return sum(scale(values))\n", k, k)
	test := fmt.Sprintf("import unittest\n\nfrom calc import scale, total\n\n\nclass CalcTest(unittest.TestCase):\n    def test_scale(self):\n        self.assertEqual(scale([1, 10]), [%d, %d])\n\n    def test_total(self):\n        self.assertEqual(total([1, 10]), %d)\n\n\nif __name__ == \"__main__\":\n    unittest.main()\n", k, 10*k, 11*k)
	for name, text := range map[string]string{"calc.py": code, "test_calc.py": test} {
		if err := write(dir, name, text); err != nil {
			return instance{}, err
		}
	}
	return instance{
		goal:     "The test in test_calc.py fails. Find the bug in calc.py and fix it, without changing the test.",
		check:    "python3 -m unittest -q test_calc",
		solution: fmt.Sprintf("sed -i 's/v + %d/v * %d/' calc.py && python3 -m unittest -q test_calc", k, k),
		strict: func(dir string) error {
			if now, err := read(dir, "test_calc.py"); err != nil || now != test {
				return fmt.Errorf("the test was changed (%v)", err)
			}
			return python(dir, fmt.Sprintf("import calc; assert calc.scale([3,-1,0]) == [%d,%d,0]; assert calc.total([2,5]) == %d", 3*k, -k, 7*k))
		},
	}, nil
}

func python(dir, code string) error {
	cmd := exec.Command("python3", "-c", code)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

func csvTotals(dir string, r *rand.Rand) (instance, error) {
	regions := []string{"north", "south", "east", "west"}
	want := map[string]float64{}
	var b strings.Builder
	b.WriteString("date,region,amount\n")
	for i := range 30 {
		reg := regions[r.IntN(4)]
		amount := 1 + r.IntN(500)
		want[reg] += float64(amount)
		fmt.Fprintf(&b, "2026-01-%02d,%s,%d\n", i+1, reg, amount)
	}
	return instance{
		goal:     "Read sales.csv and write totals.json: one JSON object that maps each region to the sum of its amounts.",
		check:    `python3 -c "import csv, json; d = json.load(open('totals.json')); rows = list(csv.DictReader(open('sales.csv'))); assert all(d[g] == sum(int(r['amount']) for r in rows if r['region'] == g) for g in {r['region'] for r in rows})"`,
		solution: `python3 -c "import csv,json,collections; t=collections.Counter(); [t.update({r['region']: int(r['amount'])}) for r in csv.DictReader(open('sales.csv'))]; json.dump(t, open('totals.json','w'))"`,
		strict: func(dir string) error {
			text, err := read(dir, "totals.json")
			if err != nil {
				return err
			}
			var got map[string]float64
			if err := json.Unmarshal([]byte(text), &got); err != nil {
				return err
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				return fmt.Errorf("got %v, want %v", got, want)
			}
			return nil
		},
	}, write(dir, "sales.csv", b.String())
}

func writeAndRun(_ string, r *rand.Rand) (instance, error) {
	n := 15 + r.IntN(15)
	var primes []string
	for p := 2; len(primes) < n; p++ {
		prime := true
		for q := 2; q*q <= p; q++ {
			prime = prime && p%q != 0
		}
		if prime {
			primes = append(primes, strconv.Itoa(p))
		}
	}
	return instance{
		goal:     fmt.Sprintf("Write a Python script primes.py that prints the first %d prime numbers, one on each line. Run it and save its output in primes.txt.", n),
		check:    fmt.Sprintf("test $(wc -l < primes.txt) -eq %d && python3 primes.py | diff - primes.txt && tail -1 primes.txt | grep -qx %s", n, primes[n-1]),
		solution: fmt.Sprintf("cat > primes.py <<'X'\nn, p = 0, 2\nwhile n < %d:\n    if all(p %% q for q in range(2, p)):\n        print(p)\n        n += 1\n    p += 1\nX\npython3 primes.py > primes.txt", n),
		strict: func(dir string) error {
			got, err := read(dir, "primes.txt")
			if err != nil {
				return err
			}
			if !slices.Equal(strings.Fields(got), primes) {
				return fmt.Errorf("primes.txt holds %q", got)
			}
			out, err := exec.Command("python3", filepath.Join(dir, "primes.py")).Output()
			if err != nil || !slices.Equal(strings.Fields(string(out)), primes) {
				return fmt.Errorf("primes.py prints %q (%v)", out, err)
			}
			return nil
		},
	}, nil
}

func renameFunction(dir string, r *rand.Rand) (instance, error) {
	oldName := "get_" + nouns[r.IntN(len(nouns))]
	newName := "load_" + nouns[r.IntN(len(nouns))]
	files := map[string]string{
		"lib.py":         fmt.Sprintf("def %s(x):\n    return x * 2\n", oldName),
		"main.py":        fmt.Sprintf("from lib import %s\n\nprint(%s(21))\n", oldName, oldName),
		"pkg/helper.py":  fmt.Sprintf("import sys\nsys.path.insert(0, '.')\nfrom lib import %s as fn\n\nvalue = fn(4)\n", oldName),
		"pkg/report.py":  fmt.Sprintf("# uses %s from lib\nfrom lib import %s\n\n\ndef report():\n    return [%s(i) for i in range(3)]\n", oldName, oldName, oldName),
		"docs/notes.txt": "Nothing here needs to change.\n",
	}
	for name, text := range files {
		if err := write(dir, name, text); err != nil {
			return instance{}, err
		}
	}
	return instance{
		goal:     fmt.Sprintf("Rename the function %s to %s in all Python files below here, wherever it is defined or used.", oldName, newName),
		check:    fmt.Sprintf("! grep -rnw %s --include=*.py . && grep -qw 'def %s' lib.py && python3 main.py", oldName, newName),
		solution: fmt.Sprintf("grep -rlw %s --include=*.py . | xargs sed -i 's/\\b%s\\b/%s/g' && python3 main.py", oldName, oldName, newName),
		strict: func(dir string) error {
			for name, text := range files {
				got, err := read(dir, name)
				if err != nil {
					return err
				}
				if want := strings.ReplaceAll(text, oldName, newName); got != want {
					return fmt.Errorf("%s holds %q", name, got)
				}
			}
			return nil
		},
	}, nil
}

func extractErrors(dir string, r *rand.Rand) (instance, error) {
	var log, errs strings.Builder
	n := 0
	for i := range 120 {
		level := []string{"INFO", "WARN", "ERROR", "DEBUG"}[r.IntN(4)]
		line := fmt.Sprintf("2026-03-01T10:%02d:%02d %s %s failed=%d\n", i/60, i%60, level, nouns[r.IntN(len(nouns))], r.IntN(9))
		log.WriteString(line)
		if level == "ERROR" {
			errs.WriteString(line)
			n++
		}
	}
	return instance{
		goal:     "Copy all lines with the level ERROR from app.log into errors.txt, and write how many there are into count.txt.",
		check:    `test "$(grep -c ERROR app.log)" = "$(tr -d '[:space:]' < count.txt)" && grep ERROR app.log | diff -q - errors.txt`,
		solution: `grep ' ERROR ' app.log > errors.txt; grep -c ' ERROR ' app.log > count.txt`,
		strict: func(dir string) error {
			got, err := read(dir, "errors.txt")
			if err != nil {
				return err
			}
			if strings.TrimSpace(got) != strings.TrimSpace(errs.String()) {
				return fmt.Errorf("errors.txt has %d bytes, want %d", len(got), errs.Len())
			}
			count, err := read(dir, "count.txt")
			if err != nil || strings.TrimSpace(count) != strconv.Itoa(n) {
				return fmt.Errorf("count.txt holds %q, want %d (%v)", count, n, err)
			}
			return nil
		},
	}, write(dir, "app.log", log.String())
}

func twoSteps(_ string, r *rand.Rand) (instance, error) {
	n := 8 + r.IntN(12)
	sum := 0
	var squares []string
	for i := 1; i <= n; i++ {
		sum += i * i
		squares = append(squares, strconv.Itoa(i*i))
	}
	return instance{
		goal:     fmt.Sprintf("First create data.txt with the squares of the numbers from 1 to %d, one on each line. Then write the sum of the numbers in data.txt to sum.txt.", n),
		check:    fmt.Sprintf("test $(wc -l < data.txt) -eq %d && test \"$(cat sum.txt)\" = %d", n, sum),
		solution: fmt.Sprintf("for i in $(seq %d); do echo $((i*i)); done > data.txt; paste -sd+ data.txt | bc > sum.txt 2>/dev/null || awk '{s+=$1} END {print s}' data.txt > sum.txt", n),
		strict: func(dir string) error {
			data, err := read(dir, "data.txt")
			if err != nil || !slices.Equal(strings.Fields(data), squares) {
				return fmt.Errorf("data.txt holds %q (%v)", data, err)
			}
			got, err := read(dir, "sum.txt")
			if err != nil || strings.TrimSpace(got) != strconv.Itoa(sum) {
				return fmt.Errorf("sum.txt holds %q, want %d (%v)", got, sum, err)
			}
			return nil
		},
	}, nil
}

func topWords(dir string, r *rand.Rand) (instance, error) {
	order := r.Perm(len(nouns))
	var words []string
	var want []string
	for i := range 10 {
		n := 20 - 2*i
		for range n {
			words = append(words, nouns[order[i]])
		}
		if i < 3 {
			want = append(want, nouns[order[i]]+" "+strconv.Itoa(n))
		}
	}
	r.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
	var b strings.Builder
	for i, w := range words {
		b.WriteString(w)
		if i%9 == 8 {
			b.WriteByte('\n')
		} else {
			b.WriteByte(' ')
		}
	}
	return instance{
		goal:     "Count how often each word occurs in text.txt and write the three most frequent words to top.txt, one on each line, the most frequent first, in the form: word count",
		check:    `tr -s ' ' '\n' < text.txt | grep . | sort | uniq -c | sort -rn | head -3 | awk '{print $2, $1}' | diff - top.txt`,
		solution: `tr -s ' ' '\n' < text.txt | grep . | sort | uniq -c | sort -rn | head -3 | awk '{print $2, $1}' > top.txt`,
		strict: func(dir string) error {
			got, err := read(dir, "top.txt")
			if err != nil || strings.TrimSpace(got) != strings.Join(want, "\n") {
				return fmt.Errorf("top.txt holds %q, want %q (%v)", got, want, err)
			}
			return nil
		},
	}, write(dir, "text.txt", b.String())
}

func editJSON(dir string, r *rand.Rand) (instance, error) {
	port := 8000 + r.IntN(999)
	now := 9000 + r.IntN(900)
	conf := map[string]any{
		"name": nouns[r.IntN(len(nouns))], "port": port, "hosts": []any{"a.example", "b.example"},
		"limits": map[string]any{"cpu": 2, "memory": "512m"},
	}
	data, err := json.MarshalIndent(conf, "", "  ")
	if err != nil {
		return instance{}, err
	}
	return instance{
		goal:     fmt.Sprintf("In config.json set port to %d and add the key debug with the value true. Keep everything else as it is, and keep it valid JSON.", now),
		check:    fmt.Sprintf(`python3 -c "import json; d=json.load(open('config.json')); assert d['port']==%d and d['debug'] is True and d['limits']['cpu']==2 and len(d)==5"`, now),
		solution: fmt.Sprintf(`python3 -c "import json; d=json.load(open('config.json')); d['port']=%d; d['debug']=True; json.dump(d, open('config.json','w'), indent=2)"`, now),
		strict: func(dir string) error {
			text, err := read(dir, "config.json")
			if err != nil {
				return err
			}
			var got map[string]any
			if err := json.Unmarshal([]byte(text), &got); err != nil {
				return err
			}
			want := map[string]any{}
			if err := json.Unmarshal(data, &want); err != nil {
				return err
			}
			want["port"], want["debug"] = float64(now), true
			if fmt.Sprint(got) != fmt.Sprint(want) {
				return fmt.Errorf("got %v", got)
			}
			return nil
		},
	}, write(dir, "config.json", string(data)+"\n")
}

func sortFiles(dir string, r *rand.Rand) (instance, error) {
	want := map[string]string{}
	order := r.Perm(len(nouns))
	for i := range 9 {
		base := nouns[order[i]]
		ext := []string{".txt", ".csv", ".log"}[i%3]
		name := []string{"", "in/", "in/old/"}[r.IntN(3)] + base + ext
		text := fmt.Sprintf("content of %s %d\n", base, r.IntN(1000))
		if err := write(dir, name, text); err != nil {
			return instance{}, err
		}
		switch ext {
		case ".txt":
			want["docs/"+base+ext] = text
		case ".csv":
			want["tables/"+base+ext] = text
		default:
			want[name] = text
		}
	}
	return instance{
		goal:     "Move all .txt files below here into a folder docs and all .csv files into a folder tables. Leave other files where they are.",
		check:    `test -z "$(find . -name '*.txt' -not -path './docs/*')" && test -z "$(find . -name '*.csv' -not -path './tables/*')" && ls docs/*.txt tables/*.csv`,
		solution: `mkdir -p docs tables; find . -name '*.txt' -not -path './docs/*' -exec mv {} docs/ \;; find . -name '*.csv' -not -path './tables/*' -exec mv {} tables/ \;`,
		strict: func(dir string) error {
			n := 0
			err := filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
				if err != nil || e.IsDir() {
					return err
				}
				rel, err := filepath.Rel(dir, p)
				if err != nil {
					return err
				}
				text, err := read(dir, rel)
				if err != nil {
					return err
				}
				if w, ok := want[rel]; !ok || w != text {
					return fmt.Errorf("%s should not be there, or has changed", rel)
				}
				n++
				return nil
			})
			if err == nil && n != len(want) {
				err = fmt.Errorf("%d files, want %d", n, len(want))
			}
			return err
		},
	}, nil
}
