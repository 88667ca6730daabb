package journal

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// Errors of a Store.
var (
	// ErrConflict is returned by Append when after is not the run's last sequence number.
	ErrConflict = errors.New("the run has newer events")
	// ErrNotFound is returned when a run or a blob does not exist.
	ErrNotFound = errors.New("not found")
	// ErrFenced is returned by a driver's append when another driver claimed the run.
	ErrFenced = errors.New("another driver claimed the run")
	// ErrCorrupt is returned when stored bytes do not match their checksum.
	ErrCorrupt = errors.New("corrupt")
	// ErrFull is returned when the disk or the quota of the data folder is full. Nothing was stored.
	ErrFull = errors.New("no space left in the data folder")
	// ErrReadOnly is returned when the data folder can't be written.
	ErrReadOnly = errors.New("the data folder is read-only")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("the journal is closed")
)

// Summary is what a list shows of a run; a store keeps it beside the events, in the same transaction.
type Summary struct {
	Run       RunID     `json:"run"`
	Status    Status    `json:"status"`
	Self      bool      `json:"self_checked,omitempty"`
	Goal      string    `json:"goal"` // its first 200 characters
	Name      string    `json:"name,omitempty"`
	Workspace string    `json:"workspace"`
	Model     string    `json:"model"`
	Started   time.Time `json:"started"`
	Updated   time.Time `json:"updated"`
	Last      Seq       `json:"last"`
	Steps     int       `json:"steps"`
	Tokens    int64     `json:"tokens"`
	USD       float64   `json:"usd"`
	Asks      int       `json:"asks"`          // open ones
	Now       string    `json:"now,omitempty"` // what it is doing
	Reason    string    `json:"reason,omitempty"`
	Learning  bool      `json:"learning,omitempty"` // State.Learning
}

// Filter selects runs. The zero value selects all, newest first.
type Filter struct {
	Live      bool   // only runs that have not ended
	Status    Status // only this status
	Workspace string // only this workspace
	Oldest    bool   // oldest first
	After     RunID  // continue after this run, in the order asked for
	Limit     int    // 0 is 100
}

// Store keeps the journals of all runs. Implementations pass journaltest. They are safe for concurrent use.
type Store interface {
	// Create makes a run with its first event (a RunStarted) durable. When key is not "" and a run was created with it before,
	// that run's id is returned, nothing is stored and fresh is false.
	Create(ctx context.Context, run RunID, key string, first RunStarted) (id RunID, fresh bool, err error)
	// Append stores events after the sequence number after, atomically, and returns the last one's number. They are
	// durable (fsync) on return. It returns ErrConflict if after is not the run's last number.
	Append(ctx context.Context, run RunID, after Seq, events ...Event) (Seq, error)
	// Read yields the records after a number, in order, and ends at the last one.
	Read(ctx context.Context, run RunID, after Seq) iter.Seq2[Record, error]
	// Watch is Read that then follows until ctx ends or the run is removed. Nothing is dropped.
	Watch(ctx context.Context, run RunID, after Seq) iter.Seq2[Record, error]
	// Page returns up to limit records before a number (0: from the end), in order.
	Page(ctx context.Context, run RunID, before Seq, limit int) ([]Record, error)
	// Get returns a run's summary.
	Get(ctx context.Context, run RunID) (Summary, error)
	// List returns summaries, a page at a time.
	List(ctx context.Context, f Filter) ([]Summary, error)
	// Remove forgets a run and the blobs that only it used.
	Remove(ctx context.Context, run RunID) error
	// PutBlob stores bytes durably under their sha256 (hex) on behalf of a run.
	PutBlob(ctx context.Context, run RunID, r io.Reader) (hash string, size int64, err error)
	// Blob opens stored bytes; reading to the end checks the hash (ErrCorrupt).
	Blob(ctx context.Context, hash string) (io.ReadCloser, error)
	// Backup writes a consistent copy of the journal while it is in use.
	Backup(ctx context.Context, w io.Writer) error
	// Close ends all watches and closes the store.
	Close() error
}
