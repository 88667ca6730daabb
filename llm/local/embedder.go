package local

import (
	"context"
	"fmt"
)

// Embedder is the embedding half of a supervisor; it is an llm.Embedder.
type Embedder struct{ s *Supervisor }

// Embedder returns the embedder that agentmodel serves.
func (s *Supervisor) Embedder() *Embedder { return &Embedder{s} }

// ID names the model and its version.
func (e *Embedder) ID() string { return e.s.EmbedID() }

// embedBatch is how many texts go into one request.
const embedBatch = 256

// Embed returns a vector of length 1 for each text, in order.
func (e *Embedder) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	out := make([][]float32, 0, len(texts))
	for from := 0; from < len(texts); from += embedBatch {
		batch := texts[from:min(from+embedBatch, len(texts))]
		var reply struct {
			Data []struct {
				Index     int       `json:"index"`
				Embedding []float32 `json:"embedding"`
			} `json:"data"`
		}
		if err := e.s.post(ctx, "/v1/embeddings", map[string]any{"input": batch}, &reply); err != nil {
			return nil, fmt.Errorf("embed: %w", err)
		}
		if len(reply.Data) != len(batch) {
			return nil, fmt.Errorf("embed: %d vectors for %d texts", len(reply.Data), len(batch))
		}
		for i, d := range reply.Data {
			if d.Index != i {
				return nil, fmt.Errorf("embed: vector %d comes where %d is due", d.Index, i)
			}
			out = append(out, d.Embedding)
		}
	}
	return out, nil
}
