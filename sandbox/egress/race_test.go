//go:build race

package egress_test

const raced = true
