package langchain

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"agentd/llm"
)

// Options adjust what Open makes. The zero value is fine.
type Options struct {
	Prices        *llm.Prices // nil: those that ship with the program
	HTTPClient    *http.Client
	HeaderTimeout time.Duration // 0: DefaultHeaderTimeout
	IdleTimeout   time.Duration // 0: DefaultIdleTimeout
	Window        int           // of a model that the price table does not know; 0: what its server says, else 128,000
}

// Open returns the model of a name such as openai/gpt-5. Keys and addresses come from env, which is asked for the variables of
// llm.Providers. A name that neither the price table knows nor a base URL vouches for is refused, with those that are known; a
// missing key is an *llm.Error that names its variable. Only of a server that the user named is anything asked: how long a prompt
// the model takes.
//
// "local" is not opened here: its worker has to be started first (see NewUnix).
func Open(ctx context.Context, name string, env func(string) string, o Options) (llm.Model, error) {
	p, modelName, err := llm.ParseName(name)
	if err != nil {
		return nil, err
	}
	if p.Name == "local" {
		return nil, fmt.Errorf("model %q is served by its own worker", name)
	}
	full := p.Name + "/" + modelName
	prices := o.Prices
	if prices == nil {
		prices = llm.BuiltinPrices()
	}
	base := baseURL(p, env)
	entry, known := prices.Lookup(full)
	if !known && !p.Open && base == p.BaseURL {
		return nil, fmt.Errorf("model %q is unknown; known are %s; any other name needs %s to be set, or an entry in the price table",
			full, strings.Join(prices.Names(p.Name), ", "), p.BaseEnv)
	}
	key := ""
	if p.KeyEnv != "" {
		key = strings.TrimSpace(env(p.KeyEnv))
	}
	if key == "" && p.KeyEnv != "" && base == p.BaseURL {
		return nil, &llm.Error{Kind: llm.KindAuth, Model: full, Message: fmt.Sprintf("no key: %s is not set", p.KeyEnv), Hint: fmt.Sprintf("set %s in the daemon's environment", p.KeyEnv)}
	}
	c := Config{Provider: p.Name, Model: modelName, BaseURL: base, Key: key, Schema: holdsSchemas(p.Name, modelName), Local: p.Local,
		HTTPClient: o.HTTPClient, HeaderTimeout: o.HeaderTimeout, IdleTimeout: o.IdleTimeout, Window: o.Window}
	if p.Local {
		c.Price = &llm.Price{}
	}
	if known {
		c.Window, c.MaxOut = entry.Window, entry.MaxOut
		price := entry.Price
		c.Price = &price
	}
	if c.HTTPClient == nil {
		c.HTTPClient = newHTTPClient(nil)
	}
	if c.Window == 0 {
		c.Window = askWindow(ctx, c.HTTPClient, p, base, key, modelName, env)
	}
	return New(c)
}

// holdsSchemas reports whether a provider holds replies to a JSON schema.
func holdsSchemas(provider, model string) bool {
	switch provider {
	case "deepseek":
		return false
	case "groq":
		return strings.Contains(model, "gpt-oss") || strings.Contains(model, "llama-4") || strings.Contains(model, "kimi-k2")
	}
	return true
}

// baseURL returns where a provider is reached. Ollama's variable holds host:port, or 0.0.0.0 as a server is told.
func baseURL(p llm.Provider, env func(string) string) string {
	v := strings.TrimRight(strings.TrimSpace(env(p.BaseEnv)), "/")
	if p.BaseEnv == "" || v == "" {
		return p.BaseURL
	}
	if p.Name != "ollama" {
		if p.Name == "anthropic" && !strings.HasSuffix(v, "/v1") {
			v += "/v1" // other programs add it to this variable themselves
		}
		return v
	}
	if !strings.Contains(v, "://") {
		v = "http://" + v
	}
	scheme, host, _ := strings.Cut(v, "://")
	host = strings.TrimSuffix(host, "/v1")
	name, port, found := strings.Cut(host, ":")
	if !found && scheme == "http" {
		port = "11434"
	}
	if name == "" || name == "0.0.0.0" {
		name = "127.0.0.1"
	}
	if port != "" {
		name += ":" + port
	}
	return scheme + "://" + name + "/v1"
}

// probeTimeout bounds the search for a running server: it stands before a run's start.
const probeTimeout = 300 * time.Millisecond

