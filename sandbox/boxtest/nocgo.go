//go:build !cgo

package boxtest

const cgo = false
