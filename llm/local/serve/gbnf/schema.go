// Package gbnf writes the grammars that hold a local model's reply to a form: a JSON value under a schema, or tool calls.
package gbnf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// UnsupportedError is returned for a keyword of JSON Schema that no grammar is made of.
type UnsupportedError struct {
	Path    string // where in the schema, as a JSON pointer
	Keyword string
}

// Error names the keyword and its place.
func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("schema %s: keyword %q isn't supported by the local model's grammar", cmpOr(e.Path, "/"), e.Keyword)
}

// FromSchema returns a grammar whose sentences are the JSON values that satisfy schema. Object members come in the
// order of the schema's properties; an object that says nothing of additionalProperties is closed if it names any
// property. A string's maxLength over 2000 isn't held: the reply's token limit bounds it.
func FromSchema(schema []byte) (string, error) {
	g := newWriter()
	name, err := g.document(schema)
	if err != nil {
		return "", err
	}
	g.rules["root"] = name
	return g.String(), nil
}

// maxRepeat is the largest count that llama.cpp expands.
const maxRepeat = 2000

// maxRules bounds a grammar: schemas come from tools that other programs offer.
const maxRules = 4000

// The rules that others use.
const (
	ruleChar   = `[^"\\\x7F\x00-\x1F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4})`
	ruleString = `"\"" char* "\""`
	ruleInt    = `"-"? ("0" | [1-9] [0-9]{0,15})`
	ruleNumber = `"-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,3})?`
	ruleSpace  = `| " " | "\n" [ \t]{0,20}`
	ruleValue  = `object | array | string | number | "true" | "false" | "null"`
	ruleObject = `"{" space (string ":" space value ("," space string ":" space value)*)? space "}"`
	ruleArray  = `"[" space (value ("," space value)*)? space "]"`
)

var base = map[string]struct {
	body string
	uses []string
}{
	"char":   {ruleChar, nil},
	"string": {ruleString, []string{"char"}},
	"int":    {ruleInt, nil},
	"number": {ruleNumber, nil},
	"space":  {ruleSpace, nil},
	"value":  {ruleValue, []string{"object", "array", "string", "number"}},
	"object": {ruleObject, []string{"space", "string", "value"}},
	"array":  {ruleArray, []string{"space", "value"}},
}

// writer collects rules.
type writer struct {
	rules map[string]string
	order []string
	refs  map[string]string // $ref -> rule
	root  *node
	count int
}

func newWriter() *writer { return &writer{rules: map[string]string{}, refs: map[string]string{}} }

// String is the grammar, root first.
func (w *writer) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "root ::= %s\n", w.rules["root"])
	for _, name := range w.order {
		fmt.Fprintf(&b, "%s ::= %s\n", name, w.rules[name])
	}
	return b.String()
}

// use makes sure that a base rule and what it uses are there.
func (w *writer) use(name string) string {
	if _, ok := w.rules[name]; !ok {
		w.rules[name] = base[name].body
		w.order = append(w.order, name)
		for _, n := range base[name].uses {
			w.use(n)
		}
	}
	return name
}

// add stores a rule under a new name.
func (w *writer) add(body string) string {
	name := "r" + strconv.Itoa(w.count)
	w.count++
	w.rules[name] = body
	w.order = append(w.order, name)
	return name
}

// forget drops the rules that came after the first n: what a schema left that turned out unsupported.
func (w *writer) forget(n int) {
	for _, name := range w.order[n:] {
		delete(w.rules, name)
	}
	w.order = w.order[:n]
}

// document writes the rules of one schema and returns its expression.
func (w *writer) document(schema []byte) (string, error) {
	n, err := parse(schema)
	if err != nil {
		return "", err
	}
	w.root = n
	w.refs = map[string]string{}
	return w.schema(n, "", 0)
}

// node is a JSON value whose object members keep their order.
type node struct {
	raw    json.RawMessage
	object bool
	keys   []string
	fields map[string]*node
	list   []*node
	isList bool
}

const maxDepth = 64

func parse(b []byte) (*node, error) {
	if !json.Valid(b) {
		return nil, fmt.Errorf("schema: not valid JSON")
	}
	return parseValue(bytes.TrimSpace(b), 0)
}

func parseValue(b json.RawMessage, depth int) (*node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("schema: nested deeper than %d", maxDepth)
	}
	n := &node{raw: b}
	switch b[0] {
	case '{':
		n.object = true
		n.fields = map[string]*node{}
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.Token() //nolint:errcheck // valid JSON
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				return nil, err
			}
			var raw json.RawMessage
			if err := dec.Decode(&raw); err != nil {
				return nil, err
			}
			child, err := parseValue(raw, depth+1)
			if err != nil {
				return nil, err
			}
			k := key.(string)
			if _, twice := n.fields[k]; !twice {
				n.keys = append(n.keys, k)
			}
			n.fields[k] = child
		}
	case '[':
		n.isList = true
		var items []json.RawMessage
		if err := json.Unmarshal(b, &items); err != nil {
			return nil, err
		}
		for _, raw := range items {
			child, err := parseValue(raw, depth+1)
			if err != nil {
				return nil, err
			}
			n.list = append(n.list, child)
		}
	}
	return n, nil
}

// known are the keywords that are honoured, or say nothing of the value's form.
var known = strings.Fields(`type properties required additionalProperties items minItems maxItems enum const anyOf oneOf allOf
	$ref $defs definitions minLength maxLength minimum maximum exclusiveMinimum exclusiveMaximum
	title description default examples example $schema $id $comment deprecated readOnly writeOnly format nullable`)