// Default returns the name of the model to use when none is named: of the first provider that is configured, in the order
// Anthropic, OpenAI, Gemini, a running Ollama with a model, and "local". Where OPENAI_BASE_URL is set, it is the first
// model that the server there lists. It asks servers on this machine or named by env, for 3 s at most.
func Default(ctx context.Context, env func(string) string) string {
	if env("ANTHROPIC_API_KEY") != "" {
		return withDefault("anthropic")
	}
	if openai, _ := llm.FindProvider("openai"); env(openai.KeyEnv) != "" || env(openai.BaseEnv) != "" {
		base := baseURL(openai, env)
		if base == openai.BaseURL {
			return withDefault("openai")
		}
		ids, err := List(ctx, base, env(openai.KeyEnv), nil)
		if err == nil && len(ids) > 0 {
			return "openai/" + ids[0]
		}
		if env(openai.KeyEnv) != "" {
			return withDefault("openai")
		}
	}
	if env("GEMINI_API_KEY") != "" {
		return withDefault("gemini")
	}
	if name := ProbeOllama(ctx, env); name != "" {
		return "ollama/" + name
	}
	return "local"
}

func withDefault(provider string) string {
	p, _ := llm.FindProvider(provider)
	return p.Name + "/" + p.Default
}

// ProbeOllama returns the first model of a running Ollama that isn't an embedder, or nothing. It takes at most 300 ms.
func ProbeOllama(ctx context.Context, env func(string) string) string {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	p, _ := llm.FindProvider("ollama")
	var tags struct {
		Models []struct {
			Name string `json:"name"`
		} `json:"models"`
	}
	if err := getJSON(ctx, nil, strings.TrimSuffix(baseURL(p, env), "/v1")+"/api/tags", "", &tags); err != nil {
		return ""
	}
	for _, m := range tags.Models {
		if name := m.Name; name != "" && !strings.Contains(name, "embed") && !strings.Contains(name, "minilm") {
			return name
		}
	}
	return ""
}

// listTimeout bounds the question which models a server has.
const listTimeout = 3 * time.Second

// List asks a server in OpenAI's wire form for the names of its models. It takes at most 3 s.
func List(ctx context.Context, base, key string, client *http.Client) ([]string, error) {
	list, err := listModels(ctx, base, key, client)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, m := range list {
		if _, _, err := llm.ParseName("openai/" + m.ID); err == nil && len(m.ID) < 200 {
			ids = append(ids, m.ID)
		}
	}
	return ids, nil
}

// listed is a model as a server lists it. Servers say in four ways how long its window is, or not at all.
type listed struct {
	ID      string `json:"id"`
	Context int    `json:"context_length"` // OpenRouter
	MaxLen  int    `json:"max_model_len"`  // vLLM
	Groq    int    `json:"context_window"`
	Meta    struct {
		Train int `json:"n_ctx_train"`
	} `json:"meta"` // llama.cpp
}

func listModels(ctx context.Context, base, key string, client *http.Client) ([]listed, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	base, err := checkBase(base)
	if err != nil {
		return nil, fmt.Errorf("list the models: base URL: %w", err)
	}
	var list struct {
		Data []listed `json:"data"`
	}
	if err := getJSON(ctx, client, base+"/models", key, &list); err != nil {
		return nil, fmt.Errorf("list the models of %s: %w", hostOf(base), err)
	}
	return list.Data, nil
}

// ollamaWindow is what Ollama gives a model on a small machine unless it is told otherwise. It cuts longer prompts without
// a word, so that too small a guess is better than too large a one.
const ollamaWindow = 8192

// askWindow finds out how many tokens a model takes of which the table says nothing.
func askWindow(ctx context.Context, client *http.Client, p llm.Provider, base, key, name string, env func(string) string) int {
	if p.Name == "ollama" {
		return askOllamaWindow(ctx, client, base, name, env)
	}
	list, err := listModels(ctx, base, key, client)
	if err != nil {
		return defaultWindow // the first call will say what is wrong
	}
	for _, m := range list {
		if m.ID == name {
			if n := cmp.Or(max(0, m.Context), max(0, m.MaxLen), max(0, m.Groq), max(0, m.Meta.Train)); n > 0 {
				return n
			}
		}
	}
	return defaultWindow
}

func askOllamaWindow(ctx context.Context, client *http.Client, base, name string, env func(string) string) int {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var ps struct {
		Models []struct {
			Name    string `json:"name"`
			Context int    `json:"context_length"`
		} `json:"models"`
	}
	if err := getJSON(ctx, client, strings.TrimSuffix(base, "/v1")+"/api/ps", "", &ps); err == nil {
		for _, m := range ps.Models { // those that are loaded
			if strings.TrimSuffix(m.Name, ":latest") == strings.TrimSuffix(name, ":latest") && m.Context > 0 {
				return m.Context
			}
		}
	}
	if n, err := strconv.Atoi(env("OLLAMA_CONTEXT_LENGTH")); err == nil && n > 0 {
		return n
	}
	return ollamaWindow
}

func getJSON(ctx context.Context, client *http.Client, url, key string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("not a URL")
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if client == nil {
		client = newHTTPClient(nil)
		defer client.CloseIdleConnections()
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%s", safeText(err.Error(), key))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return json.NewDecoder(io.LimitReader(resp.Body, 4<<20)).Decode(into)
}
