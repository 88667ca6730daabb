package tools

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"strings"

	"agentd/tools/args"
)

//go:embed prompts/*.md
var prompts embed.FS

// builtin is a tool whose arguments are the struct T. Its fields never change once it is made.
type builtin[T args.Args] struct {
	spec   Spec
	check  func(T) error                                     // what the types can't say; nil for nothing
	effect func(T) Effect                                    // of one call
	run    func(context.Context, Env, T) (Result, error)     // ctx is alive when it starts
	fenced func(inline, body string) (map[string]any, error) // nil: by Spec.Fenced alone
}

// define makes a tool's spec from its argument struct and its file prompts/NAME.md: the text that
// a model with native tool calls reads up to a line "---"; behind it a sample of the fenced form, which may begin with a summary
// of its own.
func define[T args.Args](t builtin[T]) *builtin[T] {
	var zero T
	t.spec.Name = zero.Tool()
	text, err := prompts.ReadFile("prompts/" + t.spec.Name + ".md")
	if err != nil {
		panic(err) // the files are embedded, and a test makes every tool
	}
	prompt, rest, _ := strings.Cut(string(text), "\n---\n")
	summary, sample, _ := strings.Cut(rest, "Action:")
	t.spec.Prompt = strings.TrimSpace(prompt)
	t.spec.Summary = strings.TrimSpace(summary)
	t.spec.Fenced.Sample = strings.TrimSpace("Action:" + sample)
	if t.spec.Summary == "" {
		t.spec.Summary, _, _ = strings.Cut(t.spec.Prompt, "\n")
	}
	t.spec.Schema = args.Schema[T]()
	return &t
}

// Spec describes the tool.
func (t *builtin[T]) Spec() Spec { return t.spec }

// Decode reads and checks arguments.
func (t *builtin[T]) Decode(raw json.RawMessage) (args.Args, error) {
	a, err := args.Decode[T](raw)
	if err == nil && t.check != nil {
		err = t.check(a)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.spec.Name, err)
	}
	return a, nil
}

// DecodeFenced makes arguments of a fenced call's parts.
func (t *builtin[T]) DecodeFenced(inline, body string) (json.RawMessage, error) {
	m := map[string]any{}
	if t.fenced != nil {
		var err error
		if m, err = t.fenced(inline, body); err != nil {
			return nil, fmt.Errorf("%s: %w", t.spec.Name, err)
		}
	} else {
		f := t.spec.Fenced
		if f.Body != "" && f.Inline == "" && body == "" {
			inline, body = "", inline // "Action: shell ls -la"
		}
		if f.Inline == "" && inline != "" {
			return nil, fmt.Errorf("%s: put everything between the two lines of ~~~, nothing behind the action's name", t.spec.Name)
		}
		if f.Body == "" && body != "" && inline == "" {
			inline, body = strings.TrimSpace(body), "" // "Action: list" and the folder in a fence
		}
		if f.Inline != "" && inline != "" {
			m[f.Inline] = inline
		}
		if f.Body != "" && body != "" {
			m[f.Body] = body
		}
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.spec.Name, err)
	}
	return raw, nil
}

// Effect says what repeating the call would do.
func (t *builtin[T]) Effect(a args.Args) Effect {
	v, ok := a.(T)
	if !ok {
		return Once
	}
	return t.effect(v)
}

// Run does it.
func (t *builtin[T]) Run(ctx context.Context, env Env, a args.Args) (Result, error) {
	v, ok := a.(T)
	if !ok {
		return Result{}, fmt.Errorf("%s: got the arguments %T of another tool", t.spec.Name, a)
	}
	if err := ctx.Err(); err != nil {
		return Result{}, context.Cause(ctx)
	}
	res, err := t.run(ctx, env, v)
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", t.spec.Name, err)
	}
	return res, nil
}

// always is the effect of a tool that has but one.
func always[T args.Args](e Effect) func(T) Effect { return func(T) Effect { return e } }

// good and bad are results of tools without a process.
func good(text string) Result { return Result{OK: true, Output: Text(text)} }

func bad(format string, a ...any) Result {
	return Result{Exit: 1, Output: Text(fmt.Sprintf(format, a...))}
}
