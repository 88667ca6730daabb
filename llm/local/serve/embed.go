package serve

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/hybridgroup/yzma/pkg/llama"
)

// The bounds of one embeddings request.
const (
	maxEmbedInputs = 2048
	embedSequences = 32
)

// embedder turns texts into normalised vectors with a BERT-like model. It has a context of its own, so that recall
// doesn't wait for a reply.
type embedder struct {
	model  llama.Model
	ctx    llama.Context
	mem    llama.Memory
	vocab  llama.Vocab
	batch  llama.Batch
	pool   llama.Threadpool
	size   int // dimensions of a vector
	window int // tokens of one text
	room   int // tokens of one batch
	turn   chan struct{}
}

func embedName(file string) string { return strings.TrimSuffix(filepath.Base(file), ".gguf") }

func openEmbedder(cfg Config) (*embedder, error) {
	if err := loadLibrary(cfg.Lib, cfg.Verbose); err != nil {
		return nil, err
	}
	m, err := llama.ModelLoadFromFile(cfg.Embed, llama.ModelDefaultParams())
	if err != nil || m == 0 {
		return nil, fmt.Errorf("load %s: the library refused it (%v)", cfg.Embed, err)
	}
	e := &embedder{model: m, turn: make(chan struct{}, 1)}
	e.window = max(1, int(llama.ModelNCtxTrain(m)))
	e.room = max(e.window, 512) // a longer batch costs more: attention looks at all of it
	e.size = int(llama.ModelNEmbd(m))
	p := llama.ContextDefaultParams()
	p.NCtx, p.NBatch, p.NUbatch = uint32(e.room), uint32(e.room), uint32(e.room)
	p.NSeqMax = embedSequences
	p.KVUnified = 1
	threads := int32(cfg.Threads)
	if cfg.pace {
		threads = max(1, threads-1) // texts are short: not worth a look at who else computes
	}
	p.NThreads, p.NThreadsBatch = threads, threads
	p.PoolingType = llama.PoolingTypeMean
	p.Embeddings = 1
	p.NoPerf = 1
	if e.ctx, err = llama.InitFromModel(m, p); err != nil || e.ctx == 0 {
		llama.ModelFree(m)
		return nil, fmt.Errorf("make a context for %s: the library refused it (%v)", cfg.Embed, err)
	}
	e.mem, _ = llama.GetMemory(e.ctx)
	e.vocab = llama.ModelGetVocab(m)
	e.batch = llama.BatchInit(int32(e.room), 0, 1)
	tp := llama.ThreadpoolParamsDefault(threads)
	tp.Poll = 0
	if e.pool, err = llama.ThreadpoolNew(&tp); err == nil {
		llama.AttachThreadpool(e.ctx, uintptr(e.pool), uintptr(e.pool))
	}
	return e, nil
}

func (e *embedder) close() {
	e.turn <- struct{}{}
	llama.Free(e.ctx)
	llama.BatchFree(e.batch)
	llama.ThreadpoolFree(e.pool)
	llama.ModelFree(e.model)
}

