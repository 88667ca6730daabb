package llm

import (
	"fmt"
	"strings"
)

// Provider is a service that answers model calls, and what is needed to reach it.
type Provider struct {
	Name    string
	KeyEnv  string // the variable that holds its key; empty: it needs none
	BaseEnv string // the variable that overrides its address
	BaseURL string
	Default string // the model to use when only the provider is known
	Open    bool   // its list of models has no end: any name passes
	Local   bool   // runs on this machine
}

// providers is the one table of who can be asked, in the order in which they are offered.
var providers = []Provider{
	{Name: "anthropic", KeyEnv: "ANTHROPIC_API_KEY", BaseEnv: "ANTHROPIC_BASE_URL", BaseURL: "https://api.anthropic.com/v1", Default: "claude-sonnet-4-5"},
	{Name: "openai", KeyEnv: "OPENAI_API_KEY", BaseEnv: "OPENAI_BASE_URL", BaseURL: "https://api.openai.com/v1", Default: "gpt-5"},
	{Name: "gemini", KeyEnv: "GEMINI_API_KEY", BaseEnv: "GEMINI_BASE_URL", BaseURL: "https://generativelanguage.googleapis.com/v1beta/openai", Default: "gemini-2.5-flash"},
	{Name: "mistral", KeyEnv: "MISTRAL_API_KEY", BaseEnv: "MISTRAL_BASE_URL", BaseURL: "https://api.mistral.ai/v1", Default: "mistral-medium-latest"},
	{Name: "groq", KeyEnv: "GROQ_API_KEY", BaseEnv: "GROQ_BASE_URL", BaseURL: "https://api.groq.com/openai/v1", Default: "openai/gpt-oss-120b"},
	{Name: "deepseek", KeyEnv: "DEEPSEEK_API_KEY", BaseEnv: "DEEPSEEK_BASE_URL", BaseURL: "https://api.deepseek.com/v1", Default: "deepseek-chat"},
	{Name: "openrouter", KeyEnv: "OPENROUTER_API_KEY", BaseEnv: "OPENROUTER_BASE_URL", BaseURL: "https://openrouter.ai/api/v1", Open: true},
	{Name: "ollama", BaseEnv: "OLLAMA_HOST", BaseURL: "http://127.0.0.1:11434/v1", Open: true, Local: true},
	{Name: "local", BaseURL: "http://agentmodel/v1", Open: true, Local: true},
}

// Providers returns the known providers.
func Providers() []Provider { return append([]Provider(nil), providers...) }

// ProviderNames returns the known providers' names.
func ProviderNames() []string {
	names := make([]string, len(providers))
	for i, p := range providers {
		names[i] = p.Name
	}
	return names
}

// FindProvider returns the provider of a name.
func FindProvider(name string) (Provider, bool) {
	for _, p := range providers {
		if p.Name == name {
			return p, true
		}
	}
	return Provider{}, false
}

// ParseName splits provider/model. The model's part may hold slashes of its own. A provider alone stands for its default
// model; "local" is a whole name.
func ParseName(name string) (Provider, string, error) {
	provider, model, found := strings.Cut(strings.TrimSpace(name), "/")
	p, ok := FindProvider(provider)
	switch {
	case !ok && !found && provider != "":
		return p, "", fmt.Errorf("model %q: want provider/model%s; the providers are %s", name, guess(provider), strings.Join(ProviderNames(), ", "))
	case !ok:
		return p, "", fmt.Errorf("model %q: provider %q is unknown; the providers are %s", name, provider, strings.Join(ProviderNames(), ", "))
	case found && strings.TrimSpace(model) == "":
		return p, "", fmt.Errorf("model %q: the model's name is missing", name)
	case strings.ContainsFunc(model, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return p, "", fmt.Errorf("model %q: a model's name holds no spaces", name)
	case !found && p.Name != "local" && p.Default == "":
		return p, "", fmt.Errorf("model %q: name one of its models, as in %s/MODEL", name, p.Name)
	case !found:
		model = p.Default
	}
	return p, model, nil
}

// guess finds the provider of a bare model name in the price table.
func guess(model string) string {
	for _, p := range providers {
		if _, ok := BuiltinPrices().Lookup(p.Name + "/" + model); ok {
			return fmt.Sprintf(", as in %s/%s", p.Name, model)
		}
	}
	return ""
}
