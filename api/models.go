package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

func (s *Server) models(_ http.ResponseWriter, r *http.Request) (any, error) {
	m, err := s.opt.Engine.Models(r.Context())
	if m == nil {
		m = []ModelInfo{}
	}
	return ModelList{Models: m}, err
}

func (s *Server) removeModel(_ http.ResponseWriter, r *http.Request) (any, error) {
	return Appended{}, s.opt.Engine.RemoveModel(r.Context(), r.PathValue("name"))
}

// pull answers with one JSON value a line: progress, then either {"state":"done"} or {"error":…}.
func (s *Server) pull(w http.ResponseWriter, r *http.Request) (any, error) {
	p, err := read[Pull](w, r, maxBody)
	if err != nil {
		return nil, err
	}
	if p.Name == "" {
		return nil, Errorf(ErrModel, "agentctl model ls shows what can be pulled", "no model is named")
	}
	s.unhurried(w)
	out := &streamWriter{w: w, rc: http.NewResponseController(w), patience: s.opt.Timeout, kind: "application/x-ndjson"}
	line := func(l PullLine) {
		data, err := json.Marshal(l)
		if err != nil {
			panic(fmt.Sprintf("api: encode progress: %v", err))
		}
		_, _ = out.Write(append(data, '\n')) // a client that left doesn't end the fetch; ctx does
		_ = out.rc.Flush()
	}
	var last time.Time
	var state, file string
	err = s.opt.Engine.Pull(r.Context(), p.Name, func(p PullProgress) {
		if time.Since(last) < 100*time.Millisecond && p.State == state && p.File == file {
			return
		}
		last, state, file = time.Now(), p.State, p.File
		line(PullLine{PullProgress: p})
	})
	if err != nil {
		if !out.began {
			return nil, err
		}
		e := ErrorOf(err)
		if e.Code == "internal" {
			s.log.Error("pull ended with an error", "model", p.Name, "err", err)
		}
		line(PullLine{Error: e})
		return nil, nil
	}
	line(PullLine{PullProgress: PullProgress{State: "done"}})
	return nil, nil
}
