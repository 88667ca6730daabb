package tools_test

import (
	"regexp"
	"strings"
	"testing"

	"agentd/tools"
)

func TestWireName(t *testing.T) {
	seen := map[string]string{}
	for in, want := range map[string]string{
		"shell": "shell", "files.read_file": "files__read_file", "tools.search": "tools__search", "s.a.b": "", "s.a/b": "", "s.a_b": "s__a_b",
		"s." + strings.Repeat("x", 100): "", "s." + strings.Repeat("x", 101): "",
	} {
		got := tools.WireName(in)
		if want != "" && got != want || !regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`).MatchString(got) {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
		if seen[got] != "" {
			t.Errorf("%q and %q are both %q", in, seen[got], got)
		}
		seen[got] = in
	}
}
