package tools

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"strings"

	"agentd/sandbox"
	"agentd/tools/args"
)

//go:embed code.sh
var codeScript string

// code runs a program from its source. The source travels as a descriptor and is laid down in the box's own temporary folder,
// so that the workspace holds only what the program writes; it runs in the workspace, which is where its state stays.
var code = define(builtin[args.Code]{
	spec: Spec{Fenced: Fenced{Inline: "language", Body: "source"}},
	check: func(a args.Code) error {
		if strings.TrimSpace(a.Source) == "" {
			return errors.New(`argument "source" is empty`)
		}
		return checkCommand("source", a.Source, a.Timeout)
	},
	effect: always[args.Code](Once),
	run:    runCode,
	fenced: func(inline, body string) (map[string]any, error) {
		lang, ok := languages[strings.ToLower(strings.TrimSpace(inline))]
		if !ok {
			return nil, fmt.Errorf("write the language behind the action: code python, code node, code bash or code go, not %q", clip(inline, 40))
		}
		return map[string]any{"language": lang, "source": body + "\n"}, nil
	},
})

// languages are the names by which a fenced call may ask for a language.
var languages = map[string]string{
	"python": "python", "python3": "python", "py": "python", "node": "node", "javascript": "node", "js": "node",
	"bash": "bash", "sh": "bash", "go": "go", "golang": "go",
}

func runCode(ctx context.Context, env Env, a args.Code) (Result, error) {
	src, err := source(a.Source)
	if err != nil {
		return Result{}, err
	}
	defer src.Close()
	c := sandbox.Command{Argv: []string{"bash", "-c", codeScript, "code", a.Language}, ExtraFiles: []*os.File{src}}
	if a.Stdin != "" {
		c.Stdin = strings.NewReader(a.Stdin)
	}
	return runBox(ctx, env, a.Timeout, c)
}

// source returns a file without a name that holds text, positioned at its start.
func source(text string) (*os.File, error) {
	f, err := nameless("source")
	if err != nil {
		return nil, fmt.Errorf("keep the source: %w", err)
	}
	if _, err = f.WriteString(text); err == nil {
		_, err = f.Seek(0, 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("keep the source: %w", err), f.Close())
	}
	return f, nil
}
