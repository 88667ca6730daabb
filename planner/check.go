package planner

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
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

// CheckPrompt asks for one check of the goal. earlier are replies that came before and count for nothing.
func CheckPrompt(in Input, earlier []string) *llm.Request {
	req := &llm.Request{
		Messages: []llm.Message{
			{Role: llm.System, Text: strings.TrimSpace(checkPrompt)},
			{Role: llm.User, Text: "Goal: " + strings.TrimSpace(in.Goal)},
		},
		MaxTokens: 400,
		Grammar:   checkGrammar,
	}
	for _, reply := range earlier {
		req.Messages = append(req.Messages,
			llm.Message{Role: llm.Assistant, Text: clip(reply, 2000)},
			llm.Message{Role: llm.User, Text: "That script ends with exit 0 before any work is done, it looks at files that the goal does not name, or it is broken. Write one that only looks at the result, and fails while the result is missing or wrong."})
	}
	return req
}

// ParseCheck takes the script out of a reply. A script that looks at a file or folder of which neither the goal nor the workspace knows is
// refused: it can't be met.
func ParseCheck(text, goal string, ws fs.FS) (goals.Probe, error) {
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
		if name := invented(script, goal, ws); name != "" {
			return goals.Probe{}, fmt.Errorf("the script looks at %s, which neither the goal names nor the folder has", name)
		}
		return goals.Probe{Name: "self1", Cmd: script}, nil
	}
	return goals.Probe{}, errors.New("it holds no script between two lines of ~~~")
}

// pathWord finds what looks like a file, or like a folder before a slash.
var pathWord = regexp.MustCompile(`\b([\w.-]*\w\.(?:txt|csv|tsv|json|jsonl|md|rst|log|py|sh|js|ts|go|rs|c|h|java|rb|yaml|yml|toml|ini|conf|cfg|html|css|xml|svg|png|jpe?g|gif|pdf|zip|gz|db|sqlite|out|lock|bin|dat)\b|\w[\w-]+/)(\(?)`)

// invented returns a file or folder of a script that is made up, "" when there is none.
func invented(script, goal string, ws fs.FS) string {
	known := former{goal: goal}
	for _, m := range pathWord.FindAllStringSubmatch(script, -1) {
		name := strings.TrimSuffix(m[1], "/")
		if m[2] != "" || slices.Contains(systemFolders, name) || known.says(name) { // m[2]: a function
			continue
		}
		found := false
		err := fs.WalkDir(ws, ".", func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if found = found || d.Name() == name; found {
				return fs.SkipAll
			}
			return nil
		})
		if err == nil && !found {
			return name
		}
	}
	return ""
}

// systemFolders are no part of a workspace.
var systemFolders = []string{"dev", "tmp", "usr", "bin", "etc", "proc", "null"}
