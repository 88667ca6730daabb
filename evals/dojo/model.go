package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
)

// script is what the model of one run does: a plan of one task, the calls one after the other, whatever becomes of them, and the end.
type script struct {
	goal, server string
	calls        []call
	says         string
	next         int
}

// model is an OpenAI-compatible endpoint; each run has a model name of its own.
type model struct {
	net.Listener
	base string

	mu   sync.Mutex // guards runs
	runs map[string]*script
}

func (m *model) add(name string, s script) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.runs[name] = &s
}

func serveModel() (*model, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	m := &model{Listener: ln, base: "http://" + ln.Addr().String() + "/v1", runs: map[string]*script{}}
	go http.Serve(ln, http.HandlerFunc(m.serve)) // ends when the listener is closed
	return m, nil
}

// reply is the next one of a run.
func (m *model) reply(name string, offered bool) (content string, tool string, args any, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.runs[name]
	switch {
	case s == nil:
		return "", "", nil, fmt.Errorf("no run has the model %q", name)
	case !offered:
		data, err := json.Marshal(map[string]any{"tasks": []any{map[string]any{"id": "task", "do": s.goal, "needs": []any{}, "writes": []any{}, "out": "", "done": ""}}, "checks": []any{}})
		return string(data), "", nil, err
	case s.next < len(s.calls):
		c := s.calls[s.next]
		s.next++
		return "", s.server + "__" + c.tool, c.args, nil
	}
	s.next++
	return "", "finish", map[string]any{"result": s.says}, nil
}

func (m *model) serve(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(io.LimitReader(r.Body, 64<<20))
	var body struct {
		Model  string `json:"model"`
		Tools  []any  `json:"tools"`
		Stream bool   `json:"stream"`
	}
	if err == nil && len(raw) > 0 {
		err = json.Unmarshal(raw, &body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	content, tool, args, err := m.reply(body.Model, len(body.Tools) > 0)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	msg, finish := map[string]any{"role": "assistant", "content": content}, "stop"
	if tool != "" {
		data, err := json.Marshal(args)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		finish = "tool_calls"
		msg["tool_calls"] = []any{map[string]any{"index": 0, "id": "c", "type": "function", "function": map[string]any{"name": tool, "arguments": string(data)}}}
	}
	usage := map[string]int{"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
	choice := func(kind string, v, finish any) []any {
		return []any{map[string]any{"index": 0, kind: v, "finish_reason": finish}}
	}
	if !body.Stream {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"id": "x", "object": "chat.completion", "model": body.Model, "choices": choice("message", msg, finish), "usage": usage})
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for _, choices := range [][]any{choice("delta", msg, nil), choice("delta", map[string]any{}, finish), {}} {
		chunk := map[string]any{"id": "x", "object": "chat.completion.chunk", "model": body.Model, "choices": choices}
		if len(choices) == 0 {
			chunk["usage"] = usage
		}
		data, err := json.Marshal(chunk)
		if err != nil {
			return
		}
		fmt.Fprintf(w, "data: %s\n\n", data)
	}
	fmt.Fprint(w, "data: [DONE]\n\n")
}