// embed returns a vector of length 1 for each text, and the tokens read. A text longer than the model's window is cut.
func (e *embedder) embed(ctx context.Context, texts []string) ([][]float32, int, error) {
	select {
	case e.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	defer func() { <-e.turn }()
	out := make([][]float32, 0, len(texts))
	total := 0
	var pending [][]llama.Token
	room := 0
	flush := func() error {
		vectors, err := e.compute(pending)
		out = append(out, vectors...)
		pending, room = pending[:0], 0
		return err
	}
	for _, text := range texts {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		tokens := llama.Tokenize(e.vocab, clean(text), true, false)
		if len(tokens) > e.window {
			tokens[e.window-1] = tokens[len(tokens)-1] // the separator ends it
			tokens = tokens[:e.window]
		}
		total += len(tokens)
		if len(pending) == embedSequences || room+len(tokens) > e.room {
			if err := flush(); err != nil {
				return nil, 0, err
			}
		}
		pending = append(pending, tokens)
		room += len(tokens)
	}
	if err := flush(); err != nil {
		return nil, 0, err
	}
	return out, total, nil
}

// compute runs one batch, a sequence for each text.
func (e *embedder) compute(texts [][]llama.Token) ([][]float32, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	if e.mem != 0 {
		llama.MemoryClear(e.mem, false)
	}
	e.batch.Clear()
	for i, tokens := range texts {
		for at, t := range tokens {
			if err := e.batch.Add(t, llama.Pos(at), []llama.SeqId{llama.SeqId(i)}, true); err != nil {
				return nil, fmt.Errorf("fill the batch: %w", err)
			}
		}
	}
	run := llama.Decode
	if llama.ModelHasEncoder(e.model) {
		run = llama.Encode
	}
	if code, err := run(e.ctx, e.batch); err != nil || code != 0 {
		return nil, fmt.Errorf("embed: the library answered %d (%v)", code, err)
	}
	out := make([][]float32, len(texts))
	for i := range texts {
		v, err := llama.GetEmbeddingsSeq(e.ctx, llama.SeqId(i), int32(e.size))
		if err != nil || len(v) != e.size {
			return nil, fmt.Errorf("read embedding %d: none (%v)", i, err)
		}
		out[i] = normalised(v)
	}
	return out, nil
}

// normalised copies v at length 1; a zero vector stays zero.
func normalised(v []float32) []float32 {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	out := make([]float32, len(v))
	if sum == 0 {
		return out
	}
	scale := 1 / math.Sqrt(sum)
	for i, x := range v {
		out[i] = float32(float64(x) * scale)
	}
	return out
}

// embedderFor loads the embedding model once; a failed load is tried again at the next request.
func (s *Server) embedderFor() (*embedder, error) {
	s.embedMu.Lock()
	defer s.embedMu.Unlock()
	if s.embed != nil {
		return s.embed, nil
	}
	if s.cfg.Embed == "" {
		return nil, &apiError{Message: "no embedding model is loaded: start agentmodel with --embed FILE", Type: "invalid_request_error", Code: "model_not_found", status: 404}
	}
	e, err := openEmbedder(s.cfg)
	if err != nil {
		return nil, err
	}
	s.embed = e
	return e, nil
}

type embeddingRequest struct {
	Input          embedInput `json:"input"`
	EncodingFormat string     `json:"encoding_format"`
}

// embedInput is a text or a list of texts.
type embedInput []string

// UnmarshalJSON accepts both forms.
func (in *embedInput) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*in = embedInput{one}
		return nil
	}
	if err := json.Unmarshal(b, (*[]string)(in)); err != nil {
		return fmt.Errorf("input: want a string or a list of strings")
	}
	return nil
}

type embedding struct {
	Object    string `json:"object"`
	Index     int    `json:"index"`
	Embedding any    `json:"embedding"`
}

func (s *Server) embeddings(w http.ResponseWriter, r *http.Request) {
	var req embeddingRequest
	if !decode(w, r, &req) {
		return
	}
	if n := len(req.Input); n == 0 || n > maxEmbedInputs {
		writeError(w, invalid("input", "input has %d texts: want 1 to %d", n, maxEmbedInputs))
		return
	}
	if f := req.EncodingFormat; f != "" && f != "float" && f != "base64" {
		writeError(w, invalid("encoding_format", "encoding_format %q: want float or base64", f))
		return
	}
	e, err := s.embedderFor()
	if err != nil {
		writeError(w, err)
		return
	}
	vectors, tokens, err := e.embed(r.Context(), req.Input)
	if err != nil {
		writeError(w, err)
		return
	}
	data := make([]embedding, len(vectors))
	for i, v := range vectors {
		data[i] = embedding{Object: "embedding", Index: i, Embedding: v}
		if req.EncodingFormat == "base64" {
			b := make([]byte, 0, 4*len(v))
			for _, x := range v {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
			}
			data[i].Embedding = base64.StdEncoding.EncodeToString(b)
		}
	}
	writeJSON(w, map[string]any{
		"object": "list", "data": data, "model": embedName(s.cfg.Embed),
		"usage": map[string]int{"prompt_tokens": tokens, "total_tokens": tokens},
	})
}
