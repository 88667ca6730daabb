package langchain

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"

	"agentd/llm"
)

// chunk is one event of a stream, or, with Message in place of Delta, a whole reply.
type chunk struct {
	Object  string          `json:"object"`
	Error   json.RawMessage `json:"error"`
	Choices []struct {
		Index        int             `json:"index"`
		Delta        piece           `json:"delta"`
		Message      piece           `json:"message"`
		FinishReason json.RawMessage `json:"finish_reason"`
	} `json:"choices"`
	Usage *openaiUsage `json:"usage"`
}

type piece struct {
	Content          json.RawMessage `json:"content"`
	ReasoningContent string          `json:"reasoning_content"`
	Reasoning        json.RawMessage `json:"reasoning"`
	Refusal          string          `json:"refusal"`
	ToolCalls        []toolPiece     `json:"tool_calls"`
	FunctionCall     *function       `json:"function_call"`
}

type toolPiece struct {
	Index    *int     `json:"index"`
	ID       string   `json:"id"`
	Function function `json:"function"`
}

type function struct {
	Name      string          `json:"name"`
	Arguments json.RawMessage `json:"arguments"` // a string; some servers send the object
}

type openaiUsage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	CacheHit   int `json:"prompt_cache_hit_tokens"` // DeepSeek
	Details    *struct {
		Cached int `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
}

func (w *openaiWire) read(ev *events, t *turn) error {
	done := false
	for !done {
		data, err := ev.next()
		switch {
		case err == io.EOF:
			return endTurn(t, nil)
		case err != nil:
			return endTurn(t, err)
		}
		data = bytes.TrimSpace(data)
		if done = string(data) == "[DONE]"; done || len(data) == 0 || data[0] != '{' {
			continue // some servers send words between the events
		}
		if err := w.event(data, t); err != nil {
			return endTurn(t, err)
		}
	}
	return endTurn(t, nil)
}

func (w *openaiWire) whole(body []byte, t *turn) error {
	if err := w.event(body, t); err != nil {
		return err
	}
	if err := t.close(); err != nil {
		return err
	}
	if t.finish == "" {
		return io.ErrUnexpectedEOF
	}
	return nil
}

func (w *openaiWire) event(data []byte, t *turn) error {
	var c chunk
	if err := json.Unmarshal(data, &c); err != nil {
		return err
	}
	if len(c.Error) > 0 && string(c.Error) != "null" || c.Object == "error" {
		return &streamFault{parseFault(data)}
	}
	if u := c.Usage; u != nil {
		t.usage = llm.Usage{Prompt: u.Prompt, Completion: u.Completion, Cached: u.CacheHit}
		if u.Details != nil && u.Details.Cached > 0 {
			t.usage.Cached = u.Details.Cached
		}
	}
	for i := range c.Choices {
		ch := &c.Choices[i]
		if ch.Index != 0 {
			continue // one reply was asked for
		}
		for _, p := range []*piece{&ch.Delta, &ch.Message} {
			if err := p.into(t); err != nil {
				return err
			}
		}
		if f := text(ch.FinishReason); f != "" { // a later null takes nothing back
			t.finish = f
		}
	}
	return nil
}

func (p *piece) into(t *turn) error {
	if err := t.reason(p.ReasoningContent); err != nil {
		return err
	}
	if p.ReasoningContent == "" && len(p.Reasoning) > 0 && p.Reasoning[0] == '"' {
		if err := t.reason(text(p.Reasoning)); err != nil {
			return err
		}
	}
	if p.Refusal != "" {
		t.filtered = true
		if err := t.say(p.Refusal); err != nil {
			return err
		}
	}
	if err := p.content(t); err != nil {
		return err
	}
	for i := range p.ToolCalls {
		tc := &p.ToolCalls[i]
		if err := t.add(tc.Index, tc.ID, tc.Function.Name, text(tc.Function.Arguments)); err != nil {
			return err
		}
	}
	if f := p.FunctionCall; f != nil && len(p.ToolCalls) == 0 {
		zero := 0
		return t.add(&zero, "", f.Name, text(f.Arguments))
	}
	return nil
}

// content is a string, or, from Mistral's reasoning models, a list of blocks.
func (p *piece) content(t *turn) error {
	if len(p.Content) == 0 || p.Content[0] != '[' {
		if s := text(p.Content); s != "" {
			return t.say(s)
		}
		return nil
	}
	var blocks []struct {
		Type     string          `json:"type"`
		Text     string          `json:"text"`
		Thinking json.RawMessage `json:"thinking"`
	}
	if err := json.Unmarshal(p.Content, &blocks); err != nil {
		return err
	}
	for _, b := range blocks {
		var err error
		switch b.Type {
		case "text":
			err = t.say(b.Text)
		case "thinking":
			var parts []struct {
				Text string `json:"text"`
			}
			if json.Unmarshal(b.Thinking, &parts) == nil {
				for _, part := range parts {
					if err = t.reason(part.Text); err != nil {
						break
					}
				}
			} else {
				err = t.reason(text(b.Thinking))
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// synthesize writes the reply as one that was not streamed.
func (w *openaiWire) synthesize(t *turn) ([]byte, error) {
	type call struct {
		ID       string `json:"id"`
		Type     string `json:"type"`
		Function struct {
			Name      string `json:"name"`
			Arguments string `json:"arguments"`
		} `json:"function"`
	}
	type message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
		Calls   []call `json:"tool_calls,omitempty"`
	}
	type choice struct {
		Message message `json:"message"`
		Finish  string  `json:"finish_reason"`
	}
	type usage struct {
		Prompt     int            `json:"prompt_tokens"`
		Completion int            `json:"completion_tokens"`
		Details    map[string]int `json:"prompt_tokens_details"`
	}
	m := message{Role: "assistant", Content: t.text.String()}
	for i := range t.calls {
		c := call{ID: t.calls[i].id, Type: "function"}
		c.Function.Name, c.Function.Arguments = strings.TrimSpace(t.calls[i].name), string(t.calls[i].args)
		m.Calls = append(m.Calls, c)
	}
	finish := t.finish
	if finish == "function_call" {
		finish = "tool_calls" // the old form has no list of calls
	}
	return json.Marshal(struct {
		Choices []choice `json:"choices"`
		Usage   usage    `json:"usage"`
	}{[]choice{{m, finish}}, usage{t.usage.Prompt, t.usage.Completion, map[string]int{"cached_tokens": t.usage.Cached}}})
}

func (w *openaiWire) settle(*llm.Reply, *llm.Request) {}

func (w *openaiWire) args(decoded string) string { return decoded }

func (w *openaiWire) counted(info map[string]any) llm.Usage {
	return llm.Usage{Prompt: number(info["PromptTokens"]), Completion: number(info["CompletionTokens"]), Cached: number(info["PromptCachedTokens"])}
}

func number(v any) int {
	n, _ := v.(int)
	return n
}
