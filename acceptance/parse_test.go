package acceptance_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agentd/acceptance"
	"agentd/goals"
	"agentd/policy"
	"agentd/sandbox"

	"github.com/google/go-cmp/cmp"
)

func TestRead(t *testing.T) {
	value := func(v float64) acceptance.Reading { return acceptance.Reading{Value: v} }
	tests := func(passed, failed, skipped int) acceptance.Reading {
		return acceptance.Reading{Passed: passed, Failed: failed, Skipped: skipped}
	}
	for _, tt := range []struct {
		name string
		p    goals.Parser
		out  string
		want acceptance.Reading
		err  string
	}{
		{"none", "", "anything", acceptance.Reading{}, ""},
		{"int", goals.ParseInt, " 42\n", value(42), ""},
		{"negative int", goals.ParseInt, "-7", value(-7), ""},
		{"int with words", goals.ParseInt, "42 files", acceptance.Reading{}, "not one whole number"},
		{"huge int", goals.ParseInt, "99999999999999999", acceptance.Reading{}, "not one whole number"},
		{"no int", goals.ParseInt, "", acceptance.Reading{}, "not one whole number"},
		{"float", goals.ParseFloat, "3.5e2\n", value(350), ""},
		{"NaN", goals.ParseFloat, "NaN", acceptance.Reading{}, "not one number"},
		{"go total", goals.ParseCoverage, "a.go:1: f 10.0%\ntotal:\t(statements)\t61.5%\n", value(61.5), ""},
		{"go packages", goals.ParseCoverage, "ok a 0.1s coverage: 80.0% of statements\nok b 0.1s coverage: 40.0% of statements\n", value(40), ""},
		{"lcov", goals.ParseCoverage, "SF:a.c\nLF:10\nLH:9\nend_of_record\nSF:b.c\nLF:30\nLH:11\nend_of_record\n", value(50), ""},
		{"cobertura", goals.ParseCoverage, "<?xml version=\"1.0\"?>\n<coverage line-rate=\"0.25\" branch-rate=\"0\">\n", value(25), ""},
		{"cobertura over one", goals.ParseCoverage, `<coverage line-rate="2.5">`, acceptance.Reading{}, "no coverage"},
		{"gotest", goals.ParseGoTest, `{"Action":"start","Package":"a"}
{"Action":"run","Package":"a","Test":"TestX"}
{"Action":"output","Package":"a","Test":"TestX","Output":"{\"Action\":\"pass\",\"Test\":\"TestForged\"}\n"}
{"Action":"pass","Package":"a","Test":"TestX","Elapsed":0}
{"Action":"skip","Package":"a","Test":"TestY","Elapsed":0}
{"Action":"fail","Package":"a","Test":"TestZ","Elapsed":0}
{"Action":"fail","Package":"a","Elapsed":0.1}
`, tests(1, 1, 1), ""},
		{"gotest without build", goals.ParseGoTest, `{"ImportPath":"b","Action":"build-fail"}
{"Action":"fail","Package":"b","Elapsed":0,"FailedBuild":"b"}
{"Action":"pass","Package":"a","Test":"TestX"}`, tests(1, 1, 0), ""},
		{"gotest as text", goals.ParseGoTest, "ok  \ta\t0.1s\n", acceptance.Reading{}, "run go test -json"},
		{"pytest", goals.ParsePytest, "..F\n=== 1 failed, 2 passed, 3 skipped, 1 xfailed, 2 warnings, 1 error in 0.12s ===\n", tests(2, 2, 4), ""},
		{"pytest quiet", goals.ParsePytest, "...\n3 passed in 0.02s\n", tests(3, 0, 0), ""},
		{"pytest long", goals.ParsePytest, "=== 3 passed in 75.01s (0:01:15) ===\n", tests(3, 0, 0), ""},
		{"pytest none", goals.ParsePytest, "no tests ran in 0.00s\n", tests(0, 0, 0), ""},
		{"pytest crash", goals.ParsePytest, "ImportError: x\n", acceptance.Reading{}, "no summary"},
		{"tap", goals.ParseTAP, "TAP version 14\n1..5\nok 1 - a\nnot ok 2 - b\nok 3 # SKIP later\nnot ok 4 # TODO\n    not ok 1 - inner\nok 5\n", tests(2, 1, 2), ""},
		{"tap plan last", goals.ParseTAP, "ok\nok\n1..2\n", tests(2, 0, 0), ""},
		{"tap cut short", goals.ParseTAP, "1..4\nok 1\nok 2\n", tests(2, 2, 0), ""},
		{"tap without plan", goals.ParseTAP, "ok 1\n", tests(1, 1, 0), ""},
		{"tap bail out", goals.ParseTAP, "1..1\nok 1\nBail out! no database\n", tests(1, 1, 0), ""},
		{"tap two plans", goals.ParseTAP, "1..0\n1..1\nok\n", acceptance.Reading{}, "not one line"},
		{"no tap", goals.ParseTAP, "okay\n", acceptance.Reading{}, "no plan"},
		{"junit", goals.ParseJUnit, `<?xml version="1.0"?>
<testsuites><testsuite name="a"><properties/><testcase name="x"/><testcase name="y"><failure>no</failure><system-out>&lt;skipped/></system-out></testcase>
<testcase name="z"><skipped/></testcase></testsuite><testsuite><testcase><error/></testcase></testsuite></testsuites>`, tests(1, 2, 1), ""},
		{"junit cut", goals.ParseJUnit, `<testsuite><testcase name="x"/>`, acceptance.Reading{}, "not one whole report"},
		{"other xml", goals.ParseJUnit, `<html></html>`, acceptance.Reading{}, `first element is "html"`},
		{"no xml", goals.ParseJUnit, "", acceptance.Reading{}, "not one whole report"},
		{"deep xml", goals.ParseJUnit, "<testsuite>" + strings.Repeat("<a>", 200), acceptance.Reading{}, "nested more than 100 deep"},
		{"cargo", goals.ParseCargo, "running 3 tests\ntest result: FAILED. 1 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out\ntest result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n", tests(5, 2, 1), ""},
		{"cargo build error", goals.ParseCargo, "error: could not compile `x`\n", acceptance.Reading{}, "did it compile?"},
		{"unknown", "nose", "", acceptance.Reading{}, "unknown parser"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := acceptance.Read(goals.Probe{Parse: tt.p}, []byte(tt.out))
			if tt.err == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("error is %v, want %q", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("reading differs (-want +got):\n%s", diff)
			}
		})
	}
}

