package workspace_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentd/workspace"
)

func TestNamed(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "secret.txt")
	for name, text := range map[string]string{
		filepath.Join(dir, "calc.py"):      "def f():\n    return 1\n",
		filepath.Join(dir, "long.csv"):     strings.Repeat("a,b,c\n", 1000),
		filepath.Join(dir, "image.png"):    "\x89PNG\x00\x01",
		filepath.Join(dir, "oneline.json"): strings.Repeat("x", 5000),
		outside:                            "secret",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link.txt")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, text, want string }{
		{"named", "fix `calc.py`, please", "\n--- calc.py\ndef f():\n    return 1"},
		{"at a sentence's end", "The bug is in ./calc.py.", "\n--- calc.py\ndef f():\n    return 1"},
		{"twice", "calc.py calc.py", "\n--- calc.py\ndef f():\n    return 1"},
		{"cut at a line", "sum long.csv", "\n--- long.csv (first 300 of 6000 bytes)\n" + strings.TrimRight(strings.Repeat("a,b,c\n", 50), "\n")},
		{"missing", "write report.md", ""},
		{"binary", "look at image.png", ""},
		{"one line", "read oneline.json", ""},
		{"leads outside", "read link.txt and ../secret.txt and " + outside, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := workspace.Named(dir, tt.text); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
