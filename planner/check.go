package planner

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"agentd/goals"
	"agentd/llm"
)

//go:embed prompts/check.md
var checkPrompt string

// checkGrammar is the GBNF of a script between two fences.
const checkGrammar = `root ::= "~~~\n" text+ "~~~"
text ::= "\n" | [^~\n] [^\n]* "\n" | "~" [^~\n] [^\n]* "\n"
`

// Trivial reports whether a goal needs no planner: one task that is the goal itself does. A small model plans worse than it acts,
// so for it that holds of every short goal; for others only where checks are given too.
func Trivial(in Input) bool {
	switch {
	case in.Revise != nil:
		return false
	case len(in.Seeds) > 0:
		return in.Small // it would only spoil what a person wrote
	case in.Small:
		return len(in.Goal) <= 500 && strings.Count(in.Goal, "\n") <= 4
	}
	return len(in.Given) > 0 && len(in.Goal) <= 160 && !strings.Contains(strings.TrimSpace(in.Goal), "\n")
}

// CheckPrompt asks for one check of the goal. earlier are scripts that were proposed before and count for nothing.
func CheckPrompt(in Input, earlier []string) *llm.Request {
	req := &llm.Request{
		Messages: []llm.Message{
			{Role: llm.System, Text: strings.TrimSpace(checkPrompt)},
			{Role: llm.User, Text: "Goal: " + strings.TrimSpace(in.Goal)},
		},
		MaxTokens: 400,
		Grammar:   checkGrammar,
	}
	for _, script := range earlier {
		req.Messages = append(req.Messages,
			llm.Message{Role: llm.Assistant, Text: clip(script, 2000)},
			llm.Message{Role: llm.User, Text: "That script ends with exit 0 before any work is done, or it is broken. Write one that only looks at the result, and fails while the result is missing or wrong."})
	}
	return req
}

// ParseCheck takes the script out of a reply.
func ParseCheck(text string) (goals.Probe, error) {
	for _, fence := range []string{"~~~", "```"} {
		_, rest, ok := strings.Cut(text, fence)
		if !ok {
			continue
		}
		_, rest, _ = strings.Cut(rest, "\n") // the fence's line may name a language
		script, _, _ := strings.Cut(rest, fence)
		script = strings.TrimSpace(script)
		switch {
		case script == "":
			return goals.Probe{}, errors.New("the script is empty")
		case len(script) > maxCheckCmd:
			return goals.Probe{}, fmt.Errorf("the script has %d bytes, at most %d are allowed", len(script), maxCheckCmd)
		}
		return goals.Probe{Name: "self1", Cmd: script}, nil
	}
	return goals.Probe{}, errors.New("it holds no script between two lines of ~~~")
}
