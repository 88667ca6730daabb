package agent

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"agentd/tools"
	"agentd/tools/args"
)

//go:embed prompts/toolsearch.md
var toolSearchPrompt string

// toolSearch finds tools that are not shown in full. A tool that it names is shown from the next step on.
type toolSearch struct{ tools []tools.Tool }

const (
	maxLines = 300 // tools that the description names
	maxFound = 8
)

// Spec names each tool in a line.
func (t *toolSearch) Spec() tools.Spec {
	var b strings.Builder
	b.WriteString(strings.TrimSpace(toolSearchPrompt))
	for i, x := range t.tools {
		s := x.Spec()
		if i == maxLines {
			fmt.Fprintf(&b, "\n(%d more)", len(t.tools)-i)
			break
		}
		fmt.Fprintf(&b, "\n- %s: %s", s.Name, clip(oneLine(s.Summary), 80))
	}
	return tools.Spec{Name: args.ToolSearch{}.Tool(), Summary: "Find tools by words.", Prompt: b.String(), Schema: args.Schema[args.ToolSearch]()}
}

// Decode reads arguments.
func (t *toolSearch) Decode(raw json.RawMessage) (args.Args, error) {
	a, err := args.Decode[args.ToolSearch](raw)
	if err != nil {
		return nil, fmt.Errorf("tools.search: %w", err)
	}
	return a, nil
}

// Effect is read.
func (t *toolSearch) Effect(args.Args) tools.Effect { return tools.Read }

// Run ranks the tools by the words that they share with the query; a word of the name counts more, a rare one most.
func (t *toolSearch) Run(_ context.Context, _ tools.Env, a args.Args) (tools.Result, error) {
	q, ok := a.(args.ToolSearch)
	if !ok {
		return tools.Result{}, fmt.Errorf("tools.search: got the arguments %T of another tool", a)
	}
	type hit struct {
		spec  tools.Spec
		score float64
	}
	want := wordsOf(clip(q.Query, 1000))
	names, texts, seen := make([]map[string]bool, len(t.tools)), make([]map[string]bool, len(t.tools)), map[string]int{}
	for i, x := range t.tools {
		s := x.Spec()
		names[i], texts[i] = set(wordsOf(s.Name)), set(wordsOf(s.Prompt))
		for w := range union(names[i], texts[i]) {
			seen[w]++
		}
	}
	var hits []hit
	for i, x := range t.tools {
		s := x.Spec()
		score := 0.0
		if strings.EqualFold(strings.TrimSpace(q.Query), s.Name) || strings.EqualFold(strings.TrimSpace(q.Query), tools.WireName(s.Name)) {
			score = 1000
		}
		for _, w := range want {
			rare := 1 / float64(max(1, seen[w]))
			switch {
			case names[i][w]:
				score += 3 + 3*rare
			case texts[i][w]:
				score += 1 + rare
			}
		}
		if score > 0 {
			hits = append(hits, hit{s, score})
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return cmp.Compare(b.score, a.score) })
	if len(hits) == 0 {
		return tools.Result{OK: true, Output: tools.Text("no tool has any of these words")}, nil
	}
	var b strings.Builder
	for _, h := range hits[:min(len(hits), maxFound)] {
		fmt.Fprintf(&b, "- %s: %s\n", h.spec.Name, clip(oneLine(h.spec.Summary), 120))
	}
	b.WriteString("You can call them from now on.\n")
	return tools.Result{OK: true, Output: tools.Text(b.String())}, nil
}

// wordsOf are the words of a text in lower case, names in camelCase or with underscores taken apart.
func wordsOf(s string) []string {
	var b strings.Builder
	lower := false
	for _, r := range s {
		switch {
		case unicode.IsUpper(r) && lower:
			b.WriteByte(' ')
			b.WriteRune(unicode.ToLower(r))
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteRune(unicode.ToLower(r))
		default:
			b.WriteByte(' ')
		}
		lower = unicode.IsLower(r)
	}
	return strings.Fields(b.String())
}

func set(list []string) map[string]bool {
	m := make(map[string]bool, len(list))
	for _, w := range list {
		m[w] = true
	}
	return m
}

func union(a, b map[string]bool) map[string]bool {
	m := make(map[string]bool, len(a)+len(b))
	for w := range a {
		m[w] = true
	}
	for w := range b {
		m[w] = true
	}
	return m
}
