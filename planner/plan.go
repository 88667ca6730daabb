// Package planner turns a goal into a plan, a DAG of tasks, and revises it when facts contradict it.
package planner

// Plan is a DAG of tasks. Revision counts from 1.
type Plan struct {
	Revision int    `json:"revision"`
	Tasks    []Task `json:"tasks"`
}

// Task is one node of a plan.
type Task struct {
	ID     string   `json:"id"`
	Do     string   `json:"do"`               // what to do, in words
	Needs  []string `json:"needs,omitempty"`  // ids of tasks that must be done first
	Writes []string `json:"writes,omitempty"` // paths or globs it writes; empty means anything, so it runs alone
	Out    string   `json:"out,omitempty"`    // what it must produce
	Done   string   `json:"done,omitempty"`   // how to see that it is done
}
