package langchain_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"agentd/llm"
)

// Pictures reach a model in the form of its wire, behind the result of the tool that took them.
func TestImages(t *testing.T) {
	const png = `iVBORw==`
	for _, tt := range []struct{ provider, model, want string }{
		{"openai", "gpt-4o", `{"role":"user","content":[{"text":"look","type":"text"},{"type":"image_url","image_url":{"url":"data:image/png;base64,` + png + `"}}]}]`},
		{"gemini", "gemini-2.5-pro", `{"type":"image_url","image_url":{"url":"data:image/png;base64,` + png + `"}}]}]`},
		{"anthropic", "claude-sonnet-4-5", `{"type":"tool_result","tool_use_id":"call_2","content":"","is_error":true},{"type":"text","text":"look"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + png + `"},"cache_control":{"type":"ephemeral"}}]}]`},
	} {
		t.Run(tt.provider, func(t *testing.T) {
			s := serve(t, sse(words("ok"), finish("stop"), "[DONE]"))
			m := open(t, s, as(tt.provider, tt.model))
			if !m.Info().Sees {
				t.Error("it is said not to see")
			}
			img := llm.Message{Role: llm.User, Text: "look", Images: []llm.Image{{Type: "image/png", Data: []byte("\x89PNG")}}}
			r := &llm.Request{Messages: append(history(), img)}
			_ = listen(t.Context(), m, r) // the reply is not what this is about
			body := string(s.last())
			if !json.Valid([]byte(body)) || !strings.Contains(body, tt.want) {
				t.Errorf("want %s in\n%s", tt.want, body)
			}
			r.Messages[len(r.Messages)-1].Images[0].Data = []byte("\x89PNH")
			again, err := m.Encode(r)
			if err != nil || string(again) == body {
				t.Errorf("another picture gives the same bytes (%v)", fmt.Sprint(err))
			}
		})
	}
}
