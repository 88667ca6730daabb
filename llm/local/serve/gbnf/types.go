package gbnf

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// object writes members in the order of properties; optional ones may be left out.
func (w *writer) object(n *node, path string, depth int) (string, error) {
	props := n.fields["properties"]
	extra, err := w.extra(n, path, depth)
	if err != nil {
		return "", err
	}
	if props == nil || len(props.keys) == 0 {
		if extra == "" && n.fields["additionalProperties"] == nil && props == nil {
			return w.use("object"), nil
		}
		if extra == "" {
			return w.add(`"{" ` + w.use("space") + ` "}"`), nil
		}
		return w.add(fmt.Sprintf(`"{" %s (%s ("," space %s)*)? space "}"`, w.use("space"), extra, extra)), nil
	}
	required, err := names(n.fields["required"], path+"/required")
	if err != nil {
		return "", err
	}
	for _, r := range required {
		if props.fields[r] == nil {
			return "", fmt.Errorf("schema %s/required: %q isn't in properties", path, r)
		}
	}
	space := w.use("space")
	members := make([]string, len(props.keys))
	for i, k := range props.keys {
		value, err := w.schema(props.fields[k], path+"/properties/"+k, depth+1)
		if err != nil {
			return "", err
		}
		key, _ := json.Marshal(k)
		members[i] = fmt.Sprintf(`%s %s`, quote(string(key)+":"), space+" "+value)
	}
	return w.add(`"{" ` + space + " " + w.members(props.keys, members, required, extra) + " " + space + ` "}"`), nil
}

// members joins them with commas. Once one is there, each next one brings its comma; before that, every optional one in
// front of the first required one may be the first.
func (w *writer) members(keys, members, required []string, extra string) string {
	tail := ""
	if extra != "" {
		tail = fmt.Sprintf(` ("," space %s)*`, extra)
	}
	rest := make([]string, len(keys)+1) // what may follow when something is before it
	rest[len(keys)] = tail
	for i := len(keys) - 1; i >= 0; i-- {
		m := fmt.Sprintf(` "," space %s`, members[i])
		if !slices.Contains(required, keys[i]) {
			m = fmt.Sprintf(` ("," space %s)?`, members[i])
		}
		rest[i] = m + rest[i+1]
	}
	var firsts []string
	for i, k := range keys {
		from := rest[i+1]
		if len(keys) > 3 && from != "" { // named, so that the grammar stays linear in the number of members
			from = " " + w.add(strings.TrimSpace(from))
		}
		firsts = append(firsts, members[i]+from)
		if slices.Contains(required, k) {
			return "(" + strings.Join(firsts, " | ") + ")"
		}
	}
	if extra != "" {
		firsts = append(firsts, extra+tail)
	}
	return "(" + strings.Join(firsts, " | ") + ")?"
}

// extra returns the expression of a member that properties doesn't name, or "" if there may be none.
func (w *writer) extra(n *node, path string, depth int) (string, error) {
	a := n.fields["additionalProperties"]
	if a == nil || string(a.raw) == "false" {
		return "", nil
	}
	value, err := w.schema(a, path+"/additionalProperties", depth+1)
	if err != nil {
		return "", err
	}
	return w.use("string") + ` ":" ` + w.use("space") + " " + value, nil
}

func (w *writer) array(n *node, path string, depth int) (string, error) {
	item := w.use("value")
	if items := n.fields["items"]; items != nil {
		var err error
		if item, err = w.schema(items, path+"/items", depth+1); err != nil {
			return "", err
		}
	}
	low, high, err := bounds(n, "minItems", "maxItems", path)
	if err != nil {
		return "", err
	}
	space := w.use("space")
	if high == 0 {
		return w.add(`"[" ` + space + ` "]"`), nil
	}
	more := fmt.Sprintf(`("," %s %s)%s`, space, item, repeat(max(0, low-1), high-1))
	if high == 1 {
		more = ""
	}
	list := item + " " + more
	if low == 0 {
		list = "(" + list + ")?"
	}
	return w.add(fmt.Sprintf(`"[" %s %s %s "]"`, space, list, space)), nil
}

func (w *writer) text(n *node, path string) (string, error) {
	low, high, err := bounds(n, "minLength", "maxLength", path)
	if err != nil {
		return "", err
	}
	if low > maxRepeat {
		return "", fmt.Errorf("schema %s/minLength: over %d", path, maxRepeat)
	}
	if high > maxRepeat {
		high = math.MaxInt
	}
	if low == 0 && high == math.MaxInt {
		return w.use("string"), nil
	}
	return w.add(`"\"" ` + w.use("char") + repeat(low, high) + ` "\""`), nil
}

// repeat writes a repetition; math.MaxInt or a count that llama.cpp doesn't expand has no upper end.
func repeat(low, high int) string {
	if high > maxRepeat {
		if low == 0 {
			return "*"
		}
		return fmt.Sprintf("{%d,}", low)
	}
	return fmt.Sprintf("{%d,%d}", low, high)
}

