package agentd_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// allowed lists, for each package of the project, the packages of the project that it may import. A package that is not
// listed may be imported by none and imports what it likes only if it is a program below cmd/.
var allowed = map[string]string{
	"llm":                 "",
	"sandbox":             "sandbox/boxinit sandbox/egress",
	"sandbox/boxinit":     "",
	"sandbox/egress":      "",
	"sandbox/abuse":       "sandbox sandbox/boxinit sandbox/egress",
	"memory":              "memory/vec",
	"memory/vec":          "",
	"tools/args":          "",
	"policy":              "tools/args",
	"authority":           "goals policy",
	"llm/langchain":       "llm",
	"llm/local":           "llm",
	"llm/local/serve":     "llm/local/serve/gbnf",
	"workspace":           "sandbox",
	"goals":               "policy",
	"tools":               "tools/args sandbox memory",
	"tools/browser":       "tools tools/args sandbox sandbox/egress",
	"tools/mcp":           "tools tools/args sandbox sandbox/egress",
	"tools/mcp/mcptest":   "",
	"tools/web":           "tools tools/args sandbox sandbox/egress",
	"planner":             "goals llm",
	"acceptance":          "goals sandbox workspace policy",
	"schedule":            "goals",
	"journal":             "goals planner llm",
	"journal/bolt":        "journal",
	"journal/journaltest": "journal goals planner llm",
	"agent":               "goals planner llm policy sandbox tools tools/args acceptance workspace journal",
	"api":                 "goals journal",
	"telemetry":           "journal",
}

// thirdParty says which packages alone may import a library.
var thirdParty = map[string]string{
	"github.com/tmc/langchaingo":       "llm/langchain",
	"github.com/hybridgroup/yzma":      "llm/local/serve",
	"go.etcd.io/bbolt":                 "journal/bolt memory",
	"github.com/chromedp/chromedp":     "tools/browser",
	"github.com/chromedp/cdproto":      "tools/browser",
	"github.com/expr-lang/expr":        "policy",
	"charm.land/bubbletea/v2":          "cmd/agentctl/tui",
	"github.com/modelcontextprotocol":  "tools/mcp tools/mcp/mcptest cmd/agentctl/mcp",
	"github.com/tetratelabs/wazero":    "sandbox/wasm",
	"github.com/tiktoken-go/tokenizer": "llm", // its test only
	"github.com/santhosh-tekuri":       "llm llm/local/serve goals tools",
	"github.com/google/jsonschema-go":  "tools goals tools/mcp",
	"github.com/spf13/cobra":           "cmd/agentctl",
}

// linked says which libraries must not be reachable from a program.
var linked = map[string][]string{
	"./cmd/agentctl": {"github.com/tmc/langchaingo", "github.com/hybridgroup/yzma", "github.com/chromedp/chromedp", "go.etcd.io/bbolt"},
	"./cmd/agentd":   {"github.com/hybridgroup/yzma", "github.com/ebitengine/purego"},
}

func TestImports(t *testing.T) {
	err := filepath.WalkDir(".", func(file string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (strings.HasPrefix(e.Name(), ".") && file != "." || e.Name() == "testdata" || e.Name() == "bin") {
			return filepath.SkipDir
		}
		if e.IsDir() || !strings.HasSuffix(file, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := path.Dir(filepath.ToSlash(file))
		for _, imp := range f.Imports {
			checkImport(t, file, pkg, strings.Trim(imp.Path.Value, `"`))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkImport(t *testing.T, file, pkg, imp string) {
	t.Helper()
	for lib, who := range thirdParty {
		if (imp == lib || strings.HasPrefix(imp, lib+"/")) && !listed(who, pkg) {
			t.Errorf("%s imports %s, which only %s may", file, imp, who)
		}
	}
	ours, isOurs := strings.CutPrefix(imp, "agentd/")
	rule, ruled := allowed[pkg]
	// Tests may reach across to drive the real thing; programs wire everything.
	if !isOurs || strings.HasSuffix(file, "_test.go") || !ruled || ours == pkg {
		return
	}
	if !listed(rule, ours) && !strings.HasPrefix(ours, "internal/") {
		t.Errorf("%s imports agentd/%s, which %s may not: see ARCHITECTURE.md", file, ours, pkg)
	}
}

// listed reports whether pkg is one of the words, or lies below one.
func listed(words, pkg string) bool {
	for _, w := range strings.Fields(words) {
		if pkg == w || strings.HasPrefix(pkg, w+"/") && strings.HasPrefix(w, "cmd/") {
			return true
		}
	}
	return false
}

func TestImportsLinked(t *testing.T) {
	for prog, libs := range linked {
		out, err := exec.Command("go", "list", "-deps", prog).Output()
		if err != nil {
			t.Fatalf("go list -deps %s: %v", prog, err)
		}
		for _, lib := range libs {
			if strings.Contains("\n"+string(out), "\n"+lib) {
				t.Errorf("%s links %s", prog, lib)
			}
		}
	}
}

func TestPackageComments(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}\t{{.Doc}}", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		dir, doc, _ := strings.Cut(line, "\t")
		entries, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		onlyTests := true
		for _, e := range entries {
			onlyTests = onlyTests && strings.HasSuffix(e, "_test.go")
		}
		if strings.TrimSpace(doc) == "" && !onlyTests {
			t.Errorf("%s has no package comment", dir)
		}
	}
}
