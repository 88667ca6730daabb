package memory_test

import (
	"errors"

	"agentd/memory"
	"agentd/memory/vec"
)

func floatBytes(f []float32) []byte { return vec.BytesOf(f) }

func isCorrupt(err error) bool {
	var c *memory.CorruptError
	return errors.As(err, &c)
}
