package mcp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// Bounds of one tool's definition.
const (
	maxDescription = 4 << 10
	maxSchema      = 64 << 10
	maxToolName    = 128
)

// Tool is what a server says of one tool. Its hints are the server's own words.
type Tool struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Schema      json.RawMessage `json:"schema"`
	ReadOnly    bool            `json:"read_only,omitempty"`   // hint
	Destructive bool            `json:"destructive,omitempty"` // hint
}

// Listing is what a server offers. It is plain data; a pin is one.
type Listing struct {
	Server       string   `json:"server"`
	Key          string   `json:"key"`
	Where        string   `json:"where"`
	Version      string   `json:"version,omitempty"` // what it calls itself
	Protocol     string   `json:"protocol,omitempty"`
	Instructions string   `json:"instructions,omitempty"`
	Resources    bool     `json:"resources,omitempty"`
	Prompts      bool     `json:"prompts,omitempty"`
	Tools        []Tool   `json:"tools"`
	Faults       []string `json:"faults,omitempty"` // tools that can't be offered, and why
}

func (l *Listing) sorted() *Listing {
	slices.SortFunc(l.Tools, func(a, b Tool) int { return strings.Compare(a.Name, b.Name) })
	return l
}

// find returns the tool of a name, nil if there is none.
func (l *Listing) find(name string) *Tool {
	if l == nil {
		return nil
	}
	for i := range l.Tools {
		if l.Tools[i].Name == name {
			return &l.Tools[i]
		}
	}
	return nil
}

// newTool takes a definition over, bounded and without what hides in text.
func newTool(t *sdk.Tool) (Tool, error) {
	if t.Name == "" || len(t.Name) > maxToolName || visible(t.Name) != t.Name || strings.ContainsFunc(t.Name, unicode.IsSpace) {
		return Tool{}, fmt.Errorf("its name is empty, longer than %d bytes or not plain", maxToolName)
	}
	out := Tool{Name: t.Name, Description: clip(visible(t.Description), maxDescription)}
	if out.Description == "" {
		out.Description = clip(visible(t.Title), maxDescription)
	}
	raw, err := json.Marshal(t.InputSchema)
	if err != nil {
		return Tool{}, err
	}
	var head struct {
		Type string `json:"type"`
	}
	switch {
	case len(raw) > maxSchema:
		return Tool{}, fmt.Errorf("its schema has %d bytes, more than %d", len(raw), maxSchema)
	case string(raw) == "null" || string(raw) == "true":
		raw = json.RawMessage(`{"type":"object"}`)
	case json.Unmarshal(raw, &head) != nil || head.Type != "object":
		return Tool{}, errors.New("its schema is not that of an object")
	}
	out.Schema = raw
	if a := t.Annotations; a != nil {
		out.ReadOnly = a.ReadOnlyHint
		out.Destructive = !a.ReadOnlyHint && a.DestructiveHint != nil && *a.DestructiveHint
	}
	return out, nil
}

// Change is how a tool differs from its pin.
type Change struct {
	Tool string `json:"tool"`
	What string `json:"what"` // new, gone, changed
	Diff string `json:"diff,omitempty"`
}

// Compare says how a listing differs from a pinned one.
func Compare(pinned, now *Listing) []Change {
	var out []Change
	for _, t := range now.Tools {
		old := pinned.find(t.Name)
		switch {
		case old == nil:
			out = append(out, Change{Tool: t.Name, What: "new", Diff: "+ " + quoteLines(t.Description, "+ ")})
		case !old.equal(t):
			out = append(out, Change{Tool: t.Name, What: "changed", Diff: old.diff(t)})
		}
	}
	for _, t := range pinned.Tools {
		if now.find(t.Name) == nil {
			out = append(out, Change{Tool: t.Name, What: "gone"})
		}
	}
	return out
}

func (t Tool) equal(o Tool) bool {
	return t.Name == o.Name && t.Description == o.Description && bytes.Equal(compact(t.Schema), compact(o.Schema)) && t.hints() == o.hints()
}

// compact is JSON without space between its parts: files and events that hold it set it differently.
func compact(raw json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return raw
	}
	return b.Bytes()
}

// diff shows what a person must see to judge a new definition.
func (t Tool) diff(n Tool) string {
	var b strings.Builder
	part := func(what, old, now string) {
		if old != now {
			fmt.Fprintf(&b, "%s:\n- %s\n+ %s\n", what, quoteLines(old, "- "), quoteLines(now, "+ "))
		}
	}
	part("description", t.Description, n.Description)
	part("arguments", string(compact(t.Schema)), string(compact(n.Schema)))
	part("hints", t.hints(), n.hints())
	return strings.TrimSuffix(b.String(), "\n")
}

func (t Tool) hints() string {
	switch {
	case t.ReadOnly:
		return "reads only"
	case t.Destructive:
		return "destructive"
	}
	return "none"
}

func quoteLines(s, mark string) string { return strings.ReplaceAll(s, "\n", "\n"+mark) }

// visible drops what a person would not see and a model might read: control characters, zero-width and bidirectional marks,
// tags and unassigned code points. Line ends and tabs stay.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == unicode.ReplacementChar:
			return r
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Co, r), unicode.Is(unicode.Cs, r),
			unicode.Is(unicode.Variation_Selector, r), r >= 0xE0000 && r <= 0xE0FFF, r == 0x3164, r == 0x115F, r == 0x1160, r == 0x2800:
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// clip cuts s to at most n bytes at a rune's border.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	n -= len("…")
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}
