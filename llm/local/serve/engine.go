package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/hybridgroup/yzma/pkg/llama"
)

// Config says what to load and how. The zero value of a number means its default.
type Config struct {
	Lib     string // folder of the llama.cpp shared libraries
	Model   string // GGUF file of the chat model; empty serves embeddings only
	Embed   string // GGUF file of the embedding model; empty serves no embeddings
	Alias   string // name that /v1/models gives; default: the file's name without .gguf
	Context int    // tokens of one conversation, prompt and reply together; default 8192
	Slots   int    // conversations whose prefix is kept; default 3
	Batch   int    // prompt tokens given to the library at once; default 128: larger ones compute no faster, and a smaller one lets the threads be chosen sooner
	Threads int    // 0: as many as the machine has cores that nobody else uses, at least 1
	pace    bool   // Threads is an upper bound
	Verbose bool   // let llama.cpp write its log to standard error
}

func (c Config) withDefaults() Config {
	c.Context = cmp.Or(c.Context, 8192)
	c.Slots = cmp.Or(c.Slots, 3)
	c.Batch = cmp.Or(c.Batch, 128)
	c.pace = c.Threads == 0
	c.Threads = cmp.Or(c.Threads, runtime.NumCPU())
	if c.Alias == "" {
		c.Alias = strings.TrimSuffix(filepath.Base(c.Model), ".gguf")
	}
	return c
}

// validate refuses what the library would abort on.
func (c Config) validate() error {
	switch {
	case c.Lib == "":
		return errors.New("no library folder: give --lib DIR")
	case c.Model == "" && c.Embed == "":
		return errors.New("nothing to serve: give --model FILE or --embed FILE")
	case c.Context < 256 || c.Context > 1<<20:
		return fmt.Errorf("context of %d tokens: want 256 to %d", c.Context, 1<<20)
	case c.Slots < 1 || c.Slots > 16:
		return fmt.Errorf("%d slots: want 1 to 16", c.Slots)
	case c.Batch < 32 || c.Batch > 8192:
		return fmt.Errorf("batch of %d tokens: want 32 to 8192", c.Batch)
	case c.Threads < 1 || c.Threads > 512:
		return fmt.Errorf("%d threads: want 1 to 512", c.Threads)
	}
	for _, f := range []string{c.Model, c.Embed} {
		if f == "" {
			continue
		}
		if err := checkGGUF(f); err != nil {
			return err
		}
	}
	return nil
}

// checkGGUF refuses a file that isn't GGUF before the library sees it.
func checkGGUF(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("open model: %w", err)
	}
	defer f.Close()
	var magic [4]byte
	if _, err := f.Read(magic[:]); err != nil || string(magic[:]) != "GGUF" {
		return fmt.Errorf("%s is not a GGUF file", file)
	}
	return nil
}

// library is loaded once for the life of the process: llama.cpp keeps global state.
var library struct {
	once sync.Once
	dir  string
	err  error
}

// loadLibrary loads llama.cpp from dir. A second folder in the same process is refused.
func loadLibrary(dir string, verbose bool) error {
	library.once.Do(func() {
		library.dir = dir
		if err := llama.Load(dir); err != nil {
			library.err = fmt.Errorf("load llama.cpp from %s: %w", dir, err)
			return
		}
		if !verbose {
			llama.LogSet(llama.LogSilent())
		}
		llama.Init()
	})
	if library.err == nil && library.dir != dir {
		return fmt.Errorf("llama.cpp is already loaded from %s", library.dir)
	}
	return library.err
}

// engine is one chat model with its context: a decode at a time, several kept prefixes.
type engine struct {
	cfg   Config
	name  string
	model llama.Model
	vocab llama.Vocab
	ctx   llama.Context
	mem   llama.Memory
	batch llama.Batch
	pool  llama.Threadpool

	turn  chan struct{} // holds one token; waiters are served first come, first served
	slots []*slot       // guarded by turn
	clock int64         // guarded by turn
	pacer *pacer        // guarded by turn; nil for a fixed number of threads

	voc *vocabulary

	abortMu sync.Mutex
	abort   context.Context // the running request's; the library asks between nodes of its graph
}

// slot is one sequence of the library's KV cache and the tokens that it holds.
type slot struct {
	seq    llama.SeqId
	tokens []llama.Token
	used   int64
}

