package workspace_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentd/workspace"
)

func TestGuides(t *testing.T) {
	outside := t.TempDir()
	write(t, outside, map[string]string{"secret.md": "a secret", "deep/SKILL.md": "---\nname: outside\n---\n"})
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  []string
		not   []string
	}{
		{"none", map[string]string{"a": "1"}, nil, []string{"says"}},
		{"agents", map[string]string{"AGENTS.md": "Run make test.\x1b[2J", "CLAUDE.md": "the same"}, []string{"AGENTS.md says:\nRun make test."}, []string{"CLAUDE", "\x1b"}},
		{"claude", map[string]string{"CLAUDE.md": "Use tabs."}, []string{"CLAUDE.md says:\nUse tabs."}, nil},
		{"long", map[string]string{"AGENTS.md": strings.Repeat("a line\n", 2000)}, []string{"the rest is in AGENTS.md"}, nil},
		{"skills", map[string]string{
			".claude/skills/pdf/SKILL.md": "---\nname: pdf\ndescription: \"Read and fill PDF forms\"\n---\nThe long body\n", "skills/x/SKILL.md": "no front matter", "SKILL.md": "---\nname: top\n---\n",
		}, []string{"- pdf (.claude/skills/pdf/SKILL.md): Read and fill PDF forms", "- top (SKILL.md)"}, []string{"long body", "skills/x"}},
		{"links outside", map[string]string{"AGENTS.md": "-> " + filepath.Join(outside, "secret.md"), "skills": "-> " + outside}, nil, []string{"secret", "outside"}},
	} {
		root := t.TempDir()
		write(t, root, tt.files)
		got := workspace.Guides(root)
		for _, w := range tt.want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: %q lacks %q", tt.name, got, w)
			}
		}
		for _, n := range tt.not {
			if strings.Contains(got, n) {
				t.Errorf("%s: %q holds %q", tt.name, got, n)
			}
		}
		if len(got) > 10_000 {
			t.Errorf("%s: %d bytes", tt.name, len(got))
		}
	}
	if got := workspace.Guides(filepath.Join(os.TempDir(), "no such folder")); got != "" {
		t.Errorf("no folder: %q", got)
	}
}
