package llm

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
)

//go:embed prices.json
var pricesJSON []byte

// Entry is what a price table knows of one model.
type Entry struct {
	Price
	Window int `json:"window"`  // tokens of prompt and reply together
	MaxOut int `json:"max_out"` // most tokens of one reply
}

// Prices is a dated table of models, their prices and their limits.
type Prices struct {
	AsOf   string           `json:"as_of"` // the day it was true
	Note   string           `json:"note,omitempty"`
	Models map[string]Entry `json:"models"` // by provider/model
}

var builtinPrices = sync.OnceValue(func() *Prices {
	p, err := parsePrices(pricesJSON)
	if err != nil {
		panic(fmt.Sprintf("llm: the embedded price table: %v", err)) // a test reads it
	}
	return p
})

// BuiltinPrices returns the table that ships with the program. It must not be changed.
func BuiltinPrices() *Prices { return builtinPrices() }

// LoadPrices returns the built-in table overlaid with the file at path, whose entries win.
func LoadPrices(path string) (*Prices, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the price table: %w", err)
	}
	p, err := parsePrices(b)
	if err != nil {
		return nil, fmt.Errorf("price table %s: %w", path, err)
	}
	all := maps.Clone(BuiltinPrices().Models)
	maps.Copy(all, p.Models)
	p.Models = all
	return p, nil
}

func parsePrices(b []byte) (*Prices, error) {
	var p Prices
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return nil, err
	}
	if p.AsOf == "" {
		return nil, fmt.Errorf("as_of: the date is missing")
	}
	for _, name := range slices.Sorted(maps.Keys(p.Models)) {
		e := p.Models[name]
		switch {
		case !strings.Contains(name, "/"):
			return nil, fmt.Errorf("models: %q: want provider/model", name)
		case e.Prompt < 0 || e.Completion < 0 || e.Cached < 0 || e.CacheWrite < 0:
			return nil, fmt.Errorf("models: %q: a price is negative", name)
		case e.Window < 0 || e.MaxOut < 0 || e.MaxOut > e.Window:
			return nil, fmt.Errorf("models: %q: window %d and max_out %d do not fit", name, e.Window, e.MaxOut)
		}
	}
	return &p, nil
}

// dated matches what providers append to a name to pin a snapshot of the model.
var dated = regexp.MustCompile(`-(20\d{6}|20\d\d-\d\d-\d\d|latest|\d{4})$`)

// Lookup returns the entry of provider/model. A dated snapshot has its model's entry, unless it has one of its own.
func (p *Prices) Lookup(name string) (Entry, bool) {
	if e, ok := p.Models[name]; ok {
		return e, true
	}
	base := dated.ReplaceAllString(name, "")
	e, ok := p.Models[base]
	if !ok {
		e, ok = p.Models[base+"-latest"]
	}
	return e, ok
}

// Names returns the models of one provider, as provider/model, sorted.
func (p *Prices) Names(provider string) []string {
	var names []string
	for name := range p.Models {
		if strings.HasPrefix(name, provider+"/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
