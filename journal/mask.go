package journal

import (
	"bytes"
	"encoding/json"
	"strings"
)

// MinMasked is the shortest value that Mask looks for: a shorter one would mask ordinary text.
const MinMasked = 8

// Mask returns an event in which asterisks stand for every one of the values, wherever a string of it holds one. An event without any is
// returned as it is.
func Mask(e Event, values []string) Event {
	if len(values) == 0 {
		return e
	}
	data, err := json.Marshal(e)
	if err != nil || !holds(data, values) {
		return e // what can't be encoded can't be stored either
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return e
	}
	if data, err = json.Marshal(maskIn(v, values)); err != nil {
		return e
	}
	masked, err := Record{Kind: e.Kind(), V: version, Data: data}.Decode()
	if err != nil {
		return e // it is not of a kind that is stored
	}
	return masked
}

// holds reports whether JSON may hold a value, as it is or escaped.
func holds(data []byte, values []string) bool {
	for _, v := range values {
		if len(v) < MinMasked {
			continue
		}
		quoted, err := json.Marshal(v)
		if err != nil || bytes.Contains(data, []byte(v)) || bytes.Contains(data, quoted[1:len(quoted)-1]) {
			return true
		}
		// Arguments of a call are JSON within JSON.
		if twice, err := json.Marshal(string(quoted[1 : len(quoted)-1])); err != nil || bytes.Contains(data, twice[1:len(twice)-1]) {
			return true
		}
	}
	return false
}

func maskIn(v any, values []string) any {
	switch v := v.(type) {
	case string:
		return MaskText(v, values)
	case []any:
		for i, x := range v {
			v[i] = maskIn(x, values)
		}
	case map[string]any:
		for k, x := range v {
			v[k] = maskIn(x, values)
		}
	}
	return v
}

// MaskText is a text in which asterisks stand for every one of the values, as it is or with JSON's escapes.
func MaskText(s string, values []string) string {
	for _, v := range values {
		if len(v) < MinMasked {
			continue
		}
		s = strings.ReplaceAll(s, v, strings.Repeat("*", len(v)))
		if quoted, err := json.Marshal(v); err == nil && len(quoted) > len(v)+2 {
			s = strings.ReplaceAll(s, string(quoted[1:len(quoted)-1]), strings.Repeat("*", len(v)))
		}
	}
	return s
}
