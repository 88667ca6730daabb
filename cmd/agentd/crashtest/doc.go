// Package crashtest kills a real daemon at every event boundary and at random moments, and compares what becomes of its runs with
// a run that nothing disturbed. It holds tests only.
package crashtest
