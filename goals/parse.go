package goals

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// The names that goal files end with.
const (
	extMarkdown = ".goal.md"
	extYAML     = ".goal.yaml"
)

// Error is one fault of a goal file and where it stands. It wraps ErrInvalid.
type Error struct {
	File      string
	Line, Col int // from 1; 0 when the fault has no place
	Msg       string
}

// Error is the fault as file:line:column: message.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Msg
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Col, e.Msg)
}

// Unwrap makes errors.Is match ErrInvalid.
func (e *Error) Unwrap() error { return ErrInvalid }

// Parse reads a goal file: Markdown with YAML front matter (*.goal.md), or YAML alone (*.goal.yaml). Every fault is an *Error
// with its place; several are joined. Nothing is read but data.
//
// What the file imports is not read: see ParseWith.
func Parse(name string, data []byte) (Goal, error) { return ParseWith(name, data, nil) }

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// nameOf is a goal's name by its file's, or "" where that can't be one.
func nameOf(file string) string {
	base := filepath.Base(file)
	for _, ext := range []string{extMarkdown, extYAML, ".md", ".yaml", ".yml"} {
		if s, ok := strings.CutSuffix(base, ext); ok {
			base = s
			break
		}
	}
	if checkName(base) != nil {
		return ""
	}
	return base
}

// split parts front matter from body. The front matter keeps its line numbers: lines before it are blanked.
func (d *decoder) split(data []byte) (front, body string, ok bool) {
	switch {
	case len(data) > MaxFile:
		d.fail(nil, "the file has %d bytes, more than %d: put long material into a file of the workspace and name it", len(data), MaxFile)
	case !utf8.Valid(data):
		d.fail(nil, "the file is not valid UTF-8: is it a binary file?")
	case bytes.IndexByte(data, 0) >= 0:
		d.fail(nil, "the file holds a NUL byte: is it a binary file?")
	}
	if len(d.errs) > 0 {
		return "", "", false
	}
	text := strings.TrimPrefix(strings.ReplaceAll(string(data), "\r\n", "\n"), "\ufeff")
	if d.yaml {
		return text, "", true
	}
	first, rest, _ := strings.Cut(text, "\n")
	if strings.TrimRight(first, " \t") != "---" {
		d.failAt(1, 1, "the file must begin with a line '---' and front matter, as in:\n---\ndescription: what is wanted\n---\nMore words, if needed.")
		return "", "", false
	}
	var lines []string
	for rest != "" {
		line, after, _ := strings.Cut(rest, "\n")
		rest = after
		if strings.TrimRight(line, " \t") == "---" {
			return "\n" + strings.Join(lines, "\n") + "\n", rest, true
		}
		lines = append(lines, line)
	}
	d.failAt(1, 1, "the front matter that begins here has no end: add a line '---' after it")
	return "", "", false
}

// parse parses front matter. It returns nil for none, and for faults, which it notes. The parser has panicked on hostile
// input before; here that is a fault of the file.
func (d *decoder) parse(src string) (root ast.Node) {
	defer func() {
		if p := recover(); p != nil {
			root = nil
			d.fail(nil, "the YAML can't be parsed: %v", p)
		}
	}()
	if depth(src) > 50 {
		d.fail(nil, "the YAML is nested more than 50 deep")
		return nil
	}
	file, err := parser.ParseBytes([]byte(src), 0)
	if err != nil {
		var syntax *yaml.SyntaxError
		if errors.As(err, &syntax) && syntax.Token != nil && syntax.Token.Position != nil {
			d.failAt(syntax.Token.Position.Line, syntax.Token.Position.Column, "%s", syntax.Message)
		} else {
			d.fail(nil, "%v", err)
		}
		return nil
	}
	docs := slices.DeleteFunc(file.Docs, func(doc *ast.DocumentNode) bool { return doc.Body == nil })
	if len(docs) > 1 {
		d.fail(docs[1].Body, "a second YAML document: one file holds one goal")
		return nil
	}
	if len(docs) == 0 {
		return nil
	}
	return docs[0].Body
}

// depth bounds how deep flow brackets nest, counting those in strings too.
func depth(src string) int {
	deepest, n := 0, 0
	for i := range len(src) {
		switch src[i] {
		case '[', '{':
			n++
			deepest = max(deepest, n)
		case ']', '}':
			n = max(0, n-1)
		}
	}
	return deepest
}
