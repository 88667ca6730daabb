package mcp

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// field is one thing that a server asks a person for.
type field struct {
	Name        string
	Type        string   `json:"type"`
	Title       string   `json:"title"`
	Description string   `json:"description"`
	Enum        []string `json:"enum"`
	OneOf       []choice `json:"oneOf"`
	Default     any      `json:"default"`
	Items       struct {
		Enum  []string `json:"enum"`
		AnyOf []choice `json:"anyOf"`
	} `json:"items"`
	required bool
}

type choice struct {
	Const string `json:"const"`
	Title string `json:"title"`
}

const maxFields = 30

// elicit puts a server's question to the person who watches the call that is under way. Without one, or without a call, it
// is declined.
func (c *client) elicit(ctx context.Context, r *sdk.ElicitRequest) (*sdk.ElicitResult, error) {
	c.calls.Lock()
	var ask func(context.Context, string) (string, error)
	if n := len(c.asks); n > 0 {
		ask = c.asks[n-1].ask
	}
	c.calls.Unlock()
	if ask == nil {
		return &sdk.ElicitResult{Action: "decline"}, nil
	}
	p := r.Params
	text := fmt.Sprintf("The MCP server %s asks: %s", c.s.Name, clip(visible(p.Message), 2000))
	if p.Mode == "url" {
		text += fmt.Sprintf("\nIt wants you to open %s in your browser. Answer \"done\" when you did what it asks there, or \"decline\".", clip(visible(p.URL), 2000))
		answer, err := ask(ctx, text)
		if err != nil || !yes(answer) {
			return &sdk.ElicitResult{Action: action(answer, err)}, nil
		}
		return &sdk.ElicitResult{Action: "accept"}, nil
	}
	fields, err := fieldsOf(p.RequestedSchema)
	if err != nil {
		return &sdk.ElicitResult{Action: "decline"}, nil
	}
	answer, err := ask(ctx, text+explain(fields))
	if err != nil || strings.TrimSpace(answer) == "" || no(answer) {
		return &sdk.ElicitResult{Action: action(answer, err)}, nil
	}
	content, err := fill(fields, answer)
	for tries := 0; err != nil && tries < 2; tries++ {
		if answer, err = ask(ctx, fmt.Sprintf("%v. Once more: %s", err, text+explain(fields))); err != nil || no(answer) {
			return &sdk.ElicitResult{Action: action(answer, err)}, nil
		}
		content, err = fill(fields, answer)
	}
	if err != nil {
		return &sdk.ElicitResult{Action: "cancel"}, nil
	}
	return &sdk.ElicitResult{Action: "accept", Content: content}, nil
}

func action(answer string, err error) string {
	if err != nil {
		return "cancel"
	}
	return "decline"
}

func lowerWord(s string) string { return strings.ToLower(strings.Trim(strings.TrimSpace(s), ".!\"")) }

func yes(s string) bool {
	switch lowerWord(s) {
	case "done", "y", "yes", "allow", "accept", "ok":
		return true
	}
	return false
}

func no(s string) bool {
	switch lowerWord(s) {
	case "decline", "deny", "no", "n", "cancel":
		return true
	}
	return false
}

// fieldsOf reads the flat schema of a form, sorted with what must be given first.
func fieldsOf(schema any) ([]field, error) {
	raw, err := json.Marshal(schema)
	if err != nil {
		return nil, err
	}
	var s struct {
		Properties map[string]json.RawMessage `json:"properties"`
		Required   []string                   `json:"required"`
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, err
	}
	if len(s.Properties) > maxFields {
		return nil, fmt.Errorf("a form of %d fields", len(s.Properties))
	}
	must := map[string]bool{}
	for _, n := range s.Required {
		must[n] = true
	}
	var out []field
	for name, raw := range s.Properties {
		f := field{}
		if err := json.Unmarshal(raw, &f); err != nil {
			return nil, err
		}
		f.Name, f.required = name, must[name]
		out = append(out, f)
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].required != out[j].required {
			return out[i].required
		}
		return out[i].Name < out[j].Name
	})
	return out, nil
}

