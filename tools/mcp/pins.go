package mcp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Pins keep what each server offered when it was first used. What it says later counts only once a person has accepted it.
type Pins struct{ Dir string }

const maxPin = 16 << 20

func (p Pins) file(key string) string { return filepath.Join(p.Dir, key+".json") }

// Get returns a server's pin, nil if there is none.
func (p Pins) Get(s Server) (*Listing, error) {
	f, err := os.Open(p.file(s.Key()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("pin of %s: %w", s.Name, err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.Size() > maxPin {
		return nil, fmt.Errorf("pin of %s: %s is no pin; remove it to pin anew", s.Name, f.Name())
	}
	var l Listing
	if err := json.NewDecoder(f).Decode(&l); err != nil {
		return nil, fmt.Errorf("pin of %s: %s: %w; remove it to pin anew", s.Name, f.Name(), err)
	}
	l.Server = s.Name
	for i := range l.Tools {
		l.Tools[i].Schema = compact(l.Tools[i].Schema)
	}
	return &l, nil
}

// Set pins what a server offers now.
func (p Pins) Set(s Server, l *Listing) error {
	data, err := json.MarshalIndent(l, "", " ")
	if err != nil {
		return fmt.Errorf("pin %s: %w", s.Name, err)
	}
	if err := writeFile(p.file(s.Key()), append(data, '\n')); err != nil {
		return fmt.Errorf("pin %s: %w", s.Name, err)
	}
	return nil
}

// Remove forgets a server's pin.
func (p Pins) Remove(s Server) error {
	if err := os.Remove(p.file(s.Key())); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget the pin of %s: %w", s.Name, err)
	}
	return nil
}

// writeFile replaces a file that only its owner reads, whole or not at all.
func writeFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
