package langchain

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"strings"

	"agentd/llm"
)

// maxCalls bounds the tool calls of one reply.
const maxCalls = 128

// turn is a reply as it arrives.
type turn struct {
	emit   func(llm.Delta) bool
	text   strings.Builder
	think  thinking
	calls  []partial
	finish string
	usage  llm.Usage

	filtered bool // the provider refused the content, whatever the finish reason says
}

// partial is a tool call as it arrives.
type partial struct {
	id, name string
	args     []byte
	index    int // the provider's
}

// say appends text, less what the model thinks aloud.
func (t *turn) say(s string) error {
	out, thought := t.think.split(s)
	if thought != "" && !t.emit(llm.Delta{Kind: llm.DeltaThink, Text: thought}) {
		return errStopped
	}
	if out == "" {
		return nil
	}
	t.text.WriteString(out)
	if !t.emit(llm.Delta{Kind: llm.DeltaText, Text: out}) {
		return errStopped
	}
	return nil
}

func (t *turn) reason(s string) error {
	if s != "" && !t.emit(llm.Delta{Kind: llm.DeltaThink, Text: s}) {
		return errStopped
	}
	return nil
}

// add merges a piece of a tool call. Servers number calls, or give each an id, or repeat everything, or nothing.
func (t *turn) add(index *int, id, name, args string) error {
	i := t.slot(index, id, name, args)
	if i < 0 {
		if len(t.calls) >= maxCalls {
			return errTooLong
		}
		i = len(t.calls)
		t.calls = append(t.calls, partial{index: -1})
		if index != nil {
			t.calls[i].index = *index
		}
	}
	c := &t.calls[i]
	if c.id == "" {
		c.id = id
	}
	if c.name == "" {
		c.name = name
	}
	c.args = append(c.args, args...)
	if !t.emit(llm.Delta{Kind: llm.DeltaCall, Name: c.name, Index: i, Text: args}) {
		return errStopped
	}
	return nil
}

// slot finds the call that a piece belongs to, or -1 for a new one.
func (t *turn) slot(index *int, id, name, args string) int {
	for i := len(t.calls) - 1; i >= 0; i-- { // the latest first
		c := &t.calls[i]
		switch {
		case id != "" && c.id == id && (index == nil || c.index == *index):
			return i
		case id != "" && c.id != "" && c.id != id:
			continue // some servers number every call 0
		case index != nil && c.index != *index:
			continue
		case index == nil && i != len(t.calls)-1:
			continue
		case name != "" && args != "" && id == "" && c.name != "" && isObject(string(c.args)):
			return -1 // a whole call follows a whole call
		case index == nil && id != "" && c.id == "" && c.name != "" && name != "":
			return -1
		default:
			return i
		}
	}
	return -1
}

// stop translates the finish reason.
func (t *turn) stop() llm.StopReason {
	switch t.finish {
	case "length", "max_tokens", "model_length", "model_context_window_exceeded":
		return llm.StopLength
	case "content_filter", "refusal", "safety", "SAFETY":
		return llm.StopFilter
	}
	switch {
	case t.filtered:
		return llm.StopFilter
	case len(t.calls) > 0:
		return llm.StopCalls
	}
	return llm.StopEnd
}

// close settles what can only be settled at the end: text held back, ids that are missing or given twice.
func (t *turn) close() error {
	if rest := t.think.rest(); rest != "" {
		t.text.WriteString(rest)
		if !t.emit(llm.Delta{Kind: llm.DeltaText, Text: rest}) {
			return errStopped
		}
	}
	seen := make(map[string]bool, len(t.calls))
	kept := t.calls[:0:0]
	for i := range t.calls {
		c := t.calls[i]
		if c.name == "" && len(c.args) == 0 {
			continue
		}
		if c.id == "" || seen[c.id] {
			c.id = newID()
		}
		seen[c.id] = true
		kept = append(kept, c)
	}
	t.calls = kept
	return nil
}

func newID() string {
	var b [9]byte
	_, _ = rand.Read(b[:]) // never fails
	return "call_" + hex.EncodeToString(b[:])
}

// wrapArgs hides a call's arguments from langchaingo, which would decode them and lose them where they are not valid.
func wrapArgs(args string) []byte {
	o := newObject(len(args) + 16)
	o.str("$raw", args)
	return o.done()
}

func unwrapArgs(s string) string {
	var v struct {
		Raw *string `json:"$raw"`
	}
	if json.Unmarshal([]byte(s), &v) == nil && v.Raw != nil {
		s = *v.Raw
	}
	return s
}

// thinking separates a leading <think>…</think> block from the reply, across pieces.
type thinking struct {
	state int // 0: nothing seen, 1: inside, 2: over
	held  string
}

const (
	openTag  = "<think>"
	closeTag = "</think>"
)

// split returns what of the text so far is reply and what is thought. It holds back what may be part of a tag.
func (th *thinking) split(s string) (out, thought string) {
	if th.state == 2 {
		return s, ""
	}
	s = th.held + s
	th.held = ""
	if th.state == 0 {
		trimmed := strings.TrimLeft(s, " \n\r\t")
		switch {
		case strings.HasPrefix(trimmed, openTag):
			th.state, s = 1, trimmed[len(openTag):]
		case strings.HasPrefix(openTag, trimmed):
			th.held = s
			return "", ""
		default:
			th.state = 2
			return s, ""
		}
	}
	if i := strings.Index(s, closeTag); i >= 0 {
		th.state = 2
		return strings.TrimLeft(s[i+len(closeTag):], "\n"), s[:i]
	}
	for n := min(len(s), len(closeTag)-1); n > 0; n-- {
		if strings.HasSuffix(s, closeTag[:n]) {
			th.held = s[len(s)-n:]
			return "", s[:len(s)-n]
		}
	}
	return "", s
}

// rest returns text that was held back in case it began a tag.
func (th *thinking) rest() string {
	if th.state == 0 {
		s := th.held
		th.held = ""
		return s
	}
	return ""
}
