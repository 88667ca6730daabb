package agent

import (
	"strings"
	"testing"

	"agentd/journal"
	"agentd/llm"
	"agentd/tools"
)

func TestSplitFenced(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{ // want: name|inline|body
		{"body", "Thought: x\nAction: shell\n~~~\nls -la\necho\n~~~", "shell||ls -la\necho"},
		{"inline", "Thought: x\nAction: read a/b.txt", "read|a/b.txt|"},
		{"inline and body", "Thought: x\nAction: write a.md\n~~~\n# A\n\ntext\n~~~", "write|a.md|# A\n\ntext"},
		{"backquotes", "Action: shell\n```bash\nls\n```\nResult: made up", "shell||ls"},
		{"quoted inline", "Action: read `a.txt`", "read|a.txt|"},
		{"first of two", "Action: shell\n~~~\none\n~~~\nAction: shell\n~~~\ntwo\n~~~", "shell||one"},
		{"unclosed", "Action: shell\n~~~\nls", "shell||ls"},
		{"empty", "Action: shell\n~~~\n~~~", "shell||"},
		{"capitals", "Action: Shell\n~~~\nls\n~~~", "shell||ls"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name, inline, body, err := splitFenced(tt.text)
			if got := name + "|" + inline + "|" + body; err != nil || got != tt.want {
				t.Errorf("got %q (%v), want %q", got, err, tt.want)
			}
		})
	}
	if _, _, _, err := splitFenced("I think that all is done."); err == nil {
		t.Error("text without an action is taken")
	}
}

// Every tool's sample reads back through the form, so that what a small model is shown is right.
func TestFencedSamples(t *testing.T) {
	d := &driver{set: tools.Builtin().WithMemory()}
	for _, spec := range d.set.Specs() {
		_, form, ok := strings.Cut("\n"+spec.Fenced.Sample, "\nAction:")
		if !ok {
			t.Errorf("%s: its sample has no action: %q", spec.Name, spec.Fenced.Sample)
			continue
		}
		name, inline, body, err := splitFenced("Action:" + form)
		if err != nil || name != spec.Name {
			t.Errorf("%s: its sample reads as %q (%v)", spec.Name, name, err)
			continue
		}
		raw, err := fencedArgs(d.set.Lookup(name), inline, body)
		if err == nil {
			_, err = d.set.Lookup(name).Decode(raw)
		}
		if err != nil {
			t.Errorf("%s: its sample is refused: %v", spec.Name, err)
		}
	}
}

func FuzzSplitFenced(f *testing.F) {
	f.Add("Thought: x\nAction: shell\n~~~\nls\n~~~")
	f.Add("Action: write\n```\n")
	f.Fuzz(func(t *testing.T, text string) {
		name, inline, _, err := splitFenced(text)
		if err == nil && (strings.Contains(name, "\n") || strings.Contains(inline, "\n")) {
			t.Errorf("a name or inline part of several lines: %q %q", name, inline)
		}
	})
}

// A run that may reach hosts is told so in place of the sentence that says that it can't.
func TestPromptSaysWhatTheNetworkReaches(t *testing.T) {
	if strings.Count(fencedPrompt, noNetwork) != 1 {
		t.Fatalf("the prompt for small models does not say %q once", noNetwork)
	}
	d := &driver{set: tools.Builtin(), small: tools.Builtin()}
	s, task := &journal.State{Net: []string{"example.org:443"}}, &journal.Task{}
	sys := d.render(s, task, llm.Info{Style: llm.StyleFenced}).Messages[0].Text
	if strings.Contains(sys, noNetwork) || !strings.Contains(sys, "reaches only example.org:443") {
		t.Errorf("the prompt says %q", sys)
	}
}
