package acceptance

import (
	"bufio"
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"agentd/goals"
	"agentd/policy"
)

// maxParsed bounds the output that a parser reads. What is longer is not read at all: half a report proves nothing.
const maxParsed = 16 << 20

// Reading is what a parser read from a probe's output.
type Reading struct {
	Value                   float64         `json:"value,omitempty"`
	Passed, Failed, Skipped int             `json:",omitempty"`
	Rows                    int             `json:",omitempty"`
	Columns                 []string        `json:",omitempty"`
	Count                   int             `json:",omitempty"`
	Text                    string          `json:",omitempty"`
	JSON                    json.RawMessage `json:",omitempty"`
}

// facts are a reading as conditions see it.
func (r Reading) facts() policy.ProbeResult {
	return policy.ProbeResult{
		Value: r.Value, Passed: r.Passed, Failed: r.Failed, Skipped: r.Skipped, Rows: r.Rows, Columns: r.Columns, Count: r.Count, Text: r.Text, JSON: r.JSON,
	}
}

// Read parses a probe's output, which is whatever the agent's code printed. An output that is not what the parser reads is an error, so that it
// can't pass for a number or for no failures.
func Read(p goals.Probe, out []byte) (Reading, error) {
	var r Reading
	var err error
	switch p.Parse {
	case "":
		return r, nil
	case goals.ParseInt, goals.ParseFloat:
		r.Value, err = number(p.Parse, out)
	case goals.ParseCoverage:
		r.Value, err = coverage(out)
	case goals.ParseGoTest:
		err = r.gotest(out)
	case goals.ParsePytest:
		err = r.pytest(out)
	case goals.ParseTAP:
		err = r.tap(out)
	case goals.ParseJUnit:
		err = r.junit(out)
	case goals.ParseCargo:
		err = r.cargo(out)
	case goals.ParseJSON:
		err = r.json(p.Schema, out)
	case goals.ParseCSV:
		err = r.csv(out)
	case goals.ParseRegexp:
		err = r.regexp(p.Pattern, out)
	default:
		err = errors.New("unknown parser")
	}
	if err != nil {
		return Reading{}, fmt.Errorf("parse as %s: %w", p.Parse, err)
	}
	return r, nil
}

func number(p goals.Parser, out []byte) (float64, error) {
	s := strings.TrimSpace(string(out[:min(len(out), 200)]))
	if p == goals.ParseInt {
		n, err := strconv.ParseInt(s, 10, 54) // what a float64 holds exactly
		if err != nil {
			return 0, fmt.Errorf("the output is not one whole number: %q", s)
		}
		return float64(n), nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, fmt.Errorf("the output is not one number: %q", s)
	}
	return f, nil
}

// each calls f for every line of out, without its end.
func each(out []byte, f func(line string)) {
	for line := range bytes.Lines(out) {
		f(strings.TrimRight(string(line), "\r\n"))
	}
}

// gotest reads test2json events. Subtests count; a package that fails without a failed test (it does not build, it panicked) counts as one failure.
func (r *Reading) gotest(out []byte) error {
	type event struct{ Action, Package, ImportPath, Test string }
	seen := false
	failed := map[string]int{}
	broken := map[string]bool{}
	each(out, func(line string) {
		var e event
		if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &e) != nil || e.Action == "" {
			return
		}
		seen = true
		switch {
		case e.Action == "fail" && e.Test == "":
			broken[e.Package] = true
		case e.Action == "fail":
			failed[e.Package]++
			r.Failed++
		case e.Test == "":
		case e.Action == "pass":
			r.Passed++
		case e.Action == "skip":
			r.Skipped++
		}
	})
	if !seen {
		return errors.New("the output holds no events: run go test -json")
	}
	for pkg := range broken {
		if failed[pkg] == 0 {
			r.Failed++
		}
	}
	return nil
}

var (
	pytestLine  = regexp.MustCompile(`^=*\s*((?:\d+ (?:failed|passed|skipped|errors?|xfailed|xpassed|deselected|warnings?|rerun|subtests passed|subtests failed)(?:, )?)+) in [0-9.]+s`)
	pytestCount = regexp.MustCompile(`(\d+) (failed|passed|skipped|error|xfailed|xpassed)`)
	pytestNone  = regexp.MustCompile(`^=*\s*no tests ran in [0-9.]+s`)
)

// pytest reads the last summary line. Errors of collection and set-up count as failures.
func (r *Reading) pytest(out []byte) error {
	var last string
	none := false
	each(out, func(line string) {
		if m := pytestLine.FindStringSubmatch(line); m != nil {
			last, none = m[1], false
		} else if pytestNone.MatchString(line) {
			last, none = "", true
		}
	})
	if last == "" && !none {
		return errors.New("the output holds no summary such as '3 passed in 0.1s'")
	}
	for _, m := range pytestCount.FindAllStringSubmatch(last, 20) {
		n, err := count(m[1])
		if err != nil {
			return err
		}
		switch m[2] {
		case "passed", "xpassed":
			r.Passed += n
		case "failed", "error":
			r.Failed += n
		default:
			r.Skipped += n
		}
	}
	return nil
}

// count reads a count of tests.
func count(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 1e8 {
		return 0, fmt.Errorf("%q is no count of tests", s)
	}
	return n, nil
}

