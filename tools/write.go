package tools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"agentd/tools/args"
)

// write creates or replaces a file.
var write = define(builtin[args.WriteFile]{
	spec: Spec{Fenced: Fenced{Inline: "path", Body: "content"}},
	check: func(a args.WriteFile) error {
		if a.Path == "" {
			return errors.New(`argument "path" is empty`)
		}
		return nil
	},
	effect: always[args.WriteFile](Idempotent),
	run:    runWrite,
	fenced: func(inline, body string) (map[string]any, error) {
		if inline == "" {
			return nil, errors.New("write the path behind the action, for example: Action: write notes.txt")
		}
		if body != "" && !strings.HasSuffix(body, "\n") {
			body += "\n" // the fence's last line is a line
		}
		return map[string]any{"path": inline, "content": body}, nil
	},
})

func runWrite(ctx context.Context, env Env, a args.WriteFile) (Result, error) {
	p, d, refused, err := writable(env, a.Path, true)
	if err != nil || refused != nil {
		return deref(refused), err
	}
	defer d.Close()
	name := path.Base(p)
	old, err := d.stat(name)
	if err != nil {
		return bad("%s", why(env.Root, p, err)), nil
	}
	if err := irregular(p, old); err != nil {
		return bad("%v", err), nil
	}
	what := fmt.Sprintf("%s, %s", plural(countLines(a.Content), "line"), size(int64(len(a.Content))))
	if old != nil && old.Size == int64(len(a.Content)) {
		if now, err := readAll(d, name, p); err == nil && string(now) == a.Content {
			return good(fmt.Sprintf("%s holds exactly this already (%s)", p, what)), nil
		}
	}
	if ctx.Err() != nil {
		return Result{}, context.Cause(ctx)
	}
	if err := d.replace(name, []byte(a.Content), old); err != nil {
		return bad("%s could not be written: %v", p, err), nil
	}
	r := good(fmt.Sprintf("created %s (%s)", p, what))
	if old != nil {
		r = good(fmt.Sprintf("replaced %s (%s; before: %s)", p, what, size(old.Size)))
	}
	r.Changed = []string{p}
	return r, nil
}

// writable checks that a path may be written and opens its folder. What a model can do something about is a result, refused.
func writable(env Env, asked string, create bool) (p string, d *folder, refused *Result, err error) {
	no := func(r Result) (string, *folder, *Result, error) { return "", nil, &r, nil }
	if env.Root == nil {
		return "", nil, nil, errNoWorkspace
	}
	if p, err = place(env, asked); err != nil {
		return no(bad("%v", err))
	}
	if p == "." || strings.HasSuffix(asked, "/") {
		return no(bad("%s is a folder, not a file", clip(asked, 200)))
	}
	if err := protected(env, p); err != nil {
		return no(bad("%v", err))
	}
	if d, err = openFolder(env.Root, path.Dir(p), create); err != nil {
		return no(bad("%s", why(env.Root, p, err)))
	}
	return p, d, nil, nil
}

func deref(r *Result) Result {
	if r == nil {
		return Result{}
	}
	return *r
}

// readAll reads a file of at most readWhole bytes.
func readAll(d *folder, name, shown string) ([]byte, error) {
	f, info, err := d.open(name, shown)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	tooLarge := fmt.Errorf("%s has %s, more than %s: change it with the shell", shown, size(info.Size()), size(readWhole))
	if info.Size() > readWhole {
		return nil, tooLarge
	}
	b, err := io.ReadAll(io.LimitReader(f, readWhole+1))
	if err == nil && len(b) > readWhole {
		err = tooLarge
	}
	return b, err
}

func countLines(s string) int {
	n := strings.Count(s, "\n")
	if s != "" && !strings.HasSuffix(s, "\n") {
		n++
	}
	return n
}
