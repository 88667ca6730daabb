package policy

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"mvdan.cc/sh/v3/syntax"
)

// Bounds of reading one command line.
const (
	maxLineBytes = 64 << 10
	maxCommands  = 256
	maxNesting   = 8 // of command lines within command lines: sh -c, eval, aliases
	maxWords     = 64
	maxParens    = 4000 // the parser's time grows with the square of what is open
)

// Command is one simple command of a shell command line, as a rule sees it. Quotes are taken away and braces expanded; what only
// a running shell could know stands as it was written. A command that runs another (sudo, env, xargs, sh -c, find -exec, …) is
// listed, and the other one behind it.
type Command struct {
	Name  string   `expr:"name"`  // the program; its path only where that is not one of the system's folders
	Args  []string `expr:"args"`  // what stands behind the name
	Words []string `expr:"words"` // name as written, and args

	Redirects []Redirect `expr:"redirects"`
	Sets      []string   `expr:"sets"`    // NAME=value in front of it
	Wrapped   []string   `expr:"wrapped"` // the commands that run it, outermost first
	Dynamic   bool       `expr:"dynamic"` // what runs can't be known from the text
	Expands   bool       `expr:"expands"` // an argument can't be known from the text
}

// Redirect is one redirection.
type Redirect struct {
	Op      string `expr:"op"`   // >, >>, <, <<, >&, …
	Path    string `expr:"path"` // file or descriptor; "" for a here-document
	Expands bool   `expr:"expands"`
}

// Commands reads a bash command line. It never fails: text that can't be read is a command without a name that is Dynamic.
func Commands(line string) (list []Command) {
	r := reader{out: make([]Command, 0, 4)}
	defer func() {
		if p := recover(); p != nil { // a fault in reading must not pass for a harmless command
			r.unknown(line, scope{})
			list = r.out
		}
	}()
	r.line(line, scope{})
	return r.out
}

// reader gathers commands.
type reader struct {
	src     string // the text being read, for words that stay as written
	out     []Command
	aliases map[string]string
}

// scope is what surrounds a command.
type scope struct {
	wrapped   []string
	redirects []Redirect
	depth     int
	piped     bool  // its input is another command's output
	input     *text // its input, where that stands in the command line
	expands   bool  // its arguments end with what is known only at run time
}

// text is a here-document or here-string.
type text struct {
	s       string
	expands bool
}

func (s scope) in(name string) scope {
	s.wrapped = append(slices.Clone(s.wrapped), name)
	s.depth++
	return s
}

// inner is the scope of what is substituted into a word.
func (s scope) inner() scope { return scope{wrapped: s.wrapped, depth: s.depth} }

var parsers = sync.Pool{New: func() any { return syntax.NewParser(syntax.Variant(syntax.LangBash)) }}

// line reads a whole command line. Bash runs what stands before an error, so that is listed too.
func (r *reader) line(src string, in scope) {
	if in.depth > maxNesting || len(src) > maxLineBytes || strings.Count(src, "(") > maxParens || strings.ContainsRune(src, 0) {
		r.unknown(src, in)
		return
	}
	stmts, err := parse(src)
	outer := r.src
	r.src = src
	for _, s := range stmts {
		r.node(s, in)
	}
	if err != nil {
		r.unknown(src, in)
	}
	r.src = outer
}

func parse(src string) (stmts []*syntax.Stmt, err error) {
	p := parsers.Get().(*syntax.Parser)
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the parser gave up: %v", v) // this parser is not used again
		} else {
			parsers.Put(p)
		}
	}()
	for s, err := range p.StmtsSeq(strings.NewReader(src)) {
		if err != nil {
			return stmts, err
		}
		stmts = append(stmts, s)
	}
	return stmts, nil
}

// unknown lists a text of which nothing is known.
func (r *reader) unknown(src string, in scope) {
	if len(src) > 200 {
		src = strings.ToValidUTF8(src[:200], "")
	}
	r.emit(Command{Words: []string{src}, Wrapped: in.wrapped, Redirects: in.redirects, Dynamic: true, Expands: true})
}

// emit lists a command and returns its place. Behind the bound nothing is listed but one unknown.
func (r *reader) emit(c Command) int {
	switch n := len(r.out); {
	case n == maxCommands:
		r.out = append(r.out, Command{Words: []string{"…"}, Dynamic: true, Expands: true})
	case n > maxCommands:
	default:
		r.out = append(r.out, c)
	}
	return len(r.out) - 1
}

// node reads a part of the syntax tree.
func (r *reader) node(n syntax.Node, in scope) {
	if len(r.out) > maxCommands {
		return
	}
	switch n := n.(type) {
	case *syntax.Stmt:
		r.stmt(n, in)
	case *syntax.BinaryCmd:
		r.node(n.X, in)
		if n.Op == syntax.Pipe || n.Op == syntax.PipeAll {
			in.piped, in.input = true, nil
		}
		r.node(n.Y, in)
	default:
		r.below(n, in)
	}
}

