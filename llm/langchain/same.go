package langchain

import (
	"bytes"
	"slices"

	"agentd/llm"
)

// cloneRequest copies r deeply enough that a later change of r doesn't reach the copy. Strings are shared.
func cloneRequest(r *llm.Request) *llm.Request {
	c := *r
	c.Messages = slices.Clone(r.Messages)
	for i := range c.Messages {
		c.Messages[i].Calls = slices.Clone(c.Messages[i].Calls)
		c.Messages[i].Images = slices.Clone(c.Messages[i].Images) // their bytes are never changed
	}
	c.Tools = slices.Clone(r.Tools)
	for i := range c.Tools {
		c.Tools[i].Schema = bytes.Clone(c.Tools[i].Schema)
	}
	if r.Schema != nil {
		c.Schema = &llm.Schema{Name: r.Schema.Name, JSON: bytes.Clone(r.Schema.JSON)}
	}
	c.Temperature, c.TopP, c.Seed = clonePtr(r.Temperature), clonePtr(r.TopP), clonePtr(r.Seed)
	c.Stop = slices.Clone(r.Stop)
	return &c
}

func clonePtr[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// sameRequest reports whether a and b ask the same. Strings that share their bytes compare at once, so this is cheap
// where a step repeats the one before.
func sameRequest(a, b *llm.Request) bool {
	return a.ToolChoice == b.ToolChoice && a.Grammar == b.Grammar && a.MaxTokens == b.MaxTokens && a.Effort == b.Effort &&
		samePtr(a.Temperature, b.Temperature) && samePtr(a.TopP, b.TopP) && samePtr(a.Seed, b.Seed) &&
		slices.Equal(a.Stop, b.Stop) && sameSchema(a.Schema, b.Schema) &&
		slices.EqualFunc(a.Messages, b.Messages, sameMessage) && slices.EqualFunc(a.Tools, b.Tools, sameTool)
}

// samePrefix counts the messages with which both conversations begin.
func samePrefix(a, b []llm.Message) int {
	n := 0
	for n < min(len(a), len(b)) && sameMessage(a[n], b[n]) {
		n++
	}
	return n
}

func sameMessage(a, b llm.Message) bool {
	return a.Role == b.Role && a.CallID == b.CallID && a.IsError == b.IsError && a.Text == b.Text && slices.Equal(a.Calls, b.Calls) &&
		slices.EqualFunc(a.Images, b.Images, func(x, y llm.Image) bool { return x.Type == y.Type && bytes.Equal(x.Data, y.Data) })
}

func sameTool(a, b llm.ToolSpec) bool {
	return a.Name == b.Name && a.Description == b.Description && bytes.Equal(a.Schema, b.Schema)
}

func sameSchema(a, b *llm.Schema) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Name == b.Name && bytes.Equal(a.JSON, b.JSON)
}

func samePtr[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
