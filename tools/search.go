package tools

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"regexp/syntax"
	"strings"
	"time"

	"agentd/tools/args"
)

// Bounds of one search.
const (
	searchFile    = 20      // lines shown of one file
	searchAll     = 100     // lines shown
	searchSize    = 4 << 20 // larger files are skipped
	searchLine    = 64 << 10
	searchShown   = 200 // bytes shown of a line
	searchTime    = 10 * time.Second
	searchPattern = 1000
)

// search finds lines by a regular expression.
var search = define(builtin[args.Search]{
	spec: Spec{Fenced: Fenced{Inline: "pattern"}},
	check: func(a args.Search) error {
		if a.Pattern == "" {
			return errors.New(`argument "pattern" is empty`)
		}
		_, err := pattern(a.Pattern)
		return err
	},
	effect: always[args.Search](Read),
	run:    runSearch,
	fenced: func(inline, body string) (map[string]any, error) {
		if inline == "" {
			inline = strings.TrimSpace(body)
		}
		return map[string]any{"pattern": inline}, nil
	},
})

func pattern(p string) (*regexp.Regexp, error) {
	if len(p) > searchPattern {
		return nil, fmt.Errorf(`argument "pattern" has %d bytes, more than %d`, len(p), searchPattern)
	}
	re, err := regexp.Compile(p)
	var se *syntax.Error
	if errors.As(err, &se) {
		return nil, fmt.Errorf(`argument "pattern" is not an RE2 expression: %s: %s (to find the signs themselves, write \ before ( ) [ ] { } . * + ? ^ $ |)`, se.Code, clip(se.Expr, 60))
	}
	return re, err
}

// finder gathers the matches of one search.
type finder struct {
	env     Env
	re      *regexp.Regexp
	in      *bufio.Reader
	out     strings.Builder
	shown   int // lines shown
	hidden  int // matching lines not shown
	files   int // files with a match
	skipped int // files too large
}

func runSearch(ctx context.Context, env Env, a args.Search) (Result, error) {
	if env.Root == nil {
		return Result{}, errNoWorkspace
	}
	re, err := pattern(a.Pattern)
	if err != nil {
		return bad("%v", err), nil
	}
	match, err := matcher(env, a.Glob)
	if err != nil {
		return bad("%v", err), nil
	}
	bounded, stop := context.WithTimeout(ctx, searchTime)
	defer stop()
	f := finder{env: env, re: re, in: bufio.NewReaderSize(nil, searchLine)}
	cut, err := walk(bounded, env, ".", func(e entry) (bool, error) {
		if !e.Type().IsRegular() || !match(e.path) {
			return true, nil
		}
		return true, f.file(bounded, e.path)
	})
	if err != nil {
		return Result{}, err
	}
	if ctx.Err() != nil {
		return Result{}, context.Cause(ctx)
	}
	return f.result(a, cut), nil
}

// file searches one file. One that can't be read is passed over: it may be gone.
func (f *finder) file(ctx context.Context, p string) error {
	file, info, err := openRegular(f.env.Root, p)
	if err != nil {
		return nil
	}
	defer file.Close()
	if info.Size() > searchSize {
		f.skipped++
		return nil
	}
	f.in.Reset(io.LimitReader(file, searchSize))
	if head, _ := f.in.Peek(8000); looksBinary(head) { // a short file is no error here
		return nil
	}
	found := 0
	for n := 1; ; n++ {
		line, err := f.line()
		if err != nil {
			break
		}
		if n%1000 == 0 && ctx.Err() != nil {
			break
		}
		at := f.re.FindIndex(line)
		if at == nil {
			continue
		}
		if found++; found > searchFile || f.shown >= searchAll {
			f.hidden++
			continue
		}
		f.shown++
		fmt.Fprintf(&f.out, "%s:%d: %s\n", p, n, cutAround(line, at[0]))
	}
	if found > 0 {
		f.files++
	}
	return nil
}

// line reads the next line without its end; of a very long one only its start.
func (f *finder) line() ([]byte, error) {
	line, err := f.in.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		line = bytes.Clone(line)
		for err == bufio.ErrBufferFull {
			_, err = f.in.ReadSlice('\n')
		}
	}
	if err != nil && len(line) == 0 {
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// cutAround shows a line, of a long one the part with the match.
func cutAround(line []byte, at int) string {
	s := string(line)
	if len(s) <= searchShown {
		return s
	}
	from := max(0, min(at-40, len(s)-searchShown))
	cut := strings.ToValidUTF8(s[from:min(len(s), from+searchShown)], "") + "…"
	if from > 0 {
		cut = "…" + cut
	}
	return cut
}

func (f *finder) result(a args.Search, cut string) Result {
	var notes []string
	if f.shown == 0 {
		where := "any file"
		if a.Glob != "" {
			where = "files that match " + clip(a.Glob, 200)
		}
		notes = append(notes, "no match in "+where)
	}
	if f.hidden > 0 {
		notes = append(notes, fmt.Sprintf("%s more in %s not shown: use a narrower pattern or glob", plural(f.hidden, "matching line"), plural(f.files, "file")))
	}
	if f.skipped > 0 {
		notes = append(notes, fmt.Sprintf("%s of more than %s skipped: use grep in the shell", plural(f.skipped, "file"), size(searchSize)))
	}
	if cut != "" {
		notes = append(notes, "not everything was searched: "+cut)
	}
	text := f.out.String()
	if len(notes) > 0 {
		text += "[" + strings.Join(notes, "; ") + "]\n"
	}
	out := NewOutput(max(DefaultKeep, len(text)))
	_, _ = out.Write([]byte(text)) // it fits into the head, so it can't fail
	return Result{OK: true, Output: out}
}