func (f field) choices() []string {
	out := append(append([]string(nil), f.Enum...), f.Items.Enum...)
	for _, c := range append(append([]choice(nil), f.OneOf...), f.Items.AnyOf...) {
		out = append(out, c.Const)
	}
	return out
}

// explain says what may be answered.
func explain(fields []field) string {
	var b strings.Builder
	switch len(fields) {
	case 0:
		return "\nAnswer \"yes\", or \"decline\"."
	case 1:
		b.WriteString("\nAnswer with the value, or \"decline\":")
	default:
		b.WriteString("\nAnswer with one \"name=value\" a line (or behind commas), or \"decline\":")
	}
	for _, f := range fields {
		fmt.Fprintf(&b, "\n- %s (%s", clip(visible(f.Name), 60), word(f.Type))
		if ch := f.choices(); len(ch) > 0 {
			fmt.Fprintf(&b, ", one of %s", clip(visible(strings.Join(ch, ", ")), 300))
		}
		if f.Default != nil {
			fmt.Fprintf(&b, ", %v unless you say otherwise", clip(visible(fmt.Sprint(f.Default)), 60))
		} else if !f.required {
			b.WriteString(", may be left out")
		}
		b.WriteString(")")
		if text := f.Description + f.Title; text != "" {
			b.WriteString(": " + clip(visible(text), 200))
		}
	}
	return b.String()
}

// fill makes a form's content of a person's answer: a JSON object, lines of name=value, or the one value.
func fill(fields []field, answer string) (map[string]any, error) {
	answer = strings.TrimSpace(answer)
	given := map[string]string{}
	out := map[string]any{}
	switch {
	case strings.HasPrefix(answer, "{"):
		var m map[string]any
		if err := json.Unmarshal([]byte(answer), &m); err != nil {
			return nil, fmt.Errorf("the answer is no JSON object: %w", err)
		}
		return m, nil
	case len(fields) == 0:
		if !yes(answer) {
			return nil, fmt.Errorf("%q is neither yes nor decline", clip(answer, 40))
		}
		return out, nil
	case len(fields) == 1 && !strings.HasPrefix(answer, fields[0].Name+"="):
		given[fields[0].Name] = answer
	case yes(answer): // the defaults
	default:
		for _, part := range strings.FieldsFunc(answer, func(r rune) bool { return r == '\n' || r == ',' }) {
			k, v, ok := strings.Cut(part, "=")
			if !ok {
				return nil, fmt.Errorf("%q is not name=value", clip(strings.TrimSpace(part), 60))
			}
			given[strings.TrimSpace(k)] = strings.TrimSpace(v)
		}
	}
	for _, f := range fields {
		v, ok := given[f.Name]
		delete(given, f.Name)
		switch {
		case !ok && f.Default != nil:
			out[f.Name] = f.Default
			continue
		case !ok && f.required:
			return nil, fmt.Errorf("%s is missing", f.Name)
		case !ok:
			continue
		}
		val, err := f.value(v)
		if err != nil {
			return nil, err
		}
		out[f.Name] = val
	}
	for k := range given {
		return nil, fmt.Errorf("there is no field %q", clip(k, 60))
	}
	return out, nil
}

func (f field) value(s string) (any, error) {
	switch f.Type {
	case "integer":
		n, err := strconv.ParseInt(s, 10, 53)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is no whole number", f.Name, clip(s, 40))
		}
		return n, nil
	case "number":
		n, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is no number", f.Name, clip(s, 40))
		}
		return n, nil
	case "boolean":
		switch {
		case yes(s) || strings.EqualFold(s, "true"):
			return true, nil
		case no(s) || strings.EqualFold(s, "false"):
			return false, nil
		}
		return nil, fmt.Errorf("%s: %q is neither yes nor no", f.Name, clip(s, 40))
	case "array":
		list := []any{}
		for _, x := range strings.Split(s, ";") {
			list = append(list, strings.TrimSpace(x))
		}
		return list, nil
	}
	if ch := f.choices(); len(ch) > 0 {
		for _, c := range ch {
			if strings.EqualFold(c, s) {
				return c, nil
			}
		}
		return nil, fmt.Errorf("%s: %q is none of %s", f.Name, clip(s, 40), strings.Join(ch, ", "))
	}
	return s, nil
}
