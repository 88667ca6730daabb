package serve

import (
	"strings"

	"github.com/hybridgroup/yzma/pkg/llama"
)

// vocabulary is what the sampler and the tokenizer need to know of a model's tokens. It is read-only after loading.
type vocabulary struct {
	vocab  llama.Vocab
	size   int
	pieces []string      // text of each token, as it appears in a reply
	banned []llama.Token // control tokens that don't end a reply: never sampled
	bytes  []llama.Token // the tokens of one byte
	ends   []bool        // the tokens that end a reply
	eog    llama.Token   // one of them
	addBOS bool
}

func readVocabulary(v llama.Vocab) *vocabulary {
	n := int(llama.VocabNTokens(v))
	voc := &vocabulary{vocab: v, size: n, pieces: make([]string, n), ends: make([]bool, n)}
	buf := make([]byte, 1024)
	for i := range n {
		t := llama.Token(i)
		if k := llama.TokenToPiece(v, t, buf, 0, false); k > 0 {
			voc.pieces[i] = string(buf[:k])
		}
		switch {
		case llama.VocabIsEOG(v, t):
			voc.ends[i] = true
			voc.eog = t
		case llama.VocabIsControl(v, t):
			voc.banned = append(voc.banned, t)
		case len(voc.pieces[i]) == 1:
			voc.bytes = append(voc.bytes, t)
		}
	}
	voc.addBOS = llama.VocabGetAddBOS(v)
	return voc
}

// segment is a piece of a prompt. Only in markup are special tokens recognised, so that no tool output or file can
// forge a turn of the conversation.
type segment struct {
	text   string
	markup bool
}

// tokenize turns segments into tokens. It is safe for concurrent use.
func (v *vocabulary) tokenize(segs []segment) []llama.Token {
	var out []llama.Token
	for i, s := range merge(segs) {
		text := clean(s.text)
		if text == "" {
			continue
		}
		out = append(out, llama.Tokenize(v.vocab, text, i == 0 && v.addBOS, s.markup)...)
	}
	return out
}

// merge joins neighbours of one kind, so that a text is cut into tokens as a whole.
func merge(segs []segment) []segment {
	var out []segment
	for _, s := range segs {
		if n := len(out); n > 0 && out[n-1].markup == s.markup {
			out[n-1].text += s.text
			continue
		}
		out = append(out, s)
	}
	return out
}

// clean makes text that C strings and the tokenizer can carry: valid UTF-8 without NUL.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
