// Command initonly is a program that can become a box's init and does nothing else. Tests that run with cgo, which
// the race detector needs, use it in place of themselves.
package main

import (
	"fmt"
	"os"

	_ "agentd/sandbox/boxinit"
)

func main() {
	fmt.Fprintln(os.Stderr, "initonly: this program is only executed by the sandbox's tests")
	os.Exit(2)
}
