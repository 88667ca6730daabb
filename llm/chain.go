package llm

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// Chain asks the first of models, and goes on to the next one when a call fails for a reason that another model may not have:
// a key, a rate, an overload, a time-out, a connection. It moves on only before the first word of a reply, says so by a
// DeltaNote, and asks the first model again at the next call. The reply names the model that gave it.
//
// Info is cautious: the window, the reply's bound and the price are such that they hold for every model of the chain.
func Chain(models ...Model) (Model, error) {
	switch len(models) {
	case 0:
		return nil, errors.New("a chain needs a model")
	case 1:
		return models[0], nil
	}
	return &chain{models, chainInfo(models)}, nil
}

type chain struct {
	models []Model
	info   Info
}

func chainInfo(models []Model) Info {
	info := models[0].Info()
	for _, m := range models[1:] {
		i := m.Info()
		info.Window = least(info.Window, i.Window)
		info.MaxOut = least(info.MaxOut, i.MaxOut)
		info.Schema, info.Grammar, info.Local = info.Schema && i.Schema, info.Grammar && i.Grammar, info.Local && i.Local
		if i.Style == StyleFenced {
			info.Style = StyleFenced // it is text, which every model can write
		}
		if info.Price == nil || i.Price == nil {
			info.Price = nil
			continue
		}
		a, b := *info.Price, *i.Price
		info.Price = &Price{max(a.Prompt, b.Prompt), max(a.Completion, b.Completion), max(a.Cached, b.Cached), max(a.CacheWrite, b.CacheWrite)}
	}
	return info
}

// least returns the smaller of two bounds, of which 0 is unknown.
func least(a, b int) int {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

func (c *chain) Info() Info { return c.info }

// Encode returns the bytes for the first model.
func (c *chain) Encode(r *Request) ([]byte, error) { return c.models[0].Encode(r) }

func (c *chain) Stream(ctx context.Context, r *Request) iter.Seq2[Delta, error] {
	return func(yield func(Delta, error) bool) {
		for i, m := range c.models {
			begun := false
			failed, over := relay(m.Stream(ctx, r), yield, func(d Delta) { begun = begun || d.Kind != DeltaNote })
			if over {
				return
			}
			if begun || !failed.Failover() || i+1 == len(c.models) || ctx.Err() != nil {
				yield(Delta{}, failed)
				return
			}
			if !yield(Delta{Kind: DeltaNote, Text: fmt.Sprintf("%s: going on with %s", failed, c.models[i+1].Info().Name)}, nil) {
				return
			}
		}
	}
}
