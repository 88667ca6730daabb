package llm

import (
	"encoding/base64"
	"regexp"
	"strings"
)

// Image is a picture in a message, for models whose Info says that they see.
type Image struct {
	Type string `json:"type"` // image/png or image/jpeg
	Data []byte `json:"data"`
}

// imageTokens is more than any provider counts for a picture of 1280 by 900 pixels.
const imageTokens = 2500

// CountPrompt estimates the tokens of an encoded request as CountTokens does, and of its pictures by their number: providers count
// those by their size on the screen.
func CountPrompt(body []byte, r *Request) int {
	text, n := string(body), 0
	for i := range r.Messages {
		for _, img := range r.Messages[i].Images {
			text = strings.Replace(text, base64.StdEncoding.EncodeToString(img.Data), "", 1)
			n++
		}
	}
	return CountTokens(text) + n*imageTokens
}

// seeing are the models that take pictures, by provider; "" is for all that are not listed, such as those that pass on others' models.
var seeing = map[string]*regexp.Regexp{
	"openai":    regexp.MustCompile(`^(gpt-4o|chatgpt-4o|gpt-4\.1|gpt-4-turbo|gpt-4\.5|gpt-[5-9]|o1$|o1-20|o1-pro|o3$|o3-20|o3-pro|o4)`),
	"anthropic": regexp.MustCompile(`^claude-(3|[4-9]|opus|sonnet|haiku|fable|mythos)`),
	"gemini":    regexp.MustCompile(`^gemini-`),
	"mistral":   regexp.MustCompile(`^(pixtral|mistral-(medium|small)-(2[5-9]|3|latest)|mistral-large-(2512|3|latest))`),
	"groq":      regexp.MustCompile(`llama-4`),
	"deepseek":  nil,
	"local":     nil,
	"":          regexp.MustCompile(`(?i)(vision|[-.:_]vl\b|\dvl\b|llava|pixtral|moondream|minicpm-v|gemma-?3|llama-?4|/gpt-4o|/gpt-4\.1|/gpt-[5-9]|/o[34]\b|/claude-|/gemini-)`),
}

// Sees reports whether a model takes pictures. Of one that it does not know it says no: the call would be refused.
func Sees(provider, model string) bool {
	re, ok := seeing[provider]
	if !ok {
		re = seeing[""]
	}
	return re != nil && re.MatchString(model)
}
