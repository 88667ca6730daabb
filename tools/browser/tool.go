package browser

import (
	"context"
	_ "embed" // the description that a model reads
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"agentd/tools"
	"agentd/tools/args"
)

//go:embed browser.md
var prompt string

// Tool is the tool by which a model uses the tabs of a task, which are Env.Tabs.
type Tool struct{}

// rule is what a small model may write behind the name. What needs more than this form is left to larger ones.
const rule = `" " ("open http" inline | ("click " | "check " | "uncheck ") "e" [0-9]+ | ("type " | "select ") "e" [0-9]+ fence | "press " ("Enter" | "Escape" | "Tab") | "scroll " ("down" | "up") | "back" | "outline" | "extract")`

var spec = func() tools.Spec {
	text, rest, _ := strings.Cut(prompt, "\n---\n")
	text = strings.TrimSpace(text)
	summary, sample, _ := strings.Cut(rest, "Action:")
	summary, sample = strings.TrimSpace(summary), "Action:"+sample
	return tools.Spec{
		Name: args.Browser{}.Tool(), Summary: summary, Prompt: text, Schema: args.Schema[args.Browser](),
		Fenced: tools.Fenced{Inline: "action", Body: "text", Sample: strings.TrimSpace(sample), Rule: rule},
	}
}()

// Spec describes the tool.
func (Tool) Spec() tools.Spec { return spec }

// Decode reads and checks arguments.
func (Tool) Decode(raw json.RawMessage) (args.Args, error) {
	a, err := args.Decode[args.Browser](raw)
	if err == nil {
		err = check(a)
	}
	if err != nil {
		return nil, fmt.Errorf("browser: %w", err)
	}
	return a, nil
}

const maxText = 256 << 10

// check says what is missing for an action.
func check(a args.Browser) error {
	need := func(name, value string) error {
		if value == "" {
			return fmt.Errorf("action %s needs the argument %q", a.Action, name)
		}
		return nil
	}
	if len(a.Text) > maxText || len(a.URL) > 32<<10 || len(a.Ref) > 100 || len(a.To) > 4096 {
		return errors.New("an argument is too long")
	}
	if a.Timeout < 0 || a.Timeout > maxTimeout {
		return fmt.Errorf(`argument "timeout" is %d: give 1 to %d seconds`, a.Timeout, maxTimeout)
	}
	switch a.Action {
	case "open":
		return need("url", a.URL)
	case "click", "dblclick", "hover", "type", "check", "uncheck":
		return need("ref", a.Ref)
	case "select", "upload":
		return errors.Join(need("ref", a.Ref), need("text", a.Text))
	case "drag":
		return errors.Join(need("ref", a.Ref), need("to", a.To))
	case "find", "press", "evaluate", "dialog", "takeover":
		return need("text", a.Text)
	case "switch":
		return need("to", a.To)
	}
	return nil
}

// Effect says what repeating a call would do.
func (Tool) Effect(a args.Args) tools.Effect {
	v, ok := a.(args.Browser)
	if !ok {
		return tools.Once
	}
	switch v.Action {
	case "outline", "find", "wait", "tabs", "extract", "takeover":
		return tools.Read
	case "open", "scroll", "switch", "hover", "screenshot":
		return tools.Idempotent
	}
	return tools.Once
}

// Outward reports whether a call can send something out: an action on a page, or an address that holds it.
func (t Tool) Outward(a args.Args) bool {
	v, ok := a.(args.Browser)
	return !ok || v.Action == "open" || t.Effect(a) == tools.Once
}

// Run does one action.
func (Tool) Run(ctx context.Context, env tools.Env, a args.Args) (tools.Result, error) {
	v, ok := a.(args.Browser)
	if !ok {
		return tools.Result{}, fmt.Errorf("browser: got the arguments %T of another tool", a)
	}
	if err := ctx.Err(); err != nil {
		return tools.Result{}, context.Cause(ctx)
	}
	if env.Tabs == nil {
		return tools.Result{}, errors.New("browser: this run has no browser")
	}
	res, err := env.Tabs.Do(ctx, env, v)
	if err != nil {
		return tools.Result{}, fmt.Errorf("browser: %w", err)
	}
	return res, nil
}

// DecodeFenced makes arguments of a call's two parts: "click e12", "open https://…", "drag e3 e9", and the text in the fence.
func (Tool) DecodeFenced(inline, body string) (json.RawMessage, error) {
	words := strings.Fields(inline)
	if len(words) == 0 {
		return nil, errors.New("browser: write what to do behind the action's name, for example: Action: browser click e12")
	}
	m := map[string]any{"action": words[0]}
	var rest []string
	for _, w := range words[1:] {
		switch {
		case m["url"] == nil && (words[0] == "open" || strings.Contains(w, "://")):
			m["url"] = w
		case refForm.MatchString(w) && m["ref"] == nil:
			m["ref"] = w
		case m["to"] == nil && (refForm.MatchString(w) || words[0] == "switch" || words[0] == "close" || words[0] == "screenshot" || words[0] == "open"):
			m["to"] = w
		default:
			rest = append(rest, w)
		}
	}
	if body == "" {
		body = strings.Join(rest, " ")
	}
	if body = strings.TrimSuffix(body, "\n"); body != "" {
		m["text"] = body
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("browser: %w", err)
	}
	return raw, nil
}
