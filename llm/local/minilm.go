package local

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// The sizes of all-MiniLM-L6-v2 as it is published.
const (
	minilmWeightSize = 90868376
	minilmVocabSize  = 231508
	minilmInputSize  = minilmWeightSize + minilmVocabSize
	minilmLayers     = 6
)

// quant is how a matrix is stored.
type quant int

const (
	quantF32 quant = iota
	quantQ8        // blocks of 32 bytes with one half-precision scale
)

// convertMiniLM writes the GGUF file of all-MiniLM-L6-v2 from the folder that has its model.safetensors and vocab.txt.
// Equal inputs give equal bytes.
func convertMiniLM(dir, out string, q quant) (err error) {
	weights, err := openSafetensors(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		return err
	}
	defer weights.Close()
	raw, err := os.ReadFile(filepath.Join(dir, "vocab.txt"))
	if err != nil {
		return err
	}
	vocab := strings.Split(strings.TrimSuffix(strings.ReplaceAll(string(raw), "\r\n", "\n"), "\n"), "\n")
	g := newGGUF("bert")
	if err := minilmMeta(g, vocab, q); err != nil {
		return err
	}
	for _, name := range minilmTensors() {
		t, ok := weights.tensors[name.from]
		if !ok {
			return fmt.Errorf("tensor %s isn't in model.safetensors", name.from)
		}
		if t.DType != "F32" {
			return fmt.Errorf("tensor %s is %s, not F32", name.from, t.DType)
		}
		kind := quantF32
		if q == quantQ8 && name.matrix {
			kind = quantQ8
		}
		g.tensor(name.to, t.Shape, kind, func() ([]float32, error) { return weights.read(name.from) })
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := g.write(f); err != nil {
		return err
	}
	return f.Sync()
}

func minilmMeta(g *gguf, vocab []string, q quant) error {
	g.text("general.name", "all-MiniLM-L6-v2")
	g.text("general.license", "apache-2.0")
	g.u32("bert.context_length", 512)
	g.u32("bert.embedding_length", 384)
	g.u32("bert.feed_forward_length", 1536)
	g.u32("bert.block_count", minilmLayers)
	g.u32("bert.attention.head_count", 12)
	g.f32("bert.attention.layer_norm_epsilon", 1e-12)
	g.flag("bert.attention.causal", false)
	g.u32("bert.pooling_type", 1) // mean
	fileType := uint32(0)
	if q == quantQ8 {
		fileType = 7
	}
	g.u32("general.file_type", fileType)
	g.text("tokenizer.ggml.model", "bert")
	g.text("tokenizer.ggml.pre", "default")

	ids := map[string]uint32{}
	pieces := make([]string, len(vocab))
	types := make([]int32, len(vocab))
	for i, t := range vocab {
		ids[t] = uint32(i)
		pieces[i] = wordPiece(t)
		types[i] = tokenType(t)
	}
	g.texts("tokenizer.ggml.tokens", pieces)
	g.i32s("tokenizer.ggml.token_type", types)
	g.u32("tokenizer.ggml.token_type_count", 2)
	for _, s := range []struct{ key, token string }{
		{"bos", "[CLS]"}, {"eos", "[SEP]"}, {"seperator", "[SEP]"}, {"unknown", "[UNK]"}, {"padding", "[PAD]"}, {"mask", "[MASK]"},
	} {
		id, ok := ids[s.token]
		if !ok {
			return fmt.Errorf("vocab.txt has no %s", s.token)
		}
		g.u32("tokenizer.ggml."+s.key+"_token_id", id)
	}
	return nil
}

// wordPiece writes a token as llama.cpp wants it: the first piece of a word carries U+2581, another loses its ##.
func wordPiece(t string) string {
	switch {
	case strings.HasPrefix(t, "[") && strings.HasSuffix(t, "]"):
		return t
	case strings.HasPrefix(t, "##"):
		return t[2:]
	}
	return "\u2581" + t
}

func tokenType(t string) int32 {
	const normal, unknown, control, unused = 1, 2, 3, 5
	switch {
	case t == "[PAD]" || t == "[CLS]" || t == "[SEP]" || t == "[MASK]":
		return control
	case t == "[UNK]":
		return unknown
	case strings.HasPrefix(t, "[unused"):
		return unused
	}
	return normal
}

type tensorName struct {
	from, to string
	matrix   bool // may be quantised
}

func minilmTensors() []tensorName {
	names := []tensorName{
		{"embeddings.word_embeddings.weight", "token_embd.weight", true},
		{"embeddings.token_type_embeddings.weight", "token_types.weight", false},
		{"embeddings.position_embeddings.weight", "position_embd.weight", false},
		{"embeddings.LayerNorm.weight", "token_embd_norm.weight", false},
		{"embeddings.LayerNorm.bias", "token_embd_norm.bias", false},
	}
	for i := range minilmLayers {
		for _, p := range []struct {
			from, to string
			matrix   bool
		}{
			{"attention.self.query", "attn_q", true},
			{"attention.self.key", "attn_k", true},
			{"attention.self.value", "attn_v", true},
			{"attention.output.dense", "attn_output", true},
			{"attention.output.LayerNorm", "attn_output_norm", false},
			{"intermediate.dense", "ffn_up", true},
			{"output.dense", "ffn_down", true},
			{"output.LayerNorm", "layer_output_norm", false},
		} {
			from, to := fmt.Sprintf("encoder.layer.%d.%s", i, p.from), fmt.Sprintf("blk.%d.%s", i, p.to)
			names = append(names, tensorName{from + ".weight", to + ".weight", p.matrix}, tensorName{from + ".bias", to + ".bias", false})
		}
	}
	return names
}

// safetensors is a file of named arrays: a JSON header and raw numbers.
type safetensors struct {
	f       *os.File
	base    int64
	size    int64
	tensors map[string]safetensor
}

type safetensor struct {
	DType   string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// maxHeader bounds a file's header.
const maxHeader = 16 << 20

func openSafetensors(path string) (*safetensors, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	s := &safetensors{f: f}
	if err := s.readHeader(); err != nil {
		f.Close()
		return nil, fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	return s, nil
}

func (s *safetensors) readHeader() error {
	st, err := s.f.Stat()
	if err != nil {
		return err
	}
	var length [8]byte
	if _, err := io.ReadFull(s.f, length[:]); err != nil {
		return err
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader || int64(n)+8 > st.Size() {
		return fmt.Errorf("header of %d bytes", n)
	}
	header := make([]byte, n)
	if _, err := io.ReadFull(s.f, header); err != nil {
		return err
	}
	raw := map[string]json.RawMessage{}
	if err := json.Unmarshal(header, &raw); err != nil {
		return fmt.Errorf("header: %w", err)
	}
	s.base, s.size = int64(n)+8, st.Size()
	s.tensors = map[string]safetensor{}
	for name, r := range raw {
		if name == "__metadata__" {
			continue
		}
		var t safetensor
		if err := json.Unmarshal(r, &t); err != nil {
			return fmt.Errorf("tensor %s: %w", name, err)
		}
		if err := s.check(t); err != nil {
			return fmt.Errorf("tensor %s: %w", name, err)
		}
		s.tensors[name] = t
	}
	return nil
}

// check holds a float tensor's place to its shape and to the file.
func (s *safetensors) check(t safetensor) error {
	count := int64(1)
	for _, d := range t.Shape {
		if d <= 0 || count > math.MaxInt32/d {
			return fmt.Errorf("shape %v", t.Shape)
		}
		count *= d
	}
	from, to := t.Offsets[0], t.Offsets[1]
	if from < 0 || to < from || s.base+to > s.size || t.DType == "F32" && to-from != 4*count {
		return fmt.Errorf("bytes %d to %d for shape %v", from, to, t.Shape)
	}
	return nil
}

func (s *safetensors) read(name string) ([]float32, error) {
	t := s.tensors[name]
	b := make([]byte, t.Offsets[1]-t.Offsets[0])
	if _, err := s.f.ReadAt(b, s.base+t.Offsets[0]); err != nil {
		return nil, fmt.Errorf("read tensor %s: %w", name, err)
	}
	out := make([]float32, len(b)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out, nil
}

// Close closes the file.
func (s *safetensors) Close() error { return s.f.Close() }

// gguf collects metadata and tensors and writes them as a GGUF file, version 3.
type gguf struct {
	keys    int
	meta    []byte
	tensors []ggufTensor
}

type ggufTensor struct {
	name  string
	shape []int64
	kind  quant
	read  func() ([]float32, error)
}

func newGGUF(arch string) *gguf {
	g := &gguf{}
	g.text("general.architecture", arch)
	return g
}

// The type numbers of metadata values.
const (
	ggufU32 = 4
	ggufI32 = 5
	ggufF32 = 6
	ggufBit = 7
	ggufTxt = 8
	ggufArr = 9
)

func (g *gguf) key(name string, kind uint32) {
	g.keys++
	g.meta = appendText(g.meta, name)
	g.meta = binary.LittleEndian.AppendUint32(g.meta, kind)
}

func appendText(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
}

func (g *gguf) u32(name string, v uint32) {
	g.key(name, ggufU32)
	g.meta = binary.LittleEndian.AppendUint32(g.meta, v)
}

func (g *gguf) f32(name string, v float32) {
	g.key(name, ggufF32)
	g.meta = binary.LittleEndian.AppendUint32(g.meta, math.Float32bits(v))
}

func (g *gguf) flag(name string, v bool) {
	g.key(name, ggufBit)
	bit := byte(0)
	if v {
		bit = 1
	}
	g.meta = append(g.meta, bit)
}

func (g *gguf) text(name, v string) {
	g.key(name, ggufTxt)
	g.meta = appendText(g.meta, v)
}

func (g *gguf) array(name string, kind uint32, n int) {
	g.key(name, ggufArr)
	g.meta = binary.LittleEndian.AppendUint32(g.meta, kind)
	g.meta = binary.LittleEndian.AppendUint64(g.meta, uint64(n))
}

func (g *gguf) texts(name string, v []string) {
	g.array(name, ggufTxt, len(v))
	for _, s := range v {
		g.meta = appendText(g.meta, s)
	}
}

func (g *gguf) i32s(name string, v []int32) {
	g.array(name, ggufI32, len(v))
	for _, x := range v {
		g.meta = binary.LittleEndian.AppendUint32(g.meta, uint32(x))
	}
}

func (g *gguf) tensor(name string, shape []int64, kind quant, read func() ([]float32, error)) {
	g.tensors = append(g.tensors, ggufTensor{name, shape, kind, read})
}

// ggufAlign is where tensors begin.
const ggufAlign = 32

func padding(n int64) int64 { return (ggufAlign - n%ggufAlign) % ggufAlign }

// bytes is the stored size of a tensor.
func (t ggufTensor) bytes() int64 {
	n := int64(1)
	for _, d := range t.shape {
		n *= d
	}
	if t.kind == quantQ8 {
		return n / blockSize * blockBytes
	}
	return 4 * n
}

func (g *gguf) write(out io.Writer) error {
	head := []byte("GGUF")
	head = binary.LittleEndian.AppendUint32(head, 3)
	head = binary.LittleEndian.AppendUint64(head, uint64(len(g.tensors)))
	head = binary.LittleEndian.AppendUint64(head, uint64(g.keys))
	head = append(head, g.meta...)
	var at int64
	for _, t := range g.tensors {
		head = appendText(head, t.name)
		head = binary.LittleEndian.AppendUint32(head, uint32(len(t.shape)))
		for i := len(t.shape) - 1; i >= 0; i-- { // fastest dimension first
			head = binary.LittleEndian.AppendUint64(head, uint64(t.shape[i]))
		}
		typ := uint32(0)
		if t.kind == quantQ8 {
			typ = 8
			if row := t.shape[len(t.shape)-1]; row%blockSize != 0 {
				return fmt.Errorf("tensor %s: rows of %d aren't a multiple of %d", t.name, row, blockSize)
			}
		}
		head = binary.LittleEndian.AppendUint32(head, typ)
		head = binary.LittleEndian.AppendUint64(head, uint64(at))
		at += t.bytes() + padding(t.bytes())
	}
	w := bufio.NewWriterSize(out, 1<<20)
	zero := make([]byte, ggufAlign)
	w.Write(head) //nolint:errcheck // Flush tells
	w.Write(zero[:padding(int64(len(head)))])
	for _, t := range g.tensors {
		v, err := t.read()
		if err != nil {
			return err
		}
		if t.kind == quantQ8 {
			w.Write(quantise(v))
		} else {
			b := make([]byte, 0, 4*len(v))
			for _, x := range v {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
			}
			w.Write(b)
		}
		w.Write(zero[:padding(t.bytes())])
	}
	return w.Flush()
}

// A Q8_0 block is 32 numbers as bytes behind their common scale.
const (
	blockSize  = 32
	blockBytes = 34
)

func quantise(v []float32) []byte {
	out := make([]byte, 0, len(v)/blockSize*blockBytes)
	for i := 0; i+blockSize <= len(v); i += blockSize {
		block := v[i : i+blockSize]
		var most float32
		for _, x := range block {
			most = max(most, float32(math.Abs(float64(x))))
		}
		scale := most / 127
		var inverse float32
		if scale != 0 {
			inverse = 1 / scale
		}
		out = binary.LittleEndian.AppendUint16(out, half(scale))
		for _, x := range block {
			out = append(out, byte(int8(math.Round(float64(x*inverse)))))
		}
	}
	return out
}

// half rounds to IEEE half precision, to even.
func half(f float32) uint16 {
	b := math.Float32bits(f)
	sign := uint16(b >> 16 & 0x8000)
	exp := int(b>>23&0xff) - 127 + 15
	frac := b & 0x7fffff
	switch {
	case b>>23&0xff == 0xff:
		if frac != 0 {
			return sign | 0x7e00
		}
		return sign | 0x7c00
	case exp >= 31:
		return sign | 0x7c00
	case exp <= 0:
		if exp < -10 {
			return sign
		}
		frac |= 0x800000
		return sign | uint16(roundShift(frac, uint(14-exp)))
	}
	return sign | uint16(uint32(exp)<<10+roundShift(frac, 13)) // a carry moves into the exponent as it should
}

func roundShift(v uint32, n uint) uint32 {
	q, rest, mid := v>>n, v&(1<<n-1), uint32(1)<<(n-1)
	if rest > mid || rest == mid && q&1 == 1 {
		q++
	}
	return q
}
