// Package serve answers the OpenAI API with one chat model and one embedding model on llama.cpp.
//
// It links yzma, which makes a program dynamic: only cmd/agentmodel imports it.
package serve

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"agentd/llm/local/serve/gbnf"
)

// maxBody bounds a request's body: more than any context can hold.
const maxBody = 16 << 20

// Server answers for one pair of models. It is an http.Handler.
type Server struct {
	cfg     Config
	mux     *http.ServeMux
	chat    *engine
	tmpl    template
	embed   *embedder
	embedMu sync.Mutex // guards embed, which is loaded when it is first asked for
	started time.Time
}

// Open loads the chat model and returns a server for it. The embedding model is loaded at its first use.
func Open(cfg Config) (*Server, error) {
	if err := cfg.withDefaults().validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &Server{cfg: cfg, mux: http.NewServeMux(), started: time.Now()}
	if cfg.Model != "" {
		e, err := openEngine(cfg)
		if err != nil {
			return nil, err
		}
		s.chat = e
		s.tmpl = newTemplate(e.model)
	}
	s.mux.HandleFunc("GET /health", s.health)
	s.mux.HandleFunc("GET /v1/models", s.models)
	s.mux.HandleFunc("POST /v1/chat/completions", s.chatCompletions)
	s.mux.HandleFunc("POST /v1/embeddings", s.embeddings)
	s.mux.HandleFunc("POST /tokenize", s.tokenize)
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, &apiError{Message: "no such route: " + r.Method + " " + r.URL.Path, Type: "invalid_request_error", Code: "not_found", status: 404})
	})
	return s, nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	s.mux.ServeHTTP(w, r)
}

// Close frees the models. It waits for the replies being made, whose requests the caller has cancelled.
func (s *Server) Close() {
	if s.chat != nil {
		s.chat.lock(context.Background())
		s.chat.close()
	}
	s.embedMu.Lock()
	defer s.embedMu.Unlock()
	if s.embed != nil {
		s.embed.close()
		s.embed = nil
	}
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]any{"status": "ok"})
}

func (s *Server) models(w http.ResponseWriter, _ *http.Request) {
	var data []map[string]any
	if s.chat != nil {
		data = append(data, map[string]any{
			"id": s.cfg.Alias, "object": "model", "created": s.started.Unix(), "owned_by": "local",
			"context_length": s.cfg.Context, "slots": s.cfg.Slots, "threads": s.cfg.Threads,
		})
	}
	if s.cfg.Embed != "" {
		data = append(data, map[string]any{
			"id": embedName(s.cfg.Embed), "object": "model", "created": s.started.Unix(), "owned_by": "local", "embeddings": true,
		})
	}
	writeJSON(w, map[string]any{"object": "list", "data": data})
}

// tokenize counts the tokens of a text, or of a conversation as the model would see it.
func (s *Server) tokenize(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Content    *string   `json:"content"`
		Messages   []message `json:"messages"`
		Tools      []tool    `json:"tools"`
		WithTokens bool      `json:"with_tokens"`
	}
	if !s.ready(w) || !decode(w, r, &req) {
		return
	}
	segs := []segment{}
	if req.Content != nil {
		segs = append(segs, segment{*req.Content, false})
	} else {
		var err error
		if segs, err = s.tmpl.render(req.Messages, req.Tools); err != nil {
			writeError(w, invalid("messages", "%v", err))
			return
		}
	}
	tokens := s.chat.voc.tokenize(segs)
	out := map[string]any{"count": len(tokens), "context_length": s.cfg.Context}
	if req.WithTokens {
		out["tokens"] = tokens
	}
	writeJSON(w, out)
}

// ready refuses chat routes where no chat model is loaded.
func (s *Server) ready(w http.ResponseWriter) bool {
	if s.chat == nil {
		writeError(w, &apiError{Message: "no chat model is loaded: start agentmodel with --model FILE", Type: "invalid_request_error", Code: "model_not_found", status: 404})
		return false
	}
	return true
}

func decode(w http.ResponseWriter, r *http.Request, into any) bool {
	err := json.NewDecoder(r.Body).Decode(into)
	if err == nil {
		return true
	}
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		writeError(w, &apiError{Message: "the request is over 16 MiB", Type: "invalid_request_error", Code: "request_too_large", status: 413})
	} else {
		writeError(w, invalid("", "read the request: %v", err))
	}
	return false
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.Encode(v) //nolint:errcheck // the client went away
}

// writeError maps an error to the API's form.
func writeError(w http.ResponseWriter, err error) {
	e := toAPI(err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.status)
	json.NewEncoder(w).Encode(errorReply{*e}) //nolint:errcheck // the client went away
}

func toAPI(err error) *apiError {
	var api *apiError
	var long *contextError
	var unsupported *gbnf.UnsupportedError
	switch {
	case errors.As(err, &api):
		return api
	case errors.As(err, &long):
		return &apiError{Message: err.Error(), Type: "invalid_request_error", Code: "context_length_exceeded", Param: "messages", status: 400}
	case errors.As(err, &unsupported):
		return invalid("response_format", "%v", err)
	case errors.Is(err, context.Canceled):
		return &apiError{Message: "the client went away", Type: "canceled", Code: "canceled", status: 499}
	}
	return &apiError{Message: err.Error(), Type: "server_error", Code: "internal", status: 500}
}
