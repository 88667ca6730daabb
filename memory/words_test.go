package memory

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestASCIIWords compares the fast way through ASCII with the one for all of Unicode.
func TestASCIIWords(t *testing.T) {
	texts := []string{
		"", "a", "_", "__", "a_b", "_a_", "a__b", "readFile", "HTTPServer", "sha256Sum", "SCREAMING_SNAKE_CASE", "x1Y2_z3", "A1", "a-b/c.d",
		"longer_than_any_word_that_is_kept_0123456789_0123456789_0123456789_ABCdef", "tab\tnew\nline\x00nul",
	}
	r := rand.New(rand.NewPCG(1, 1))
	const letters = "abzABZ019__  .-/\x7f"
	for range 20000 {
		b := make([]byte, r.IntN(90))
		for i := range b {
			b[i] = letters[r.IntN(len(letters))]
		}
		texts = append(texts, string(b))
	}
	for _, text := range texts {
		var got, want []string
		s := new(scanner)
		if !s.ascii(text, func(w []byte) { got = append(got, string(w)) }) {
			t.Fatalf("%q is not taken for ASCII", text)
		}
		s.unicode(text, func(w []byte) { want = append(want, string(w)) })
		if !slices.Equal(got, want) {
			t.Fatalf("words of %q:\ngot  %q\nwant %q", text, got, want)
		}
	}
	if new(scanner).ascii("caf\u00e9", func([]byte) { t.Error("a word before the end was seen") }) {
		t.Error("a text with an accent is taken for ASCII")
	}
}

// TestDictionary compares a dictionary with a map, over several sizes of its table.
func TestDictionary(t *testing.T) {
	var d dictionary
	if _, ok := d.find([]byte("x")); ok {
		t.Error("an empty dictionary has a word")
	}
	want := map[string]uint32{}
	r := rand.New(rand.NewPCG(2, 1))
	for range 5000 {
		key := fmt.Sprint(r.IntN(2000))
		i, isNew := d.number([]byte(key))
		old, had := want[key]
		if isNew == had || had && i != old {
			t.Fatalf("number of %q: %d, new %v; was %d, there %v", key, i, isNew, old, had)
		}
		want[key] = i
	}
	var keys []string
	for key, i := range want {
		keys = append(keys, key)
		if got, ok := d.find([]byte(key)); !ok || got != i || string(d.key(i)) != key {
			t.Fatalf("find %q: %d, %v; want %d", key, got, ok, i)
		}
	}
	slices.Sort(keys)
	var sorted []string
	for _, i := range d.sorted() {
		sorted = append(sorted, string(d.key(i)))
	}
	if !slices.Equal(sorted, keys) {
		t.Errorf("sorted: got %d keys, want %d", len(sorted), len(keys))
	}
}
