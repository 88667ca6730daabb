package tools

import (
	"runtime"
	"testing"
)

func TestFold(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"src/main.go", "src/main.go"},
		{".GIT/Config", ".git/config"},
		{".git/con\ufb01g", ".git/config"},      // one character for f and i
		{".git/hook\u017f/x", ".git/hooks/x"},   // long s
		{".g\u200cit/hoo\u212as", ".git/hooks"}, // nothing to see, and the Kelvin sign
		{"\ufeffAGENTS.md", "agents.md"},        // a byte order mark
		{"Stra\u1e9ee/**/*.TXT", "strasse/**/*.txt"},
	} {
		if got := fold(tt.in); got != tt.want {
			t.Errorf("fold(%q) = %q, want %q", tt.in, got, tt.want)
		}
		if got := fold(tt.want); got != tt.want {
			t.Errorf("folding %q again gives %q", tt.want, got)
		}
	}
	const p = ".GIT/Config"
	want := p
	if runtime.GOOS == "darwin" {
		want = ".git/config"
	}
	if got := Fold(p); got != want {
		t.Errorf("Fold(%q) = %q on %s, want %q", p, got, runtime.GOOS, want)
	}
}

func TestFoldedNamesAreProtected(t *testing.T) {
	for _, p := range []string{"sub/.GIT/hooks/pre-commit", ".Agentd/x", "Agents.MD"} {
		err := protected(Env{}, p)
		if folds := runtime.GOOS == "darwin"; (err != nil) != folds {
			t.Errorf("%s on %s: got %v, want protected %v", p, runtime.GOOS, err, folds)
		}
	}
}
