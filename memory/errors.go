package memory

import (
	"errors"
	"fmt"
)

// Errors that callers branch on. They are returned wrapped, with what was wrong and where.
var (
	// ErrItem is returned for an item that cannot be stored: an empty or too long text, invalid UTF-8, a bad vector.
	ErrItem = errors.New("invalid item")
	// ErrQuery is returned for a query that cannot be answered: no text, a filter on an unknown field.
	ErrQuery = errors.New("invalid query")
	// ErrModel is returned where vectors of another model or dimension would be mixed with the store's.
	ErrModel = errors.New("vectors of another model")
	// ErrNotFound is returned for an item that is not in the store.
	ErrNotFound = errors.New("no such memory")
	// ErrVersion is returned by Open for a file that another version of this program, or another program, wrote.
	ErrVersion = errors.New("not a memory file of this version")
	// ErrLocked is returned by Open while another process has the file open.
	ErrLocked = errors.New("the memory file is in use by another process")
	// ErrDamaged is returned by Open for a file whose pages do not hold together; Repair salvages what is whole.
	ErrDamaged = errors.New("the memory file is damaged")
	// ErrClosed is returned by a store that was closed.
	ErrClosed = errors.New("the memory store is closed")
)

// CorruptError says that one value does not match its checksum. The rest of the store is readable.
type CorruptError struct {
	What string // "item m17", "vectors of segment 3"
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s: checksum mismatch; run the memory's repair to salvage the rest", e.What)
}
