// Package workspace keeps what an agent works on: which folder, its snapshot, what changed and how to undo it.
package workspace
