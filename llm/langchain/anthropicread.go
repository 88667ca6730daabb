package langchain

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"

	"agentd/llm"
)

// anthropicEvent is one event of a stream.
type anthropicEvent struct {
	Type    string `json:"type"`
	Index   int    `json:"index"`
	Message struct {
		Usage anthropicUsage `json:"usage"`
	} `json:"message"`
	Block anthropicBlock `json:"content_block"`
	Delta struct {
		Type       string `json:"type"`
		Text       string `json:"text"`
		Partial    string `json:"partial_json"`
		Thinking   string `json:"thinking"`
		StopReason string `json:"stop_reason"`
	} `json:"delta"`
	Usage anthropicUsage `json:"usage"`
}

type anthropicBlock struct {
	Type     string          `json:"type"`
	ID       string          `json:"id"`
	Name     string          `json:"name"`
	Text     string          `json:"text"`
	Thinking string          `json:"thinking"`
	Input    json.RawMessage `json:"input"`
}

type anthropicUsage struct {
	Input  *int `json:"input_tokens"`
	Output *int `json:"output_tokens"`
	Read   *int `json:"cache_read_input_tokens"`
	Write  *int `json:"cache_creation_input_tokens"`
}

// tally adds what an event counts. Later counts replace earlier ones; a missing one leaves them.
func (u *anthropicUsage) tally(into *llm.Usage) {
	fresh := into.Prompt - into.Cached - into.CacheWrite
	for _, p := range []struct {
		from *int
		to   *int
	}{{u.Input, &fresh}, {u.Output, &into.Completion}, {u.Read, &into.Cached}, {u.Write, &into.CacheWrite}} {
		if p.from != nil {
			*p.to = max(0, *p.from)
		}
	}
	into.Prompt = fresh + into.Cached + into.CacheWrite
}

func (w *anthropicWire) read(ev *events, t *turn) error {
	for {
		data, err := ev.next()
		if err == io.EOF {
			return endTurn(t, io.ErrUnexpectedEOF)
		}
		if err != nil {
			return endTurn(t, err)
		}
		data = bytes.TrimSpace(data)
		if len(data) == 0 || data[0] != '{' {
			continue
		}
		over, err := w.event(data, t)
		if over || err != nil {
			return endTurn(t, err)
		}
	}
}

// endTurn closes the turn, unless the consumer is gone. An error that ended it stays.
func endTurn(t *turn, err error) error {
	if errors.Is(err, errStopped) {
		return err
	}
	if cerr := t.close(); err == nil {
		err = cerr
	}
	return err
}

func (w *anthropicWire) event(data []byte, t *turn) (over bool, err error) {
	var e anthropicEvent
	if err := json.Unmarshal(data, &e); err != nil {
		return false, err
	}
	switch e.Type {
	case "error":
		return false, &streamFault{parseFault(data)}
	case "message_start":
		e.Message.Usage.tally(&t.usage)
	case "content_block_start":
		return false, t.block(e.Index, &e.Block)
	case "content_block_delta":
		switch e.Delta.Type {
		case "text_delta":
			return false, t.say(e.Delta.Text)
		case "thinking_delta":
			return false, t.reason(e.Delta.Thinking)
		case "input_json_delta":
			if t.knows(e.Index) { // else a block of the server's own
				return false, t.add(&e.Index, "", "", e.Delta.Partial)
			}
		}
	case "message_delta":
		e.Usage.tally(&t.usage)
		if e.Delta.StopReason != "" {
			t.finish = e.Delta.StopReason
		}
	case "message_stop":
		return true, nil
	}
	return false, nil // a ping, or what came after this was written
}

// block takes in what a content block begins with. Blocks that are neither text, thought nor call are the server's own.
func (t *turn) block(index int, b *anthropicBlock) error {
	switch b.Type {
	case "text":
		if b.Text != "" {
			return t.say(b.Text)
		}
	case "thinking":
		return t.reason(b.Thinking)
	case "tool_use":
		args := string(b.Input)
		if s := string(bytes.TrimSpace(b.Input)); s == "{}" || s == "null" {
			args = "" // it follows in pieces
		}
		return t.add(&index, b.ID, b.Name, args)
	}
	return nil
}

func (t *turn) knows(index int) bool {
	for i := range t.calls {
		if t.calls[i].index == index {
			return true
		}
	}
	return false
}

func (w *anthropicWire) whole(body []byte, t *turn) error {
	var m struct {
		Type       string           `json:"type"`
		Content    []anthropicBlock `json:"content"`
		StopReason string           `json:"stop_reason"`
		Usage      anthropicUsage   `json:"usage"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return err
	}
	if m.Type == "error" {
		return &streamFault{parseFault(body)}
	}
	m.Usage.tally(&t.usage)
	for i := range m.Content {
		if err := t.block(i, &m.Content[i]); err != nil {
			return err
		}
	}
	if t.finish = m.StopReason; t.finish == "" {
		return io.ErrUnexpectedEOF
	}
	return t.close()
}

// synthesize writes the reply's text and calls as blocks that langchaingo can read, which it can't all that are sent: a block it
// does not know, or arguments that do not parse, would lose it the whole reply.
func (w *anthropicWire) synthesize(t *turn) ([]byte, error) {
	type block struct {
		Type  string          `json:"type"`
		Text  *string         `json:"text,omitempty"`
		ID    string          `json:"id,omitempty"`
		Name  string          `json:"name,omitempty"`
		Input json.RawMessage `json:"input,omitempty"`
	}
	var blocks []block
	if s := t.text.String(); s != "" || len(t.calls) == 0 {
		blocks = append(blocks, block{Type: "text", Text: &s})
	}
	for i := range t.calls {
		c := &t.calls[i]
		blocks = append(blocks, block{Type: "tool_use", ID: c.id, Name: c.name, Input: wrapArgs(string(c.args))})
	}
	u := t.usage
	return json.Marshal(map[string]any{"type": "message", "role": "assistant", "content": blocks, "stop_reason": t.finish,
		"usage": map[string]int{"input_tokens": u.Prompt - u.Cached - u.CacheWrite, "output_tokens": u.Completion,
			"cache_read_input_tokens": u.Cached, "cache_creation_input_tokens": u.CacheWrite}})
}

func (w *anthropicWire) args(decoded string) string { return unwrapArgs(decoded) }

func (w *anthropicWire) counted(info map[string]any) llm.Usage {
	u := llm.Usage{Completion: number(info["OutputTokens"]), Cached: number(info["CacheReadInputTokens"]), CacheWrite: number(info["CacheCreationInputTokens"])}
	u.Prompt = number(info["InputTokens"]) + u.Cached + u.CacheWrite
	return u
}

// settle makes the reply's text of the call that stands for a schema: this provider has no other way to ask for one.
func (w *anthropicWire) settle(reply *llm.Reply, r *llm.Request) {
	if r.Schema == nil {
		return
	}
	for i, c := range reply.Calls {
		if c.Name != schemaName(r.Schema.Name) {
			continue
		}
		reply.Text, reply.Calls = c.Args, slices.Delete(reply.Calls, i, i+1)
		if reply.Stop == llm.StopCalls && len(reply.Calls) == 0 {
			reply.Calls, reply.Stop = nil, llm.StopEnd
		}
		return
	}
}
