package local

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHalf(t *testing.T) {
	for _, tt := range []struct {
		in   float32
		want uint16
	}{
		{0, 0}, {1, 0x3c00}, {-2, 0xc000}, {65504, 0x7bff}, {65520, 0x7c00}, {1e9, 0x7c00},
		{6.1035156e-05, 0x0400}, {5.9604645e-08, 0x0001}, {2e-8, 0}, {1.0009766, 0x3c01}, {1.0004883, 0x3c00}, {1.0014648, 0x3c02},
		{2047.5, 0x6800}, {float32(math.Inf(-1)), 0xfc00},
	} {
		if got := half(tt.in); got != tt.want {
			t.Errorf("half(%v) is %#04x, want %#04x", tt.in, got, tt.want)
		}
	}
	if got := half(float32(math.NaN())); got&0x7c00 != 0x7c00 || got&0x3ff == 0 {
		t.Errorf("half(NaN) is %#04x", got)
	}
}

func unhalf(h uint16) float64 {
	exp, frac := int(h>>10&31), float64(h&0x3ff)
	if exp == 0 {
		return math.Ldexp(frac, -24)
	}
	return math.Ldexp(1024+frac, exp-25)
}

func TestQuantise(t *testing.T) {
	v := make([]float32, 96)
	for i := range v {
		v[i] = float32(math.Sin(float64(i)) * math.Pow(10, float64(i/32)-1))
	}
	for i := 64; i < 96; i++ {
		v[i] = 0
	}
	b := quantise(v)
	if len(b) != 3*blockBytes {
		t.Fatalf("%d bytes, want %d", len(b), 3*blockBytes)
	}
	for i, x := range v {
		block := b[i/32*blockBytes:]
		scale := unhalf(binary.LittleEndian.Uint16(block))
		got := scale * float64(int8(block[2+i%32]))
		if math.Abs(got-float64(x)) > scale*0.51+1e-6 {
			t.Errorf("number %d: %v became %v at scale %v", i, x, got, scale)
		}
	}
}

func TestWordPiece(t *testing.T) {
	for in, want := range map[string]string{"word": "\u2581word", "##ing": "ing", "[CLS]": "[CLS]", "[": "\u2581[", "#": "\u2581#"} {
		if got := wordPiece(in); got != want {
			t.Errorf("wordPiece(%q) is %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]int32{"[CLS]": 3, "[UNK]": 2, "[unused7]": 5, "a": 1, "[x]": 1} {
		if got := tokenType(in); got != want {
			t.Errorf("tokenType(%q) is %d, want %d", in, got, want)
		}
	}
}

// tensorFile writes a safetensors file with a header as given.
func tensorFile(t *testing.T, header string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.safetensors")
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	if err := os.WriteFile(path, append(append(b, header...), data...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSafetensors(t *testing.T) {
	data := make([]byte, 24)
	for i := range 6 {
		binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(float32(i)))
	}
	s, err := openSafetensors(tensorFile(t, `{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[8,24]}}`, data))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got, err := s.read("a")
	if err != nil || len(got) != 4 || got[0] != 2 || got[3] != 5 {
		t.Errorf("read gives %v, %v", got, err)
	}
	for _, tt := range []struct{ header, want string }{
		{`{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[16,32]}}`, "bytes 16 to 32"},
		{`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, "bytes 0 to 8"},
		{`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,8]}}`, "shape"},
		{`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}`, "shape"},
		{`{`, "header"},
	} {
		if _, err := openSafetensors(tensorFile(t, tt.header, data)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error is %v, want %q in it", tt.header, err, tt.want)
		}
	}
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte{255, 255, 255, 255, 255, 255, 255, 255}, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openSafetensors(short); err == nil {
		t.Error("a header longer than the file was read")
	}
}

// TestConvert writes a model with the real names and small matrices and reads its outline back.
func TestConvert(t *testing.T) {
	dir := t.TempDir()
	type entry struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	header := map[string]entry{}
	at := 0
	for _, n := range minilmTensors() {
		shape := []int{32}
		if strings.HasSuffix(n.from, ".weight") && !strings.Contains(n.from, "LayerNorm") {
			shape = []int{2, 32}
		}
		size := 4 * 32 * len(shape)
		header[n.from] = entry{"F32", shape, [2]int{at, at + size}}
		at += size
	}
	h, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, at)
	for i := 0; i < at; i += 4 {
		binary.LittleEndian.PutUint32(data[i:], math.Float32bits(float32(i%97)-48))
	}
	if err := os.Rename(tensorFile(t, string(h), data), filepath.Join(dir, "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	vocab := "[PAD]\n[unused0]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nword\n##s\n"
	if err := os.WriteFile(filepath.Join(dir, "vocab.txt"), []byte(vocab), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out.gguf")
	if err := convertMiniLM(dir, out, quantQ8); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(b, []byte("GGUF\x03\x00\x00\x00")) {
		t.Fatalf("the file begins with %q", b[:8])
	}
	if got := binary.LittleEndian.Uint64(b[8:]); got != 101 {
		t.Errorf("%d tensors, want 101", got)
	}
	if len(b)%ggufAlign != 0 {
		t.Errorf("%d bytes aren't aligned to %d", len(b), ggufAlign)
	}
	if !bytes.Contains(b, []byte("tokenizer.ggml.seperator_token_id")) || !bytes.Contains(b, []byte("\u2581word")) {
		t.Error("the vocabulary isn't in the file")
	}
	// the last tensor is a norm's bias, stored as it was
	last := header["encoder.layer.5.output.LayerNorm.bias"]
	if !bytes.HasSuffix(b, data[last.Offsets[0]:last.Offsets[1]]) {
		t.Error("the last tensor differs from its source")
	}
	if err := os.WriteFile(filepath.Join(dir, "vocab.txt"), []byte("[PAD]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := convertMiniLM(dir, out, quantQ8); err == nil || !strings.Contains(err.Error(), "[CLS]") {
		t.Errorf("a vocabulary without [CLS] gave %v", err)
	}
}
