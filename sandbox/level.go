package sandbox

import "fmt"

var levelNames = map[Level]string{LevelNone: "none", LevelWasm: "wasm", LevelLandlock: "landlock", LevelNamespaces: "namespaces", LevelGVisor: "gvisor"}

// String returns the level's name, as configuration and reports write it.
func (l Level) String() string {
	if s, ok := levelNames[l]; ok {
		return s
	}
	if l == 0 {
		return "default"
	}
	return fmt.Sprintf("level(%d)", int(l))
}

// ParseLevel is the inverse of String. The empty string is the zero Level.
func ParseLevel(s string) (Level, error) {
	if s == "" || s == "default" {
		return 0, nil
	}
	for l, name := range levelNames {
		if s == name {
			return l, nil
		}
	}
	return 0, fmt.Errorf("sandbox level %q: want none, wasm, landlock, namespaces or gvisor", s)
}

// MarshalText writes the level's name.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads the level's name.
func (l *Level) UnmarshalText(b []byte) error {
	v, err := ParseLevel(string(b))
	if err == nil {
		*l = v
	}
	return err
}

// minimum is the level that a policy requires: landlock where it says nothing.
func (l Level) minimum() Level {
	if l == 0 {
		return LevelLandlock
	}
	return l
}
