package tools

import (
	"context"
	"errors"
	"strings"

	"agentd/tools/args"
)

// finish ends a task. Its text is the result; whoever runs the task acts on it.
var finish = define(builtin[args.Finish]{
	spec: Spec{Fenced: Fenced{Body: "result"}},
	check: func(a args.Finish) error {
		if strings.TrimSpace(a.Result) == "" {
			return errors.New(`argument "result" is empty: say what the answer is or what was done`)
		}
		return nil
	},
	effect: always[args.Finish](Read),
	run: func(_ context.Context, _ Env, a args.Finish) (Result, error) {
		r := good(a.Result)
		r.OK = !a.Failed
		return r, nil
	},
	fenced: func(inline, body string) (map[string]any, error) {
		m := map[string]any{"result": body}
		if body == "" {
			m["result"] = inline
		}
		// "FAILED: why" is how a model that can't write arguments says that the task can't be done.
		if why, failed := strings.CutPrefix(strings.TrimSpace(m["result"].(string)), "FAILED:"); failed || body != "" && inline == "failed" {
			m["result"], m["failed"] = strings.TrimSpace(why), true
		}
		return m, nil
	},
})
