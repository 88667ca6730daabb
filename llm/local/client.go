package local

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Client returns an HTTP client whose connections go to agentmodel. It sets no time limit.
func (s *Supervisor) Client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: s.DialContext, IdleConnTimeout: 30 * time.Second}}
}

// post asks the running endpoint something short.
func (s *Supervisor) post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://agentmodel"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	client := s.Client()
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("agentmodel answered %s: %s", resp.Status, strings.TrimSpace(string(b[:min(len(b), 300)])))
	}
	return json.Unmarshal(b, out)
}

// CountTokens counts the tokens of a text as the chat model reads it.
func (s *Supervisor) CountTokens(ctx context.Context, text string) (int, error) {
	var out struct {
		Count int `json:"count"`
	}
	err := s.post(ctx, "/tokenize", map[string]string{"content": text}, &out)
	return out.Count, err
}
