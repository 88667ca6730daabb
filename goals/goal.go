// Package goals says what is wanted: a goal, its bounds and how anyone can tell that it is done.
package goals

import "time"

// Goal is one wish, as a run stores it. It is plain data: a run keeps its own copy and never reads the file again.
type Goal struct {
	Name        string   `json:"name,omitempty"`
	Description string   `json:"description,omitempty"` // what, in one line
	Intent      string   `json:"intent,omitempty"`      // why; survives every replan
	Labels      []string `json:"labels,omitempty"`      // free words to find it by

	Text    string   `json:"text"`             // the goal in plain words; a file's body, or its description where it has none
	File    string   `json:"file,omitempty"`   // where it was read, "" for the command line
	Hash    string   `json:"hash,omitempty"`   // sha256 of the file, hex
	Probes  []Probe  `json:"probes,omitempty"` // sorted by name
	Require []string `json:"require,omitempty"`
	Protect []string `json:"protect,omitempty"` // globs that nothing in the run may write
	Budget  Budget   `json:"budget"`
}

// Probe measures one thing in a fresh box. Its result is known to conditions under its name.
type Probe struct {
	Name    string        `json:"name"`
	Cmd     string        `json:"cmd"`               // bash
	Timeout time.Duration `json:"timeout,omitempty"` // 0 is DefaultProbeTimeout
	Parse   Parser        `json:"parse,omitempty"`   // what is read from its output, "" for nothing but its text
}

// Parser says how a probe's output is read.
type Parser string

// The parsers. Those of the first group give a condition x.value, those of the second x.passed, x.failed and x.skipped.
const (
	ParseInt      Parser = "int"      // the output is one whole number
	ParseFloat    Parser = "float"    // the output is one number
	ParseCoverage Parser = "coverage" // percent of go test -cover, go tool cover -func, lcov or cobertura

	ParseGoTest Parser = "gotest" // go test -json
	ParsePytest Parser = "pytest" // the summary that pytest prints last
	ParseTAP    Parser = "tap"    // Test Anything Protocol
	ParseJUnit  Parser = "junit"  // JUnit XML
	ParseCargo  Parser = "cargo"  // cargo test
)

// Counts reports whether the parser counts tests.
func (p Parser) Counts() bool {
	switch p {
	case ParseGoTest, ParsePytest, ParseTAP, ParseJUnit, ParseCargo:
		return true
	}
	return false
}

// Number reports whether the parser reads a number.
func (p Parser) Number() bool { return p == ParseInt || p == ParseFloat || p == ParseCoverage }

// Parsers are all of them, sorted.
func Parsers() []Parser {
	return []Parser{ParseCargo, ParseCoverage, ParseFloat, ParseGoTest, ParseInt, ParseJUnit, ParsePytest, ParseTAP}
}

// DefaultProbeTimeout bounds a probe that states no timeout.
const DefaultProbeTimeout = 5 * time.Minute

// Budget bounds a run. A zero field means that bound's default, a negative one no bound.
type Budget struct {
	USD    float64       `json:"usd,omitempty"`
	Tokens int64         `json:"tokens,omitempty"`
	Steps  int           `json:"steps,omitempty"`
	Wall   time.Duration `json:"wall,omitempty"`
}

// DefaultBudget bounds a run that nobody bounded.
var DefaultBudget = Budget{USD: 2, Tokens: 1_000_000, Steps: 100, Wall: time.Hour}

// Or returns b with each zero field taken from d.
func (b Budget) Or(d Budget) Budget {
	if b.USD == 0 {
		b.USD = d.USD
	}
	if b.Tokens == 0 {
		b.Tokens = d.Tokens
	}
	if b.Steps == 0 {
		b.Steps = d.Steps
	}
	if b.Wall == 0 {
		b.Wall = d.Wall
	}
	return b
}
