package serve

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"time"

	"agentd/llm/local/serve/gbnf"
)

func (s *Server) chatCompletions(w http.ResponseWriter, r *http.Request) {
	var req chatRequest
	if !s.ready(w) || !decode(w, r, &req) {
		return
	}
	g, err := s.plan(&req)
	if err != nil {
		writeError(w, err)
		return
	}
	head := chatReply{ID: "chatcmpl-" + randomID(), Created: time.Now().Unix(), Model: s.cfg.Alias}
	if req.Stream {
		s.stream(w, r, &req, g, head)
		return
	}
	out, err := s.chat.generate(r.Context(), g)
	if err != nil {
		writeError(w, err)
		return
	}
	text, calls := splitCalls(out.text, g)
	reason := out.reason
	msg := &replyMessage{Role: "assistant", Content: &text, ToolCalls: calls}
	if len(calls) > 0 {
		reason = "tool_calls"
		if text == "" {
			msg.Content = nil
		}
	}
	head.Object = "chat.completion"
	head.Choices = []choice{{Message: msg, FinishReason: &reason}}
	head.Usage = out.usage()
	head.Timings = &out.timings
	writeJSON(w, head)
}

// plan turns a request into a generation, or says which field is wrong.
func (s *Server) plan(req *chatRequest) (*generation, error) {
	if len(req.Messages) == 0 {
		return nil, invalid("messages", "messages: give at least one")
	}
	if req.N != nil && *req.N != 1 {
		return nil, invalid("n", "n is %d: this server makes one reply", *req.N)
	}
	g := &generation{stop: req.Stop}
	if err := planSampling(req, g); err != nil {
		return nil, err
	}
	tools, err := s.planForm(req, g)
	if err != nil {
		return nil, err
	}
	segs, err := s.tmpl.render(req.Messages, tools)
	if err != nil {
		return nil, invalid("messages", "%v", err)
	}
	g.prompt = s.chat.voc.tokenize(append(segs, segment{g.lead, true}))
	if len(g.prompt) >= s.cfg.Context {
		return nil, &contextError{len(g.prompt), s.cfg.Context}
	}
	for _, grammar := range []string{g.grammar, g.after} {
		if grammar == "" {
			continue
		}
		smp := newSampler(s.chat.voc, sampling{})
		err := smp.constrain(grammar)
		smp.free()
		if err != nil {
			return nil, err
		}
	}
	return g, nil
}

// defaultMinP keeps a warm small model from tokens that make no sense in code: those less likely than this share of the best.
const defaultMinP = 0.1

func planSampling(req *chatRequest, g *generation) error {
	number := func(name string, v *float64, low, high float64, into *float64) error {
		if v == nil {
			return nil
		}
		if math.IsNaN(*v) || *v < low || *v > high {
			return invalid(name, "%s is %v: want %v to %v", name, *v, low, high)
		}
		*into = *v
		return nil
	}
	g.sampling.minP = defaultMinP
	for _, err := range []error{
		number("temperature", req.Temperature, 0, 5, &g.sampling.temperature),
		number("top_p", req.TopP, 0, 1, &g.sampling.topP),
		number("min_p", req.MinP, 0, 1, &g.sampling.minP),
		number("frequency_penalty", req.FrequencyPenalty, -2, 2, &g.sampling.frequency),
		number("presence_penalty", req.PresencePenalty, -2, 2, &g.sampling.presence),
	} {
		if err != nil {
			return err
		}
	}
	if req.TopK != nil {
		g.sampling.topK = min(max(*req.TopK, 0), 1000)
	}
	g.sampling.seed = uint64(time.Now().UnixNano())
	if req.Seed != nil {
		g.sampling.seed = uint64(*req.Seed)
	}
	most := req.MaxCompletionTokens
	if most == nil {
		most = req.MaxTokens
	}
	if most != nil {
		if *most < 1 {
			return invalid("max_tokens", "max_tokens is %d: want at least 1", *most)
		}
		g.maxTokens = *most
	}
	if len(req.Stop) > 16 {
		return invalid("stop", "stop has %d texts: want at most 16", len(req.Stop))
	}
	for _, t := range req.Stop {
		if t == "" || len(t) > 256 {
			return invalid("stop", "stop: a text has %d bytes: want 1 to 256", len(t))
		}
	}
	return nil
}

// planForm chooses the grammar that holds the reply, and returns the tools that the model is told of.
func (s *Server) planForm(req *chatRequest, g *generation) ([]tool, error) {
	forms := 0
	if req.Grammar != "" {
		forms++
		g.grammar = req.Grammar
	}
	if f := req.ResponseFormat; f != nil && f.Type != "text" && f.Type != "" {
		forms++
		schema := []byte(`{"type":"object"}`)
		switch f.Type {
		case "json_object":
		case "json_schema":
			if f.JSONSchema == nil || len(f.JSONSchema.Schema) == 0 {
				return nil, invalid("response_format", "response_format.json_schema.schema is missing")
			}
			schema = f.JSONSchema.Schema
		default:
			return nil, invalid("response_format", "response_format.type %q: want text, json_object or json_schema", f.Type)
		}
		grammar, err := gbnf.FromSchema(schema)
		if err != nil {
			return nil, invalid("response_format", "response_format: %v", err)
		}
		g.grammar = grammar
	}
	if forms > 1 {
		return nil, invalid("grammar", "grammar and response_format exclude each other")
	}
	return s.planTools(req, g)
}

