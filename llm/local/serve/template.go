package serve

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/hybridgroup/yzma/pkg/llama"
)

// The marks of Qwen's tool calls, which are used for every model here: others have no format that llama.cpp's small
// template engine knows.
const (
	callOpen      = "<tool_call>"
	callClose     = "</tool_call>"
	responseOpen  = "<tool_response>"
	responseClose = "</tool_response>"
)

// template renders a conversation with the model's own chat template.
type template struct {
	text string
}

// newTemplate reads the template from the model's metadata; a model without one is taken to speak ChatML.
func newTemplate(m llama.Model) template {
	text := llama.ModelChatTemplate(m, "")
	if text == "" || apply(text, []llama.ChatMessage{llama.NewChatMessage("user", "x")}) == "" {
		text = "chatml"
	}
	return template{text: text}
}

func apply(tmpl string, msgs []llama.ChatMessage) string {
	buf := make([]byte, 4096+256*len(msgs))
	n := llama.ChatApplyTemplate(tmpl, msgs, true, buf)
	if int(n) > len(buf) {
		buf = make([]byte, n)
		n = llama.ChatApplyTemplate(tmpl, msgs, true, buf)
	}
	if n <= 0 {
		return ""
	}
	return string(buf[:n])
}

// render returns the prompt in segments. The template sees place holders instead of contents, so that what a message
// says can't be taken for the template's own marks.
func (t template) render(msgs []message, tools []tool) ([]segment, error) {
	turns, err := foldTurns(msgs, tools)
	if err != nil {
		return nil, err
	}
	chat := make([]llama.ChatMessage, len(turns))
	for i, turn := range turns {
		chat[i] = llama.NewChatMessage(turn.role, holder(i))
	}
	frame := apply(t.text, chat)
	if frame == "" {
		return nil, fmt.Errorf("the model's chat template can't render these messages")
	}
	var segs []segment
	for i, turn := range turns {
		before, after, ok := strings.Cut(frame, holder(i))
		if !ok {
			return nil, fmt.Errorf("the model's chat template drops message %d (%s)", i, turn.role)
		}
		segs = append(segs, segment{before, true})
		segs = append(segs, turn.body...)
		frame = after
	}
	return append(segs, segment{frame, true}), nil
}

func holder(i int) string { return "\uE000" + strconv.Itoa(i) + "\uE001" }

// turn is a message as templates know it: a role and a body.
type turn struct {
	role string
	body []segment
}

// foldTurns brings tools, tool calls and their results into the three roles that every template knows.
func foldTurns(msgs []message, tools []tool) ([]turn, error) {
	var turns []turn
	if len(tools) > 0 && (len(msgs) == 0 || !isSystem(msgs[0].Role)) {
		turns = append(turns, turn{role: "system", body: toolPrompt(tools)})
		tools = nil
	}
	for i, m := range msgs {
		text := m.Content.text()
		switch {
		case isSystem(m.Role):
			body := []segment{{text, false}}
			if i == 0 && len(tools) > 0 {
				body = append(body, segment{"\n\n", false})
				body = append(body, toolPrompt(tools)...)
			}
			turns = append(turns, turn{"system", body})
		case m.Role == "user":
			turns = append(turns, turn{"user", []segment{{text, false}}})
		case m.Role == "assistant":
			turns = append(turns, turn{"assistant", assistantBody(text, m.ToolCalls)})
		case m.Role == "tool":
			body := []segment{{responseOpen + "\n", true}, {text, false}, {"\n" + responseClose, true}}
			if i > 0 && msgs[i-1].Role == "tool" { // results of one turn's calls are one turn
				last := &turns[len(turns)-1]
				last.body = append(append(last.body, segment{"\n", true}), body...)
				continue
			}
			turns = append(turns, turn{"user", body})
		default:
			return nil, fmt.Errorf("messages[%d].role %q: want system, developer, user, assistant or tool", i, m.Role)
		}
	}
	return turns, nil
}

func isSystem(role string) bool { return role == "system" || role == "developer" }

func assistantBody(text string, calls []toolCall) []segment {
	body := []segment{{text, false}}
	for i, c := range calls {
		open := callOpen + "\n"
		if text != "" || i > 0 {
			open = "\n" + open
		}
		args := json.RawMessage(c.Function.Arguments)
		if !json.Valid(args) {
			args, _ = json.Marshal(c.Function.Arguments)
		}
		name, _ := json.Marshal(c.Function.Name)
		body = append(body, segment{open, true},
			segment{fmt.Sprintf(`{"name": %s, "arguments": %s}`, name, args), false},
			segment{"\n" + callClose, true})
	}
	return body
}

// toolPrompt tells the model of its tools in the words that Qwen was trained on.
func toolPrompt(tools []tool) []segment {
	var list strings.Builder
	for _, t := range tools {
		b, _ := json.Marshal(t)
		list.Write(b)
		list.WriteByte('\n')
	}
	return []segment{
		{"# Tools\n\nYou may call one or more functions to assist with the user query.\n\n" +
			"You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n" + list.String() +
			"</tools>\n\nFor each function call, return a json object with function name and arguments within ", false},
		{callOpen + callClose, true},
		{" XML tags:\n", false},
		{callOpen, true},
		{"\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n", false},
		{callClose, true},
	}
}
