package tools

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"agentd/tools/args"
)

// Bounds of one list.
const (
	listEntries = 300
	listDepth   = 3
	listTime    = 5 * time.Second
)

// list shows the tree of a folder, or what matches a glob at any depth.
var list = define(builtin[args.ListFiles]{
	spec:   Spec{Fenced: Fenced{Inline: "path"}},
	effect: always[args.ListFiles](Read),
	run:    runList,
	fenced: func(inline, body string) (map[string]any, error) {
		if inline == "" {
			inline = strings.TrimSpace(body)
		}
		if strings.ContainsAny(inline, "*?[{") {
			return map[string]any{"glob": inline}, nil
		}
		return map[string]any{"path": inline}, nil
	},
})

func runList(ctx context.Context, env Env, a args.ListFiles) (Result, error) {
	if env.Root == nil {
		return Result{}, errNoWorkspace
	}
	dir, err := place(env, a.Path)
	if err != nil {
		return bad("%v", err), nil
	}
	glob := a.Glob
	if dir != "." && strings.Contains(glob, "/") && !strings.HasPrefix(glob, "/") && !strings.HasPrefix(glob, dir+"/") {
		glob = dir + "/" + strings.TrimPrefix(glob, "./") // a glob is about what lies below the folder
	}
	match, err := matcher(env, glob)
	if err != nil {
		return bad("%v", err), nil
	}
	info, err := env.Root.Stat(dir)
	if err != nil {
		return bad("%s", why(env.Root, dir, err)), nil
	}
	if env.unseen(dir, info.IsDir()) {
		return bad("%s is outside of what this run may read (scope.read)", dir), nil
	}
	if !info.IsDir() {
		return good(fmt.Sprintf("%s  %s\n", dir, size(info.Size()))), nil
	}
	bounded, stop := context.WithTimeout(ctx, listTime)
	defer stop()
	var b strings.Builder
	shown, hidden := 0, 0
	cut, err := walk(bounded, env, dir, func(e entry) (bool, error) {
		deep := a.Glob != "" || e.depth < listDepth
		if a.Glob != "" && (e.IsDir() || !match(e.path)) {
			return true, nil
		}
		if shown >= listEntries {
			hidden++
			return deep, nil
		}
		shown++
		b.WriteString(describe(env, e, deep))
		return deep, nil
	})
	if err != nil {
		return bad("%s", why(env.Root, dir, err)), nil
	}
	if ctx.Err() != nil {
		return Result{}, context.Cause(ctx)
	}
	return listed(b.String(), dir, a.Glob, shown, hidden, cut), nil
}

// listed adds what a list does not show.
func listed(text, dir, glob string, shown, hidden int, cut string) Result {
	var notes []string
	if shown == 0 && glob != "" {
		notes = append(notes, fmt.Sprintf("nothing below %s matches %s", dir, clip(glob, 200)))
	} else if shown == 0 {
		notes = append(notes, dir+" is empty")
	}
	if hidden > 0 {
		notes = append(notes, fmt.Sprintf("%d more not shown: list a folder below, or use a narrower glob", hidden))
	}
	if cut != "" {
		notes = append(notes, "not everything was looked at: "+cut)
	}
	if len(notes) > 0 {
		text += "[" + strings.Join(notes, "; ") + "]\n"
	}
	out := NewOutput(max(DefaultKeep, len(text)))
	_, _ = out.Write([]byte(text)) // it fits into the head, so it can't fail
	return Result{OK: true, Output: out}
}

// describe is one line of a list: path and size, a slash behind a folder.
func describe(env Env, e entry, entered bool) string {
	switch t := e.Type(); {
	case t.IsDir() && skipped(e.Name()):
		return e.path + "/  (not listed)\n"
	case t.IsDir() && !entered:
		return e.path + "/  …\n"
	case t.IsDir():
		return e.path + "/\n"
	case t&fs.ModeSymlink != 0:
		target, err := env.Root.Readlink(e.path)
		if err != nil {
			target = "?"
		}
		return fmt.Sprintf("%s -> %s\n", e.path, clip(target, 200))
	case !t.IsRegular():
		return e.path + "  (not an ordinary file)\n"
	}
	info, err := e.Info()
	if err != nil {
		return e.path + "\n"
	}
	return fmt.Sprintf("%s  %s\n", e.path, size(info.Size()))
}
