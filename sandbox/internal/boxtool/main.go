// Command boxtool is a small static program for the sandbox's tests. It can become a box's init, where a test binary
// can't because the race detector needs cgo; and it says what it can enforce where it is started.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"agentd/sandbox"
)

func main() {
	if len(os.Args) != 2 || os.Args[1] != "report" {
		fmt.Fprintln(os.Stderr, "boxtool: want report")
		os.Exit(2)
	}
	if err := json.NewEncoder(os.Stdout).Encode(sandbox.Probe()); err != nil {
		fmt.Fprintln(os.Stderr, "boxtool:", err)
		os.Exit(1)
	}
}
