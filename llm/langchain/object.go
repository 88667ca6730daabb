package langchain

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
)

// object builds a JSON object member by member, in the order of the calls.
type object struct{ b []byte }

func newObject(size int) *object { return &object{append(make([]byte, 0, size), '{')} }

func (o *object) raw(key string, value []byte) {
	if len(o.b) > 1 {
		o.b = append(o.b, ',')
	}
	o.b = append(append(append(o.b, '"'), key...), '"', ':')
	o.b = append(o.b, value...)
}

func (o *object) str(key, value string)        { o.raw(key, quote(value)) }
func (o *object) num(key string, value int)    { o.raw(key, strconv.AppendInt(nil, int64(value), 10)) }
func (o *object) float(key string, v float64)  { o.raw(key, strconv.AppendFloat(nil, v, 'g', -1, 64)) }
func (o *object) bool(key string, value bool)  { o.raw(key, strconv.AppendBool(nil, value)) }
func (o *object) strs(key string, vs []string) { o.raw(key, quoteAll(vs)) }
func (o *object) list(key string, values [][]byte) {
	o.raw(key, []byte{'['})
	for i, v := range values {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = append(o.b, v...)
	}
	o.b = append(o.b, ']')
}

func (o *object) done() []byte { return append(o.b, '}') }

// quote returns s as a JSON string, without the escapes that only HTML needs.
func quote(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil { // never: every string marshals
		return []byte(`""`)
	}
	return unescapeHTML(b)
}

func quoteAll(vs []string) []byte {
	b := []byte{'['}
	for i, v := range vs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, quote(v)...)
	}
	return append(b, ']')
}

var (
	errNotObject = errors.New("not a JSON object")
	errNotArray  = errors.New("not a JSON array")
)

// members calls f for each member of the object at the start of b, with the value as it stands. It trusts b to be valid
// JSON, as an encoder's output is; f returning false ends the walk.
func members(b []byte, f func(key string, value []byte) bool) error {
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != '{' {
		return errNotObject
	}
	for i = skipSpace(b, i+1); i < len(b) && b[i] != '}'; i = skipSpace(b, i) {
		if b[i] == ',' {
			i++
			continue
		}
		end, ok := skipValue(b, i)
		if !ok || b[i] != '"' {
			return errNotObject
		}
		key := b[i+1 : end-1]
		i = skipSpace(b, end)
		if i >= len(b) || b[i] != ':' {
			return errNotObject
		}
		i = skipSpace(b, i+1)
		if end, ok = skipValue(b, i); !ok {
			return errNotObject
		}
		if !f(string(key), b[i:end]) {
			return nil
		}
		i = end
	}
	return nil
}

// elements calls f for each element of the array at the start of b, which must be valid JSON.
func elements(b []byte, f func(value []byte) error) error {
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != '[' {
		return errNotArray
	}
	for i = skipSpace(b, i+1); i < len(b) && b[i] != ']'; i = skipSpace(b, i) {
		if b[i] == ',' {
			i++
			continue
		}
		end, ok := skipValue(b, i)
		if !ok || end == i {
			return errNotArray
		}
		if err := f(b[i:end]); err != nil {
			return err
		}
		i = end
	}
	return nil
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skipValue returns the index behind the JSON value that begins at b[i].
func skipValue(b []byte, i int) (int, bool) {
	if i >= len(b) {
		return i, false
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		depth := 0
		for i < len(b) {
			switch b[i] {
			case '"':
				end, ok := skipString(b, i)
				if !ok {
					return i, false
				}
				i = end
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1, true
				}
			}
			i++
		}
		return i, false
	}
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' {
		i++
	}
	return i, true
}

func skipString(b []byte, i int) (int, bool) {
	for i++; i < len(b); {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return i, false
		}
		i += n
		slashes := 0
		for j := i - 1; b[j] == '\\'; j-- {
			slashes++
		}
		i++
		if slashes%2 == 0 {
			return i, true
		}
	}
	return i, false
}

// unescapeHTML undoes the escapes of <, > and & that encoding/json makes for browsers: a sixth of the bytes, and fewer tokens
// on servers that template the raw text. It works in place.
func unescapeHTML(b []byte) []byte {
	i := bytes.IndexByte(b, '\\')
	if i < 0 {
		return b
	}
	out := b[:i]
	for i < len(b) {
		if b[i] == '\\' && i+1 < len(b) {
			if b[i+1] == 'u' && i+6 <= len(b) {
				if c := htmlEscape(b[i+2 : i+6]); c != 0 {
					out, i = append(out, c), i+6
					continue
				}
			}
			out, i = append(out, b[i], b[i+1]), i+2
			continue
		}
		n := bytes.IndexByte(b[i:], '\\')
		if n < 0 {
			return append(out, b[i:]...)
		}
		if n == 0 { // a lone backslash at the end
			return append(out, b[i:]...)
		}
		out, i = append(out, b[i:i+n]...), i+n
	}
	return out
}

func htmlEscape(hex []byte) byte {
	switch string(hex) {
	case "003c":
		return '<'
	case "003e":
		return '>'
	case "0026":
		return '&'
	}
	return 0
}

// isObject reports whether s is one JSON object.
func isObject(s string) bool {
	b := []byte(s)
	i := skipSpace(b, 0)
	return i < len(b) && b[i] == '{' && json.Valid(b)
}
