package local

import (
	"context"
	"time"
)

// Facts is what `agentd doctor` says of the local model.
type Facts struct {
	Program string  `json:"program,omitempty"` // path of agentmodel
	Library string  `json:"library,omitempty"` // folder of llama.cpp
	Model   string  `json:"model,omitempty"`   // file of the chat model
	Embed   string  `json:"embed,omitempty"`   // file of the embedder
	LoadMS  float64 `json:"load_ms,omitempty"` // from start to the first answer
	Prompt  float64 `json:"prompt_tokens_per_second,omitempty"`
	Predict float64 `json:"output_tokens_per_second,omitempty"`
	Fault   string  `json:"fault,omitempty"` // why it can't serve
	Fix     string  `json:"fix,omitempty"`   // what to do about it
}

// Doctor looks for the parts of the local model and, where all are there and measure is set, loads it and lets it speak
// for a few seconds.
func Doctor(ctx context.Context, opt Options, measure bool) Facts {
	var f Facts
	s, err := New(opt)
	if err != nil {
		f.Fault, f.Fix = err.Error(), "name a known model"
		return f
	}
	defer s.Close()
	note := func(err error, fix string) {
		if f.Fault == "" {
			f.Fault, f.Fix = err.Error(), fix
		}
	}
	if f.Program, err = s.program(); err != nil {
		note(err, "install agentmodel in the folder of agentd")
	}
	if s.opt.Library != "" {
		f.Library = s.opt.Library
	} else if lib, err := s.store.Find(LibraryName); err != nil {
		note(err, "agentctl model pull "+LibraryName)
	} else {
		f.Library = lib.Path
	}
	if m, err := s.store.Find(s.opt.Model); err != nil {
		note(err, "agentctl model pull "+s.opt.Model)
	} else {
		f.Model = m.Path
	}
	if e, err := s.store.Find(DefaultEmbed); err == nil {
		f.Embed = e.Path
	}
	if f.Fault == "" && measure {
		if err := s.measure(ctx, &f); err != nil {
			note(err, "run agentmodel serve by hand to see why")
		}
	}
	return f
}

func (s *Supervisor) measure(ctx context.Context, f *Facts) error {
	begun := time.Now()
	var reply struct {
		Timings struct {
			Prompt  float64 `json:"prompt_per_second"`
			Predict float64 `json:"predicted_per_second"`
		} `json:"timings"`
	}
	if _, err := s.CountTokens(ctx, "x"); err != nil {
		return err
	}
	f.LoadMS = float64(time.Since(begun).Milliseconds())
	ask := map[string]any{
		"messages":   []map[string]string{{"role": "user", "content": "Count from one to thirty in English words, separated by commas, and say nothing else."}},
		"max_tokens": 24, "temperature": 0,
	}
	if err := s.post(ctx, "/v1/chat/completions", ask, &reply); err != nil {
		return err
	}
	f.Prompt, f.Predict = reply.Timings.Prompt, reply.Timings.Predict
	return nil
}
