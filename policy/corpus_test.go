package policy_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"agentd/policy"
)

var update = flag.Bool("update", false, "write the corpus anew from what is parsed now; review the difference")

// show writes a command in one line: WRAPPERS> SETS name args {redirects} and the marks ! (dynamic) and ? (expands).
func show(c policy.Command) string {
	var b strings.Builder
	for _, w := range c.Wrapped {
		b.WriteString(w + "> ")
	}
	for _, s := range c.Sets {
		b.WriteString("[" + s + "] ")
	}
	b.WriteString("<" + c.Name + ">")
	words := c.Args
	if c.Name == "" {
		words = c.Words
	}
	for _, a := range words {
		b.WriteString(" <" + a + ">")
	}
	for _, r := range c.Redirects {
		b.WriteString(" {" + r.Op + r.Path)
		if r.Expands {
			b.WriteString("?")
		}
		b.WriteString("}")
	}
	if c.Dynamic {
		b.WriteString(" !")
	}
	if c.Expands {
		b.WriteString(" ?")
	}
	return strings.NewReplacer("\n", `\n`, "\x00", `\0`).Replace(b.String())
}

// The corpus is pairs of a command line, behind "$ " and with \n and \0 for those signs, and what rules see of it.
func TestCommandCorpus(t *testing.T) {
	const file = "testdata/commands.txt"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	n := 0
	for _, block := range strings.Split(strings.TrimSpace(string(data)), "\n\n") {
		head, want, _ := strings.Cut(block, "\n")
		line, ok := strings.CutPrefix(head, "$ ")
		if !ok {
			t.Fatalf("%s: %q does not begin with $", file, head)
		}
		n++
		src := strings.NewReplacer(`\n`, "\n", `\0`, "\x00").Replace(line)
		var got []string
		for _, c := range policy.Commands(src) {
			got = append(got, show(c))
		}
		if g := strings.Join(got, "\n"); g != want && !*update {
			t.Errorf("%s\n got: %s\nwant: %s", line, g, want)
		}
		out.WriteString(head + "\n" + strings.Join(got, "\n") + "\n\n")
	}
	if n < 150 {
		t.Errorf("the corpus has %d command lines", n)
	}
	if *update {
		if err := os.WriteFile(file, []byte(strings.TrimSpace(out.String())+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
