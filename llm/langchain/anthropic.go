package langchain

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"

	"github.com/tmc/langchaingo/llms"
	"github.com/tmc/langchaingo/llms/anthropic"

	"agentd/llm"
)

// anthropicWire speaks Anthropic's messages.
type anthropicWire struct{ cfg *Config }

// defaultMaxOut bounds a reply where neither the request nor the model does: this wire form insists on a bound.
const defaultMaxOut = 8192

func (w *anthropicWire) generate(ctx context.Context, d doer, msgs []llms.MessageContent, opts []llms.CallOption) (*llms.ContentResponse, error) {
	token := w.cfg.Key
	if token == "" {
		token = "none" // the client insists; call.Do takes it out again
	}
	client, err := anthropic.New(anthropic.WithHTTPClient(d), anthropic.WithToken(token), anthropic.WithModel(w.cfg.Model), anthropic.WithBaseURL(w.cfg.BaseURL))
	if err != nil {
		return nil, err
	}
	return client.GenerateContent(ctx, msgs, opts...)
}

// prepare makes one message of each part: langchaingo sends the first part of an assistant's turn only. Complete joins them.
func (w *anthropicWire) prepare(r *llm.Request) ([]llms.MessageContent, []llms.CallOption) {
	var msgs []llms.MessageContent
	add := func(role llms.ChatMessageType, part llms.ContentPart) {
		msgs = append(msgs, llms.MessageContent{Role: role, Parts: []llms.ContentPart{part}})
	}
	system := false
	for i := range r.Messages {
		m := &r.Messages[i]
		switch m.Role {
		case llm.System:
			text := m.Text
			if system {
				text = "\n\n" + text // langchaingo runs them together
			}
			system = true
			add(llms.ChatMessageTypeSystem, llms.TextContent{Text: text})
		case llm.ToolRole:
			add(llms.ChatMessageTypeTool, llms.ToolCallResponse{ToolCallID: anthropicID(m.CallID), Content: m.Text})
		case llm.Assistant:
			if m.Text != "" {
				add(llms.ChatMessageTypeAI, llms.TextContent{Text: m.Text})
			}
			for _, c := range m.Calls {
				// The arguments follow in complete: here they would lose large numbers, and fail where they are no object.
				add(llms.ChatMessageTypeAI, llms.ToolCall{ID: anthropicID(c.ID), Type: "function", FunctionCall: &llms.FunctionCall{Name: c.Name, Arguments: "{}"}})
			}
		default:
			if m.Text != "" { // an empty block is refused
				add(llms.ChatMessageTypeHuman, llms.TextContent{Text: m.Text})
			}
			for _, img := range m.Images {
				add(llms.ChatMessageTypeHuman, llms.BinaryPart(img.Type, img.Data))
			}
		}
	}
	tools := toolsOf(r.Tools)
	if r.Schema != nil {
		tools = append(tools, llms.Tool{Type: "function", Function: &llms.FunctionDefinition{Name: schemaName(r.Schema.Name),
			Description: "Give the answer in this form.", Parameters: schemaOrEmpty(r.Schema.JSON)}})
	}
	opts := []llms.CallOption{llms.WithModel(w.cfg.Model), llms.WithTools(tools), llms.WithMaxTokens(w.maxTokens(r))}
	return msgs, opts
}

func (w *anthropicWire) maxTokens(r *llm.Request) int {
	switch {
	case r.MaxTokens > 0:
		return r.MaxTokens
	case w.cfg.MaxOut > 0:
		return min(w.cfg.MaxOut, defaultMaxOut)
	}
	return defaultMaxOut
}

var notInID = regexp.MustCompile(`[^a-zA-Z0-9_-]`)

// anthropicID fits an id that another provider made.
func anthropicID(id string) string { return notInID.ReplaceAllString(id, "_") }

