package langchain

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/tmc/langchaingo/llms"
	"github.com/tmc/langchaingo/llms/openai"

	"agentd/llm"
)

// openaiWire speaks OpenAI's chat completions, and the dialects of those who copy them.
type openaiWire struct {
	cfg    *Config
	quirks quirks
}

// quirks are what a provider of this wire form does not take, or takes under another name.
type quirks struct {
	maxField   string // of the bound of the reply
	seedField  string // empty: none
	usageFlag  bool   // stream_options
	effort     bool   // reasoning_effort
	sampling   bool   // temperature, top_p, stop
	jsonSchema bool   // response_format json_schema; else only json_object
	shortIDs   bool   // tool calls' ids have nine letters or digits
	signatures bool   // a tool call of the past needs a thought signature
}

// reasoning matches the names of OpenAI's reasoning models, which refuse sampling parameters and max_tokens.
var reasoning = regexp.MustCompile(`(?i)^(o[1-9]|gpt-[5-9])(\b|[-.])`)

func quirksOf(c Config, p llm.Provider) quirks {
	q := quirks{maxField: "max_tokens", seedField: "seed", usageFlag: true, effort: true, sampling: true, jsonSchema: true}
	switch c.Provider {
	case "openai":
		thinks := reasoning.MatchString(c.Model)
		own := c.BaseURL == p.BaseURL
		if thinks || own {
			q.maxField = "max_completion_tokens"
		}
		q.sampling = !thinks
		q.effort = thinks || !own
	case "mistral":
		q.seedField, q.usageFlag, q.effort, q.shortIDs = "random_seed", false, false, true
	case "gemini":
		q.seedField, q.signatures = "", strings.HasPrefix(c.Model, "gemini-3")
	case "deepseek":
		q.seedField, q.effort, q.jsonSchema = "", false, false
	case "groq":
		q.effort = strings.Contains(c.Model, "gpt-oss")
		q.jsonSchema = c.Schema
	}
	return q
}

func (w *openaiWire) generate(ctx context.Context, d doer, msgs []llms.MessageContent, opts []llms.CallOption) (*llms.ContentResponse, error) {
	token := w.cfg.Key
	if token == "" {
		token = "none" // the client insists; call.Do takes it out again
	}
	// Organization and base URL are set so that langchaingo does not take them from the environment.
	client, err := openai.New(openai.WithHTTPClient(d), openai.WithToken(token), openai.WithModel(w.cfg.Model), openai.WithBaseURL(w.cfg.BaseURL),
		openai.WithOrganization(""), openai.WithAPIType(openai.APITypeOpenAI))
	if err != nil {
		return nil, err
	}
	return client.GenerateContent(ctx, msgs, opts...)
}

func (w *openaiWire) prepare(r *llm.Request) ([]llms.MessageContent, []llms.CallOption) {
	msgs := make([]llms.MessageContent, 0, len(r.Messages))
	for i := range r.Messages {
		m := &r.Messages[i]
		switch m.Role {
		case llm.ToolRole:
			msgs = append(msgs, llms.MessageContent{Role: llms.ChatMessageTypeTool, Parts: []llms.ContentPart{
				llms.ToolCallResponse{ToolCallID: w.id(m.CallID), Content: m.Text}}})
		case llm.Assistant:
			parts := make([]llms.ContentPart, 0, 1+len(m.Calls))
			if m.Text != "" || len(m.Calls) == 0 {
				parts = append(parts, llms.TextContent{Text: m.Text})
			}
			for _, c := range m.Calls {
				parts = append(parts, llms.ToolCall{ID: w.id(c.ID), Type: "function", FunctionCall: &llms.FunctionCall{Name: c.Name, Arguments: orEmptyObject(c.Args)}})
			}
			msgs = append(msgs, llms.MessageContent{Role: llms.ChatMessageTypeAI, Parts: parts})
		case llm.System:
			msgs = append(msgs, llms.TextParts(llms.ChatMessageTypeSystem, m.Text))
		default:
			human := llms.TextParts(llms.ChatMessageTypeHuman, m.Text)
			for _, img := range m.Images {
				human.Parts = append(human.Parts, llms.ImageURLPart("data:"+img.Type+";base64,"+base64.StdEncoding.EncodeToString(img.Data)))
			}
			msgs = append(msgs, human)
		}
	}
	return msgs, []llms.CallOption{llms.WithModel(w.cfg.Model), llms.WithTools(toolsOf(r.Tools))}
}

func toolsOf(specs []llm.ToolSpec) []llms.Tool {
	tools := make([]llms.Tool, len(specs))
	for i, s := range specs {
		tools[i] = llms.Tool{Type: "function", Function: &llms.FunctionDefinition{Name: s.Name, Description: s.Description, Parameters: schemaOrEmpty(s.Schema)}}
	}
	return tools
}

func schemaOrEmpty(s json.RawMessage) json.RawMessage {
	if len(bytes.TrimSpace(s)) == 0 {
		return json.RawMessage(`{"type":"object","properties":{}}`)
	}
	return s
}

