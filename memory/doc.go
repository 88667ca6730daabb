// Package memory keeps what an agent learned and finds it again, by words and by meaning, with a receipt for every answer.
//
// A store is one bbolt file. An insert is durable when it returns; concurrent inserts share a commit. Items gather in a
// tail and are sealed, 4096 at a time, into immutable segments: vectors and their codes (package vec), a word index and
// attribute lists, all written in the transaction that removes the rows from the tail. A search works on a snapshot, so
// that it neither waits for writers nor sees half of a write.
//
// Without an embedder a store finds by words alone, and says so in each receipt.
package memory
