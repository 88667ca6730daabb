package args

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// MaxBytes bounds the encoded arguments of one call.
const MaxBytes = 4 << 20

// field is one argument, as its struct's tags say.
type field struct {
	name, desc string
	enum       []string
	required   bool
	index      int
	kind       reflect.Kind
}

// fields lists the arguments of a struct type of string, int and bool fields. Another kind is a mistake in this package.
func fields(t reflect.Type) []field {
	fs := make([]field, 0, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		out := field{name: name, desc: f.Tag.Get("desc"), required: !strings.Contains(opts, "omitempty"), index: i, kind: f.Type.Kind()}
		if e := f.Tag.Get("enum"); e != "" {
			out.enum = strings.Split(e, ",")
		}
		if jsonType(out.kind) == "" {
			panic(fmt.Sprintf("args: %s.%s is a %s: only string, int and bool are", t, f.Name, out.kind))
		}
		fs = append(fs, out)
	}
	return fs
}

func jsonType(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "string"
	case reflect.Int:
		return "integer"
	case reflect.Bool:
		return "boolean"
	}
	return ""
}

// Schema returns the JSON Schema of T's arguments, as small as it can be: a model pays for every byte of it at every step.
func Schema[T Args]() json.RawMessage {
	var b bytes.Buffer
	b.WriteString(`{"type":"object","properties":{`)
	var required []string
	for i, f := range fields(reflect.TypeFor[T]()) {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `%s:{"type":%q`, quote(f.name), jsonType(f.kind))
		if f.desc != "" {
			fmt.Fprintf(&b, `,"description":%s`, quote(f.desc))
		}
		if f.enum != nil {
			fmt.Fprintf(&b, `,"enum":%s`, quote(f.enum))
		}
		b.WriteByte('}')
		if f.required {
			required = append(required, f.name)
		}
	}
	b.WriteByte('}')
	if required != nil {
		fmt.Fprintf(&b, `,"required":%s`, quote(required))
	}
	b.WriteByte('}')
	return b.Bytes()
}

func quote(v any) []byte {
	out, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings always encode
	}
	return out
}

// Decode reads a call's arguments strictly: an unknown, missing or mistyped argument is an error that names it, says what was
// expected and, for an unknown one, which was probably meant. What can't be misunderstood is taken as meant: a number or a
// truth value in quotes, an absent value as null, the whole object in quotes.
func Decode[T Args](raw json.RawMessage) (T, error) {
	var out T
	if len(raw) > MaxBytes {
		return out, fmt.Errorf("the arguments have %d bytes, more than %d", len(raw), MaxBytes)
	}
	got, err := object(raw)
	if err != nil {
		return out, err
	}
	fs := fields(reflect.TypeFor[T]())
	for name := range got {
		if !slices.ContainsFunc(fs, func(f field) bool { return f.name == name }) {
			return out, unknown(name, fs, got)
		}
	}
	v := reflect.ValueOf(&out).Elem()
	for _, f := range fs {
		val, given := got[f.name]
		if !given || string(val) == "null" {
			if f.required {
				return out, fmt.Errorf("argument %q is missing: give a %s", f.name, expected(f))
			}
			continue
		}
		if err := set(v.Field(f.index), f, val); err != nil {
			return out, err
		}
	}
	return out, nil
}

// object takes an object apart. Arguments that are one quoted object are unquoted; no arguments are an empty object.
func object(raw json.RawMessage) (map[string]json.RawMessage, error) {
	if s := bytes.TrimSpace(raw); len(s) == 0 || string(s) == "null" {
		return nil, nil
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		raw = json.RawMessage(text)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	got := map[string]json.RawMessage{}
	tok, err := d.Token()
	if err == nil && tok != json.Delim('{') {
		return nil, errors.New("the arguments must be one JSON object")
	}
	for err == nil && d.More() {
		var key json.Token
		if key, err = d.Token(); err != nil {
			break
		}
		name, ok := key.(string)
		if _, twice := got[name]; twice || !ok {
			return nil, fmt.Errorf("argument %q is given twice", clip(name))
		}
		var val json.RawMessage
		if err = d.Decode(&val); err == nil {
			got[name] = val
		}
	}
	if err == nil {
		_, err = d.Token()
	}
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			return nil, errors.New("the arguments are one JSON object and something behind it")
		}
		return got, nil
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("the arguments are not valid JSON: they break off after %d bytes", len(raw))
	}
	return nil, fmt.Errorf("the arguments are not valid JSON near byte %d: %v", d.InputOffset(), clip(err.Error()))
}

func set(v reflect.Value, f field, raw json.RawMessage) error {
	wrong := func() error {
		return fmt.Errorf("argument %q must be a %s, not %s", f.name, expected(f), clip(string(raw)))
	}
	plain := string(raw)
	var text string
	isText := json.Unmarshal(raw, &text) == nil
	if isText {
		plain = strings.TrimSpace(text)
	}
	switch f.kind {
	case reflect.String:
		if !isText || f.enum != nil && !slices.Contains(f.enum, text) {
			return wrong()
		}
		v.SetString(text)
	case reflect.Int:
		if isText && plain == "" && !f.required {
			return nil
		}
		n, err := strconv.ParseFloat(plain, 64)
		if err != nil || n != float64(int32(n)) {
			return wrong()
		}
		v.SetInt(int64(n))
	case reflect.Bool:
		if plain != "true" && plain != "false" {
			return wrong()
		}
		v.SetBool(plain == "true")
	}
	return nil
}

func expected(f field) string {
	switch {
	case f.enum != nil:
		return "string, one of " + strings.Join(f.enum, ", ")
	case f.kind == reflect.Int:
		return "whole number"
	case f.kind == reflect.Bool:
		return "truth value, true or false"
	}
	return "string"
}

// unknown names the argument that was probably meant, or all of them.
func unknown(name string, fs []field, got map[string]json.RawMessage) error {
	best, at := "", 0
	var all []string
	for _, f := range fs {
		all = append(all, f.name)
		if _, given := got[f.name]; given {
			continue
		}
		if n := alike(strings.ToLower(name), f.name); n > at {
			best, at = f.name, n
		}
	}
	if best != "" {
		return fmt.Errorf("there is no argument %q: did you mean %q?", clip(name), best)
	}
	return fmt.Errorf("there is no argument %q: the arguments are %s", clip(name), strings.Join(all, ", "))
}

// alike scores how much of a known name stands in a given one, 0 when it is too little to guess.
func alike(given, known string) int {
	if len(given) > 64 {
		return 0
	}
	if strings.Contains(given, known) || len(given) > 1 && strings.Contains(known, given) {
		return 100
	}
	same := 0 // letters of known, in order, in given
	rest := given
	for _, r := range known {
		if i := strings.IndexRune(rest, r); i >= 0 {
			same++
			rest = rest[i+1:]
		}
	}
	if same*3 < max(len(known), len(given))*2 {
		return 0
	}
	return same
}

func clip(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