// TestReadRealGoTest reads what the installed go command prints.
func TestReadRealGoTest(t *testing.T) {
	dir := t.TempDir()
	for name, src := range map[string]string{
		"go.mod":    "module x\n\ngo 1.26\n",
		"x_test.go": "package x\n\nimport \"testing\"\n\nfunc TestA(t *testing.T) { t.Run(\"sub\", func(t *testing.T) {}) }\nfunc TestB(t *testing.T) { t.Error(\"no\") }\nfunc TestC(t *testing.T) { t.Skip() }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(src), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "test", "-json", "./...")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err == nil {
		t.Fatal("go test passes")
	}
	got, err := acceptance.Read(goals.Probe{Parse: goals.ParseGoTest}, out)
	want := acceptance.Reading{Passed: 2, Failed: 1, Skipped: 1}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("got %+v, %v; want %+v\n%s", got, err, want, out)
	}
}

func TestMeasureWithParser(t *testing.T) {
	m := &acceptance.Measurer{Box: &unboxed{}, Scratch: t.TempDir()}
	probes := []goals.Probe{
		{Name: "lines", Cmd: "wc -l < in.txt", Parse: goals.ParseInt},
		{Name: "words", Cmd: "echo many", Parse: goals.ParseInt},
		{Name: "flood", Cmd: "head -c 17000000 /dev/zero", Parse: goals.ParseInt},
	}
	got, err := m.Measure(t.Context(), sandbox.Policy{Workspace: workdir(t)}, probes)
	if err != nil {
		t.Fatal(err)
	}
	v, err := acceptance.Decide(goals.Goal{Probes: probes}, []string{"lines.value == 1", "words.value == 1", "flood.value == 0"}, got, policy.Facts{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"lines.value == 1": true, "words.value == 1": false, "flood.value == 0": false}
	if diff := cmp.Diff(want, v.Require); diff != "" || v.OK {
		t.Errorf("verdict differs (-want +got):\n%s", diff)
	}
	for src, part := range map[string]string{"words.value == 1": `words: parse as int: the output is not one whole number: "many"`, "flood.value == 0": "flood: it printed more than 16 MiB"} {
		if !strings.Contains(v.Reasons[src], part) {
			t.Errorf("reason of %s is %q, want %q", src, v.Reasons[src], part)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(`{"Action":"pass","Test":"x"}`)
	f.Add("1..2\nok 1\nnot ok 2 # TODO\n")
	f.Add("<testsuite><testcase><failure/></testcase></testsuite>")
	f.Add("=== 1 failed, 2 passed in 0.12s ===")
	f.Add("test result: ok. 4 passed; 0 failed; 0 ignored;")
	f.Add(`{"total": 3}`)
	f.Add("name,price\nx,1\n\"y\",2\n")
	f.Add("a12 a3")
	f.Add("LF:10\nLH:9\n")
	f.Fuzz(func(t *testing.T, out string) {
		for _, p := range goals.Parsers() {
			r, err := acceptance.Read(goals.Probe{Parse: p, Pattern: `a(\d+)`, Schema: json.RawMessage(`{"type":"object"}`)}, []byte(out))
			switch {
			case err != nil:
				if !cmp.Equal(r, acceptance.Reading{}) {
					t.Errorf("%s: an error and %+v", p, r)
				}
			case (r.JSON != nil) != (p == goals.ParseJSON) || (r.Columns != nil) != (p == goals.ParseCSV):
				t.Errorf("%s gives %+v", p, r)
			case r.Passed < 0 || r.Failed < 0 || r.Skipped < 0 || math.IsNaN(r.Value) || math.IsInf(r.Value, 0):
				t.Errorf("%s: %+v is no reading", p, r)
			case p == goals.ParseCoverage && (r.Value < 0 || r.Value > 100):
				t.Errorf("coverage is %v", r.Value)
			}
		}
	})
}

func TestReadFormats(t *testing.T) {
	schema := json.RawMessage(`{"type":"object","required":["total"],"properties":{"total":{"type":"integer"}}}`)
	for _, tt := range []struct {
		name  string
		probe goals.Probe
		out   string
		want  acceptance.Reading
		err   string
	}{
		{"json", goals.Probe{Parse: goals.ParseJSON, Schema: schema}, " {\"total\": 3}\n", acceptance.Reading{JSON: json.RawMessage(`{"total": 3}`)}, ""},
		{"json without schema", goals.Probe{Parse: goals.ParseJSON}, "[1]", acceptance.Reading{JSON: json.RawMessage("[1]")}, ""},
		{"wrong type", goals.Probe{Parse: goals.ParseJSON, Schema: schema}, `{"total": "3"}`, acceptance.Reading{}, "does not match the schema"},
		{"missing", goals.Probe{Parse: goals.ParseJSON, Schema: schema}, `{}`, acceptance.Reading{}, "total"},
		{"two values", goals.Probe{Parse: goals.ParseJSON}, "1 2", acceptance.Reading{}, "not one JSON value"},
		{"no json", goals.Probe{Parse: goals.ParseJSON}, "", acceptance.Reading{}, "not one JSON value"},
		{"csv", goals.Probe{Parse: goals.ParseCSV}, "\ufeffname, price\n\"a,b\",1\nc,2\n", acceptance.Reading{Rows: 2, Columns: []string{"name", "price"}}, ""},
		{"csv with a short row", goals.Probe{Parse: goals.ParseCSV}, "a,b\n1\n", acceptance.Reading{}, "wrong number of fields"},
		{"no csv", goals.Probe{Parse: goals.ParseCSV}, "", acceptance.Reading{}, "no header"},
		{"regexp", goals.Probe{Parse: goals.ParseRegexp, Pattern: `took (\d+) ms`}, "took 17 ms\ntook 9 ms", acceptance.Reading{Count: 2, Text: "17", Value: 17}, ""},
		{"regexp without group", goals.Probe{Parse: goals.ParseRegexp, Pattern: `v\d`}, "v1", acceptance.Reading{Count: 1, Text: "v1"}, ""},
		{"no match", goals.Probe{Parse: goals.ParseRegexp, Pattern: `x`}, "", acceptance.Reading{}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := acceptance.Read(tt.probe, []byte(tt.out))
			if tt.err == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("error is %v, want %q", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("reading differs (-want +got):\n%s", diff)
			}
		})
	}
}

// A server is started and asked by one shell, which needs no HTTP client. What the server does after it answered is nobody's business.
func TestMeasureHTTPAndFiles(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("no python3, which serves here")
	}
	port := freePort(t)
	serve := func(code int, body string) string {
		return fmt.Sprintf(`sleep 0.3; exec timeout 20 python3 -c '
import http.server
class H(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        b = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(%d); self.end_headers(); self.wfile.write(b"%s" + b)
http.server.HTTPServer(("127.0.0.1", %d), H).handle_request()'`, code, body, port)
	}
	url := fmt.Sprintf("http://127.0.0.1:%d/x", port)
	post := goals.Request{URL: url, Method: "POST", Body: "7"}
	probes := []goals.Probe{
		{Name: "page", Start: serve(200, "4"), HTTP: post, Parse: goals.ParseInt, Timeout: 20 * time.Second},
		{Name: "error", Start: serve(500, "no "), HTTP: post, Timeout: 20 * time.Second},
		{Name: "dead", Start: "echo broken; exit 3", HTTP: goals.Request{URL: url}, Timeout: 20 * time.Second},
		{Name: "silent", HTTP: goals.Request{URL: url}, Timeout: 3 * time.Second, Optional: true},
		{Name: "file", Path: "in.txt"},
		{Name: "absent", Path: "none.json", Parse: goals.ParseJSON, Optional: true},
	}
	m := &acceptance.Measurer{Box: &unboxed{}, Scratch: t.TempDir()}
	got, err := m.Measure(t.Context(), sandbox.Policy{Workspace: workdir(t)}, probes)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got[2].Output, "the server ended before it answered\nbroken") || !strings.Contains(got[3].Output, "nothing answered") {
		t.Errorf("dead: %q, silent: %q", got[2].Output, got[3].Output)
	}
	require := []string{
		"page.status == 200 && page.value == 47", "error.exit == 0 && error.status == 500 && error.output == 'no 7'", "dead.exit == 1 && dead.status == 0",
		"silent.status == 200", "file.output contains 'hello'", "hasAt(absent.json, 'x')",
	}
	v, err := acceptance.Decide(goals.Goal{Probes: probes}, require, got, policy.Facts{})
	if err != nil {
		t.Fatal(err)
	}
	if !v.OK || len(v.Require) != 4 || len(v.Left) != 2 || v.Left["silent.status == 200"] == "" {
		t.Errorf("verdict %+v\n%+v", v, got)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
