package memory

import (
	"container/list"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"

	"agentd/memory/vec"
)

// embedBatch is how many texts are embedded with one call.
const embedBatch = 64

// cacheSize is how many vectors are kept for texts that come again.
const cacheSize = 4096

// vectorCache keeps the unit vectors of recent texts, by the hash of model and text. The zero value is empty.
type vectorCache struct {
	mu    sync.Mutex // guards the fields below
	byKey map[[32]byte]*list.Element
	order list.List // of cached, latest use first
}

type cached struct {
	key [32]byte
	vec []float32
}

func cacheKey(model, text string) [32]byte { return sha256.Sum256([]byte(model + "\x00" + text)) }

func (c *vectorCache) get(key [32]byte) []float32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byKey[key]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(cached).vec
}

func (c *vectorCache) put(key [32]byte, v []float32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey == nil {
		c.byKey = map[[32]byte]*list.Element{}
	}
	if c.byKey[key] != nil {
		return
	}
	c.byKey[key] = c.order.PushFront(cached{key, v})
	if c.order.Len() > cacheSize {
		last := c.order.Back()
		delete(c.byKey, c.order.Remove(last).(cached).key)
	}
}

// embed returns a unit vector for each text. An embedder's answer is checked: it is another program's.
func (c *vectorCache) embed(ctx context.Context, e Embedder, texts []string) ([][]float32, error) {
	out := make([][]float32, len(texts))
	model := e.ID()
	want := map[[32]byte][]int{}
	var keys [][32]byte
	for i, t := range texts {
		key := cacheKey(model, t)
		if v := c.get(key); v != nil {
			out[i] = v
			continue
		}
		if want[key] == nil {
			keys = append(keys, key)
		}
		want[key] = append(want[key], i)
	}
	for part := range slices.Chunk(keys, embedBatch) {
		ask := make([]string, len(part))
		for i, key := range part {
			ask[i] = texts[want[key][0]]
		}
		got, err := e.Embed(ctx, ask)
		if err != nil {
			return nil, err
		}
		if len(got) != len(ask) {
			return nil, fmt.Errorf("%s gave %d vectors for %d texts", model, len(got), len(ask))
		}
		for i, key := range part {
			if err := vec.Check(got[i], len(got[i])); err != nil {
				return nil, fmt.Errorf("%s: %w", model, err)
			}
			if err := vec.CheckDim(len(got[i])); err != nil {
				return nil, fmt.Errorf("%s: %w", model, err)
			}
			v := slices.Clone(got[i])
			vec.Normalize(v)
			c.put(key, v)
			for _, at := range want[key] {
				out[at] = v
			}
		}
	}
	return out, nil
}