func openEngine(cfg Config) (*engine, error) {
	if err := loadLibrary(cfg.Lib, cfg.Verbose); err != nil {
		return nil, err
	}
	mp := llama.ModelDefaultParams()
	m, err := llama.ModelLoadFromFile(cfg.Model, mp)
	if err != nil || m == 0 {
		return nil, fmt.Errorf("load %s: the library refused it (%v)", cfg.Model, err)
	}
	e := &engine{cfg: cfg, name: cfg.Alias, model: m, turn: make(chan struct{}, 1)}
	if err := e.init(); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

func (e *engine) init() error {
	cfg := e.cfg
	p := llama.ContextDefaultParams()
	p.NCtx = uint32(cfg.Context * cfg.Slots)
	p.NSeqMax = uint32(cfg.Slots)
	p.NBatch = uint32(cfg.Batch)
	p.NUbatch = uint32(cfg.Batch)
	p.NOutputsMax = uint32(cfg.Slots) // only the last token's logits are read; a row is 600 KB for a large vocabulary
	p.NThreads = int32(cfg.Threads)
	p.NThreadsBatch = int32(cfg.Threads)
	p.NoPerf = 1
	ctx, err := llama.InitFromModel(e.model, p)
	if err != nil || ctx == 0 {
		return fmt.Errorf("make a context of %d x %d tokens: the library refused it (%v); use a smaller --context or fewer --slots", cfg.Slots, cfg.Context, err)
	}
	e.ctx = ctx
	if e.mem, err = llama.GetMemory(ctx); err != nil {
		return fmt.Errorf("get the context's memory: %w", err)
	}
	e.vocab = llama.ModelGetVocab(e.model)
	e.voc = readVocabulary(e.vocab)
	e.batch = llama.BatchInit(int32(cfg.Batch), 0, 1)
	tp := llama.ThreadpoolParamsDefault(int32(cfg.Threads))
	tp.Poll = 0 // spinning at barriers costs everything on busy cores
	if e.pool, err = llama.ThreadpoolNew(&tp); err == nil {
		llama.AttachThreadpool(ctx, uintptr(e.pool), uintptr(e.pool))
	}
	e.pacer = newPacer(ctx, !cfg.pace)
	for i := range cfg.Slots {
		e.slots = append(e.slots, &slot{seq: llama.SeqId(i)})
	}
	llama.SetAbortCallback(ctx, e.aborted)
	return nil
}

// aborted is called by the library while it computes.
func (e *engine) aborted() bool {
	e.abortMu.Lock()
	defer e.abortMu.Unlock()
	return e.abort != nil && e.abort.Err() != nil
}

func (e *engine) setAbort(ctx context.Context) {
	e.abortMu.Lock()
	e.abort = ctx
	e.abortMu.Unlock()
}

// close frees the model; no call may be running.
func (e *engine) close() {
	if e.ctx != 0 {
		llama.Free(e.ctx)
		llama.BatchFree(e.batch)
	}
	llama.ThreadpoolFree(e.pool)
	llama.ModelFree(e.model)
}

// lock waits for the engine's turn.
func (e *engine) lock(ctx context.Context) error {
	select {
	case e.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *engine) unlock() { <-e.turn }

// timings are what a generation cost, under the names that llama.cpp's own server uses.
type timings struct {
	CacheN              int     `json:"cache_n"`
	PromptN             int     `json:"prompt_n"`
	PromptMS            float64 `json:"prompt_ms"`
	PromptPerSecond     float64 `json:"prompt_per_second"`
	PredictedN          int     `json:"predicted_n"`
	PredictedMS         float64 `json:"predicted_ms"`
	PredictedPerSecond  float64 `json:"predicted_per_second"`
	GrammarRefused      int     `json:"grammar_refused"` // tokens whose first choice the grammar refused
	QueuedMS            float64 `json:"queued_ms"`
	promptTokensInTotal int
}

func (t *timings) set(prompt, predicted time.Duration) {
	t.PromptMS = float64(prompt.Microseconds()) / 1000
	t.PredictedMS = float64(predicted.Microseconds()) / 1000
	if prompt > 0 {
		t.PromptPerSecond = float64(t.PromptN) / prompt.Seconds()
	}
	if predicted > 0 {
		t.PredictedPerSecond = float64(t.PredictedN) / predicted.Seconds()
	}
}
