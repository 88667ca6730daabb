package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"agentd/journal"
	"agentd/tools"
)

// parseFenced reads a reply of the fenced form. It takes the first action and ignores what a model dreams up behind it.
func (d *driver) parseFenced(asked journal.ModelAsked, text string) move {
	name, inline, body, err := splitFenced(text)
	if err != nil {
		return muddle(asked, 0, "", err.Error())
	}
	tool := d.set.Lookup(name)
	if tool == nil {
		return muddle(asked, 0, "", fmt.Sprintf("There is no action %q. The actions are: %s.", clip(name, 60), strings.Join(d.set.Names(), ", ")))
	}
	raw, err := fencedArgs(tool, inline, body)
	if err != nil {
		m := muddle(asked, 0, "", err.Error())
		m.call.Tool = name
		return m
	}
	return d.decode(asked, 0, name, "", raw)
}

// fencedArgs makes a tool's JSON arguments of the two parts of a fenced call.
func fencedArgs(tool tools.Tool, inline, body string) (json.RawMessage, error) {
	t, ok := tool.(tools.FencedDecoder)
	if !ok {
		return nil, fmt.Errorf("the action %s can't be written in this form", tool.Spec().Name)
	}
	return t.DecodeFenced(inline, body)
}

// errNoAction is shown to a model whose reply has not the fenced form.
var errNoAction = errors.New(`no action in the reply: write a line "Thought: …", a line "Action: NAME" and, where the action takes text, that text between two lines of ~~~`)

// splitFenced takes a reply apart: the action's name, what stands behind it, and the fence's content without its last newline.
func splitFenced(text string) (name, inline, body string, err error) {
	_, after, ok := strings.Cut("\n"+text, "\nAction:")
	if !ok {
		return "", "", "", errNoAction
	}
	line, rest, _ := strings.Cut(after, "\n")
	name, inline, _ = strings.Cut(strings.TrimSpace(line), " ")
	name = strings.ToLower(strings.Trim(name, "`*:"))
	inline = strings.Trim(strings.TrimSpace(inline), "`\"'")
	rest = strings.TrimLeft(rest, "\n")
	fence := ""
	for _, f := range []string{"~~~", "```"} {
		if strings.HasPrefix(rest, f) {
			fence = f
		}
	}
	if fence == "" {
		return name, inline, "", nil
	}
	_, rest, _ = strings.Cut(rest, "\n") // the fence's line, with an info string perhaps
	if strings.HasPrefix(rest, fence) {
		return name, inline, "", nil
	}
	body, _, _ = strings.Cut(rest, "\n"+fence)
	return name, inline, body, nil
}

// fencedGrammar is the GBNF of a reply: one thought, one action of the set, with exactly the parts that it takes. A shell script begins with
// opening, where that is not "".
func fencedGrammar(set *tools.Set, opening string) string {
	var alts, rules []string
	for i, t := range set.Specs() {
		rule := fmt.Sprintf("a%d", i)
		alts = append(alts, rule)
		form := fmt.Sprintf("%q", t.Name)
		switch {
		case t.Fenced.Rule != "":
			form += " " + t.Fenced.Rule
		case t.Fenced.Inline != "":
			form += ` " " inline`
		}
		switch {
		case t.Fenced.Body == "", t.Fenced.Rule != "":
		case t.Name == "shell" && opening != "":
			form += fmt.Sprintf(` "\n~~~\n" %q ("import " | "from ") [^\n]* "\n" text+ "~~~"`, opening)
		default:
			form += " fence"
		}
		rules = append(rules, rule+" ::= "+form)
	}
	return `root ::= "Thought: " line "\nAction: " (` + strings.Join(alts, " | ") + ")\n" +
		strings.Join(rules, "\n") + `
line ::= [^\n]+
inline ::= [^ \n~;,` + "`" + `"']+
fence ::= "\n~~~\n" text+ "~~~"
text ::= "\n" | [^~\n] [^\n]* "\n" | "~" "\n" | "~" [^~\n] [^\n]* "\n" | "~~" "\n" | "~~" [^~\n] [^\n]* "\n"
`
}
