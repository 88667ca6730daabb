package memory

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of an item.
const (
	MaxText  = 64 << 10 // bytes of a text
	maxTags  = 32
	maxField = 1024 // bytes of a tag, path, address or name
	maxLinks = 64
)

// ID names an item within its store; ids are given out in order and never again. Zero is no item.
type ID uint64

// String is the form that people type: m17.
func (id ID) String() string { return "m" + strconv.FormatUint(uint64(id), 10) }

// ParseID reads m17 or 17.
func ParseID(s string) (ID, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "m"), 10, 64)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is no memory's id; ids look like m17: %w", s, ErrNotFound)
	}
	return ID(n), nil
}

// Namespace says whose memory an item is. The user's is shared by all runs.
type Namespace string

// User is the namespace of what holds for all of a user's work.
const User Namespace = "user"

// Repository is the namespace of one working folder.
func Repository(path string) Namespace { return Namespace("repository:" + path) }

// Goal is the namespace of one goal.
func Goal(name string) Namespace { return Namespace("goal:" + name) }

// Run is the namespace of one run.
func Run(id string) Namespace { return Namespace("run:" + id) }

// Trust says how far an item's text may be believed.
type Trust uint8

// The levels of trust. What came from the web or a tool is untrusted: to be shown as quoted data, never as instruction.
const (
	Untrusted Trust = iota
	Model           // the agent's own conclusion
	Person          // said by a person
)

var trusts = []string{"untrusted", "model", "person"}

// String is the level's name.
func (t Trust) String() string { return name(trusts, int(t)) }

// MarshalText writes the level's name.
func (t Trust) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads a level's name.
func (t *Trust) UnmarshalText(b []byte) error {
	i := slices.Index(trusts, string(b))
	if i < 0 {
		return fmt.Errorf("%w: trust %q; known are %s", ErrItem, b, strings.Join(trusts, ", "))
	}
	*t = Trust(i)
	return nil
}

// State says whether an item takes part in recall.
type State uint8

// The states of an item. Only accepted ones are recalled.
const (
	Accepted State = iota
	Proposed
	Rejected
)

var states = []string{"accepted", "proposed", "rejected"}

// String is the state's name.
func (s State) String() string { return name(states, int(s)) }

// MarshalText writes the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a state's name.
func (s *State) UnmarshalText(b []byte) error {
	i := slices.Index(states, string(b))
	if i < 0 {
		return fmt.Errorf("%w: state %q; known are %s", ErrItem, b, strings.Join(states, ", "))
	}
	*s = State(i)
	return nil
}

func name(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return strconv.Itoa(i)
}

// Source says where an item came from.
type Source struct {
	Kind   string  `json:"kind,omitempty"` // user, model, tool, web, file or import
	Run    string  `json:"run,omitempty"`
	Step   int     `json:"step,omitempty"`
	File   string  `json:"file,omitempty"`
	URL    string  `json:"url,omitempty"`
	Events []int64 `json:"events,omitempty"` // numbers of the run's events that it was drawn from
}

// Item is one thing remembered. Times have a resolution of milliseconds.
type Item struct {
	ID           ID        `json:"id,omitempty"`
	Namespace    Namespace `json:"namespace"`
	Text         string    `json:"text"`
	Vector       []float32 `json:"vector,omitempty"` // nil: the store's embedder makes it
	Source       Source    `json:"source"`
	Trust        Trust     `json:"trust"`
	State        State     `json:"state"`
	Tags         []string  `json:"tags,omitempty"`
	Created      time.Time `json:"created,omitzero"` // zero: now
	Updated      time.Time `json:"updated,omitzero"`
	Expires      time.Time `json:"expires,omitzero"` // zero: never
	Supersedes   []ID      `json:"supersedes,omitempty"`
	Contradicts  []ID      `json:"contradicts,omitempty"` // kept on both sides
	SupersededBy ID        `json:"superseded_by,omitempty"`
}

// validate checks everything of an item but its vector.
func (it *Item) validate() error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: %s", ErrItem, fmt.Sprintf(format, a...))
	}
	switch {
	case strings.TrimSpace(it.Text) == "":
		return bad("the text is empty")
	case len(it.Text) > MaxText:
		return bad("the text has %d bytes; the most is %d: store a summary and name the file", len(it.Text), MaxText)
	case !utf8.ValidString(it.Text):
		return bad("the text is not UTF-8")
	case it.Namespace == "":
		return bad("it has no namespace")
	case int(it.Trust) >= len(trusts):
		return bad("trust %d is unknown", it.Trust)
	case int(it.State) >= len(states):
		return bad("state %d is unknown", it.State)
	case len(it.Tags) > maxTags:
		return bad("%d tags; the most is %d", len(it.Tags), maxTags)
	case len(it.Supersedes)+len(it.Contradicts) > maxLinks:
		return bad("%d links; the most is %d", len(it.Supersedes)+len(it.Contradicts), maxLinks)
	case len(it.Source.Events) > 1000:
		return bad("%d source events; the most is 1000", len(it.Source.Events))
	}
	for _, f := range append([]string{string(it.Namespace), it.Source.Kind, it.Source.Run, it.Source.File, it.Source.URL}, it.Tags...) {
		if len(f) > maxField || !utf8.ValidString(f) || strings.ContainsRune(f, 0) {
			return bad("%.40q is too long for a name (the most is %d bytes) or not UTF-8", f, maxField)
		}
	}
	return nil
}

// expired says whether the item is out of date.
func (it *Item) expired(now time.Time) bool { return !it.Expires.IsZero() && !now.Before(it.Expires) }

// recalled says whether searches may see the item.
func (it *Item) recalled() bool { return it.State == Accepted && it.SupersededBy == 0 }
