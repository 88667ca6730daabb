// Package llm holds the project's words for a model call: what is asked, what streams back and what it cost.
package llm

import (
	"context"
	"encoding/json"
	"iter"
)

// Role says who speaks a message.
type Role string

// The roles of a conversation.
const (
	System    Role = "system"
	User      Role = "user"
	Assistant Role = "assistant"
	ToolRole  Role = "tool"
)

// Message is one turn of a conversation. Only an assistant's turn has Calls; only a tool's turn has CallID.
type Message struct {
	Role    Role   `json:"role"`
	Text    string `json:"text,omitempty"`
	Calls   []Call `json:"calls,omitempty"`
	CallID  string `json:"call_id,omitempty"`
	IsError bool   `json:"is_error,omitempty"`
	// Images stand behind a user's text, for models that see.
	Images []Image `json:"images,omitempty"`
}

// Call is a model's request to run one tool. Args is the text the model wrote: it may be invalid JSON.
type Call struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Args string `json:"args"`
}

// ToolSpec offers one tool to a model. Schema is a JSON Schema of an object.
type ToolSpec struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Schema      json.RawMessage `json:"schema"`
}

// Schema asks for a reply that is one JSON value of this form.
type Schema struct {
	Name string          `json:"name"`
	JSON json.RawMessage `json:"json"`
}

// Request is everything a model is asked; equal requests encode to equal bytes.
type Request struct {
	Messages    []Message
	Tools       []ToolSpec
	ToolChoice  string   // "" (the provider's default), "none", "required", or a tool's name
	Schema      *Schema  // the reply's form; nil is free text
	Grammar     string   // GBNF with start symbol root; used only where Info().Grammar
	MaxTokens   int      // bound of the reply; 0 is the model's own
	Temperature *float64 // nil is the provider's default
	TopP        *float64
	Seed        *int
	Stop        []string
	Effort      string // reasoning effort, where the model has one: low, medium, high
}

// DeltaKind is what one streamed delta carries.
type DeltaKind string

// The kinds of delta. A stream that ends without an error ends with exactly one DeltaDone.
const (
	DeltaText  DeltaKind = "text"  // a piece of the reply's text
	DeltaThink DeltaKind = "think" // a piece of visible reasoning, never part of the reply
	DeltaCall  DeltaKind = "call"  // a piece of a tool call's arguments (for display)
	DeltaNote  DeltaKind = "note"  // something a wrapper did: a retry, a failover
	DeltaDone  DeltaKind = "done"  // the whole reply
)

// Delta is one event of a streaming call. Deltas are for display; the Reply of DeltaDone is the truth.
type Delta struct {
	Kind  DeltaKind
	Text  string
	Name  string // of a call: the tool's name
	Index int    // of a call: which one of the reply
	Reply *Reply // of done
}

// StopReason is why a reply ended.
type StopReason string

// The reasons a reply ends.
const (
	StopEnd    StopReason = "stop"
	StopCalls  StopReason = "tool_calls"
	StopLength StopReason = "length"
	StopFilter StopReason = "content_filter"
)

// Usage counts tokens. Cached is the part of Prompt that the provider read from its cache, CacheWrite the part that it wrote
// there at a price of its own.
type Usage struct {
	Prompt     int `json:"prompt"`
	Completion int `json:"completion"`
	Cached     int `json:"cached,omitempty"`
	CacheWrite int `json:"cache_write,omitempty"`
}

// Reply is a complete answer.
type Reply struct {
	Text  string     `json:"text,omitempty"`
	Calls []Call     `json:"calls,omitempty"`
	Stop  StopReason `json:"stop"`
	Usage Usage      `json:"usage"`
	Model string     `json:"model"` // provider/model that answered
}

// Style is the way a model is best asked to act.
type Style string

// The styles of acting.
const (
	StyleTools  Style = "tools"  // native tool calls
	StyleFenced Style = "fenced" // "Action: name" and a fenced body, for small models
)

// Price is money per million tokens, in US dollars. Cached is for tokens read from the provider's cache, CacheWrite for
// those that enter it; where they are 0 the prompt's price holds.
type Price struct {
	Prompt     float64 `json:"prompt"`
	Completion float64 `json:"completion"`
	Cached     float64 `json:"cached"`
	CacheWrite float64 `json:"cache_write,omitempty"`
}

// Info describes a model to those who plan calls of it.
type Info struct {
	Name    string // provider/model
	Window  int    // tokens of prompt and reply together
	MaxOut  int    // most tokens of one reply
	Style   Style
	Schema  bool   // takes Request.Schema as a constraint
	Grammar bool   // takes Request.Grammar
	Price   *Price // nil: unknown. A local model's is zero, not nil
	Local   bool   // runs on this machine: one slot, no money
	Sees    bool   // takes Message.Images
}

// Model is a language model. Implementations are safe for concurrent use.
type Model interface {
	// Info is constant for the life of the model and does no I/O.
	Info() Info
	// Encode returns the exact bytes that Stream sends for r, without sending them. Equal requests give equal bytes.
	Encode(r *Request) ([]byte, error)
	// Stream asks once and yields deltas until DeltaDone or an error (an *Error, or ctx's). A consumer that breaks
	// cancels the call.
	Stream(ctx context.Context, r *Request) iter.Seq2[Delta, error]
}

// Collect drains a stream and returns its reply, handing each delta to see when it is not nil.
func Collect(stream iter.Seq2[Delta, error], see func(Delta)) (*Reply, error) {
	for d, err := range stream {
		if err != nil {
			return nil, err
		}
		if see != nil {
			see(d)
		}
		if d.Kind == DeltaDone {
			return d.Reply, nil
		}
	}
	return nil, &Error{Kind: KindTruncated, Message: "the stream ended without a reply"}
}

// Embedder turns texts into vectors of one fixed dimension.
type Embedder interface {
	// Embed returns one vector for each text, in order.
	Embed(ctx context.Context, texts []string) ([][]float32, error)
	// ID names the model and its version; vectors of different IDs must not be mixed.
	ID() string
}