// below reads the statements anywhere below a node.
func (r *reader) below(n syntax.Node, in scope) {
	syntax.Walk(n, func(c syntax.Node) bool {
		switch c := c.(type) {
		case nil:
			return false
		case *syntax.Stmt:
			r.node(c, in)
			return false
		case *syntax.CmdSubst, *syntax.ProcSubst:
			if c != n {
				r.below(c, in.inner())
				return false
			}
		}
		return true
	})
}

func (r *reader) stmt(s *syntax.Stmt, in scope) {
	for _, rd := range s.Redirs {
		in.redirects = append(slices.Clone(in.redirects), r.redirect(rd, &in))
	}
	switch c := s.Cmd.(type) {
	case nil:
		r.emit(Command{Redirects: in.redirects, Wrapped: in.wrapped}) // "> file" empties a file
	case *syntax.CallExpr:
		r.call(c, in)
	case *syntax.DeclClause:
		r.below(c, in.inner())
		cmd := Command{Name: c.Variant.Value, Redirects: in.redirects, Wrapped: in.wrapped}
		for _, a := range c.Args {
			cmd.Args = append(cmd.Args, r.source(a))
			cmd.Expands = cmd.Expands || a.Value != nil && r.expands(a.Value)
		}
		cmd.Words = append([]string{cmd.Name}, cmd.Args...)
		r.emit(cmd)
	case *syntax.LetClause:
		r.below(c, in.inner())
		src := r.source(c)
		// arithmetic runs what is substituted into an index even where it stands in single quotes
		r.emit(Command{Name: "let", Words: []string{"let"}, Redirects: in.redirects, Wrapped: in.wrapped, Dynamic: strings.ContainsAny(src, "`$")})
	default:
		r.node(c, in)
	}
}

// redirect reads one redirection, and what is substituted into its words.
func (r *reader) redirect(rd *syntax.Redirect, in *scope) Redirect {
	out := Redirect{Op: rd.Op.String()}
	here := rd.Word
	if rd.Hdoc != nil {
		here = rd.Hdoc
	}
	if rd.Word != nil && len(rd.Word.Lit()) == 0 {
		r.below(rd.Word, in.inner())
	}
	switch rd.Op {
	case syntax.Hdoc, syntax.DashHdoc, syntax.WordHdoc:
		if rd.Hdoc != nil {
			r.below(rd.Hdoc, in.inner())
		}
		in.input = &text{}
		if here != nil {
			in.input.s, in.input.expands = r.document(here)
		}
		return out
	}
	if rd.Word != nil {
		f := r.join(rd.Word)
		out.Path, out.Expands = f.s, f.expands || f.glob
	}
	if strings.HasPrefix(out.Op, "<") {
		in.input, in.piped = nil, true
	}
	return out
}

func (r *reader) call(c *syntax.CallExpr, in scope) {
	if !plain(c) {
		r.below(c, in.inner()) // commands in $(…), `…`, <(…)
	}
	base := Command{Redirects: in.redirects, Wrapped: in.wrapped}
	for _, a := range c.Assigns {
		base.Sets = append(base.Sets, r.source(a))
		base.Expands = base.Expands || a.Value != nil && r.expands(a.Value)
	}
	fs := make([]field, 0, len(c.Args))
	for _, w := range c.Args {
		fs = r.fields(fs, w)
	}
	if len(fs) == 0 {
		base.Dynamic = len(c.Args) > 0
		r.emit(base)
		return
	}
	r.command(fs, base, in)
}

// plain reports whether a command has nothing but literal words.
func plain(c *syntax.CallExpr) bool {
	for _, w := range c.Args {
		for _, p := range w.Parts {
			if _, ok := p.(*syntax.Lit); !ok {
				return false
			}
		}
	}
	return len(c.Assigns) == 0
}

// command lists one command with its words, then what it runs.
func (r *reader) command(fs []field, c Command, in scope) {
	if len(fs) == 0 || len(r.out) > maxCommands {
		return
	}
	c.Words = make([]string, 0, len(fs))
	for _, f := range fs {
		c.Words = append(c.Words, f.s)
	}
	c.Name, c.Args = program(fs[0].s), c.Words[1:]
	c.Expands = c.Expands || in.expands
	for _, f := range fs[1:] {
		c.Expands = c.Expands || f.expands
	}
	c.Dynamic = fs[0].expands || fs[0].glob
	at := r.emit(c)
	if c.Dynamic || at >= maxCommands {
		return
	}
	if body, ok := r.aliases[c.Name]; ok {
		r.line(body+" "+quoteAll(c.Args), in.in("alias"))
	}
	run := runnerOf(c.Name)
	if run != nil && (in.depth >= maxNesting || !run(r, fs, in.in(c.Name))) {
		r.out[at].Dynamic = true
	}
}

// quoteAll writes words so that a shell reads them as they are.
func quoteAll(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	return strings.Join(out, " ")
}

// systemDirs hold the programs that are known by their names alone.
var systemDirs = []string{"/bin", "/usr/bin", "/usr/local/bin", "/sbin", "/usr/sbin", "/usr/local/sbin"}

// program is the name that rules know a program by.
func program(word string) string {
	if !strings.Contains(word, "/") {
		return word
	}
	clean := path.Clean(word)
	if slices.Contains(systemDirs, path.Dir(clean)) {
		return path.Base(clean)
	}
	return word
}
