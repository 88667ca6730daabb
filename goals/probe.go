package goals

import (
	"encoding/json"
	"time"
)

// Probe measures one thing in a fresh box. Its result is known to conditions under its name. What it measures is a command, a file, or an
// answer over HTTP of a server that runs in the same box: exactly one of Cmd, Path and HTTP.URL is set.
type Probe struct {
	Name     string          `json:"name"`
	Cmd      string          `json:"cmd" goal:"cmd" is:"cmd" doc:"A bash command."`
	Path     string          `json:"path,omitempty" goal:"file" is:"path" doc:"A file of the workspace, or of what the probe's box can see, whose content is measured."`
	Start    string          `json:"start,omitempty" goal:"start" is:"cmd" doc:"A bash command that runs beside the probe, in its box: the server that http asks."`
	HTTP     Request         `json:"http,omitzero" goal:"http" doc:"A request that is made from inside the probe's box, again and again until it is answered or the time is over."`
	Timeout  time.Duration   `json:"timeout,omitempty" goal:"timeout" doc:"Most time, such as 90s. Default: 5m."`
	Parse    Parser          `json:"parse,omitempty" goal:"parse" is:"parser" doc:"How what it gives is read."`
	Pattern  string          `json:"pattern,omitempty" goal:"pattern" is:"regexp" doc:"For parse: regexp: an RE2 expression, whose matches are counted; the first match's first group is the text."`
	Schema   json.RawMessage `json:"schema,omitempty" goal:"schema" is:"schema" doc:"For parse: json: a JSON Schema. Its properties are the fields that conditions can name."`
	Optional bool            `json:"optional,omitempty" goal:"optional" doc:"A probe that can't be measured is not a fault: conditions that use it are left out and reported."`
}

// Request is one HTTP request.
type Request struct {
	URL    string `json:"url,omitempty" goal:"url" is:"url" doc:"Where to, as the probe's box names it: http://127.0.0.1:PORT/…"`
	Method string `json:"method,omitempty" goal:"method" one:"GET,HEAD,POST,PUT,PATCH,DELETE" doc:"Default: GET."`
	Body   string `json:"body,omitempty" goal:"body" is:"text" doc:"What is sent."`
	Type   string `json:"type,omitempty" goal:"type" doc:"Content-Type of body. Default: application/json."`
}

// DefaultProbeTimeout bounds a probe that states no timeout.
const DefaultProbeTimeout = 5 * time.Minute

// Parser says how a probe's output is read.
type Parser string

// The parsers. Those of the first group give a condition x.value, a number; those of the second x.passed, x.failed and x.skipped.
const (
	ParseInt      Parser = "int"      // the output is one whole number
	ParseFloat    Parser = "float"    // the output is one number
	ParseCoverage Parser = "coverage" // percent of go test -cover, go tool cover -func, lcov or cobertura

	ParseGoTest Parser = "gotest" // go test -json
	ParsePytest Parser = "pytest" // the summary that pytest prints last
	ParseTAP    Parser = "tap"    // Test Anything Protocol
	ParseJUnit  Parser = "junit"  // JUnit XML
	ParseCargo  Parser = "cargo"  // cargo test

	ParseJSON   Parser = "json"   // one JSON value, by a schema where the probe has one
	ParseCSV    Parser = "csv"    // a table with a header
	ParseRegexp Parser = "regexp" // matches of the probe's pattern

	parseExit Parser = "exit" // written out, the default: nothing but the exit code and the text
	parseText Parser = "text"
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
	return []Parser{ParseCargo, ParseCoverage, ParseCSV, ParseFloat, ParseGoTest, ParseInt, ParseJSON, ParseJUnit, ParsePytest, ParseRegexp, ParseTAP}
}
