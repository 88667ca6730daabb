package workspace

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// testNames match base names of test files: Go, Python, JavaScript and TypeScript, Java, Kotlin, C#, Ruby, PHP, Rust, Elixir, Swift, C and C++,
// Dart, Lua, shell.
var testNames = regexp.MustCompile(`(?i)^(` +
	`.+_tests?\.(go|py|rb|exs?|dart|c|cc|cpp|cxx|lua|sh|bash|rs|php|jl|clj|ml)` +
	`|.+_spec\.(rb|lua|js|ts)` +
	`|tests?[_-].+\.(py|c|cc|cpp|rb|sh|js|ts|r|jl|rs|lua)` +
	`|tests?\.(py|js|ts|jsx|tsx|mjs|cjs|rs|rb|sh|go|c|cpp|lua)` +
	`|.+\.(test|spec|cy|e2e)\.[cm]?[jt]sx?` +
	`|.+\.(snap|bats|feature|t)` +
	`|conftest\.py|tox\.ini|pytest\.ini|(jest|vitest|karma|playwright|cypress)\.config\.[cm]?[jt]s|phpunit\.xml(\.dist)?` +
	`)$`)

// testCase match class-per-file languages, where case tells a word's end.
var testCase = regexp.MustCompile(`^(.*[a-z0-9])?(Tests?|Specs?|TestCase|IT)\.(java|kt|kts|scala|groovy|cs|fs|vb|swift|php|hs)$|^Test[A-Z0-9_].*\.(java|kt|scala|groovy|cs|php)$`)

// testDirs are folders whose files all count as tests.
var testDirs = []string{"test", "tests", "__tests__", "spec", "specs", "testdata", "__snapshots__", "e2e", "cypress", "__mocks__", "fixtures", "androidtest"}

// LooksLikeTest reports whether a slash-separated path looks like a test, its data or its set-up: a run that changed it may have moved its own goalposts.
func LooksLikeTest(p string) bool {
	p = path.Clean(strings.ReplaceAll(p, "\\", "/"))
	dir, base := path.Split(p)
	if testNames.MatchString(base) || testCase.MatchString(base) {
		return true
	}
	return slices.ContainsFunc(strings.Split(strings.ToLower(strings.Trim(dir, "/")), "/"), func(d string) bool {
		return slices.Contains(testDirs, d) || strings.HasSuffix(d, ".tests") || strings.HasSuffix(d, ".test")
	})
}