var (
	tapResult = regexp.MustCompile(`^(not )?ok\b(?:\s+\d+)?(.*)$`)
	tapPlan   = regexp.MustCompile(`^1\.\.(\d+)`)
	tapSkip   = regexp.MustCompile(`(?i)#\s*skip`)
	tapTodo   = regexp.MustCompile(`(?i)#\s*todo`)
)

// tap reads the outer level. Tests that the plan announces and that never reported count as failures, and so does bailing out.
func (r *Reading) tap(out []byte) error {
	plan, bailed := -1, false
	var err error
	each(out, func(line string) {
		if m := tapPlan.FindStringSubmatch(line); m != nil {
			n, cerr := count(m[1])
			if cerr != nil || plan >= 0 {
				err = errors.Join(errors.New("the plan is not one line such as 1..3"), cerr)
			}
			plan = n
			return
		}
		bailed = bailed || strings.HasPrefix(line, "Bail out!")
		m := tapResult.FindStringSubmatch(line)
		switch {
		case m == nil:
		case tapSkip.MatchString(m[2]) || m[1] != "" && tapTodo.MatchString(m[2]):
			r.Skipped++
		case m[1] != "":
			r.Failed++
		default:
			r.Passed++
		}
	})
	done := r.Passed + r.Failed + r.Skipped
	switch {
	case err != nil:
		return err
	case done == 0 && plan < 0 && !bailed:
		return errors.New("the output holds no plan such as 1..3 and no results")
	case bailed || plan < 0:
		r.Failed++ // cut short
	}
	if plan > done {
		r.Failed += plan - done
	}
	return nil
}

// junit counts the testcase elements of all suites.
func (r *Reading) junit(out []byte) error {
	d := xml.NewDecoder(bufio.NewReader(bytes.NewReader(out)))
	d.Strict = true
	depth, seen, whole := 0, false, false
	state := ""
	for {
		t, err := d.Token()
		if err == io.EOF && depth == 0 && whole {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the output is not one whole report: %w", err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			if depth++; depth > 100 {
				return errors.New("the report is nested more than 100 deep")
			}
			switch t.Name.Local {
			case "testsuites", "testsuite":
				seen = true
			case "testcase":
				state = "passed"
			case "failure", "error":
				state = "failed"
			case "skipped":
				if state == "passed" {
					state = "skipped"
				}
			}
			if !seen {
				return errors.New("the output is no JUnit report: its first element is " + strconv.Quote(t.Name.Local))
			}
		case xml.EndElement:
			if depth--; depth == 0 {
				whole = true
			}
			if t.Name.Local == "testcase" {
				switch state {
				case "failed":
					r.Failed++
				case "skipped":
					r.Skipped++
				default:
					r.Passed++
				}
				state = ""
			}
		}
	}
}

var cargoLine = regexp.MustCompile(`^test result: (?:ok|FAILED)\. (\d+) passed; (\d+) failed; (\d+) ignored;`)

// cargo adds up the result lines of all test binaries.
func (r *Reading) cargo(out []byte) error {
	seen := false
	var err error
	each(out, func(line string) {
		m := cargoLine.FindStringSubmatch(line)
		if m == nil {
			return
		}
		seen = true
		for i, into := range []*int{&r.Passed, &r.Failed, &r.Skipped} {
			n, cerr := count(m[i+1])
			*into += n
			err = errors.Join(err, cerr)
		}
	})
	if !seen {
		return errors.New("the output holds no line 'test result: …': did it compile?")
	}
	return err
}

var (
	goTotal  = regexp.MustCompile(`^total:\s+\(statements\)\s+([0-9.]+)%`)
	goLine   = regexp.MustCompile(`coverage: ([0-9.]+)% of statements`)
	lcovLine = regexp.MustCompile(`^(LF|LH):(\d+)$`)
	cobRate  = regexp.MustCompile(`<coverage\b[^>]*\bline-rate="([0-9.]+)"`)
)

// coverage reads percent of lines or statements. Of several packages' lines the lowest counts, since they can't be weighed: go tool
// cover -func gives the total.
func coverage(out []byte) (float64, error) {
	total, lowest, found, hit := -1.0, -1.0, 0, 0
	percent := func(s string, most float64) float64 {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || f > most {
			return -1
		}
		return f / most * 100
	}
	each(out, func(line string) {
		if m := goTotal.FindStringSubmatch(line); m != nil {
			total = percent(m[1], 100)
		}
		if m := cobRate.FindStringSubmatch(line); m != nil {
			total = percent(m[1], 1)
		}
		if m := goLine.FindStringSubmatch(line); m != nil {
			if p := percent(m[1], 100); p >= 0 && (lowest < 0 || p < lowest) {
				lowest = p
			}
		}
		if m := lcovLine.FindStringSubmatch(line); m != nil {
			if n, err := count(m[2]); err == nil && m[1] == "LF" {
				found += n
			} else if err == nil {
				hit += n
			}
		}
	})
	switch {
	case total >= 0:
		return total, nil
	case found > 0 && hit <= found:
		return float64(hit) / float64(found) * 100, nil
	case lowest >= 0:
		return lowest, nil
	}
	return 0, errors.New("the output holds no coverage of go, lcov or cobertura")
}
