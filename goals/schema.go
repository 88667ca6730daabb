package goals

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// checkSchema accepts a JSON Schema: an object that compiles, or a truth value. A schema can't reach outside itself.
func checkSchema(raw json.RawMessage) error {
	if len(raw) > maxSchema {
		return fmt.Errorf("the schema has %d bytes, more than %d", len(raw), maxSchema)
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return fmt.Errorf("this is no JSON: %w", err)
	}
	switch v.(type) {
	case map[string]any, bool:
	default:
		return errors.New("a JSON Schema is a mapping, as in {type: object, required: [total]}")
	}
	_, err := compileSchema(raw)
	return err
}

type noLoader struct{}

// Load refuses: a schema is read from nowhere.
func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s: a schema can't refer to another file", url)
}

// schemas keeps compiled schemas: a goal is checked several times on its way.
var schemas sync.Map // string -> *jsonschema.Schema

func compileSchema(raw json.RawMessage) (*jsonschema.Schema, error) {
	if s, ok := schemas.Load(string(raw)); ok {
		return s.(*jsonschema.Schema), nil
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("this is no JSON: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	if err := c.AddResource("schema.json", doc); err != nil {
		return nil, err
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		_, why, found := strings.Cut(err.Error(), "\n- at ")
		if !found {
			return nil, fmt.Errorf("this is no JSON Schema: %w", err)
		}
		return nil, fmt.Errorf("this is no JSON Schema: at %s", why)
	}
	n := 0
	schemas.Range(func(any, any) bool { n++; return n < 200 })
	if n < 200 { // a bound, not a cache policy: a daemon sees few goals
		schemas.Store(string(raw), s)
	}
	return s, nil
}

// CheckJSON reports how a JSON text, which is one value, differs from a schema; nil is no schema.
func CheckJSON(schema json.RawMessage, text []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("it is not one JSON value: %w", err)
	}
	if schema == nil {
		return nil
	}
	s, err := compileSchema(schema)
	if err != nil {
		return err
	}
	if err := s.Validate(doc); err != nil {
		_, why, found := strings.Cut(err.Error(), "\n- ")
		if !found {
			why = err.Error()
		}
		return fmt.Errorf("it does not match the schema: %.500s", strings.ReplaceAll(why, "\n- ", "; "))
	}
	return nil
}
