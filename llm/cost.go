package llm

import (
	"cmp"
	"math"
)

// Worst returns the most that a call can use: the prompt's tokens, none of them from a cache, and the longest reply. Known is
// false where the model has no price; the tokens hold all the same.
func Worst(info Info, promptTokens, maxOut int) (tokens int64, usd float64, known bool) {
	tokens = int64(max(0, promptTokens)) + int64(max(0, maxOut))
	if info.Price == nil {
		return tokens, 0, false
	}
	p := info.Price
	usd = (float64(max(0, promptTokens))*max(p.Prompt, p.CacheWrite) + float64(max(0, maxOut))*p.Completion) / 1e6
	return tokens, usd, true
}

// Cost returns what a call has cost by the provider's count. Known is false where the model has no price.
func Cost(info Info, u Usage) (usd float64, known bool) {
	if info.Price == nil {
		return 0, false
	}
	p := info.Price
	cached := min(max(0, u.Cached), max(0, u.Prompt))
	written := min(max(0, u.CacheWrite), max(0, u.Prompt)-cached)
	fresh := max(0, u.Prompt) - cached - written
	read, write := cmp.Or(p.Cached, p.Prompt), cmp.Or(p.CacheWrite, p.Prompt)
	usd = (float64(fresh)*p.Prompt + float64(cached)*read + float64(written)*write + float64(max(0, u.Completion))*p.Completion) / 1e6
	if math.IsNaN(usd) || math.IsInf(usd, 0) {
		return 0, false
	}
	return usd, true
}