var shortID = regexp.MustCompile(`^[a-zA-Z0-9]{9}$`)

// id fits a call's id to the provider: the same id always becomes the same one.
func (w *openaiWire) id(id string) string {
	if !w.quirks.shortIDs || shortID.MatchString(id) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	s := base64.RawURLEncoding.EncodeToString(sum[:])
	return strings.NewReplacer("-", "x", "_", "y").Replace(s[:9])
}

// oldReasoning matches the models for which langchaingo moves the system's words into the first message.
var oldReasoning = regexp.MustCompile(`(?i)^o[13](-mini|-preview)?$`)

func (w *openaiWire) separable() bool { return !oldReasoning.MatchString(w.cfg.Model) }

// complete keeps langchaingo's messages and tools, and writes everything else itself.
func (w *openaiWire) complete(body []byte, r *llm.Request, known [][]byte) ([]byte, [][]byte, error) {
	size := len(body) + 512 + len(r.Grammar)
	for _, msg := range known {
		size += len(msg) + 1
	}
	o, all := newObject(size), known
	var failed error
	err := members(body, func(key string, value []byte) bool {
		switch key {
		case "model", "tools":
			o.raw(key, unescapeHTML(value))
		case "messages":
			failed = elements(value, func(msg []byte) error {
				msg = unescapeHTML(msg)
				if w.quirks.signatures {
					msg = withSignatures(msg)
				}
				all = append(all, bytes.Clone(msg)) // not all of the body is to be kept for it
				return nil
			})
			o.list(key, all)
		}
		return failed == nil
	})
	if err = cmp.Or(err, failed); err != nil {
		return nil, nil, fmt.Errorf("langchaingo's body: %w", err)
	}
	o.bool("stream", true)
	if w.quirks.usageFlag {
		o.raw("stream_options", []byte(`{"include_usage":true}`))
	}
	if r.MaxTokens > 0 {
		o.num(w.quirks.maxField, r.MaxTokens)
	}
	w.sampling(o, r)
	switch r.ToolChoice {
	case "":
	case "none", "required", "auto":
		if len(r.Tools) > 0 {
			o.str("tool_choice", r.ToolChoice)
		}
	default:
		f := newObject(64)
		f.str("name", r.ToolChoice)
		c := newObject(96)
		c.str("type", "function")
		c.raw("function", f.done())
		o.raw("tool_choice", c.done())
	}
	if r.Schema != nil {
		format, err := w.format(r.Schema)
		if err != nil {
			return nil, nil, err
		}
		o.raw("response_format", format)
	}
	if r.Grammar != "" && w.cfg.Grammar {
		o.str("grammar", r.Grammar)
	}
	for _, k := range sortedKeys(w.cfg.Extra) {
		o.raw(k, w.cfg.Extra[k])
	}
	return o.done(), all, nil
}

func sortedKeys(m map[string]json.RawMessage) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (w *openaiWire) sampling(o *object, r *llm.Request) {
	if w.quirks.sampling {
		if r.Temperature != nil {
			o.float("temperature", *r.Temperature)
		}
		if r.TopP != nil {
			o.float("top_p", *r.TopP)
		}
		if len(r.Stop) > 0 {
			o.strs("stop", r.Stop)
		}
	}
	if r.Seed != nil && w.quirks.seedField != "" {
		o.num(w.quirks.seedField, *r.Seed)
	}
	if r.Effort != "" && w.quirks.effort {
		o.str("reasoning_effort", r.Effort)
	}
}

// format asks for a schema. Strict is said only of a schema that meets OpenAI's rules for it, since others are refused.
func (w *openaiWire) format(s *llm.Schema) ([]byte, error) {
	if !w.quirks.jsonSchema {
		return []byte(`{"type":"json_object"}`), nil
	}
	var schema bytes.Buffer
	if err := json.Compact(&schema, s.JSON); err != nil {
		return nil, fmt.Errorf("schema %s: %w", s.Name, err)
	}
	in := newObject(schema.Len() + 64)
	in.str("name", schemaName(s.Name))
	if strictSchema(s.JSON) {
		in.bool("strict", true)
	}
	in.raw("schema", schema.Bytes())
	out := newObject(len(in.b) + 64)
	out.str("type", "json_schema")
	out.raw("json_schema", in.done())
	return out.done(), nil
}

var notInName = regexp.MustCompile(`[^a-zA-Z0-9_-]`)

func schemaName(s string) string {
	if s = notInName.ReplaceAllString(s, "_"); s == "" {
		return "reply"
	}
	return s[:min(len(s), 64)]
}

// withSignatures gives the first tool call of each past turn the signature that tells Gemini not to look for its own: a
// reply's signature is not part of a journaled reply.
func withSignatures(messages []byte) []byte {
	// Inside of a string the quotes would be escaped, so that this matches members only.
	const calls = `"tool_calls":[{`
	const extra = `"extra_content":{"google":{"thought_signature":"skip_thought_signature_validator"}},`
	return bytes.ReplaceAll(messages, []byte(calls), []byte(calls+extra))
}
