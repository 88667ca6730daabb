//go:build !amd64 && !arm64

package vec

var k = plain
