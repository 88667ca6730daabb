// Package acceptance measures criteria: probes run in fresh boxes and conditions over their results.
package acceptance
