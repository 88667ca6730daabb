//go:build linux

package boxinit

// ParseExec decodes an Exec as an init does, and copies what the kernel would be given.
func ParseExec(b []byte) (*Exec, bool) {
	table := make([]uintptr, execPointers(len(b)))
	x, fine := parseExec(b, table)
	if !fine {
		return nil, false
	}
	list := func(at []uintptr) (out []string) {
		for _, p := range at[:len(at)-1] {
			out = append(out, string([]byte(zstring(p))))
		}
		return out
	}
	return &Exec{Argv: list(x.argv), Env: list(x.env), Dir: string(x.dir[:len(x.dir)-1]), TTY: x.tty, Rows: x.rows, Cols: x.cols, Extra: x.extra}, true
}
