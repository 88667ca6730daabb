package langchain

import "encoding/json"

// strictSchema reports whether a schema meets the rules under which OpenAI holds a reply to it exactly: every object closed,
// every property required, and none of the keywords that it refuses.
func strictSchema(raw json.RawMessage) bool {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return false
	}
	root, ok := v.(map[string]any)
	return ok && root["type"] == "object" && strictNode(root)
}

var notStrict = []string{"allOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "patternProperties",
	"minLength", "maxLength", "uniqueItems", "contains", "minProperties", "maxProperties", "propertyNames", "unevaluatedProperties"}

func strictNode(n map[string]any) bool {
	for _, k := range notStrict {
		if _, found := n[k]; found {
			return false
		}
	}
	if props, found := n["properties"].(map[string]any); found || n["type"] == "object" {
		if n["additionalProperties"] != false {
			return false
		}
		required, _ := n["required"].([]any)
		if len(required) != len(props) {
			return false
		}
		if !strictAll(props) {
			return false
		}
	}
	for _, k := range []string{"$defs", "definitions"} {
		if defs, found := n[k].(map[string]any); found && !strictAll(defs) {
			return false
		}
	}
	if items, found := n["items"].(map[string]any); found && !strictNode(items) {
		return false
	}
	if alts, found := n["anyOf"].([]any); found {
		for _, a := range alts {
			if m, ok := a.(map[string]any); !ok || !strictNode(m) {
				return false
			}
		}
	}
	return true
}

func strictAll(m map[string]any) bool {
	for _, p := range m {
		if n, ok := p.(map[string]any); !ok || !strictNode(n) {
			return false
		}
	}
	return true
}
