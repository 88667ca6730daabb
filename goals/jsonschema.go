package goals

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// SchemaFile is how JSON Schema of the format is named where files are checked in an editor.
const SchemaFile = "agentd-goal.schema.json"

// JSONSchema is the format as JSON Schema, for editors: of a *.goal.yaml and of the front matter of a *.goal.md. It knows keys, types and words, but not conditions.
func JSONSchema() []byte {
	root := schemaOf(format())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "agentd goal file"
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(root); err != nil {
		panic(err) // it is made of maps and strings
	}
	return b.Bytes()
}

type object = map[string]any

func schemaOf(s *spec) object {
	out := valueSchema(s)
	if s.doc != "" {
		out["description"] = s.doc
	}
	return out
}

func valueSchema(s *spec) object {
	switch {
	case s.named:
		return object{"type": "object", "additionalProperties": schemaOf(s.item), "maxProperties": maxList}
	case s.item != nil:
		return object{"type": "array", "items": schemaOf(s.item), "maxItems": maxList}
	case s.keys != nil:
		props := object{}
		var required []string
		for _, k := range s.keys {
			props[k.key] = schemaOf(k)
			if k.required {
				required = append(required, k.key)
			}
		}
		out := object{"type": "object", "properties": props, "additionalProperties": false}
		if required != nil {
			out["required"] = required
		}
		return out
	case s.typ == jsonType:
		return object{"type": []string{"object", "boolean"}}
	}
	return scalarSchema(s)
}

func scalarSchema(s *spec) object {
	none := object{"const": "none"}
	switch {
	case s.typ == durationType:
		span := object{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`}
		if s.is == "bound" {
			return object{"anyOf": []any{span, none}}
		}
		return span
	case s.is == "parser":
		known := []string{string(parseExit), string(parseText)}
		for _, p := range Parsers() {
			known = append(known, string(p))
		}
		return object{"type": "string", "enum": known}
	case s.is == "value":
		return object{"type": []string{"string", "number", "boolean"}}
	case s.typ.Kind() == reflect.String:
		out := object{"type": "string"}
		if s.one != nil {
			out["enum"] = s.one
		}
		return out
	case s.typ.Kind() == reflect.Bool:
		return object{"type": "boolean"}
	}
	kind := s.typ.Kind()
	if kind == reflect.Pointer {
		kind = s.typ.Elem().Kind()
	}
	number := object{"type": "number"}
	if kind == reflect.Int || kind == reflect.Int64 {
		number["type"] = "integer"
	}
	if s.most > 0 {
		number["minimum"], number["maximum"] = 0, s.most
	}
	words := object{"type": "string", "pattern": `^[0-9][0-9_]*(\.[0-9]+)?[kM]?$`}
	switch s.is {
	case "bound":
		number["exclusiveMinimum"] = 0
		return object{"anyOf": []any{number, words, none}}
	case "limit":
		return object{"anyOf": []any{number, object{"type": "string", "pattern": `^[0-9]+(\.[0-9]+)?([kM]|[KMG]iB)?$`}}}
	}
	return number
}

// Reference is the page of every key of the format, in Markdown.
func Reference() []byte {
	var b strings.Builder
	b.WriteString("# Goal files: every key\n\nMade from the format itself (`goals.Reference`); [goal-files.md](goal-files.md) explains and shows them in use. " +
		"`agentctl goal schema` prints the same as JSON Schema.\n\n| key | holds | |\n|---|---|---|\n")
	reference(&b, format(), "")
	return []byte(b.String())
}

func reference(b *strings.Builder, s *spec, path string) {
	for _, k := range s.keys {
		p := join(path, k.key)
		doc := k.doc
		if k.required {
			doc = "Required. " + doc
		}
		if k.yaml {
			doc += " Only in *.goal.yaml."
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", p, holds(k), strings.ReplaceAll(doc, "|", "\\|"))
		switch {
		case k.named:
			reference(b, k.item, p+".NAME")
		case k.item != nil:
			reference(b, k.item, p+"[]")
		default:
			reference(b, k, p)
		}
	}
}

// holds is what a key's value is, in words.
func holds(s *spec) string {
	switch {
	case s.named:
		return "mapping by name"
	case s.item != nil && s.item.keys != nil:
		return "list of mappings"
	case s.item != nil:
		return "list of " + plural(holds(s.item))
	case s.keys != nil:
		return "mapping"
	case s.typ == jsonType:
		return "JSON Schema"
	case s.typ == durationType:
		return "duration" + orNone(s)
	case s.one != nil:
		return "`" + strings.Join(s.one, "`, `") + "`"
	case s.typ.Kind() == reflect.Bool:
		return "`true`, `false`"
	case s.typ.Kind() != reflect.String:
		if s.most > 0 {
			return fmt.Sprintf("number, 0 to %s", formatNumber(s.most))
		}
		return "number" + orNone(s)
	}
	switch s.is {
	case "condition", "stop", "rule", "each":
		return "condition"
	case "parser":
		known := []string{string(parseExit), string(parseText)}
		for _, p := range Parsers() {
			known = append(known, string(p))
		}
		return "`" + strings.Join(known, "`, `") + "`"
	case "glob", "writes":
		return "glob"
	case "cmd":
		return "bash command"
	case "model":
		return "provider/model"
	case "import", "path":
		return "path"
	case "host", "net":
		return "host"
	case "cron":
		return "cron expression"
	case "regexp":
		return "RE2 expression"
	}
	return "text"
}

func plural(s string) string {
	switch {
	case s == "text" || strings.HasPrefix(s, "`"):
		return s
	case s == "provider/model":
		return s
	case strings.HasSuffix(s, "y"):
		return s[:len(s)-1] + "ies"
	}
	return s + "s"
}

func orNone(s *spec) string {
	if s.is == "bound" {
		return ", or `none`"
	}
	return ""
}
