package policy

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of one rules file.
const (
	maxFile  = 256 << 10
	maxRules = 500
	maxWhy   = 500
)

// Parse reads a rules file: a YAML list of {when, do, why}. Every fault is an *Error with file, line and column; an unknown key
// or name is answered with the nearest known one. name is for messages and for Explain.
func Parse(name string, data []byte) (*Rules, error) {
	root, err := root(name, data)
	if err != nil {
		return nil, err
	}
	out := &Rules{layers: []layer{{name: name}}}
	if root == nil {
		return out, nil // an empty file has no rules
	}
	seq, ok := root.(*ast.SequenceNode)
	if !ok {
		return nil, fault(name, root, "the file must be a list of rules, as in:\n- {when: 'tool == \"shell\"', do: ask, why: 'I want to see it'}")
	}
	if len(seq.Values) > maxRules {
		return nil, fault(name, root, "the file has %d rules, more than %d", len(seq.Values), maxRules)
	}
	for _, n := range seq.Values {
		r, commands, err := parseRule(name, n)
		if err != nil {
			return nil, err
		}
		out.layers[0].rules = append(out.layers[0].rules, r)
		out.commands = out.commands || commands
	}
	return out, nil
}

// root parses YAML to its one document, nil when that is empty.
func root(name string, data []byte) (n ast.Node, err error) {
	switch {
	case len(data) > maxFile:
		return nil, &Error{File: name, Msg: fmt.Sprintf("the file has %d bytes, more than %d", len(data), maxFile)}
	case !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0:
		return nil, &Error{File: name, Msg: "the file is not text in UTF-8"}
	}
	defer func() {
		if p := recover(); p != nil { // the YAML parser is not written for hostile text
			n, err = nil, &Error{File: name, Msg: fmt.Sprintf("the file can't be read as YAML: %v", p)}
		}
	}()
	file, err := parser.ParseBytes(bytes.TrimPrefix(data, []byte("\ufeff")), 0)
	if err != nil {
		e := &Error{File: name, Msg: err.Error()}
		if y, ok := err.(yaml.Error); ok {
			e.Msg = y.GetMessage()
			e.Line, e.Col = at(y.GetToken())
		}
		return nil, e
	}
	for _, d := range file.Docs {
		switch {
		case d.Body == nil:
		case n != nil:
			return nil, fault(name, d.Body, "the file holds more than one document")
		default:
			n = d.Body
		}
	}
	if _, null := n.(*ast.NullNode); null {
		return nil, nil
	}
	return n, nil
}

func at(t *token.Token) (line, col int) {
	if t == nil || t.Position == nil {
		return 0, 0
	}
	return t.Position.Line, t.Position.Column
}

func fault(file string, n ast.Node, format string, a ...any) *Error {
	e := &Error{File: file, Msg: fmt.Sprintf(format, a...)}
	if n != nil {
		e.Line, e.Col = at(n.GetToken())
	}
	return e
}

// parseRule reads one rule and compiles its condition.
func parseRule(file string, n ast.Node) (r rule, commands bool, err error) {
	var pairs []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		return r, false, fault(file, n, "a rule must have the keys when, do and why")
	}
	got := map[string]ast.Node{}
	for _, p := range pairs {
		key, ok := p.Key.(*ast.StringNode)
		switch {
		case !ok:
			return r, false, fault(file, p.Key, "a key must be a plain word")
		case got[key.Value] != nil:
			return r, false, fault(file, key, "%q is given twice", key.Value)
		case key.Value != "when" && key.Value != "do" && key.Value != "why":
			return r, false, fault(file, key, "unknown key %q%s", key.Value, nearest(key.Value, []string{"when", "do", "why"}))
		}
		got[key.Value] = p.Value
	}
	r.line, _ = at(n.GetToken())
	if len(pairs) > 0 {
		r.line, _ = at(pairs[0].Key.GetToken())
	}
	for _, key := range []string{"when", "do"} {
		if got[key] == nil {
			return r, false, fault(file, n, "the rule has no %q", key)
		}
	}
	var do string
	for key, into := range map[string]*string{"when": &r.when, "do": &do, "why": &r.why} {
		if got[key] == nil {
			continue
		}
		if *into, err = scalar(file, key, got[key]); err != nil {
			return r, false, err
		}
	}
	switch r.do = Decision(do); r.do {
	case Allow, Ask, Deny:
	default:
		return r, false, fault(file, got["do"], "do is %q%s", do, nearest(do, []string{"allow", "ask", "deny"}))
	}
	if len(r.why) > maxWhy {
		return r, false, fault(file, got["why"], "why has %d bytes, more than %d", len(r.why), maxWhy)
	}
	prog, seen, err := compile(r.when, env{}, asBool, names, fieldsOf, helpers...)
	if err != nil {
		return r, false, locate(file, got["when"], err)
	}
	r.prog, r.aware = prog, seen.idents["tainted"] || seen.idents["origins"]
	return r, seen.idents["cmds"], nil
}

// scalar is the text of a value. A bare true or false is a condition too.
func scalar(file, key string, n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.BoolNode:
		if key == "when" {
			return n.GetToken().Value, nil
		}
	}
	return "", fault(file, n, "%s must be text: quote it", key)
}

// locate moves an expression's fault to where the expression stands in the file.
func locate(file string, n ast.Node, err error) error {
	e, ok := err.(*Error)
	if !ok {
		return &Error{File: file, Msg: err.Error()}
	}
	out := &Error{File: file, Msg: e.Msg}
	t := n.GetToken()
	out.Line, out.Col = at(t)
	if e.Line == 0 || t == nil {
		return out
	}
	switch lit := n.(type) {
	case *ast.LiteralNode: // a block: its text begins in the next line, indented
		out.Line += e.Line
		out.Col = e.Col
		if lit.Value != nil && lit.Value.GetToken() != nil {
			origin := strings.TrimLeft(lit.Value.GetToken().Origin, "\n")
			out.Col += len(origin) - len(strings.TrimLeft(origin, " "))
		}
		return out
	}
	if e.Line == 1 {
		out.Col += e.Col - 1
		if t.Type == token.SingleQuoteType || t.Type == token.DoubleQuoteType {
			out.Col++
		}
	}
	return out
}
