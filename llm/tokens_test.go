package llm_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tiktoken-go/tokenizer"

	"agentd/llm"
)

const prose = `The daemon owns every run. Clients only talk to its socket; a run goes on when they leave, when the daemon is killed, and, once
it is started again, after a restart of the machine. Nobody has to wait: what was promised is written down before it is done, and what was done
is written down before it is told. "Why?" asked the reader. Because a machine that forgets can't be trusted, and one that repeats itself is worse.
`

// corpus is what agents read: our own sources and data, and text that is hard on a vocabulary.
func corpus(t *testing.T) map[string]string {
	t.Helper()
	c := map[string]string{}
	for _, pattern := range []string{"*.go", "langchain/*.go", "prices.json", "../go.mod", "../go.sum"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if len(b) > 500 && !strings.HasSuffix(f, "_test.go") {
				c["file "+f] = string(b[:min(len(b), 5000)])
			}
		}
	}
	r := rand.New(rand.NewSource(1))
	noise := make([]byte, 2000)
	r.Read(noise)
	c["prose"] = strings.Repeat(prose, 8)
	c["base64"] = base64.StdEncoding.EncodeToString(noise)
	c["base64 of text"] = base64.StdEncoding.EncodeToString([]byte(strings.Repeat(prose, 4)))
	c["base64 in lines"] = strings.Join(chunks(c["base64"], 76), "\n")
	c["hex"] = hex.EncodeToString(noise)
	c["HEX"] = strings.ToUpper(c["hex"])
	c["chinese"] = strings.Repeat("今天天气很好，我们去公园散步吧。人工智能正在改变世界的各个方面，包括医疗、教育和交通。", 20)
	c["japanese"] = strings.Repeat("吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。コンピュータの設定を変更する。", 20)
	c["korean"] = strings.Repeat("안녕하세요. 오늘은 날씨가 정말 좋네요. 컴퓨터 프로그램을 작성하고 있습니다.", 20)
	c["russian"] = strings.Repeat("Съешь же ещё этих мягких французских булок, да выпей чаю. Программирование на языке Го.", 20)
	c["german"] = strings.Repeat("Die Geschwindigkeitsbegrenzung für Kraftfahrzeuge wurde überschritten; Straßenverkehrsordnung gemäß Paragraph größer. ", 20)
	c["greek"] = strings.Repeat("Καλημέρα κόσμε, πώς είσαι σήμερα; Γράφουμε ένα νέο πρόγραμμα.", 20)
	c["arabic"] = strings.Repeat("مرحبا بالعالم، كيف حالك اليوم؟ نحن نكتب برنامجا جديدا.", 20)
	c["hindi"] = strings.Repeat("नमस्ते दुनिया, आप कैसे हैं? हम एक नया कार्यक्रम लिख रहे हैं।", 20)
	c["emoji"] = strings.Repeat("🎉🚀😀👨‍👩‍👧‍👦🇩🇪✅❌⚠️🦀", 20)
	c["table"] = strings.Repeat("┌──────┬──────┐\n│ a    │ b    │\n└──────┴──────┘ → ≥ …\n", 20)
	c["csv"] = strings.Repeat("2026-01-02,12.50,Berlin,\"a, b\",true\n", 100)
	c["diff"] = strings.Repeat("@@ -1,3 +1,4 @@\n-\treturn nil\n+\treturn fmt.Errorf(\"x: %w\", err)\n", 60)
	c["log"] = strings.Repeat("2026-11-24T11:11:13.123Z INFO  http: GET /v1/runs/01JD9 200 in 3.214ms ua=\"curl/8.5.0\"\n", 60)
	c["control"] = strings.Repeat("\x01\x1b[0m", 300)
	c["spaces"] = strings.Repeat(" ", 500)
	c["lines"] = strings.Repeat("\n", 500)
	c["digits"] = strings.Repeat("31415926", 500)
	c["uuids"] = func() string {
		var b strings.Builder
		for range 200 {
			fmt.Fprintf(&b, "%08x-%04x-%04x-%04x-%012x\n", r.Uint32(), r.Intn(1<<16), r.Intn(1<<16), r.Intn(1<<16), r.Int63()&0xffffffffffff)
		}
		return b.String()
	}()
	for name, s := range c { // as it stands in a body
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		c["JSON of "+strings.TrimPrefix(name, "JSON of ")] = string(b)
	}
	return c
}

func chunks(s string, n int) (parts []string) {
	for len(s) > n {
		parts, s = append(parts, s[:n]), s[n:]
	}
	return append(parts, s)
}

func TestCountTokens(t *testing.T) {
	for _, encoding := range []tokenizer.Encoding{tokenizer.O200kBase, tokenizer.Cl100kBase} {
		codec, err := tokenizer.Get(encoding)
		if err != nil {
			t.Fatal(err)
		}
		for name, s := range corpus(t) {
			want, err := codec.Count(s)
			if err != nil {
				t.Fatal(err)
			}
			got := llm.CountTokens(s)
			if got < want {
				t.Errorf("%s, %s: estimated %d of %d tokens", encoding, name, got, want)
			}
			ordinary := strings.HasPrefix(name, "file ") || name == "prose"
			if most := float64(want) * 1.5; ordinary && float64(got) > most {
				t.Errorf("%s, %s: estimated %d for %d tokens, want at most %.0f", encoding, name, got, want, most)
			}
		}
	}
}

func TestCountTokensEdges(t *testing.T) {
	for _, tt := range []struct {
		text string
		want int
	}{{"", 0}, {"a", 2}, {" ", 1}, {"\n", 2}, {"hello world", 3}, {"\xff\xfe", 8}} {
		if got := llm.CountTokens(tt.text); got < 0 || got > tt.want {
			t.Errorf("CountTokens(%q) = %d, want at most %d", tt.text, got, tt.want)
		}
	}
}

// FuzzCountTokens holds what callers rely on for any bytes: no panic, never negative, never fewer for more text.
func FuzzCountTokens(f *testing.F) {
	f.Add("hello", " world")
	f.Add("\xe4", "\xb8\xad")
	f.Add("aB3", "é\n\t{")
	f.Fuzz(func(t *testing.T, a, b string) {
		n := llm.CountTokens(a + "\n\nx" + b)
		if n < 0 || n > 4*(len(a)+len(b)+3)+1 {
			t.Errorf("%d tokens for %d bytes", n, len(a)+len(b)+3)
		}
		if len(a) > 0 && llm.CountTokens(a) > n {
			t.Errorf("%q alone counts more than with %q", a, b)
		}
	})
}

func BenchmarkCountTokens(b *testing.B) {
	s := strings.Repeat(prose, 100)
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		llm.CountTokens(s)
	}
}
