package main

import (
	"testing"

	"example.com/dep"
)

func TestHello(t *testing.T) {
	if dep.Hello() != "hello" {
		t.Error("no greeting")
	}
}