func (s *Server) planTools(req *chatRequest, g *generation) ([]tool, error) {
	choice, name, err := parseChoice(req.ToolChoice)
	if err != nil {
		return nil, err
	}
	if len(req.Tools) == 0 || choice == "none" {
		if choice == "required" {
			return nil, invalid("tool_choice", "tool_choice asks for a call and no tools are given")
		}
		return nil, nil
	}
	if g.grammar != "" {
		return nil, invalid("tools", "tools exclude grammar and response_format, unless tool_choice is none")
	}
	var offered []gbnf.Tool
	for i, t := range req.Tools {
		if t.Function.Name == "" || len(t.Function.Name) > 128 {
			return nil, invalid("tools", "tools[%d].function.name has %d bytes: want 1 to 128", i, len(t.Function.Name))
		}
		if name == "" || name == t.Function.Name {
			offered = append(offered, gbnf.Tool{Name: t.Function.Name, Schema: t.Function.Parameters})
		}
	}
	if len(offered) == 0 {
		return nil, invalid("tool_choice", "tool_choice names %q, which is no tool of this request", name)
	}
	g.marker = callOpen
	calls, err := gbnf.ToolCalls(offered, callOpen, callClose)
	if choice == "required" {
		g.lead, g.grammar = callOpen, calls
	} else {
		g.after = calls
		g.bare = func(text string) bool { return bareCall(text, offered) != "" }
	}
	if err != nil {
		return nil, invalid("tools", "tools: %v", err)
	}
	return req.Tools, nil
}

// parseChoice reads tool_choice: auto, none, required, or required with a name.
func parseChoice(raw json.RawMessage) (choice, name string, err error) {
	if len(raw) == 0 || string(raw) == "null" {
		return "auto", "", nil
	}
	if json.Unmarshal(raw, &choice) == nil {
		switch choice {
		case "auto", "none", "required":
			return choice, "", nil
		}
		return "", "", invalid("tool_choice", "tool_choice %q: want auto, none, required or a function", choice)
	}
	var f struct {
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
	}
	if json.Unmarshal(raw, &f) != nil || f.Function.Name == "" {
		return "", "", invalid("tool_choice", "tool_choice: want auto, none, required or {\"type\":\"function\",\"function\":{\"name\":…}}")
	}
	return "required", f.Function.Name, nil
}

// bareCall returns the JSON of a reply that is nothing but a call of an offered tool, perhaps in a fence: small models
// often leave the marker out.
func bareCall(text string, offered []gbnf.Tool) string {
	text = strings.TrimSpace(text)
	if inner, ok := strings.CutPrefix(text, "```json"); ok {
		text = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(inner), "```"))
	}
	var c struct {
		Name      string                     `json:"name"`
		Arguments map[string]json.RawMessage `json:"arguments"`
	}
	if json.Unmarshal([]byte(text), &c) != nil || c.Arguments == nil {
		return ""
	}
	for _, t := range offered {
		if t.Name == c.Name {
			return text
		}
	}
	return ""
}

// splitCalls takes a reply apart into its text and its tool calls. What can't be read as a call stays text.
func splitCalls(text string, g *generation) (string, []toolCall) {
	if g.marker == "" {
		return text, nil
	}
	at := strings.Index(text, g.marker)
	if at < 0 && g.bare != nil && g.bare(text) {
		at = 0
		text = g.marker + text[strings.IndexByte(text, '{'):]
	}
	if at < 0 {
		return text, nil
	}
	said, rest := text[:at], text[at:]
	var calls []toolCall
	for {
		_, after, ok := strings.Cut(rest, g.marker)
		if !ok {
			break
		}
		var c struct {
			Name      string          `json:"name"`
			Arguments json.RawMessage `json:"arguments"`
		}
		dec := json.NewDecoder(strings.NewReader(after))
		if err := dec.Decode(&c); err != nil || c.Name == "" {
			break // cut by the token limit
		}
		var args bytes.Buffer
		if json.Compact(&args, c.Arguments) != nil {
			args.WriteString("{}")
		}
		calls = append(calls, toolCall{ID: "call_" + randomID(), Type: "function", Function: functionCall{c.Name, args.String()}})
		rest = after[dec.InputOffset():]
	}
	if len(calls) == 0 {
		return text, nil
	}
	return strings.TrimSpace(said), calls
}

func randomID() string {
	var b [9]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
