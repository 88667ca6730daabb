package sandbox_test

import (
	"encoding/json"
	"testing"

	"agentd/sandbox"
)

func TestLevel(t *testing.T) {
	for l := sandbox.Level(0); l <= sandbox.LevelGVisor; l++ {
		got, err := sandbox.ParseLevel(l.String())
		if err != nil || got != l {
			t.Errorf("%v: got %v, %v", l, got, err)
		}
		b, err := json.Marshal(l)
		var back sandbox.Level
		if err != nil || json.Unmarshal(b, &back) != nil || back != l {
			t.Errorf("%v: as JSON %s, back %v, %v", l, b, back, err)
		}
	}
	if _, err := sandbox.ParseLevel("maximum"); err == nil {
		t.Error("an unknown level was accepted")
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 1023: "1023 bytes", 1 << 20: "1 MiB", 1536 << 20: "1.5 GiB", 2 << 30: "2.0 GiB", 512 << 20: "512 MiB"} {
		if got := sandbox.Bytes(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}
