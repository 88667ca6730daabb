package goals_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentd/goals"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestImportFormats(t *testing.T) {
	two := 2
	for file, tt := range map[string]struct {
		format string
		want   goals.Goal
		left   []string
	}{
		"recipe.yaml": {"a goose recipe", goals.Goal{
			Name: "review-a-change", Description: "Reviews a branch and writes notes",
			Text: "You review code carefully.\n\nReview the branch {{ params.branch }} with {{ params.depth }} depth. Leave {{ other }} alone.",
			Params: []goals.Param{
				{Name: "branch", Required: true, Description: "which branch"},
				{Name: "depth", Type: goals.ParamChoice, Options: []string{"low", "high"}, Default: "low", Description: "how deep"},
			},
			Tools:   goals.Tools{MCP: []goals.MCPServer{{Name: "my-tool", Cmd: "uvx", Args: []string{"my-mcp@latest"}}}},
			Result:  goals.ResultForm{Schema: []byte(`{"properties":{"notes":{"type":"string"}},"required":["notes"],"type":"object"}`)},
			OnFail:  goals.OnFail{Retries: &two},
			Probes:  []goals.Probe{{Name: "check1", Cmd: "test -s notes.md"}},
			Require: []string{"check1.exit == 0"},
			Models:  goals.Models{Worker: []string{"openai/gpt-5"}},
		}, []string{"developer", "environment of my-tool", "temperature", "author"}},
		"ai_settings.yaml": {"AutoGPT's ai_settings.yaml", goals.Goal{
			Name: "market-gpt", Description: "an AI that studies markets", Text: "an AI that studies markets\n\n- Find three competitors\n- Write report.md", Budget: goals.Budget{USD: 1.5},
		}, nil},
		"reviewer.md": {"an opencode agent", goals.Goal{
			Name: "reviewer", Description: "Reviews code for quality", Text: "You are in code review mode.",
			Models: goals.Models{Worker: []string{"anthropic/claude-sonnet-4-5"}},
			Tools:  goals.Tools{Allow: []string{"read", "list", "search", "shell", "code", "browser"}},
			Policy: []goals.Rule{{When: `tool == "shell"`, Do: "ask"}, {When: `tool in ["write", "edit"]`, Do: "deny"}},
		}, []string{"temperature", "todowrite"}},
		"triage.md": {"a GitHub agentic workflow", goals.Goal{
			Name: "triage", Text: "# Weekly triage\n\nLook at what is open and write a report.", Budget: goals.Budget{Wall: 15 * 60 * 1e9},
			Sandbox:  goals.Sandbox{Net: []string{"api.example.com"}},
			Triggers: []goals.Trigger{{Cron: "0 6 * * 1"}},
		}, []string{"on: issues", "permissions", "engine", "defaults", "github", "safe-outputs"}},
	} {
		t.Run(file, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata/import", file))
			if err != nil {
				t.Fatal(err)
			}
			got, err := goals.Import(file, data)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got.Goal, cmpopts.EquateEmpty()); diff != "" || got.Format != tt.format {
				t.Errorf("%s differs (-want +got):\n%s", got.Format, diff)
			}
			if len(got.Left) != len(tt.left) {
				t.Errorf("left out: %q", got.Left)
			}
			for _, l := range tt.left {
				if !strings.Contains(strings.Join(got.Left, "\n"), l) {
					t.Errorf("%q is not among what was left out: %q", l, got.Left)
				}
			}
			if _, err := goals.Parse(got.Goal.Name+".goal.md", goals.Print(got.Goal)); err != nil {
				t.Errorf("what was converted can't be read: %v", err)
			}
		})
	}
	for _, src := range []string{"", "a: 1", "- a", "title: x", "---\n", "\x00"} {
		if _, err := goals.Import("x.yaml", []byte(src)); err == nil {
			t.Errorf("%q was converted", src)
		}
	}
}
