package llm_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"agentd/llm"
)

func TestSees(t *testing.T) {
	for _, tt := range []struct {
		provider, model string
		want            bool
	}{
		{"openai", "gpt-4o-mini", true}, {"openai", "gpt-5", true}, {"openai", "gpt-5.1-mini", true}, {"openai", "o3", true}, {"openai", "o3-mini", false}, {"openai", "o1-mini", false},
		{"openai", "gpt-3.5-turbo", false}, {"openai", "qwen2.5-coder", false},
		{"anthropic", "claude-sonnet-4-5", true}, {"anthropic", "claude-3-5-haiku-latest", true}, {"anthropic", "claude-2.1", false},
		{"gemini", "gemini-2.5-flash", true}, {"mistral", "codestral-latest", false}, {"mistral", "pixtral-large-latest", true},
		{"groq", "meta-llama/llama-4-scout-17b-16e-instruct", true}, {"groq", "openai/gpt-oss-120b", false}, {"deepseek", "deepseek-chat", false},
		{"local", "qwen2.5-coder-1.5b", false}, {"ollama", "llama3.2-vision:11b", true}, {"ollama", "qwen2.5vl:7b", true}, {"ollama", "qwen3:8b", false},
		{"openrouter", "anthropic/claude-sonnet-4", true}, {"openrouter", "deepseek/deepseek-r1", false},
	} {
		if got := llm.Sees(tt.provider, tt.model); got != tt.want {
			t.Errorf("%s/%s: %v", tt.provider, tt.model, got)
		}
	}
}

// A picture is counted by its number and not by its bytes.
func TestCountPrompt(t *testing.T) {
	img := llm.Image{Type: "image/png", Data: []byte(strings.Repeat("\x01\xff7", 50000))}
	r := &llm.Request{Messages: []llm.Message{{Role: llm.User, Text: "look", Images: []llm.Image{img}}}}
	body := `{"text":"look","data":"` + base64.StdEncoding.EncodeToString(img.Data) + `"}`
	if n := llm.CountPrompt([]byte(body), r); n < 2000 || n > 4000 {
		t.Errorf("%d tokens", n)
	}
}