// complete joins what prepare took apart, and adds what langchaingo can't say: the arguments as they were written, errors
// of tools, the choice of tool, and marks for the prompt cache.
func (w *anthropicWire) complete(body []byte, r *llm.Request, _ [][]byte) ([]byte, [][]byte, error) {
	o := newObject(len(body) + 1024)
	var failed error
	err := members(body, func(key string, value []byte) bool {
		switch key {
		case "model", "max_tokens":
			o.raw(key, value)
		case "messages":
			if value, failed = joinMessages(value, r); failed == nil {
				o.raw(key, value)
			}
		case "system":
			s := newObject(len(value) + 80)
			s.str("type", "text")
			s.raw("text", unescapeHTML(value))
			s.raw("cache_control", ephemeral)
			o.raw(key, append(append([]byte{'['}, s.done()...), ']'))
		case "tools":
			o.raw(key, markLast(unescapeHTML(value)))
		}
		return failed == nil
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, nil, fmt.Errorf("langchaingo's body: %w", err)
	}
	o.bool("stream", true)
	if r.Temperature != nil {
		o.float("temperature", min(*r.Temperature, 1)) // this provider's scale ends at 1
	}
	if r.TopP != nil && r.Temperature == nil { // newer models refuse both together
		o.float("top_p", *r.TopP)
	}
	if len(r.Stop) > 0 {
		o.strs("stop_sequences", r.Stop)
	}
	if choice := toolChoice(r); choice != nil {
		o.raw("tool_choice", choice)
	}
	for _, k := range sortedKeys(w.cfg.Extra) {
		o.raw(k, w.cfg.Extra[k])
	}
	return o.done(), nil, nil
}

// separable is false: neighbours share a message here, and the last one is marked.
func (w *anthropicWire) separable() bool { return false }

var ephemeral = []byte(`{"type":"ephemeral"}`)

// markLast marks the end of a list of objects for the prompt cache.
func markLast(list []byte) []byte {
	n := len(list)
	if n < 4 || list[n-1] != ']' || list[n-2] != '}' {
		return list
	}
	out := append([]byte(nil), list[:n-2]...)
	return append(append(append(out, `,"cache_control":`...), ephemeral...), "}]"...)
}

func toolChoice(r *llm.Request) []byte {
	named := func(name string) []byte {
		c := newObject(64)
		c.str("type", "tool")
		c.str("name", name)
		return c.done()
	}
	switch {
	case r.Schema != nil:
		return named(schemaName(r.Schema.Name))
	case r.ToolChoice == "" || len(r.Tools) == 0:
		return nil
	case r.ToolChoice == "none" || r.ToolChoice == "auto":
		return []byte(`{"type":"` + r.ToolChoice + `"}`)
	case r.ToolChoice == "required":
		return []byte(`{"type":"any"}`)
	}
	return named(r.ToolChoice)
}

// joinMessages merges neighbours of one role, as the API wants them: an assistant's text and calls, and all results of
// those calls in one turn. The last block is marked, so that the next step finds this prompt in the cache.
func joinMessages(list []byte, r *llm.Request) ([]byte, error) {
	args, failed := map[string]string{}, map[string]bool{}
	for i := range r.Messages {
		m := &r.Messages[i]
		for _, c := range m.Calls {
			args[anthropicID(c.ID)] = c.Args
		}
		if m.Role == llm.ToolRole && m.IsError {
			failed[anthropicID(m.CallID)] = true
		}
	}
	out := append(make([]byte, 0, len(list)+len(list)/8+64), '[')
	role := ""
	err := elements(list, func(msg []byte) error {
		var msgRole string
		var content []byte
		if err := members(msg, func(key string, value []byte) bool {
			switch key {
			case "role":
				msgRole = text(value)
			case "content":
				content = value
			}
			return true
		}); err != nil {
			return err
		}
		return elements(content, func(block []byte) error {
			if msgRole == role {
				out = append(out, ',')
			} else {
				if role != "" {
					out = append(out, "]},"...)
				}
				out = append(append(append(out, `{"role":"`...), msgRole...), `","content":[`...)
				role = msgRole
			}
			var err error
			out, err = appendBlock(out, block, args, failed)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	if role == "" {
		return nil, fmt.Errorf("no message but the system's")
	}
	out = markLast(append(out, ']'))
	return append(out, "}]"...), nil
}

func appendBlock(out, block []byte, args map[string]string, failed map[string]bool) ([]byte, error) {
	var kind, id string
	if err := members(block, func(key string, value []byte) bool {
		switch key {
		case "type":
			kind = text(value)
		case "id", "tool_use_id":
			id = text(value)
		}
		return true
	}); err != nil {
		return nil, err
	}
	start := len(out)
	out = append(out, block...)
	out = out[:start+len(unescapeHTML(out[start:]))]
	switch kind {
	case "tool_use": // its input is the last member, and empty
		out = append(bytes.TrimSuffix(out, []byte(`{}}`)), inputOf(args[id])...)
		out = append(out, '}')
	case "tool_result":
		if failed[id] {
			out = append(out[:len(out)-1], `,"is_error":true}`...)
		}
	}
	return out, nil
}

// inputOf returns a call's arguments as an object. The API takes nothing else, so what the model wrote wrongly is quoted.
func inputOf(args string) []byte {
	if isObject(args) {
		var b bytes.Buffer
		if json.Compact(&b, []byte(args)) == nil {
			return b.Bytes()
		}
	}
	if s := orEmptyObject(args); s == "{}" {
		return []byte(s)
	}
	o := newObject(len(args) + 32)
	o.str("invalid_arguments", args)
	return o.done()
}