// schema returns an expression for one schema: a rule's name or a literal.
func (w *writer) schema(n *node, path string, depth int) (string, error) {
	if len(w.rules) > maxRules || depth > maxDepth {
		return "", fmt.Errorf("schema %s: too large for a grammar", path)
	}
	if string(n.raw) == "true" {
		return w.use("value"), nil
	}
	if !n.object {
		return "", fmt.Errorf("schema %s: want an object", cmpOr(path, "/"))
	}
	for _, k := range n.keys {
		if !slices.Contains(known, k) {
			return "", &UnsupportedError{path, k}
		}
	}
	if ref := n.fields["$ref"]; ref != nil {
		return w.ref(ref, path, depth)
	}
	if c := n.fields["const"]; c != nil {
		return w.literal(c), nil
	}
	if e := n.fields["enum"]; e != nil {
		return w.enum(e, path)
	}
	for _, k := range []string{"anyOf", "oneOf", "allOf"} {
		if list := n.fields[k]; list != nil {
			return w.alternatives(n, list, k, path, depth)
		}
	}
	return w.typed(n, path, depth)
}

func (w *writer) ref(ref *node, path string, depth int) (string, error) {
	var target string
	if json.Unmarshal(ref.raw, &target) != nil || !strings.HasPrefix(target, "#") {
		return "", fmt.Errorf("schema %s/$ref: only references into the same schema (#/…) are supported", path)
	}
	if name, ok := w.refs[target]; ok {
		return name, nil
	}
	at := w.root
	for _, part := range strings.Split(strings.TrimPrefix(target, "#"), "/")[1:] {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		if at = at.fields[part]; at == nil {
			return "", fmt.Errorf("schema %s/$ref: %s isn't in the schema", path, target)
		}
	}
	name := w.add("")
	w.refs[target] = name // before the body, which may refer to itself
	body, err := w.schema(at, target, depth+1)
	w.rules[name] = body
	return name, err
}

func (w *writer) enum(e *node, path string) (string, error) {
	if !e.isList || len(e.list) == 0 {
		return "", fmt.Errorf("schema %s/enum: want a list of at least one value", path)
	}
	var alts []string
	for _, v := range e.list {
		alts = append(alts, w.literal(v))
	}
	return w.add(strings.Join(alts, " | ")), nil
}

// literal matches one JSON value as it is usually written.
func (w *writer) literal(v *node) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	var value any
	json.Unmarshal(v.raw, &value) //nolint:errcheck // valid JSON
	if _, isText := value.(string); isText {
		enc.Encode(value) //nolint:errcheck // a string
	} else {
		json.Compact(&b, v.raw) //nolint:errcheck // valid JSON
	}
	return quote(strings.TrimSuffix(b.String(), "\n"))
}

func (w *writer) alternatives(n, list *node, keyword, path string, depth int) (string, error) {
	if !list.isList || len(list.list) == 0 {
		return "", fmt.Errorf("schema %s/%s: want a list of at least one schema", path, keyword)
	}
	if keyword == "allOf" && len(list.list) > 1 || n.fields["properties"] != nil {
		return "", &UnsupportedError{path, keyword}
	}
	var alts []string
	for i, s := range list.list {
		a, err := w.schema(s, fmt.Sprintf("%s/%s/%d", path, keyword, i), depth+1)
		if err != nil {
			return "", err
		}
		alts = append(alts, a)
	}
	return w.add(strings.Join(alts, " | ")), nil
}

// typed handles schemas that say a type, or leave it to their keywords.
func (w *writer) typed(n *node, path string, depth int) (string, error) {
	types, err := typesOf(n, path)
	if err != nil {
		return "", err
	}
	if len(types) == 0 {
		return w.use("value"), nil
	}
	var alts []string
	for _, t := range types {
		a, err := w.one(t, n, path, depth)
		if err != nil {
			return "", err
		}
		alts = append(alts, a)
	}
	if len(alts) == 1 {
		return alts[0], nil
	}
	return w.add(strings.Join(alts, " | ")), nil
}

func typesOf(n *node, path string) ([]string, error) {
	var types []string
	t := n.fields["type"]
	switch {
	case t == nil:
		switch {
		case n.fields["properties"] != nil:
			types = []string{"object"}
		case n.fields["items"] != nil:
			types = []string{"array"}
		}
	case t.isList:
		if json.Unmarshal(t.raw, &types) != nil || len(types) == 0 {
			return nil, fmt.Errorf("schema %s/type: want type names", path)
		}
	default:
		var one string
		if json.Unmarshal(t.raw, &one) != nil {
			return nil, fmt.Errorf("schema %s/type: want a type name", path)
		}
		types = []string{one}
	}
	if nullable := n.fields["nullable"]; nullable != nil && string(nullable.raw) == "true" && !slices.Contains(types, "null") {
		types = append(types, "null")
	}
	return types, nil
}

func (w *writer) one(t string, n *node, path string, depth int) (string, error) {
	switch t {
	case "object":
		return w.object(n, path, depth)
	case "array":
		return w.array(n, path, depth)
	case "string":
		return w.text(n, path)
	case "integer":
		return w.integer(n, path)
	case "number":
		for _, k := range []string{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"} {
			if n.fields[k] != nil {
				return "", &UnsupportedError{path, k} // a grammar holds the bounds of integers only
			}
		}
		return w.use("number"), nil
	case "boolean":
		return `("true" | "false")`, nil
	case "null":
		return `"null"`, nil
	}
	return "", fmt.Errorf("schema %s/type: unknown type %q", path, t)
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// quote writes a GBNF literal.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\x%02X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