// bounds reads two counts.
func bounds(n *node, lowKey, highKey, path string) (low, high int, err error) {
	high = math.MaxInt
	for _, b := range []struct {
		key  string
		into *int
	}{{lowKey, &low}, {highKey, &high}} {
		f := n.fields[b.key]
		if f == nil {
			continue
		}
		v, err := strconv.ParseFloat(string(f.raw), 64)
		if err != nil || v < 0 || v != math.Trunc(v) {
			return 0, 0, fmt.Errorf("schema %s/%s: want a count", path, b.key)
		}
		*b.into = int(min(v, math.MaxInt32))
	}
	if low > high {
		return 0, 0, fmt.Errorf("schema %s: %s is over %s", path, lowKey, highKey)
	}
	return low, high, nil
}

func names(n *node, path string) ([]string, error) {
	if n == nil {
		return nil, nil
	}
	var out []string
	if err := json.Unmarshal(n.raw, &out); err != nil {
		return nil, fmt.Errorf("schema %s: want a list of names", path)
	}
	return out, nil
}

// integer holds minimum and maximum exactly.
func (w *writer) integer(n *node, path string) (string, error) {
	const most = 999_999_999_999_999
	low, high := int64(-most), int64(most)
	bounded := false
	for _, k := range []string{"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"} {
		f := n.fields[k]
		if f == nil {
			continue
		}
		v, err := strconv.ParseFloat(string(f.raw), 64)
		if err != nil {
			return "", fmt.Errorf("schema %s/%s: want a number", path, k)
		}
		v = max(-most, min(most, v))
		bounded = true
		switch k {
		case "minimum":
			low = max(low, int64(math.Ceil(v)))
		case "exclusiveMinimum":
			low = max(low, int64(math.Floor(v))+1)
		case "maximum":
			high = min(high, int64(math.Floor(v)))
		case "exclusiveMaximum":
			high = min(high, int64(math.Ceil(v))-1)
		}
	}
	if !bounded {
		return w.use("int"), nil
	}
	if low > high {
		return "", fmt.Errorf("schema %s: no integer lies between the bounds", path)
	}
	var alts []string
	if low < 0 {
		for _, r := range digitRanges(max(1, -high), -low) {
			alts = append(alts, `"-" `+r)
		}
	}
	if high >= 0 {
		alts = append(alts, digitRanges(max(0, low), high)...)
	}
	return w.add(strings.Join(alts, " | ")), nil
}

// digitRanges writes the numbers from low to high (both at least 0) as alternatives of equal length and common beginning.
func digitRanges(low, high int64) []string {
	var out []string
	for low <= high {
		// The widest block that starts at low: 10^k numbers, aligned, of one length.
		width := int64(1)
		for low%(width*10) == 0 && low+width*10-1 <= high && low >= width*10 {
			width *= 10
		}
		// Several such blocks with one leading part: the last digit before the block runs.
		head := low / width
		last := head
		for last%10 < 9 && (last+1)*width+width-1 <= high && last+1 > 0 {
			last++
		}
		expr := ""
		if head >= 10 {
			expr = quote(strconv.FormatInt(head/10, 10)) + " "
		}
		if head%10 == last%10 {
			expr += quote(strconv.FormatInt(head%10, 10))
		} else {
			expr += fmt.Sprintf("[%d-%d]", head%10, last%10)
		}
		if k := len(strconv.FormatInt(width, 10)) - 1; k > 0 {
			expr += fmt.Sprintf(" [0-9]{%d}", k)
		}
		out = append(out, expr)
		low = (last + 1) * width
	}
	return out
}

// Tool is a function that a model may call.
type Tool struct {
	Name   string
	Schema []byte // JSON Schema of its arguments; empty takes any object
}

// ToolCalls returns a grammar of one or more calls in Qwen's form: each a JSON object with name and arguments between
// the texts open and close. It starts behind the first open. A schema with a keyword that no grammar is made of holds
// its arguments to some object.
func ToolCalls(tools []Tool, open, close string) (string, error) {
	w := newWriter()
	w.use("space")
	var alts []string
	for _, t := range tools {
		args := ""
		if len(t.Schema) > 0 {
			before := len(w.order)
			var err error
			if args, err = w.document(t.Schema); err != nil {
				w.forget(before)
				args = ""
			}
		}
		if args == "" {
			args = w.use("object")
		}
		name, err := json.Marshal(t.Name)
		if err != nil {
			return "", fmt.Errorf("tool %q: %w", t.Name, err)
		}
		alts = append(alts, fmt.Sprintf(`%s space %s space "," space %s space %s`,
			quote(`"name":`), quote(string(name)), quote(`"arguments":`), args))
	}
	call := w.add(`"{" space (` + strings.Join(alts, " | ") + `) space "}"`)
	w.rules["root"] = fmt.Sprintf(`"\n" %s "\n" %s ("\n" %s "\n" %s "\n" %s){0,7}`, call, quote(close), quote(open), call, quote(close))
	return w.String(), nil
}
