package authority

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/goccy/go-yaml"
)

// Grant is what a person granted one goal's text.
type Grant struct {
	Goal     string    `json:"goal" yaml:"goal"` // its name, for people
	Hash     string    `json:"hash" yaml:"hash"` // of the goal and what it imports: the grant is for that and for nothing else
	Requests []string  `json:"grants" yaml:"grants"`
	File     string    `json:"file,omitempty" yaml:"-"`   // where the goal was read
	Source   string    `json:"source,omitempty" yaml:"-"` // the text that was granted, to compare later ones with
	By       string    `json:"by,omitempty" yaml:"-"`
	At       time.Time `json:"at,omitzero" yaml:"-"`
}

// Bounds of grants.
const (
	maxGrants   = 1000
	maxRequests = 500
)

var hash = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (g Grant) check() error {
	switch {
	case !hash.MatchString(g.Hash):
		return fmt.Errorf("hash: %.80q is no sha256 in hexadecimal", g.Hash)
	case len(g.Requests) > maxRequests:
		return fmt.Errorf("grants: more than %d", maxRequests)
	}
	return nil
}

// ParseGrants reads a file of grants, which is reviewed with the goals that it names: a YAML list of {goal, hash, grants}.
func ParseGrants(file string, data []byte) ([]Grant, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: has %d bytes, more than %d", file, len(data), maxFile)
	}
	var out []Grant
	if err := yaml.UnmarshalWithOptions(data, &out, yaml.Strict()); err != nil {
		var ye yaml.Error
		if errors.As(err, &ye) && ye.GetToken() != nil {
			p := ye.GetToken().Position
			return nil, fmt.Errorf("%s:%d:%d: %s", file, p.Line, p.Column, ye.GetMessage())
		}
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(out) > maxGrants {
		return nil, fmt.Errorf("%s: more than %d grants", file, maxGrants)
	}
	for i, g := range out {
		if err := g.check(); err != nil {
			return nil, fmt.Errorf("%s: grant %d: %w", file, i+1, err)
		}
	}
	return out, nil
}

// PrintGrants is the file of which ParseGrants reads the same.
func PrintGrants(list []Grant) ([]byte, error) {
	for i := range list {
		if list[i].Requests == nil {
			list[i].Requests = []string{}
		}
	}
	return yaml.MarshalWithOptions(list, yaml.IndentSequence(true))
}

// Of are the requests that grants give the goal of a hash.
func Of(list []Grant, hash string) []string {
	var out []string
	for _, g := range list {
		if g.Hash == hash {
			out = append(out, g.Requests...)
		}
	}
	return out
}

// Store keeps grants in a file. It is safe for concurrent use.
type Store struct {
	path string
	mu   sync.Mutex // guards the file
}

// Open returns the store at path, whose file is made when something is granted.
func Open(path string) *Store { return &Store{path: path} }

// List returns the grants, the oldest first. A file that can't be read is an error, and nothing is granted then.
func (s *Store) List() ([]Grant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read()
}

func (s *Store) read() ([]Grant, error) {
	data, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []Grant
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		return nil, fmt.Errorf("read grants: %s: %w", s.path, err)
	}
	return out, nil
}

// Add keeps a grant; one for the same hash is replaced. On return it is on disk.
func (s *Store) Add(g Grant) error {
	if err := g.check(); err != nil {
		return err
	}
	return s.change(func(list []Grant) []Grant {
		list = slices.DeleteFunc(list, func(o Grant) bool { return o.Hash == g.Hash })
		list = append(list, g)
		return list[max(0, len(list)-maxGrants):]
	})
}

// Remove takes back the grants of a hash, or of all that begin with it, or of a goal's name; it returns how many.
func (s *Store) Remove(which string) (n int, err error) {
	err = s.change(func(list []Grant) []Grant {
		return slices.DeleteFunc(list, func(o Grant) bool {
			gone := which != "" && (o.Goal == which || len(which) >= 8 && strings.HasPrefix(o.Hash, which))
			if gone {
				n++
			}
			return gone
		})
	})
	return n, err
}

func (s *Store) change(f func([]Grant) []Grant) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list, err := s.read()
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(f(list), "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(s.path), ".grants-*") // 0600
	if err != nil {
		return fmt.Errorf("keep grants: %w", err)
	}
	defer os.Remove(tmp.Name()) // gone already when all went well
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), s.path)
	}
	if err != nil {
		return fmt.Errorf("keep grants: %w", err)
	}
	return nil
}

// Previous is the newest grant of a goal's file or name with another hash: what a changed file is compared with.
func Previous(list []Grant, file, name, hash string) (Grant, bool) {
	for _, g := range slices.Backward(list) {
		if g.Hash != hash && (g.File == file && file != "" || g.File == "" && g.Goal == name) {
			return g, true
		}
	}
	return Grant{}, false
}
