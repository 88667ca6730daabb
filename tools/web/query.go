package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/itchyny/gojq"
)

// Bounds of a query.
const (
	maxFilter = 2 << 10
	maxValues = 10_000
	maxOutput = 4 << 20
	queryTime = 5 * time.Second
)

// compile reads a jq filter. It can neither read files nor the environment.
func compile(filter string) (*gojq.Code, error) {
	if len(filter) > maxFilter {
		return nil, fmt.Errorf(`argument "query" has more than %d bytes`, maxFilter)
	}
	q, err := gojq.Parse(filter)
	if err == nil {
		var code *gojq.Code
		if code, err = gojq.Compile(q, gojq.WithEnvironLoader(func() []string { return nil })); err == nil {
			return code, nil
		}
	}
	return nil, fmt.Errorf(`argument "query" is no jq filter: %w`, err)
}

// query is what a jq filter makes of JSON, a value after the other.
func query(ctx context.Context, filter string, body []byte) (string, error) {
	code, err := compile(filter)
	if err != nil {
		return "", err
	}
	var in any
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(&in); err != nil {
		return "", fmt.Errorf("the answer is no JSON: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	var b strings.Builder
	it := code.RunWithContext(ctx, in)
	for n := 0; ; n++ {
		v, ok := it.Next()
		if !ok {
			return b.String(), nil
		}
		if err, bad := v.(error); bad {
			if halt := (*gojq.HaltError)(nil); errors.As(err, &halt) && halt.Value() == nil {
				return b.String(), nil
			}
			return "", err
		}
		if s, text := v.(string); text {
			b.WriteString(s + "\n")
		} else {
			out, err := gojq.Marshal(v)
			if err != nil {
				return "", err
			}
			var set bytes.Buffer
			if err := json.Indent(&set, out, "", " "); err != nil {
				return "", err
			}
			b.Write(append(set.Bytes(), '\n'))
		}
		if n == maxValues || b.Len() > maxOutput {
			return b.String() + "(there is more)\n", nil
		}
	}
}
