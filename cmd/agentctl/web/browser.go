package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"agentd/api"
)

// maxAct bounds what a page sends of a person's doings at once.
const maxAct = 256 << 10

// browser is the page on which a person sees and uses a run's browser.
func (s *Server) browser(w http.ResponseWriter, r *http.Request) {
	st, err := s.stateOf(r.Context(), runOf(r))
	if err != nil {
		s.fail(w, err)
		return
	}
	s.show(w, http.StatusOK, "browser.html", page{Title: "Browser", Data: st})
}

// frames streams what the browser shows, one api.ScreenFrame a line. With its end, the browser is the agent's again.
func (s *Server) frames(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	rc := http.NewResponseController(w)
	write := func(f api.ScreenFrame) bool {
		data, err := json.Marshal(f)
		if err != nil {
			return false
		}
		_ = rc.SetWriteDeadline(time.Now().Add(30 * time.Second)) // a page that stopped reading holds the browser no longer
		_, err = w.Write(append(data, '\n'))
		return err == nil && rc.Flush() == nil
	}
	for f, err := range s.opt.Client.Screen(r.Context(), runOf(r), r.URL.Query().Get("task")) {
		if err != nil {
			f = api.ScreenFrame{Error: api.ErrorOf(err)}
		}
		if !write(f) || err != nil {
			return
		}
	}
}

// browserAct does what a person does on the page.
func (s *Server) browserAct(w http.ResponseWriter, r *http.Request) {
	var act api.ScreenAct
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAct))
	dec.DisallowUnknownFields()
	err := dec.Decode(&act)
	if err != nil {
		err = api.Errorf(api.ErrInvalid, "", "the page's words can't be read: %v", err)
	} else {
		err = s.opt.Client.ScreenAct(r.Context(), runOf(r), r.PathValue("session"), act)
	}
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	e := api.ErrorOf(err)
	text := strings.TrimSuffix(fmt.Sprintf("%s: %s", e.Message, e.Hint), ": ")
	http.Error(w, text, http.StatusConflict)
}
