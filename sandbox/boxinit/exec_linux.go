package boxinit

import "unsafe"

// execView is a decoded Exec: it points into the message, in the form in which the kernel takes it.
type execView struct {
	argv, env         []uintptr // each ends with a zero
	dir               []byte
	tty               bool
	rows, cols, extra uint32
}

// execPointers is how many pointers a message of n bytes may need.
func execPointers(n int) int { return n/2 + 2 }

// parseExec reads what Encode wrote without allocating. The pointers go to table.
func parseExec(b []byte, table []uintptr) (x execView, fine bool) {
	d := decoder{b: b}
	x.tty = d.num() == 1
	x.rows, x.cols, x.extra = uint32(d.num()), uint32(d.num()), uint32(d.num())
	x.dir = d.zstr()
	x.argv, table = d.pointers(table)
	x.env, _ = d.pointers(table)
	return x, !d.bad && len(d.b) == 0 && len(x.argv) > 1
}

// zstr reads a string with its zero byte, and no other.
func (d *decoder) zstr() []byte {
	n := d.num()
	if n == 0 || n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	s := d.b[:n]
	for i, c := range s {
		if (c == 0) != (i == len(s)-1) {
			d.bad, d.b = true, nil
			return nil
		}
	}
	d.b = d.b[n:]
	return s
}

// pointers reads a list of strings into the start of table and returns the rest of that.
func (d *decoder) pointers(table []uintptr) (list, rest []uintptr) {
	n := d.count()
	if n >= len(table) {
		d.bad, d.b = true, nil
		return nil, nil
	}
	for i := range n {
		s := d.zstr()
		if d.bad {
			return nil, nil
		}
		table[i] = uintptr(unsafe.Pointer(unsafe.SliceData(s)))
	}
	table[n] = 0
	return table[:n+1], table[n+1:]
}
