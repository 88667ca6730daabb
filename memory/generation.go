package memory

import (
	"encoding/json"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"agentd/memory/vec"
)

// generation is a set of vectors of one model.
type generation struct {
	no    uint32
	model string
	codec *vec.Codec
	fixed bool // the codec has its mean; before the first segment it has none
}

// generationJSON is the value of keyModel in a generation's bucket.
type generationJSON struct {
	Model string `json:"model"`
	Dim   int    `json:"dim"`
	Seed  uint64 `json:"seed"`
	Mean  []byte `json:"mean,omitempty"`
}

func (g *generation) name() []byte { return fmt.Appendf(nil, "v%d", g.no) }

func (g *generation) bucket(tx *bolt.Tx) *bolt.Bucket { return tx.Bucket(g.name()) }

// put writes the generation's description, and makes its buckets.
func (g *generation) put(tx *bolt.Tx) error {
	b, err := tx.CreateBucketIfNotExists(g.name())
	if err != nil {
		return err
	}
	for _, n := range generationBuckets {
		if _, err := b.CreateBucketIfNotExists(n); err != nil {
			return err
		}
	}
	j := generationJSON{Model: g.model, Dim: g.codec.Dim(), Seed: g.codec.Seed()}
	if g.fixed {
		j.Mean = vec.BytesOf(g.codec.Mean())
	}
	v, err := json.Marshal(j)
	if err != nil {
		return err
	}
	return b.Put(keyModel, v)
}

func readGeneration(tx *bolt.Tx, no uint32) (*generation, error) {
	g := &generation{no: no}
	b := g.bucket(tx)
	if b == nil {
		return nil, fmt.Errorf("%w: generation %d of vectors is missing", ErrDamaged, no)
	}
	var j generationJSON
	if err := json.Unmarshal(b.Get(keyModel), &j); err != nil {
		return nil, fmt.Errorf("%w: generation %d of vectors: %v", ErrDamaged, no, err)
	}
	var mean []float32
	if len(j.Mean) > 0 {
		mean, g.fixed = vec.FloatsOf(j.Mean), true
	}
	for _, n := range generationBuckets {
		if b.Bucket(n) == nil {
			return nil, fmt.Errorf("%w: bucket %s of generation %d is missing", ErrDamaged, n, no)
		}
	}
	var err error
	if g.codec, err = vec.NewCodec(j.Dim, j.Seed, mean); err != nil {
		return nil, fmt.Errorf("%w: generation %d of vectors: %v", ErrDamaged, no, err)
	}
	g.model = j.Model
	return g, nil
}
